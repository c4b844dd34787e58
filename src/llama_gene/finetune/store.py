"""Encoded examples on disk: in memory there are only a few numbers for each."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import InstructionEncoder, PromptEncoder

Ints = NDArray[np.int64]
_Item = TypeVar("_Item")

_CHUNK = 1024  # examples encoded at a time


@dataclass(frozen=True, slots=True)
class Draw:
    """Examples as they are asked, in their order; arrays of one length.

    Attributes:
        examples: int64[draws].
        strands: int64[draws]; 1 where all DNA is reverse complemented.
        wordings: int64[draws]; which of the group's wordings is used.
    """

    examples: Ints
    strands: Ints
    wordings: Ints


@dataclass(frozen=True, slots=True)
class Group:
    """The examples of one task, or of one file of instructions: all have the same parts.

    Attributes:
        name: The task's, or the file's.
        first: Its first example.
        first_part: The first part of that.
        num_sequences: Sequences of an example.
        num_strands: 2 where the DNA is kept both ways, 1 otherwise.
        frames: For each wording, the ids before, between and after the sequences.
        asks_about_sequences: False for instructions, whose whole prompt counts as one part.
        is_classification: Whether its answers are labels.
    """

    name: str
    first: int
    first_part: int
    num_sequences: int
    num_strands: int
    frames: tuple[tuple[NDArray[np.int64], ...], ...]
    asks_about_sequences: bool = True
    is_classification: bool = False

    @property
    def num_parts(self) -> int:
        """Parts of an example: its sequences, strand by strand, and its answer."""
        return self.num_sequences * self.num_strands + 1


class ExampleStore:
    """Examples of several groups, written one group after the other, then read in any order.

    Args:
        folder: Where the ids lie, in a file without a name: it is gone with this process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stream = TemporaryFile(dir=folder)  # noqa: SIM115 - open for as long as the store is
        self.groups: list[Group] = []
        self._ends, self._choices = array("q", [0]), array("i")

    def __len__(self) -> int:
        return len(self._choices)

    def add_task(self, encoder: PromptEncoder, examples: Iterable[Example], *, both_strands: bool) -> int:
        """Append the examples of a task; returns how many of them were shortened."""
        task = encoder.task
        classifies = task.kind == "classification"
        self._begin(task.name, len(task.inputs), 1 + both_strands, encoder.frames, is_classification=classifies)
        places = {answer: place for place, answer in enumerate(task.candidates)}
        num_shortened = 0
        for chunk in _chunks(examples):
            parts: list[NDArray[np.int32]] = []
            for example, spelled in zip(chunk, encoder.spell(chunk, both_strands=both_strands), strict=True):
                parts += [span for strand in spelled.strands for span in strand]
                parts.append(np.array(spelled.answer, np.int32))
                self._choices.append(places.get(example.answer or "", -1))
                num_shortened += spelled.num_cut > 0
            self._write(parts)
        return num_shortened

    def add_instructions(self, name: str, encoder: InstructionEncoder, instructions: Iterable[Instruction]) -> int:
        """Append instructions; returns how many were left out because they are too long."""
        self._begin(name, 1, 1, [[[], []]], asks_about_sequences=False)
        num_too_long = 0
        for chunk in _chunks(instructions):
            parts: list[NDArray[np.int32]] = []
            for instruction in chunk:
                encoded = encoder.encode(instruction)
                if encoded is None:
                    num_too_long += 1
                    continue
                parts += [np.array(encoded.prompt, np.int32), np.array(encoded.answer, np.int32)]
                self._choices.append(-1)
            self._write(parts)
        return num_too_long

    def _begin(
        self,
        name: str,
        num_sequences: int,
        num_strands: int,
        frames: Sequence[Sequence[Sequence[int]]],
        *,
        asks_about_sequences: bool = True,
        is_classification: bool = False,
    ) -> None:
        made = tuple(tuple(np.array(text, np.int64) for text in frame) for frame in frames)
        place = (len(self), len(self._ends) - 1)
        self.groups.append(
            Group(name, *place, num_sequences, num_strands, made, asks_about_sequences, is_classification)
        )

    def _write(self, parts: Sequence[NDArray[np.int32]]) -> None:
        """Append parts of examples, in their order."""
        if parts:
            self._stream.write(np.concatenate(parts).astype(np.uint32).tobytes())
            self._ends.extend((np.cumsum([len(part) for part in parts]) + self._ends[-1]).tolist())

    def close(self) -> None:
        """End the writing; only then examples can be read."""
        self._stream.flush()

    @cached_property
    def _ids(self) -> NDArray[np.uint32]:
        if self._ends[-1] == 0:
            return np.empty(0, np.uint32)
        return np.memmap(self._stream, dtype=np.uint32, mode="r")

    @cached_property
    def choices(self) -> Ints:
        """int64[examples]: the place of an answer among the task's candidates; -1 for free text and instructions."""
        return np.array(self._choices, np.int64)

    @cached_property
    def labels(self) -> Ints:
        """int64[examples]: the place of a classification's answer among its labels, -1 for all others."""
        of_label = np.array([group.is_classification for group in self.groups])[self.group_of(np.arange(len(self)))]
        return np.where(of_label, self.choices, -1)

    def members(self, group: int) -> Ints:
        """The examples of a group."""
        return np.arange(self.groups[group].first, self._stop(group))

    def _stop(self, group: int) -> int:
        return self.groups[group + 1].first if group + 1 < len(self.groups) else len(self)

    def group_of(self, examples: Ints) -> Ints:
        """The group of each example."""
        firsts = [group.first for group in self.groups]
        return np.searchsorted(firsts, examples, side="right") - 1

    def lengths(self, draw: Draw) -> Ints:
        """Tokens of each example as it is asked, its answer included."""
        lengths = np.empty(len(draw.examples), np.int64)
        groups = self.group_of(draw.examples)
        ends = np.array(self._ends)
        for index, group in enumerate(self.groups):
            chosen = groups == index
            rows = draw.examples[chosen] - group.first
            stop = group.first_part + (self._stop(index) - group.first) * group.num_parts
            parts = np.diff(ends[group.first_part : stop + 1]).reshape(-1, group.num_parts)
            strands = parts[:, :-1].reshape(len(parts), group.num_strands, group.num_sequences).sum(axis=2)
            frames = np.array([sum(map(len, frame)) for frame in group.frames])
            strand, wording = draw.strands[chosen], draw.wordings[chosen]
            lengths[chosen] = strands[rows, strand] + parts[rows, -1] + frames[wording]
        return lengths

    def answer_lengths(self, examples: Ints) -> Ints:
        """Tokens of each example's answer."""
        groups = self.group_of(examples)
        first, first_part, num_parts = (
            np.array([getattr(group, name) for group in self.groups])[groups]
            for name in ("first", "first_part", "num_parts")
        )
        last = first_part + (examples - first + 1) * num_parts
        ends = np.array(self._ends)
        lengths: Ints = ends[last] - ends[last - 1]
        return lengths

    def ask(self, example: int, strand: int, wording: int) -> tuple[Ints, int, NDArray[np.bool_]]:
        """One example as it is asked.

        Returns:
            The ids of prompt and answer; how many at the end are the answer's; which stand in a sequence.
        """
        group = self.groups[int(self.group_of(np.array(example)))]
        first = group.first_part + (example - group.first) * group.num_parts
        sequences = range(first + strand * group.num_sequences, first + (strand + 1) * group.num_sequences)
        opening, *texts = group.frames[wording]
        pieces, marks = [opening], [False]
        for part, text in zip(sequences, texts, strict=True):
            pieces += [self._part(part), text]
            marks += [group.asks_about_sequences, False]
        answer = self._part(first + group.num_parts - 1)
        ids = np.concatenate([*pieces, answer])
        in_sequence = np.repeat([*marks, False], [*map(len, pieces), len(answer)])
        return ids, len(answer), in_sequence

    def _part(self, part: int) -> Ints:
        return self._ids[self._ends[part] : self._ends[part + 1]].astype(np.int64)


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    stream = iter(items)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk
