"""Which letters decided an answer, told in two ways.

*In-silico mutagenesis*: the output with a letter, less the mean of the outputs with every other letter in its place.
*Integrated gradients*: what a letter adds to the output on the way from a baseline, the mean embedding of the four
bases or the twenty residues, to the sequence. The output is the log-odds of a label against all others, in nats, or the
expected value of a regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import ModelError, TaskError
from llama_gene.inference.engine import Engine
from llama_gene.inference.letters import SeenSequence, locate_letters
from llama_gene.inference.mutagenesis import effects_of_letters, mutate
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.trie import build_trie
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.tasks.task import Example, Task

if TYPE_CHECKING:
    from torch import Tensor

MAX_LETTERS = 200


@dataclass(frozen=True)
class Target:
    """The number that is explained.

    Args:
        task: A classification or a regression.
        label: The label whose log-odds it is; None for the value of a regression.
    """

    task: Task
    label: str | None

    @property
    def unit(self) -> str:
        """What the number is."""
        return "expected value" if self.label is None else f"log-odds of {self.label}"

    def of_prediction(self, prediction: Prediction) -> float:
        """The number in an answer."""
        if self.label is None:
            assert prediction.value is not None
            return prediction.value
        assert prediction.probabilities is not None
        chosen = self.task.candidates.index(self.label)
        others = [p for place, p in enumerate(prediction.probabilities) if place != chosen]
        with np.errstate(divide="ignore"):
            return float(np.log(prediction.probabilities[chosen]) - np.log(sum(others)))

    def of_logs(self, logs: "Tensor") -> "Tensor":
        """The number from the log-probabilities of all candidates, float[n, candidates] -> float[n]."""
        if self.label is None:
            grid = logs.new_tensor([float(answer) for answer in self.task.candidates])
            return logs.softmax(-1) @ grid
        chosen = self.task.candidates.index(self.label)
        others = [place for place in range(len(self.task.candidates)) if place != chosen]
        return logs[:, chosen] - logs[:, others].logsumexp(-1)


@dataclass(frozen=True)
class SequenceAttribution:
    """What the letters of one sequence did.

    Attributes:
        role: The sequence's name in the task.
        kind: What its letters are.
        length: Letters of the whole sequence.
        first: Number of the first letter explained, counted from 0.
        letters: The letters explained.
        changes: The change of the output with every other letter, float64[letters, alphabet]; 0 for the letter itself.
        effects: By in-silico mutagenesis, float64[letters].
        gradients: By integrated gradients, float64[letters]; the letters of one token share its value evenly.
    """

    role: str
    kind: Kind
    length: int
    first: int
    letters: str
    changes: NDArray[np.float64]
    effects: NDArray[np.float64]
    gradients: NDArray[np.float64]

    def strongest(self, num: int) -> list[tuple[str, float]]:
        """The substitutions that change the output the most, as ``G31A``, counted from 1."""
        alphabet = ALPHABETS[self.kind].letters
        order = np.argsort(-np.abs(self.changes), axis=None, kind="stable")[:num]
        found = []
        for place, column in zip(*np.unravel_index(order, self.changes.shape), strict=True):
            if self.changes[place, column]:
                name = f"{self.letters[place]}{self.first + place + 1}{alphabet[column]}"
                found.append((name, float(self.changes[place, column])))
        return found


@dataclass(frozen=True)
class Attribution:
    """Which letters decided an answer.

    Attributes:
        id: The example's.
        answer: The model's.
        probability: Of the label explained; None for a value.
        target: The number explained.
        output: That number.
        at_baseline: That number where every letter is the baseline.
        gap: By how much integrated gradients, of all letters seen, miss ``output - at_baseline``.
        sequences: One for each of the task's inputs.
    """

    id: str
    answer: str
    probability: float | None
    target: Target
    output: float
    at_baseline: float
    gap: float
    sequences: tuple[SequenceAttribution, ...]


def require_explicable(task: Task, label: str | None = None) -> None:
    """Check that the answers of `task` can be explained.

    Raises:
        TaskError: It has no such label, or its answers are written word by word, so that there is no one number.
    """
    if not task.candidates:
        problem = f"task {task.name!r} ({task.kind}) cannot be explained: its answers are written, not scored"
        raise TaskError(problem, hint="explain a classification or a regression")
    if label is not None and label not in task.label_names:
        hint = f"its labels: {', '.join(task.label_names)}" if task.label_names else "it is a regression: it has none"
        raise TaskError(f"task {task.name!r} has no label {label!r}", hint=hint)


def attribute(
    engine: Engine,
    task: Task,
    example: Example,
    *,
    label: str | None = None,
    max_letters: int = MAX_LETTERS,
    batch_tokens: int = 16_384,
) -> Attribution:
    """Explain the answer to one example.

    Integrated gradients look at all letters that the model sees. Of a longer sequence only the `max_letters` in a row
    with the largest gradients are mutated, and told of.

    Args:
        engine: The model.
        task: One of its tasks, a classification or a regression.
        example: The sequences.
        label: The label explained; the model's answer if not given.
        max_letters: Most letters of a sequence to explain; each costs as many predictions as it has alternatives.
        batch_tokens: Prompt tokens in a batch.

    Raises:
        TaskError: As for `require_explicable`.
        ModelError: The model answers NaN.
    """
    from llama_gene.inference.gradients import integrate_gradients

    ask = partial(engine.predict, task, batch_tokens=batch_tokens)
    require_explicable(task, label)
    prediction = next(ask([example]))
    assert prediction.probabilities is not None
    if not np.isfinite(prediction.probabilities).all():
        hint = "its weights are broken, or a training diverged"
        raise ModelError(f"the model answers NaN to {example.id!r}", where=engine.folder, hint=hint)
    target = Target(task, None if task.kind == "regression" else label or prediction.answer)
    encoder = engine.encoder(task)
    prompt, sequences = locate_letters(encoder, engine.tokenizer, example)
    bases = {kind: _letter_tokens(engine, kind) for kind in {sequence.kind for sequence in sequences}}
    found = integrate_gradients(
        engine.model,
        prompt,
        [place for sequence in sequences for place in sequence.places],
        [bases[sequence.kind] for sequence in sequences for _ in sequence.places],
        build_trie(encoder.candidate_ids),
        target.of_logs,
        batch_tokens=batch_tokens,
    )
    explained, start = [], 0
    for number, sequence in enumerate(sequences):
        values = _shared(found.values[start : start + len(sequence.places)], sequence.sizes)
        start += len(sequence.places)
        window = _strongest_window(values, sequence, max_letters)
        changes = mutate(ask, example, number, sequence.kind, window, target.of_prediction)
        explained.append(_explained(sequence, window, changes, values))
    probability = None if target.label is None else prediction.probabilities[task.candidates.index(target.label)]
    return Attribution(
        example.id,
        prediction.answer,
        probability,
        target,
        target.of_prediction(prediction),
        found.at_baseline,
        found.gap,
        tuple(explained),
    )


def _letter_tokens(engine: Engine, kind: Kind) -> list[int]:
    """The tokens of the letters that mean one thing."""
    return [token for ids in engine.tokenizer.encode_spans(kind, list(ALPHABETS[kind].letters)) for token in ids]


def _shared(values: NDArray[np.float64], sizes: Sequence[int]) -> NDArray[np.float64]:
    """The values of tokens, shared evenly over their letters."""
    shared: NDArray[np.float64] = np.repeat(values / np.array(sizes), sizes)
    return shared


def _strongest_window(values: NDArray[np.float64], sequence: SeenSequence, max_letters: int) -> range:
    """The letters in a row whose values are the largest, at most `max_letters` of them."""
    if len(values) <= max_letters:
        return sequence.seen
    sums = np.convolve(np.abs(values), np.ones(max_letters), mode="valid")
    first = sequence.first + int(sums.argmax())
    return range(first, first + max_letters)


def _explained(
    sequence: SeenSequence, window: range, changes: NDArray[np.float64], values: NDArray[np.float64]
) -> SequenceAttribution:
    letters = sequence.sequence[window.start : window.stop]
    return SequenceAttribution(
        sequence.role,
        sequence.kind,
        len(sequence.sequence),
        window.start,
        letters,
        changes,
        effects_of_letters(letters, sequence.kind, changes),
        values[window.start - sequence.first : window.stop - sequence.first],
    )
