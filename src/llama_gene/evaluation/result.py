"""What an evaluation found: plain values that stand on their own, and one JSON form of them."""

import json
import math
from collections import Counter
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from llama_gene.errors import FormatError
from llama_gene.evaluation.calibration import Calibration
from llama_gene.evaluation.detail import LengthBin, WrongAnswer
from llama_gene.evaluation.explained import Explained
from llama_gene.evaluation.outcomes import AnswerKind, KeptRows
from llama_gene.evaluation.value import Value
from llama_gene.files import seal, unseal
from llama_gene.metrics import Score

Verdict = Literal["above", "within error", "below", "no comparison"]

FORMAT = 2  # of report.json: raised when its meaning changes, so that no reader takes one for another
LOWER_IS_BETTER = frozenset({"mae", "ece"})


class Leaked(Value):
    """Test rows that the model may know from its training rows.

    Attributes:
        counts: Kind of leak -> rows; see ``evaluation.leakage``.
        clean: The model's main score on the other rows; None where there are none.
    """

    counts: dict[str, int]
    clean: Score | None

    @property
    def num(self) -> int:
        """Rows leaked in any way."""
        return sum(self.counts.values())


class LenientScore(Value):
    """What a rule that is kinder than ours makes of the same answers.

    Attributes:
        rule: Its name.
        accuracy: The share of rows that it counts as right.
        num_more: Rows that only it counts as right.
        num_fewer: Rows that only the strict rule counts as right.
    """

    rule: str
    accuracy: Score
    num_more: int
    num_fewer: int


class OtherWords(Value):
    """Scores in a task's main metric on the same rows: before and after tuning, in its own words and in unseen ones.

    Attributes:
        n: Rows.
        before: The untuned model, in the task's words.
        before_reworded: The untuned model, in words that no training uses.
        after: The tuned model, in the task's words.
        after_reworded: The tuned model, in words that no training uses.
    """

    n: int
    before: Score
    before_reworded: Score
    after: Score
    after_reworded: Score


class TaskResult(Value):
    """One task's scores beside those of its baselines, on the same rows.

    Attributes:
        name: The task.
        row: The paper's row that it belongs to, as ``classification DNA``.
        kind: What an answer is.
        question: What the model was asked.
        n_train: Rows trained on.
        n_train_available: Rows that the training file has; more than `n_train` where the recipe caps them.
        n_test: Rows scored.
        n_test_available: Rows that the scored file has; None where that is `n_test`.
        split: Name of the rows scored, as ``dev``.
        data_hash: Hash of the rows scored.
        prompt_hash: Hash of the rendered prompt.
        metric: The main metric; a key of `scores`.
        scores: Metric -> the model's score.
        baselines: Baseline -> metric -> its score.
        best_possible: The score in `best_possible_metric` that the best predictor there is would get, where known.
        best_possible_metric: Its metric.
        labels: Names of the labels, in the order of `confusion`; of a multilabel task, too.
        confusion: Row counts, [truth][guess].
        scatter: (truth, guess) of at most some 500 rows of a regression.
        by_length: The main score of rows of like length, from short to long; empty where all are of one length.
        calibration: How sure the model is and how often right, for labels that were scored.
        worst: The rows answered the worst.
        explained: Some rows with the letters that decided their answers.
        leaked: Which rows the training rows gave away; None where those were not found.
        rows: The file with what was answered to each row, beside the report.
        num_shortened: Rows whose sequences were cut to fit into the model's context.
        other_words: What other words make of it, where that was asked.
        lenient: What a lenient rule makes of answers that were written; all other scores are strict.
        note: Anything a reader must know.
    """

    name: str
    row: str
    kind: AnswerKind
    question: str
    n_train: int
    n_train_available: int
    n_test: int
    n_test_available: int | None = None
    split: str
    data_hash: str
    prompt_hash: str
    metric: str
    scores: dict[str, Score]
    baselines: dict[str, dict[str, Score]] = Field(default_factory=dict)
    best_possible: float | None = None
    best_possible_metric: str | None = None
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    scatter: tuple[tuple[float, float], ...] | None = None
    by_length: tuple[LengthBin, ...] = ()
    calibration: Calibration | None = None
    worst: tuple[WrongAnswer, ...] = ()
    explained: tuple[Explained, ...] = ()
    leaked: Leaked | None = None
    rows: KeptRows | None = None
    num_shortened: int = 0
    other_words: OtherWords | None = None
    lenient: LenientScore | None = None
    note: str = ""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.metric not in self.scores:
            raise ValueError(f"no score in the main metric {self.metric!r}")
        if self.confusion is not None and {len(self.labels)} != {len(self.confusion), *map(len, self.confusion)}:
            raise ValueError("confusion needs a row and a column for each label")
        return self

    @property
    def score(self) -> Score:
        """The model's score in the main metric."""
        return self.scores[self.metric]

    @property
    def rivals(self) -> dict[str, Score]:
        """Baseline -> its score in the main metric, where it has one."""
        return {name: scores[self.metric] for name, scores in self.baselines.items() if self.metric in scores}

    @property
    def best_baseline(self) -> tuple[str, Score] | None:
        """Name and score of the best baseline in the main metric."""
        defined = [(name, score) for name, score in self.rivals.items() if not math.isnan(score.value)]
        return max(defined, key=lambda pair: self._goodness(pair[1]), default=None)

    @property
    def best_names(self) -> set[str]:
        """Who has the best value in the main metric: baselines by name, and the model as ``ours``."""
        scores = {"ours": self.score, **self.rivals}
        goodness = {name: self._goodness(score) for name, score in scores.items() if not math.isnan(score.value)}
        return {name for name, value in goodness.items() if value == max(goodness.values())}

    @property
    def is_ahead(self) -> bool:
        """Whether there are baselines and the model's value is better than all of theirs, by however little."""
        return self.best_baseline is not None and self.best_names == {"ours"}

    @property
    def verdict(self) -> Verdict:
        """How the model stands to the best baseline: ``within error`` where the two intervals overlap."""
        best = self.best_baseline
        if best is None or math.isnan(self.score.value):
            return "no comparison"
        if self.score.low <= best[1].high and best[1].low <= self.score.high:
            return "within error"
        return "above" if self._goodness(self.score) > self._goodness(best[1]) else "below"

    @property
    def best_possible_here(self) -> float | None:
        """The best possible score if it is one in the main metric."""
        return self.best_possible if self.best_possible_metric in (self.metric, None) else None

    def _goodness(self, score: Score) -> float:
        return -score.value if self.metric in LOWER_IS_BETTER else score.value


class Report(Value):
    """All that one evaluation found.

    Attributes:
        title: What was evaluated.
        model: What the model is: name -> value, shown as it stands.
        results: One per task.
        simulated: Whether the data is simulated, so that no score says anything about biology.
        notes: What a reader must know: caps, rows left out, what was not run.
        created: When, as ISO 8601 in UTC.
        version: Of llama-gene.
        curves: Name of a training run -> its log: ``step`` and any numbers beside it.
        bits_per_letter: Name of a held-out corpus -> the model's bits per letter on it.
        english: Stage -> bits per byte of held-out English after it, so that forgetting shows.
        format: Of its JSON.
    """

    format: int = FORMAT
    title: str
    model: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    results: tuple[TaskResult, ...] = ()
    simulated: bool = False
    notes: tuple[str, ...] = ()
    created: str = ""
    version: str = ""
    curves: dict[str, tuple[dict[str, float], ...]] = Field(default_factory=dict)
    bits_per_letter: dict[str, float] = Field(default_factory=dict)
    english: dict[str, float] = Field(default_factory=dict)

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many tasks have which verdict."""
        return Counter(result.verdict for result in self.results)

    def to_json(self) -> str:
        """The report as JSON text that `from_json` reads back to the same; valid JSON even where values are NaN."""
        return json.dumps(seal(json.loads(self.model_dump_json())), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str | None = None) -> "Report":
        """Read a report back.

        Args:
            text: What `to_json` wrote.
            where: Name of the file, for the error.

        Raises:
            FormatError: It is no report, or one of another format.
        """
        values = _read(text, where)
        try:
            return cls.model_validate_json(text if values is None else json.dumps(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            problem = f"not a report ({place}: {first['msg']})" if place else f"not a report ({first['msg']})"
            raise FormatError(problem, where=where, hint="it takes the report.json of an evaluation") from None


def _read(text: str, where: str | None) -> Any:
    """The values of a report of this format, as it was written; None of what is none, which its reader says better."""
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not {"title", "results"} <= set(values):
        return None
    found = values.get("format", 1)
    if found != FORMAT:
        problem = f"a report of format {found!r:.20}, made by llama-gene {values.get('version')!r:.20}"
        hint = f"this version reads format {FORMAT}: evaluate again, or read it with the version that made it"
        raise FormatError(problem, where=where, hint=hint)
    return unseal(values, where or "the report")
