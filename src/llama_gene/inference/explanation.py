"""Explanations for people and for programs: a page of sequence logos, all numbers as JSON, and a TSV of letters."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

import llama_gene
from llama_gene import files, page
from llama_gene.inference.attribution import Attribution, attribute
from llama_gene.inference.engine import Engine
from llama_gene.logo import sequence_logo
from llama_gene.progress import progress
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.tasks.task import Example, Task

MUTAGENESIS = "in-silico mutagenesis"
GRADIENTS = "integrated gradients"
METHODS = (
    "In-silico mutagenesis: the output with the letter, less the mean of the outputs with every other letter in its"
    " place. It sees one change at a time: of two signals, either of which is enough, it shows neither.",
    "Integrated gradients: what the letter adds to the output on the way from a baseline, where every letter is the"
    " mean of the four bases or the twenty residues, to the sequence. Over all letters they sum to the output less"
    " that of the baseline. A token of several letters has one value, which they share evenly.",
    "The output is the log-odds of a label against all others, in nats, or the expected value of a regression. A letter"
    " above the line speaks for it, one below the line against it. Both say what moves the model, not what is true."
    " Probabilities are the model’s own here, before any calibration.",
)
_NUM_STRONGEST = 5


class FirstOnes:
    """Passes examples on, and keeps the first of them.

    Args:
        examples: The examples.
        num: How many are kept.

    Attributes:
        kept: Those that came by so far.
        are_all: Whether no more than those came by so far.
    """

    def __init__(self, examples: Iterable[Example], num: int) -> None:
        self._examples, self._num = examples, num
        self.kept: list[Example] = []
        self.are_all = True

    def __iter__(self) -> Iterator[Example]:
        for example in self._examples:
            if len(self.kept) < self._num:
                self.kept.append(example)
            else:
                self.are_all = False
            yield example


def write_explanations(
    engine: Engine,
    task: Task,
    first: FirstOnes,
    folder: Path,
    *,
    label: str | None = None,
    max_letters: int,
    batch_tokens: int,
) -> None:
    """Explain the answers to the first examples: ``explanation.html``, ``explanation.json`` and ``letters.tsv``.

    Each file is written whole or not at all.

    Args:
        engine: The model.
        task: One of its tasks.
        first: The examples.
        folder: Where to.
        label: As for `attribute`.
        max_letters: As for `attribute`.
        batch_tokens: As for `attribute`.

    Raises:
        TaskError: As for `attribute`.
        ModelError: As for `attribute`.
    """
    found = []
    with progress(f"explain {task.name}", len(first.kept)) as report:
        for example in first.kept:
            found.append(
                attribute(engine, task, example, label=label, max_letters=max_letters, batch_tokens=batch_tokens)
            )
            report(len(found))
    files.write_json(folder / "explanation.json", to_json(task, found))
    files.write_text(folder / "letters.tsv", to_tsv(found))
    files.write_text(folder / "explanation.html", to_html(task, found, are_all=first.are_all))


def to_json(task: Task, found: Sequence[Attribution]) -> dict[str, Any]:
    """All numbers, as JSON has them; places are counted from 1."""
    return {
        "task": task.name,
        "version": llama_gene.__version__,
        "records": [
            {
                "id": one.id,
                "answer": one.answer,
                "output": one.target.unit,
                "probability": one.probability,
                "value": one.output,
                "value_at_baseline": one.at_baseline,
                "gap": one.gap,
                "sequences": [
                    {
                        "role": part.role,
                        "kind": part.kind,
                        "length": part.length,
                        "first": part.first + 1,
                        "letters": part.letters,
                        "mutagenesis": part.effects.tolist(),
                        "gradients": part.gradients.tolist(),
                        "substitutions": dict(zip(ALPHABETS[part.kind].letters, part.changes.T.tolist(), strict=True)),
                    }
                    for part in one.sequences
                ],
            }
            for one in found
        ],
    }


def to_tsv(found: Sequence[Attribution]) -> str:
    """One line a letter: id, sequence, position from 1, letter, both numbers."""
    lines = ["id\tsequence\tposition\tletter\tmutagenesis\tgradients"]
    for one in found:
        for part in one.sequences:
            columns = zip(part.letters, part.effects, part.gradients, strict=True)
            for position, (letter, effect, gradient) in enumerate(columns, start=part.first + 1):
                cells = (" ".join(one.id.split()), " ".join(part.role.split()), position, letter)
                lines.append("\t".join(map(str, cells)) + f"\t{effect:.6g}\t{gradient:.6g}")
    return "\n".join(lines) + "\n"


def to_html(task: Task, found: Sequence[Attribution], *, are_all: bool) -> str:
    """One self-contained page."""
    template = resources("llama_gene.inference").joinpath("explanation.html").read_text(encoding="utf-8")
    title = f"{task.title}: which letters decide"
    body = page.render(
        template,
        title=title,
        question=task.question,
        num=len(found),
        num_more=not are_all,
        version=llama_gene.__version__,
        methods=METHODS,
        records=[_shown(one) for one in found],
    )
    return page.render_page(title, body)


def _shown(one: Attribution) -> dict[str, Any]:
    said = one.answer
    if one.target.label == one.answer:
        said = f"{one.answer} at {100 * (one.probability or 0):.1f} %"
    elif one.target.label is not None:
        said = f"{one.answer}; explained: {one.target.label} at {100 * (one.probability or 0):.1f} %"
    return {
        "id": one.id,
        "said": said,
        "facts": {
            one.target.unit: f"{one.output:.3f}",
            "at the baseline": f"{one.at_baseline:.3f}",
            "numeric error of the gradients’ sum": f"{one.gap:+.3f}",
        },
        "sequences": [
            {
                "title": heading(part.role, part.kind, part.first, len(part.letters), part.length),
                "logos": draw_logos(
                    part.letters,
                    part.effects.tolist(),
                    part.gradients.tolist(),
                    kind=part.kind,
                    first=part.first,
                    title=f"{one.id} {part.role}",
                    unit=one.target.unit,
                ),
                "strongest": part.strongest(_NUM_STRONGEST),
            }
            for part in one.sequences
        ],
    }


def heading(role: str, kind: Kind, first: int, num: int, length: int) -> str:
    """Which letters are shown, of how many.

    >>> heading("sequence", "dna", 0, 60, 60), heading("A", "protein", 100, 200, 900)
    ('sequence: 60 letters of DNA', 'A: letters 101 to 300 of 900, the strongest part of the protein')
    """
    name = "DNA" if kind == "dna" else "protein"
    if num == length:
        return f"{role}: {num:,} letters of {name}"
    return f"{role}: letters {first + 1:,} to {first + num:,} of {length:,}, the strongest part of the {name}"


def draw_logos(
    letters: str,
    effects: Sequence[float],
    gradients: Sequence[float],
    *,
    kind: Kind,
    first: int,
    title: str,
    unit: str,
) -> dict[str, Markup]:
    """The two drawings of a sequence, by what they show.

    Args:
        letters: The letters explained.
        effects: Of each, by in-silico mutagenesis.
        gradients: Of each, by integrated gradients.
        kind: What the letters are.
        first: Number of the first one, counted from 0.
        title: Whose they are.
        unit: What the numbers are.
    """
    return {
        name: sequence_logo(letters, heights, kind=kind, first=first + 1, title=f"{title}, {name}", unit=unit)
        for name, heights in ((MUTAGENESIS, effects), (GRADIENTS, gradients))
    }
