"""A `Report` for people: one HTML page, Markdown for a repository, a table for the terminal.

All three say the same: first the paper's rows, then every dataset, each with what it was trained on and what it must
beat. Where two intervals overlap, they say ``within error`` and crown nobody.
"""

from collections.abc import Iterator
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

from llama_gene import files, page
from llama_gene.evaluation.result import LOWER_IS_BETTER, Report, TaskResult
from llama_gene.metrics import Score

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Report", "TaskResult", "to_html", "to_markdown", "to_terminal", "write"]

# The order of the paper's results table; rows of other names follow.
PAPER_ROWS = (
    *("classification DNA", "classification protein", "structure DNA", "structure protein"),
    *("DNA+DNA", "protein+protein", "DNA+protein"),
    *("function DNA", "function protein", "regression DNA", "regression protein"),
)
SIMULATED = "The data of this report is simulated. Its scores show that the tool works; they say nothing about biology."

_METRIC_NAMES = {
    "accuracy": "accuracy",
    "mcc": "MCC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auroc": "AUROC",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "mae": "mean error",
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
}


def write(report: Report, folder: Path) -> None:
    """Write ``report.json``, ``report.html`` and ``report.md`` into `folder`, each whole or not at all."""
    files.write_text(folder / "report.json", report.to_json())
    files.write_text(folder / "report.html", to_html(report))
    files.write_text(folder / "report.md", to_markdown(report))


def metric_name(metric: str) -> str:
    """A metric's name for people."""
    return _METRIC_NAMES.get(metric, metric)


def summary(report: Report) -> str:
    """The outcome in one or two plain sentences.

    >>> summary(Report(title="nothing"))
    'No task was scored.'
    """
    num_tasks = len(report.results)
    if not num_tasks:
        return "No task was scored."
    verdicts, num_ahead = report.verdicts, sum(result.is_ahead for result in report.results)
    tasks = "task" if num_tasks == 1 else "tasks"
    return (
        f"On {num_ahead} of {num_tasks} {tasks} the model scores higher than its best baseline, on"
        f" {num_tasks - num_ahead} it does not. Beyond the error bars it is above on {verdicts['above']}, below on"
        f" {verdicts['below']}; on {verdicts['within error']} the two cannot be told apart."
        + (f" On {verdicts['no comparison']} there is nothing to compare." if verdicts["no comparison"] else "")
    )


# ---- what all three forms show ----


def _by_row(report: Report) -> list[tuple[str, list[TaskResult]]]:
    """The results under the paper's rows, in the paper's order; rows without a dataset are left out."""
    names = list(dict.fromkeys(result.row for result in report.results))
    order = [row for row in PAPER_ROWS if row in names] + [name for name in names if name not in PAPER_ROWS]
    return [(row, [result for result in report.results if result.row == row]) for row in order]


def _ordered(report: Report) -> list[TaskResult]:
    return [result for _, results in _by_row(report) for result in results]


def _row_means(results: list[TaskResult]) -> Iterator[tuple[str, int, float, float | None]]:
    """Per main metric: its name, how many datasets have it, our mean, and the mean of the best baselines."""
    for metric in dict.fromkeys(result.metric for result in results):
        same = [result for result in results if result.metric == metric]
        best = [result.best_baseline for result in same]
        rivals = [name_and_score[1].value for name_and_score in best if name_and_score]
        mean_rival = sum(rivals) / len(rivals) if len(rivals) == len(same) else None
        yield metric, len(same), sum(result.score.value for result in same) / len(same), mean_rival


def _column_of(baseline: str) -> str:
    return "majority, mean" if baseline in ("majority", "mean") else baseline


def _baseline_columns(report: Report) -> list[str]:
    return list(dict.fromkeys(_column_of(name) for result in report.results for name in result.rivals))


def _baseline_cells(result: TaskResult) -> dict[str, tuple[str, Score]]:
    """Column -> the baseline in it and its score."""
    return {_column_of(name): (name, score) for name, score in result.rivals.items()}


def _counted(used: int, available: int | None) -> str:
    return page.format_number(used) + (f" of {available:,}" if available is not None and available != used else "")


# ---- Markdown ----


def to_markdown(report: Report) -> str:
    """The report as Markdown; the best value of each row is bold, and ours carries its interval."""
    lines = [f"# {_cell(report.title)}", ""]
    if report.simulated:
        lines += [f"> **{SIMULATED}**", ""]
    lines += [summary(report), ""]
    lines += [f"- {_cell(name)}: {_cell(str(value))}" for name, value in report.model.items()]
    lines += [f"- made by llama-gene {report.version}, {report.created}", ""]
    lines += ["## The paper's rows", "", *_markdown_rows(report), ""]
    lines += ["## Every dataset", "", *_markdown_datasets(report), ""]
    lines += [
        "Ours with its 95 % bootstrap interval over the test rows; the best value is bold. *above*, *below*: the"
        " interval does not overlap that of the best baseline; else *within error*. Baselines are trained on the same"
        " rows as the model.",
        "",
    ]
    notes = [*report.notes, *(f"{result.name}: {result.note}" for result in _ordered(report) if result.note)]
    if notes:
        lines += ["## Notes", "", *(f"- {_cell(note)}" for note in notes), ""]
    if report.bits_per_letter:
        lines += ["## Bits per letter", "", "| corpus | bits |", "|---|---:|"]
        lines += [f"| {_cell(name)} | {bits:.3f} |" for name, bits in report.bits_per_letter.items()] + [""]
    return "\n".join(lines)


def _markdown_rows(report: Report) -> Iterator[str]:
    yield "| row | datasets | metric | ours, mean | best baseline, mean |"
    yield "|---|---:|---|---:|---:|"
    for row, results in _by_row(report):
        for metric, num, ours, rival in _row_means(results):
            cells = [row, str(num), metric_name(metric), page.format_number(ours), page.format_number(rival)]
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _markdown_datasets(report: Report) -> Iterator[str]:
    columns = _baseline_columns(report)
    head = ["task", "test", "trained on", "metric", "ours", *columns, "best possible", "verdict"]
    yield f"| {' | '.join(_cell(cell) for cell in head)} |"
    yield "|---|---|---:|---|---:|" + "---:|" * len(columns) + "---:|---|"
    for result in _ordered(report):
        rivals, best = _baseline_cells(result), result.best_names
        ours = f"**{result.score}**" if "ours" in best else str(result.score)
        values = []
        for column in columns:
            name, score = rivals.get(column, ("", None))
            text = page.format_number(score.value if score else None)
            values.append(f"**{text}**" if name in best else text)
        cells = [result.name, f"{_counted(result.n_test, result.n_test_available)} ({result.split})"]
        cells += [_counted(result.n_train, result.n_train_available), metric_name(result.metric), ours, *values]
        cells += [page.format_number(result.best_possible_here), result.verdict]
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Text that cannot leave its cell or its line, or become HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


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
    for result in _ordered(report):
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
        created=_readable(report.created),
        simulated=SIMULATED,
        rows=[(row, results, list(_row_means(results))) for row, results in _by_row(report)],
        results=_ordered(report),
        columns=_baseline_columns(report),
        cells=_baseline_cells,
        counted=_counted,
        metric_name=metric_name,
        charts=_charts,
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


def _readable(created: str) -> str:
    """An ISO time in UTC for people, to the minute; anything else as it is.

    >>> _readable("2026-07-23T10:00:59+00:00"), _readable("")
    ('2026-07-23 10:00 UTC', '')
    """
    utc = created.endswith(("+00:00", "Z")) and len(created) >= len("2026-07-23T10:00Z")
    return f"{created[:10]} {created[11:16]} UTC" if utc else created


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
