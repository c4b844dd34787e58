"""The text that a vocabulary is measured on: drawn evenly from files, in two halves, in bounded memory."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llama_gene.errors import FormatError
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.sequences.read import Reject
from llama_gene.sequences.text import read_texts
from llama_gene.vocabulary.ngram import Letters, letter_bits
from llama_gene.vocabulary.sample import sample_sequences

STRETCH_LETTERS = 4096
LINE_LETTERS = 256
NUM_LINES = 2000


@dataclass(frozen=True, eq=False)
class SequenceSample:
    """Text to measure on: runs of unambiguous letters, in two halves.

    Args:
        fit: What models are fitted on.
        score: What they are scored on. No stretch of a record is in both halves.
        num_other: Letters left out because they are ambiguity codes.
        num_repeated: Letters left out because the same stretch came before: it would be fitted on and scored.
        rejects: Records that do not hold.
    """

    kind: Kind
    fit: tuple[str, ...]
    score: tuple[str, ...]
    num_other: int = 0
    num_repeated: int = 0
    rejects: tuple[Reject, ...] = ()

    @cached_property
    def num_letters(self) -> int:
        """Letters in both halves."""
        return sum(map(len, self.fit)) + sum(map(len, self.score))

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """At most `NUM_LINES` lines of at most `LINE_LETTERS` letters, evenly out of the scored half."""
        cut = [run[start : start + LINE_LETTERS] for run in self.score for start in range(0, len(run), LINE_LETTERS)]
        return tuple(_evenly(cut, NUM_LINES))

    @cached_property
    def letter_bits(self) -> list[float]:
        """Bits for one letter by models of letters, of order 0 and up: what pieces have to beat."""
        return letter_bits(Letters(self.kind, self.fit), Letters(self.kind, self.score))


def draw_sequences(paths: Sequence[Path], kind: Kind, num_letters: int) -> SequenceSample:
    """Draw about `num_letters` letters of `paths` to measure on, evenly over the files and along each.

    A stretch is a record, or `STRETCH_LETTERS` of a longer one. The stretches go to the two halves in turn; one that
    came before is left out, since files of genomes and proteins repeat each other.

    Raises:
        FormatError: If the files hold something else than `kind`, or too little of it to make two halves.
    """
    rejects: list[Reject] = []
    halves: tuple[list[str], list[str]] = ([], [])
    seen: set[bytes] = set()
    num_other = num_repeated = 0
    for stretch in _stretches(sample_sequences(paths, kind, num_letters, rejects)):
        digest = hashlib.blake2b(stretch.encode(), digest_size=16).digest()
        if digest in seen:
            num_repeated += len(stretch)
            continue
        runs = [run for _, run in ALPHABETS[kind].pure_runs(stretch)]
        num_other += len(stretch) - sum(map(len, runs))
        halves[len(seen) % 2].extend(runs)
        seen.add(digest)
    sample = SequenceSample(kind, tuple(halves[0]), tuple(halves[1]), num_other, num_repeated, tuple(rejects))
    names = ", ".join(path.name for path in paths)
    if len(rejects) > len(seen):
        problem = f"most records are not {kind}; the first, {rejects[0].where}: {rejects[0].reason}"
        raise FormatError(problem, where=names, hint=f"give --{kind} files of {kind}")
    if kind == "protein" and _looks_like_dna(sample):
        raise FormatError("nearly all letters are A, C, G and T: this is DNA", where=names, hint="give it with --dna")
    if not sample.fit or not sample.score:
        hint = "give two records or more, or one of more than 4,096 letters"
        raise FormatError(
            f"too little {kind} to measure on: half of it fits models, half is scored", where=names, hint=hint
        )
    return sample


def _stretches(sequences: Iterable[str]) -> Iterator[str]:
    for sequence in sequences:
        for start in range(0, len(sequence), STRETCH_LETTERS):
            yield sequence[start : start + STRETCH_LETTERS]


def _looks_like_dna(sample: SequenceSample) -> bool:
    bases = sum(line.count(base) for line in sample.lines for base in "ACGT")
    return bases > 0.95 * sum(map(len, sample.lines)) > 0


def draw_lines(paths: Sequence[Path], num_characters: int) -> list[str]:
    """Draw lines of about `num_characters` characters in all from texts, each file by its share of all characters.

    Raises:
        FormatError: If a file holds no text, or sequences.
    """
    total = sum(len(line) for path in paths for line in _lines(path))
    density, owed, drawn = min(1.0, num_characters / max(total, 1)), 0.0, []
    for path in paths:
        for line in _lines(path):
            owed += density * len(line)
            if owed >= len(line) / 2:
                owed -= len(line)
                drawn.append(line)
    return drawn


def _lines(path: Path) -> Iterator[str]:
    for document in read_texts(path):
        if re.match(r">\S", document):
            raise FormatError("a FASTA file, not English", where=path, hint="give it with --dna or --protein")
        yield from (line for line in document.splitlines() if line.strip())


def _evenly(items: Sequence[str], num: int) -> list[str]:
    """At most `num` of the items, evenly taken."""
    if len(items) <= num:
        return list(items)
    return [items[place * len(items) // num] for place in range(num)]
