"""What every form of a report shows, in which order, and by which names."""

from collections.abc import Iterator

from llama_gene import page
from llama_gene.evaluation.result import Report, TaskResult
from llama_gene.metrics import Score

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
    "r2": "R²",
    "mae": "mean error",
    "ece": "ECE",
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
    "ec_f1": "EC number F1",
    "ec_class_f1": "EC class F1",
    "go_f1": "GO term F1",
    "enzyme_f1": "enzyme name F1",
}


def metric_name(metric: str) -> str:
    """A metric's name for people."""
    return _METRIC_NAMES.get(metric, metric)


def summary(report: Report) -> str:
    """The outcome in one or two plain sentences.

    >>> summary(Report(title="nothing"))
    'No task was scored.'
    """
    if not report.results:
        return "No task was scored."
    verdicts, num_ahead = report.verdicts, sum(result.is_ahead for result in report.results)
    alone = verdicts["no comparison"]
    num_compared = len(report.results) - alone
    if not num_compared:
        return "There is no baseline to compare with."
    tasks = "task" if num_compared == 1 else "tasks"
    return (
        f"On {num_ahead} of {num_compared} {tasks} the model scores higher than its best baseline, on"
        f" {num_compared - num_ahead} it does not. Beyond the error bars it is above on {verdicts['above']}, below on"
        f" {verdicts['below']}; on {verdicts['within error']} the two cannot be told apart."
        + (f" On {alone} more there is nothing to compare." if alone else "")
    )


def leaks(result: TaskResult) -> str:
    """What the training rows gave away, in words; empty where they were not looked at."""
    if result.leaked is None:
        return ""
    if not result.leaked.num:
        return "no row"
    kinds = ", ".join(f"{num:,} {kind}" for kind, num in result.leaked.counts.items())
    clean = result.leaked.clean
    rest = "no row is clean"
    if clean is not None:
        rest = (
            f"on the clean rest {page.format_number(clean.value)} instead of {page.format_number(result.score.value)}"
        )
    return f"{result.leaked.num:,} of {result.n_test:,} rows ({kinds}); {rest}"


def by_lenient_rule(result: TaskResult) -> str:
    """What a lenient rule makes of the answers, in words; empty where none was applied."""
    found, strict = result.lenient, result.scores.get("accuracy")
    if found is None or strict is None:
        return ""
    return (
        f"accuracy {found.accuracy} by {found.rule}, {strict} by the strict rule: they differ on"
        f" {found.num_more + found.num_fewer:,} of {result.n_test:,} rows"
        f" ({found.num_more:,} are right by the lenient rule alone, {found.num_fewer:,} by the strict one alone)"
    )


def by_row(report: Report) -> list[tuple[str, list[TaskResult]]]:
    """The results under the paper's rows, in the paper's order; rows without a dataset are left out."""
    names = list(dict.fromkeys(result.row for result in report.results))
    order = [row for row in PAPER_ROWS if row in names] + [name for name in names if name not in PAPER_ROWS]
    return [(row, [result for result in report.results if result.row == row]) for row in order]


def ordered(report: Report) -> list[TaskResult]:
    """The results in the order of the paper's rows."""
    return [result for _, results in by_row(report) for result in results]


def row_means(results: list[TaskResult]) -> Iterator[tuple[str, int, float, float | None]]:
    """Per main metric: its name, how many datasets have it, our mean, and the mean of the best baselines."""
    for metric in dict.fromkeys(result.metric for result in results):
        same = [result for result in results if result.metric == metric]
        best = [result.best_baseline for result in same]
        rivals = [name_and_score[1].value for name_and_score in best if name_and_score]
        mean_rival = sum(rivals) / len(rivals) if len(rivals) == len(same) else None
        yield metric, len(same), sum(result.score.value for result in same) / len(same), mean_rival


def _column_of(baseline: str) -> str:
    return "majority, mean" if baseline in ("majority", "mean") else baseline


def baseline_columns(report: Report) -> list[str]:
    """The columns that the baselines of all tasks need."""
    return list(dict.fromkeys(_column_of(name) for result in report.results for name in result.rivals))


def baseline_cells(result: TaskResult) -> dict[str, tuple[str, Score]]:
    """Column -> the baseline in it and its score."""
    return {_column_of(name): (name, score) for name, score in result.rivals.items()}


def counted(used: int, available: int | None) -> str:
    """How many rows, and of how many where that is more.

    >>> counted(500, 1200), counted(500, None)
    ('500 of 1,200', '500')
    """
    return page.format_number(used) + (f" of {available:,}" if available is not None and available != used else "")


def trained_on(result: TaskResult) -> str:
    """How many rows a model was trained on; a dash where that is not known."""
    return counted(result.n_train, result.n_train_available) if result.n_train else page.format_number(None)


def readable_time(created: str) -> str:
    """An ISO time in UTC for people, to the minute; anything else as it is.

    >>> readable_time("2026-07-23T10:00:59+00:00"), readable_time("")
    ('2026-07-23 10:00 UTC', '')
    """
    utc = created.endswith(("+00:00", "Z")) and len(created) >= len("2026-07-23T10:00Z")
    return f"{created[:10]} {created[11:16]} UTC" if utc else created
