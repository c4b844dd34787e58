"""A training for people: one self-contained page with what was trained, its curves, and what it cost.

The page is written while the training goes on, too, and is whole whenever it is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

import llama_gene
from llama_gene import page
from llama_gene.config import TrainingSettings
from llama_gene.files import write_text
from llama_gene.progress import format_duration
from llama_gene.training.log import TrainingLog

PAGE = "training.html"
ENGLISH = "English"  # the held-out set by which forgetting shows

_TITLES = {"pretrain": "Continued pre-training", "finetune": "Instruction tuning"}
_HOW_IT_WENT = {
    "learning_rate": ("Learning rate", "learning rate"),
    "grad_norm": ("Gradient norm", "norm before it is cut"),
    "tokens_per_second": ("Speed", "tokens/s"),
}
_FEWEST_LATER = 3  # points after the start
_MOST_ABOVE = 2.0  # the range of later values that the start may stand above them

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Held:
    """A row of the table of held-out sets."""

    name: str
    unit: str
    before: float
    now: float

    @property
    def change(self) -> str:
        """The change in per cent, with its sign."""
        return f"{100 * (self.now / self.before - 1):+.1f}\xa0%"


def write_page(log: TrainingLog, settings: TrainingSettings, path: Path) -> None:
    """Write the page of a training, whole or not at all."""
    write_text(path, to_html(log, settings, created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")))


def to_html(log: TrainingLog, settings: TrainingSettings, *, created: str) -> str:
    """The page of a training that is done, or goes on.

    Args:
        log: What was logged so far.
        settings: How it is trained.
        created: When, for people.
    """
    title = _TITLES.get(log.title, log.title)
    measured = {name: log.bits(name) for name in log.units}
    held_out = [_Held(name, log.units[name], bits[0][1], bits[-1][1]) for name, bits in measured.items() if bits]
    template = resources("llama_gene.training").joinpath("training.html").read_text(encoding="utf-8")
    body = page.render(
        template,
        title=title,
        log=log,
        created=created,
        version=llama_gene.__version__,
        held_out=held_out,
        forgetting=next((forgetting(row.before, row.now) for row in held_out if row.name == ENGLISH), None),
        left=format_duration(log.seconds * (log.num_steps - log.step) / log.step) if log.step else None,
        duration=format_duration(log.seconds),
        charts=list(_charts(log)),
        settings=dict(_flat(settings.model_dump(mode="json"))),
    )
    return page.render_page(title, body)


def forgetting(before: float, now: float) -> str:
    r"""What became of the model's English, in a sentence.

    Args:
        before: Bits per byte of English before the training.
        now: The same after it.

    >>> forgetting(2.0, 2.1).replace("\xa0", " ")
    'English costs 5.0 % more bits than before the training: that much of it was forgotten.'
    >>> forgetting(2.0, 1.8).replace("\xa0", " ")
    'English costs 10.0 % fewer bits than before the training: none of it was forgotten.'
    """
    change = 100 * (now / before - 1)
    more, so = ("more", "that much of it") if change > 0 else ("fewer", "none of it")
    return f"English costs {abs(change):.1f}\xa0% {more} bits than before the training: {so} was forgotten."


def _charts(log: TrainingLog) -> Iterator[tuple[str, Markup]]:
    """The drawings with their headings: what is learned first, what only tells how it went last."""
    columns = log.points
    steps = columns["step"]
    yield _chart("Loss", "nats a target token", list(zip(steps, columns["loss"], strict=True)))
    for name, unit in log.units.items():
        if bits := log.bits(name):
            yield _chart(f"Held-out {name}", unit, bits, before=bits[0][1])
    for key, (heading, label) in _HOW_IT_WENT.items():
        yield _chart(heading, label, list(zip(steps, columns[key], strict=True)))


def _chart(heading: str, label: str, points: Points, *, before: float | None = None) -> tuple[str, Markup]:
    shown = without_start(points)
    name = heading if shown == points else f"{heading} from step {shown[0][0]:,.0f} on"
    references = {"before": before} if before is not None and shown == points else {}
    return heading, page.line_chart({name: shown}, title=heading, x_label="step", y_label=label, references=references)


def without_start(points: Points) -> Points:
    """The points without the first ones, where those are so high that all the others would be a flat line.

    >>> without_start([(0, 9.0), (1, 2.2), (2, 2.1), (3, 2.0)])
    [(1, 2.2), (2, 2.1), (3, 2.0)]
    >>> without_start([(0, 3.0), (1, 2.5), (2, 2.2), (3, 2.0)])
    [(0, 3.0), (1, 2.5), (2, 2.2), (3, 2.0)]
    """
    later = [value for _, value in points[max(1, len(points) // 4) :]]
    if len(later) < _FEWEST_LATER:
        return points
    highest = max(later) + _MOST_ABOVE * (max(later) - min(later))
    first = next(place for place, (_, value) in enumerate(points) if value <= highest)
    return points[first:]


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their keys in a recipe; those that are not set are left out."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else value
