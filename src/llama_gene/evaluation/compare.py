"""Several reports side by side, task by task: differences with error bars, on the same rows.

The first model is what the others are compared with. A task is compared only where both were scored on the same test
file in the same metric; a difference has an interval only where the rows of both reports are kept, since two models on
the same rows share the luck of those rows, and their two intervals alone say too little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from llama_gene import metrics
from llama_gene.errors import LlamaGeneError
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.evaluation.result import LOWER_IS_BETTER, TaskResult
from llama_gene.evaluation.stored import StoredReport
from llama_gene.evaluation.value import Value
from llama_gene.metrics import Score, Statistic

FORMAT = 1  # of comparison.json


class Contrast(Value):
    """A model on a task, against the first model.

    Attributes:
        model: The model's name.
        num_seeds: Trainings that are averaged.
        score: In the task's main metric; their mean where there are several.
        spread: Standard deviation of their values; None of one training.
        difference: How much higher the score is than the first model's; None if that cannot be told.
        other_differences: The same in the other metrics.
        only_first: Rows that only the first model gets right; None if that cannot be told.
        only_this: Rows that only this one gets right.
        p: Of McNemar's test on these.
        why_not: Why there is no difference.
    """

    model: str
    num_seeds: int
    score: Score | None
    spread: float | None = None
    difference: Score | None = None
    other_differences: dict[str, Score] = Field(default_factory=dict)
    only_first: int | None = None
    only_this: int | None = None
    p: float | None = None
    why_not: str = ""


class TaskComparison(Value):
    """A task and what each model makes of it, the first model first.

    Attributes:
        name: The task.
        row: The paper's row that it belongs to.
        metric: Its main metric.
        n: Rows scored by the first model.
        contrasts: One for each model.
    """

    name: str
    row: str
    metric: str
    n: int
    contrasts: tuple[Contrast, ...]

    def verdict(self, contrast: Contrast) -> str:
        """``better`` or ``worse`` where the interval of the difference leaves out 0; empty where there is none."""
        found = contrast.difference
        if found is None or np.isnan(found.value):
            return ""
        if found.low <= 0 <= found.high:
            return "within error"
        return "better" if (found.value > 0) != (self.metric in LOWER_IS_BETTER) else "worse"


class Comparison(Value):
    """All that the reports say side by side.

    Attributes:
        models: The names of the models; the first is what the others are compared with.
        tasks: The tasks of any report, in the order of the first.
        simulated: Whether the data of one of them is simulated.
        created: When, as ISO 8601 in UTC.
        version: Of llama-gene.
        format: Of its JSON.
    """

    format: int = FORMAT
    models: tuple[str, ...]
    tasks: tuple[TaskComparison, ...]
    simulated: bool = False
    created: str = ""
    version: str = ""


@dataclass(frozen=True)
class Model:
    """What is compared: the reports of one model, or of several trainings of one recipe.

    Args:
        name: What it is called.
        reports: Its reports.
    """

    name: str
    reports: tuple[StoredReport, ...]


def models_of(reports: Sequence[StoredReport], *, average: bool) -> list[Model]:
    """The models that reports are of: each its own, or all reports of one title together.

    Names are titles; of reports of one title that are not averaged, their folders.
    """
    titles = [stored.report.title for stored in reports]
    if average:
        groups = {title: tuple(one for one in reports if one.report.title == title) for title in titles}
        return [Model(title, members) for title, members in groups.items()]
    names = [
        title if titles.count(title) == 1 else str(stored.path.parent)
        for title, stored in zip(titles, reports, strict=True)
    ]
    return [Model(name, (stored,)) for name, stored in zip(names, reports, strict=True)]


def compare(models: Sequence[Model], *, created: str, version: str) -> Comparison:
    """Compare models with the first of them.

    Args:
        models: The models.
        created: When, as ISO 8601.
        version: Of llama-gene.

    Raises:
        LlamaGeneError: Nothing is to be compared: there is one report, or no task stands in two of them.
        FormatError: The rows beside a report are not those that were written with it.
    """
    reports = [stored for model in models for stored in model.reports]
    if len(reports) < 2:
        raise LlamaGeneError("one report cannot be compared", where=reports[0].path, hint="give two or more")
    if len({stored.path.resolve() for stored in reports}) < len(reports):
        raise LlamaGeneError("a report is given twice", hint="give different ones")
    first, *others = models
    names = [result.name for stored in reports for result in stored.report.results]
    if len(set(names)) == len(names):
        raise LlamaGeneError("no task stands in two of the reports", hint=f"their tasks: {', '.join(names) or 'none'}")
    return Comparison(
        models=tuple(model.name for model in models),
        tasks=tuple(_compare_task(name, first, others) for name in dict.fromkeys(names)),
        simulated=any(stored.report.simulated for stored in reports),
        created=created,
        version=version,
    )


@dataclass(frozen=True)
class _Scored:
    """A model on one task: the results of its trainings, and their rows where all have kept them."""

    model: Model
    results: list[TaskResult]
    rows: list[Outcomes] | None

    @classmethod
    def load(cls, model: Model, task: str) -> "_Scored":
        found = [(stored, stored.result(task)) for stored in model.reports]
        pairs = [(stored, result) for stored, result in found if result is not None]
        rows = [stored.outcomes(result) for stored, result in pairs]
        kept = [one for one in rows if one is not None]
        return cls(model, [result for _, result in pairs], kept if kept and len(kept) == len(rows) else None)

    def statistics(self, metric: str) -> list[Statistic] | None:
        """The metric of each training; None if it cannot be told from the rows."""
        rows = zip(self.rows or [], self.results, strict=False)
        found = [outcomes.statistic(metric, result.labels) for outcomes, result in rows]
        known = [one for one in found if one is not None]
        return known if known and len(known) == len(found) else None


def _compare_task(name: str, first: Model, others: Sequence[Model]) -> TaskComparison:
    reference = _Scored.load(first, name)
    scored = [reference, *(_Scored.load(model, name) for model in others)]
    some = next(result for one in scored for result in one.results)
    return TaskComparison(
        name=name,
        row=some.row,
        metric=some.metric,
        n=some.n_test,
        contrasts=tuple(_contrast(one, reference, some.metric) for one in scored),
    )


def _contrast(scored: _Scored, reference: _Scored, metric: str) -> Contrast:
    own = _averaged(scored, metric)
    if scored is reference or own.score is None:
        return own
    if not reference.results:
        return own.model_copy(update={"why_not": f"{reference.model.name} was not evaluated"})
    if why_not := _mismatch(reference.results + scored.results, [*(reference.rows or []), *(scored.rows or [])]):
        return own.model_copy(update={"why_not": why_not})
    if reference.rows is None or scored.rows is None:
        return own.model_copy(update={"why_not": "a report came without its predictions"})
    differences = {}
    for each in scored.results[0].scores:
        before, after = reference.statistics(each), scored.statistics(each)
        if before and after:
            differences[each] = metrics.difference(before, after)
    update = {"difference": differences.pop(metric, None), "other_differences": differences}
    return own.model_copy(update=update | _mcnemar(reference, scored))


def _averaged(scored: _Scored, metric: str) -> Contrast:
    """A model's own score; of several trainings their mean."""
    results, num = scored.results, len(scored.results)
    empty = Contrast(model=scored.model.name, num_seeds=num, score=None)
    if not results:
        return empty.model_copy(update={"why_not": "not evaluated"})
    if num == 1:
        return empty.model_copy(update={"score": results[0].scores.get(metric)})
    if why_not := _mismatch(results, scored.rows or []):
        return empty.model_copy(update={"why_not": why_not})
    statistics = scored.statistics(metric)
    if statistics is None:
        return empty.model_copy(update={"why_not": "a report came without its predictions"})
    spread = float(np.std([one.value for one in statistics], ddof=1))
    return empty.model_copy(update={"score": metrics.mean(statistics), "spread": spread})


def _mismatch(results: Sequence[TaskResult], rows: Sequence[Outcomes]) -> str:
    """Why results cannot be compared; empty if they can."""
    if len({result.data_hash for result in results}) > 1:
        return "other test file (its hash differs)"
    if len({result.metric for result in results}) > 1:
        return "other main metric"
    if len({(tuple(one.ids), tuple(one.truth)) for one in rows}) > 1:
        return "other rows of the test file"
    return ""


def _mcnemar(reference: _Scored, scored: _Scored) -> dict[str, float]:
    """McNemar's test of two single trainings on labels."""
    if not reference.rows or not scored.rows or len(reference.rows) + len(scored.rows) > 2:
        return {}
    (before,), (after,) = reference.rows, scored.rows
    if before.kind != "classification":
        return {}
    found = metrics.mcnemar(before.right, after.right)
    return {"only_first": found.num_first, "only_this": found.num_second, "p": found.p}
