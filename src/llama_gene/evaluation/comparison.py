"""A `Comparison` for people: one HTML page, and a table for the terminal."""

import math
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from llama_gene import files, page
from llama_gene.evaluation.compare import Comparison, Contrast, TaskComparison
from llama_gene.evaluation.layout import SIMULATED, metric_name, readable_time
from llama_gene.metrics import Score

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {"better": "green", "worse": "red", "within error": "yellow", "": ""}


def write(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.json`` and ``comparison.html`` into `folder`, each whole or not at all."""
    files.write_text(folder / "comparison.json", comparison.model_dump_json(indent=2) + "\n")
    files.write_text(folder / "comparison.html", to_html(comparison))


def summary(comparison: Comparison) -> list[str]:
    """What each model comes to against the first, one sentence a model."""
    first, *others = comparison.models
    lines = []
    for place, name in enumerate(others, start=1):
        verdicts = [task.verdict(task.contrasts[place]) for task in comparison.tasks]
        lines.append(
            f"{name} against {first}: better on {verdicts.count('better')} of {len(verdicts)} tasks, worse on"
            f" {verdicts.count('worse')}, within error on {verdicts.count('within error')}"
            + (f"; not compared on {verdicts.count('')}." if "" in verdicts else ".")
        )
    return lines


def signed(score: Score | None) -> tuple[str, str]:
    """A difference and its interval, with signs.

    >>> signed(Score(0.0512, -0.01, 0.1, 100)), signed(None)
    (('+0.051', '[-0.010, +0.100]'), ('–', ''))
    """
    if score is None or math.isnan(score.value):
        return "–", ""
    return f"{score.value:+.3f}", f"[{score.low:+.3f}, {score.high:+.3f}]"


def p_value(p: float | None) -> str:
    """A p value for people.

    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('0.031', '< 0.001', '–')
    """
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _score_text(contrast: Contrast) -> str:
    text = "–" if contrast.score is None else str(contrast.score)
    return text if contrast.spread is None else f"{text}\n± {contrast.spread:.3f}, {contrast.num_seeds} seeds"


def to_terminal(comparison: Comparison) -> "Table":
    """The tasks as a `rich` table, a line for each model."""
    from rich.table import Table
    from rich.text import Text

    notes = [*([SIMULATED] if comparison.simulated else []), *summary(comparison)]
    table = Table(caption=Text("\n".join(notes)), caption_justify="left", box=None, pad_edge=False)
    for name in ("task", "model", "score", "difference", "p", ""):
        table.add_column(name, no_wrap=name in ("task", "p"))
    for task in comparison.tasks:
        for place, contrast in enumerate(task.contrasts):
            verdict = task.verdict(contrast)
            table.add_row(
                Text(f"{task.name}\n{metric_name(task.metric)}" if place == 0 else ""),
                Text(contrast.model),
                Text(_score_text(contrast).replace(" [", "\n[", 1)),
                Text("\n".join(signed(contrast.difference)).strip() if place else ""),
                p_value(contrast.p) if place else "",
                Text(verdict or contrast.why_not, style=_COLOURS[verdict]),
            )
    return table


def to_html(comparison: Comparison) -> str:
    """The comparison as one self-contained HTML page."""
    template = resources("llama_gene.evaluation").joinpath("comparison.html").read_text(encoding="utf-8")
    body = page.render(
        template,
        comparison=comparison,
        simulated=SIMULATED,
        summary=summary(comparison),
        averaged=any(contrast.num_seeds > 1 for task in comparison.tasks for contrast in task.contrasts),
        tested=any(contrast.p is not None for task in comparison.tasks for contrast in task.contrasts),
        created=readable_time(comparison.created),
        metric_name=metric_name,
        signed=signed,
        p_value=p_value,
        chart=_chart,
    )
    return page.render_page(" and ".join(comparison.models), body)


def _chart(task: TaskComparison) -> Markup:
    """The models' scores, the first one's marked."""
    dots, name = [], metric_name(task.metric)
    for place, contrast in enumerate(task.contrasts):
        if contrast.score is not None:
            score = contrast.score
            dots.append(page.Dot(contrast.model, score.value, score.low, score.high, main=place == 0))
    return page.dot_interval_chart(dots, title=f"{task.name}: {name}", unit=name)
