"""A `Report` for people: one HTML page, Markdown for a repository, a table for the terminal.

All three say the same: first the paper's rows, then every dataset, each with what it was trained on and what it must
beat. Where two intervals overlap, they say ``within error`` and crown nobody.
"""

from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

from llama_gene import files, page
from llama_gene.evaluation.calibration import THESE_ROWS, Calibration
from llama_gene.evaluation.detail import LengthBin
from llama_gene.evaluation.explained import Explained
from llama_gene.evaluation.layout import (
    SIMULATED,
    baseline_cells,
    baseline_columns,
    by_lenient_rule,
    by_row,
    counted,
    leaks,
    metric_name,
    ordered,
    readable_time,
    row_means,
    summary,
    trained_on,
)
from llama_gene.evaluation.markdown import to_markdown
from llama_gene.evaluation.result import LOWER_IS_BETTER, Report, TaskResult
from llama_gene.evaluation.stored import REPORT, predictions_path
from llama_gene.inference.explanation import METHODS, draw_logos, heading
from llama_gene.metrics import Score

if TYPE_CHECKING:
    from rich.table import Table


def write(report: Report, folder: Path, predictions: Mapping[str, str]) -> None:
    """Write ``report.json``, ``report.html`` and ``report.md`` into `folder`, each whole or not at all.

    Args:
        report: The report.
        folder: Where to.
        predictions: Task -> its rows as a table, for ``predictions/TASK.tsv``.
    """
    for task, table in predictions.items():
        files.write_text(predictions_path(folder, task), table)
    files.write_text(folder / REPORT, report.to_json())
    files.write_text(folder / "report.html", to_html(report))
    files.write_text(folder / "report.md", to_markdown(report))


# ---- the terminal ----


def to_terminal(report: Report) -> "Table":
    """The datasets as a `rich` table: ours against the best baseline."""
    from rich.table import Table
    from rich.text import Text

    caption = f"{SIMULATED}\n{summary(report)}" if report.simulated else summary(report)
    table = Table(
        title=Text(report.title),
        caption=Text(caption),
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    whole = ("task", "ours", "best baseline")  # what a terminal of 80 columns shows on one line each
    for name in ("task", "metric", "ours", "best baseline", "best possible", "verdict"):
        justify: Literal["left", "right"] = "left" if name in ("task", "metric", "verdict") else "right"
        table.add_column(name, justify=justify, no_wrap=name in whole)
    colours = {"above": "green", "below": "red", "within error": "yellow", "no comparison": ""}
    for result in ordered(report):
        best = result.best_baseline
        table.add_row(
            Text(result.name),
            metric_name(result.metric),
            str(result.score).replace(" [", "\n[", 1),
            f"{best[1].value:.3f}\n{best[0]}" if best else "–",
            page.format_number(result.best_possible_here),
            Text(result.verdict, style=colours[result.verdict]),
        )
    return table


# ---- HTML ----


def to_html(report: Report) -> str:
    """The report as one self-contained HTML page."""
    template = resources("llama_gene.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    body = page.render(
        template,
        report=report,
        summary=summary(report),
        created=readable_time(report.created),
        simulated=SIMULATED,
        rows=[(row, results, list(row_means(results))) for row, results in by_row(report)],
        results=ordered(report),
        reworded=[result for result in ordered(report) if result.other_words],
        columns=baseline_columns(report),
        cells=baseline_cells,
        leaks=leaks,
        by_lenient_rule=by_lenient_rule,
        counted=counted,
        trained_on=trained_on,
        metric_name=metric_name,
        charts=_charts,
        closer_charts=_closer_charts,
        letters=_letters,
        methods=METHODS,
        curves=[_curve(name, log) for name, log in report.curves.items() if log],
        lower_is_better=LOWER_IS_BETTER,
    )
    return page.render_page(report.title, body)


def _charts(result: TaskResult) -> list[Markup]:
    """The drawings of a task's card."""
    dots = [page.Dot("this model", *_triple(result.score), main=True)]
    dots += [page.Dot(name, *_triple(score)) for name, score in reversed(result.rivals.items())]
    best = result.best_possible_here
    name = metric_name(result.metric)
    drawn = [
        page.dot_interval_chart(
            dots,
            title=f"{result.name}: {name}",
            unit=name,
            reference=("best possible", best) if best is not None else None,
        )
    ]
    if result.confusion is not None:
        drawn.append(page.confusion_matrix(result.labels, result.confusion, title="Rows by label"))
    if result.scatter is not None:
        title = f"{result.name}: prediction against truth"
        drawn.append(page.scatter(result.scatter, title=title, x_label="truth", y_label="prediction"))
    return drawn


def _closer_charts(result: TaskResult) -> list[tuple[str, str, Markup]]:
    """What shows where a task's scores come from: a headline, what is to be seen, and a chart of each."""
    drawn = []
    if found := result.calibration:
        before, after = page.format_number(found.before.value), page.format_number(found.after.value)
        curves = {f"as it answers, error {before}": found.curve_before, f"calibrated, error {after}": found.curve_after}
        points = {name: [(one.confidence, one.accuracy, one.n) for one in bins] for name, bins in curves.items()}
        chart = page.calibration_chart(points, title=f"{result.name}: calibration")
        drawn.append((f"Calibration: error {before}, calibrated {after}", _about_temperature(found), chart))
    if result.by_length:
        name, sizes = metric_name(result.metric), [one.score.n for one in result.by_length]
        # A label has to fit beside the chart on a phone.
        dots = [page.Dot(_length_label(one), *_triple(one.score), main=True) for one in result.by_length]
        chart = page.dot_interval_chart(dots, title=f"{result.name}: {name} by length", unit=name)
        about = f"By the letters of a row, all its sequences together; {counted(min(sizes), None)} rows or more each."
        drawn.append(("Score by sequence length", about, chart))
    return drawn


def _letters(row: Explained) -> list[tuple[str, dict[str, Markup]]]:
    """What each sequence of a row is, and its logos by what they show."""
    return [
        (
            heading(part.role, part.kind, part.first, len(part.letters), part.length),
            draw_logos(
                part.letters,
                part.mutagenesis,
                part.gradients,
                kind=part.kind,
                first=part.first,
                title=f"{row.id} {part.role}",
                unit=row.output,
            ),
        )
        for part in row.sequences
    ]


def _length_label(one: LengthBin) -> str:
    return f"{one.shortest:,}" if one.shortest == one.longest else f"{one.shortest:,}–{one.longest:,}"


def _about_temperature(found: Calibration) -> str:
    own = found.fitted_on == THESE_ROWS
    fitted = "these rows, of which each half is shown at that of the other" if own else found.fitted_on
    return (
        "How often answers of a confidence are right: on the diagonal as often as the model says; large dots stand for"
        f" many rows. Calibrated: at temperature {found.temperature:.2f}, fitted on {fitted}."
    )


def _triple(score: Score) -> tuple[float, float, float]:
    return score.value, score.low, score.high


def _curve(name: str, log: tuple[dict[str, float], ...]) -> tuple[str, list[Markup]]:
    """A training run's name, and one chart per group of like numbers: losses together, any other one alone."""
    keys = [key for key in dict.fromkeys(key for entry in log for key in entry) if key != "step"]
    losses = [key for key in keys if "loss" in key]
    groups = ([losses] if losses else []) + [[key] for key in keys if key not in losses]
    charts = []
    for group in groups:
        points = {
            key: [(entry.get("step", index), entry[key]) for index, entry in enumerate(log) if key in entry]
            for key in group
        }
        label = "loss" if group is losses else group[0]
        charts.append(page.line_chart(points, title=f"{name}: {label}", x_label="step", y_label=label))
    return name, charts
