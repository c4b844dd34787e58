"""A Task: what is asked of which sequences, and which answers there are. One TOML file each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from llama_gene.errors import TaskError
from llama_gene.files import hash_value
from llama_gene.sequences.alphabet import Kind

TaskKind = Literal["classification", "regression", "multilabel", "text"]
Layout = Literal["gue", "lucaone", "lucaone_pair", "table"]
Metric = Literal["mcc", "accuracy", "macro_f1", "spearman", "micro_f1", "rouge_l"]
# The eleven rows of the paper's results table (arXiv 2412.00471).
PaperRow = Literal[
    "classification DNA",
    "structure DNA",
    "function DNA",
    "regression DNA",
    "classification protein",
    "structure protein",
    "function protein",
    "regression protein",
    "DNA+DNA",
    "protein+protein",
    "DNA+protein",
]

MAX_CANDIDATES: Final = 2001
ANSWER_SEPARATOR: Final = ", "  # between the names of a multi-label answer
NO_LABEL: Final = "none"  # the multi-label answer when no label holds

_LAYOUT_COLUMNS: Final[Mapping[Layout, tuple[str, ...]]] = {
    "gue": ("sequence",),
    "lucaone": ("seq",),
    "lucaone_pair": ("seq_a", "seq_b"),
}
_METRICS: Final[Mapping[TaskKind, tuple[Metric, ...]]] = {
    "classification": ("mcc", "accuracy", "macro_f1"),
    "regression": ("spearman",),
    "multilabel": ("micro_f1",),
    "text": ("rouge_l",),
}
# Where the rows lie and what people read about a task do not change what a model learns.
_NOT_HASHED: Final = frozenset(
    {"data", "labels_file", "title", "paraphrases", "source", "licence", "best_possible", "best_possible_metric"}
)

# One line, no white space at the ends: these become tokens of a prompt or of an answer.
Line = Annotated[str, StringConstraints(pattern=r"^\S(?:[^\r\n]*\S)?$")]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a task, ready for the template.

    Args:
        id: The row's own identifier, or its line in the file.
        sequences: Canonical letters, one string for each of the task's inputs, in their order.
        answer: The text a model should answer; None for a row without a label.
        value: Regression only: the measured number, not rounded and not clipped.
    """

    id: str
    sequences: tuple[str, ...]
    answer: str | None = None
    value: float | None = None


class Input(BaseModel):
    """One sequence of a task.

    Args:
        role: Its name in the prompt, where there are several.
        kind: `"dna"` or `"protein"`.
        column: Its column in the table.
        aligned: It comes from an alignment, whose gaps (`-` and `.`) are taken out; elsewhere they are wrong letters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Line
    kind: Kind
    column: Line
    aligned: bool = False


class Task(BaseModel):
    """The definition of one task; immutable, and checked as a whole when it is made.

    Args:
        name: Letters, digits and underscores; how the command line calls it.
        kind: Which sort of answer it has.
        row: The row of the paper's results table it belongs to.
        title: A few words for people.
        question: The fixed instruction of the prompt; short, and different for each task.
        paraphrases: The question in other words, for trainings that ask for them.
        inputs: The sequences, in the order of the prompt.
        layout: The layout of its tables. All but `table` fix the column names.
        data: Folder of the tables: relative to `<data root>/tasks`, absolute, or, in a task file of your own,
            starting with `.` and then relative to that file.
        metric: The main metric.
        label_column: Column of the answer.
        labels: Classification: cell value -> answer word, in the order of the candidates.
            Multi-label: position, from "0" -> name.
        labels_file: A file beside the tables that names the labels, see `read_labels`; `load_task` reads it into
            `labels` as soon as it knows where the tables are, and a task that has both is not read again.
        decimals: Regression: fixed decimals of the answer.
        minimum: Regression: least number of the answers' grid, in the unit of the label column.
        maximum: Regression: greatest number of the grid.
        max_answer_tokens: Text: at most so many tokens are generated.
        strand_symmetric: The answer is the same for the reverse complement of the DNA.
        best_possible: Best score that any model can expect; known for simulated tasks only.
        best_possible_metric: The metric of `best_possible`.
        source: Where the rows come from.
        licence: Licence of the rows.

    Raises:
        pydantic.ValidationError: A value that does not hold, or values that do not fit together.

    >>> task = Task(name="tata", kind="classification", row="classification DNA", title="TATA box",
    ...             question="Is there a TATA box?", inputs=(Input(role="sequence", kind="dna", column="sequence"),),
    ...             layout="gue", data="tata", metric="mcc", labels={"0": "no", "1": "yes"})
    >>> task.answer_of("1")
    ('yes', None)
    >>> task.candidates
    ('no', 'yes')
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+$")]
    kind: TaskKind
    row: PaperRow
    title: Line
    question: Line
    paraphrases: tuple[Line, ...] = ()
    layout: Layout
    data: Line
    metric: Metric
    label_column: Line = "label"
    decimals: Annotated[int, Field(ge=0, le=6)] | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_answer_tokens: Annotated[int, Field(ge=1)] | None = None
    strand_symmetric: bool = False
    best_possible: float | None = None
    best_possible_metric: Metric | None = None
    source: str = ""
    licence: str = ""
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    labels: dict[str, Line] = Field(default_factory=dict)
    labels_file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")] | None = None

    @field_validator("labels")
    @classmethod
    def _labels_are_distinct(cls, labels: dict[str, str]) -> dict[str, str]:
        seen: dict[str, str] = {}
        for cell, name in labels.items():
            # "Yes" beside "yes" could be told apart by a program, but not by the people who read a report.
            other = seen.setdefault(name.casefold(), cell)
            if other != cell:
                raise ValueError(f"{other!r} and {cell!r} have the same name {name!r}")
        return labels

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        self._check_kind()
        self._check_grid()
        self._check_inputs()
        if self.metric not in _METRICS[self.kind]:
            raise ValueError(f"metric {self.metric!r} is none for {self.kind}; use {_any_of(_METRICS[self.kind])}")
        if (self.best_possible is None) != (self.best_possible_metric is None):
            raise ValueError("best_possible and best_possible_metric come together")
        return self

    def _check_kind(self) -> None:
        if self.labels_file is not None and self.kind not in {"classification", "multilabel"}:
            raise ValueError(f"labels_file has no meaning for {self.kind}")
        if self.kind in {"classification", "multilabel"}:
            if len(self.labels) < (2 if self.kind == "classification" else 1) and not self.has_unread_labels:
                raise ValueError(f"labels has {len(self.labels)} entries; {self.kind} needs more")
        elif self.labels:
            raise ValueError(f"labels has no meaning for {self.kind}")
        if self.kind == "multilabel" and not self.has_unread_labels:
            if set(self.labels) != {str(i) for i in range(len(self.labels))}:
                raise ValueError(f"labels must name the positions 0 to {len(self.labels) - 1}")
            for name in self.labels.values():
                if "," in name or name.casefold() == NO_LABEL:
                    raise ValueError(f"a multi-label name may hold no comma and not be {NO_LABEL!r}: {name!r}")
        if (self.kind == "text") != (self.max_answer_tokens is not None):
            raise ValueError("max_answer_tokens is needed for text, and for nothing else")

    def _check_grid(self) -> None:
        given = [name for name in ("decimals", "minimum", "maximum") if getattr(self, name) is not None]
        if self.kind != "regression":
            if given:
                raise ValueError(f"{given[0]} has no meaning for {self.kind}")
            return
        if self.decimals is None or self.minimum is None or self.maximum is None:
            raise ValueError("regression needs decimals, minimum and maximum")
        for bound in (self.minimum, self.maximum):
            if not math.isclose(bound, round(bound, self.decimals), abs_tol=1e-9):
                raise ValueError(f"{bound} has more than {self.decimals} decimals")
        low, high = self._steps()
        num_answers = max(0, high - low + 1)
        if not 2 <= num_answers <= MAX_CANDIDATES:
            raise ValueError(f"minimum to maximum has {num_answers} answers; 2 to {MAX_CANDIDATES} are allowed")

    def _check_inputs(self) -> None:
        columns = tuple(part.column for part in self.inputs)
        if len(set(columns)) < len(columns) or self.label_column in columns:
            raise ValueError("each input and the label need a column of their own")
        if len({part.role for part in self.inputs}) < len(columns):
            raise ValueError("each input needs a role of its own")
        fixed = _LAYOUT_COLUMNS.get(self.layout)
        if fixed is not None and (columns != fixed or self.label_column != "label"):
            raise ValueError(f"layout {self.layout!r} has the input columns {fixed} and the label column 'label'")
        kinds = {part.kind for part in self.inputs}
        if self.layout == "gue" and kinds != {"dna"}:
            raise ValueError("layout 'gue' has DNA only")
        names = ["DNA" if kind == "dna" else "protein" for kind in sorted(kinds)]
        if len(columns) > 1:
            if self.row != (expected := default_row(self.kind, [part.kind for part in self.inputs])):
                raise ValueError(f"row {self.row!r} does not fit these inputs; they belong to {expected!r}")
        elif not self.row.endswith(" " + names[0]):
            raise ValueError(f"row {self.row!r} does not fit one {names[0]} input")
        elif self.row.startswith("regression") != (self.kind == "regression"):
            raise ValueError(f"row {self.row!r} does not fit kind {self.kind!r}")
        if self.strand_symmetric and "dna" not in kinds:
            raise ValueError("strand_symmetric needs a DNA input")

    def _steps(self) -> tuple[int, int]:
        """The grid's ends, in units of its last decimal: whole numbers keep 0.1 + 0.2 out of the answers."""
        assert self.decimals is not None
        assert self.minimum is not None
        assert self.maximum is not None
        return round(self.minimum * 10**self.decimals), round(self.maximum * 10**self.decimals)

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The answer words in the order of the definition (multi-label: by position); empty for other kinds.

        Raises:
            TaskError: They stand in a file beside the tables, and nobody has said where that is.
        """
        self._require_labels()
        if self.kind == "multilabel":
            return tuple(self.labels[str(i)] for i in range(len(self.labels)))
        return tuple(self.labels.values())

    @property
    def has_unread_labels(self) -> bool:
        """Whether its label names stand in a file that was not read yet."""
        return self.labels_file is not None and not self.labels

    def _require_labels(self) -> None:
        if self.has_unread_labels:
            problem = f"task {self.name!r} takes its label names from {self.labels_file}, beside its tables"
            raise TaskError(problem, hint="say where the tables are: --data FOLDER, or data.root=FOLDER in a recipe")

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Every possible answer, to be scored one by one; empty where answers must be generated (multi-label, text)."""
        if self.kind == "classification":
            return self.label_names
        if self.kind == "regression":
            low, high = self._steps()
            return tuple(self._text_of(step) for step in range(low, high + 1))
        return ()

    def _text_of(self, step: int) -> str:
        return f"{step / 10 ** (self.decimals or 0):.{self.decimals}f}"

    def format_value(self, value: float) -> str:
        """The grid's number nearest to `value`, as text; a value outside the grid becomes its end.

        Raises:
            TaskError: Not a regression task, or not a finite number.
        """
        if self.kind != "regression":
            raise TaskError(f"task {self.name!r} is no regression: it has no numbers")
        if not math.isfinite(value):
            raise TaskError(f"not a finite number: {value}")
        low, high = self._steps()
        return self._text_of(round(min(max(value * 10 ** (self.decimals or 0), low), high)))

    def is_clipped(self, value: float) -> bool:
        """Whether `value` lies outside the grid, so that its answer is the grid's end."""
        low, high = self._steps()
        return not low - 0.5 <= value * 10 ** (self.decimals or 0) <= high + 0.5

    def answer_of(self, cell: str) -> tuple[str, float | None]:
        """The answer text of a table's label cell; for regression, the number as well (as measured, not clipped).

        Raises:
            TaskError: A cell that is not one of the task's labels, or not a number; or label names that are not known.
        """
        self._require_labels()
        cell = cell.strip()
        if self.kind == "classification":
            if cell not in self.labels:
                raise TaskError(f"unknown label {cell!r}", hint=f"known labels: {_known(self.labels)}")
            return self.labels[cell], None
        if self.kind == "regression":
            try:
                value = float(cell)
            except ValueError:
                hint = f"task {self.name!r} is a regression"
                raise TaskError(f"label {cell!r} is not a number", hint=hint) from None
            return self.format_value(value), value
        if self.kind == "multilabel":
            return self._names_of(cell), None
        if not cell:
            raise TaskError("the answer is empty")
        return " ".join(cell.split()), None

    def _names_of(self, cell: str) -> str:
        flags = [flag.strip() for flag in cell.split(";")]
        if len(flags) != len(self.labels) or not set(flags) <= {"0", "1"}:
            hint = f"it must be {len(self.labels)} times 0 or 1, separated by ';'"
            shown = cell if len(cell) <= 60 else cell[:57] + "..."
            raise TaskError(f"unknown label {shown!r}", hint=hint)
        held = [name for name, flag in zip(self.label_names, flags, strict=True) if flag == "1"]
        return ANSWER_SEPARATOR.join(held) or NO_LABEL

    @cached_property
    def definition_hash(self) -> str:
        """SHA-256 of what decides prompts, answers and scores; the place of the tables and the prose are left out."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude=set(_NOT_HASHED))
        # Hashing sorts a dictionary's keys, but the order of the labels is the order of the probabilities.
        return hash_value({**values, "labels": list(self.labels.items())})


def default_row(kind: TaskKind, kinds: Sequence[Kind]) -> PaperRow:
    """The row of the paper's table that fits a task of this kind over sequences of these kinds, if no other is named.

    >>> default_row("regression", ["dna"]), default_row("classification", ["protein", "dna"])
    ('regression DNA', 'DNA+protein')
    """
    names = ["DNA" if known == "dna" else "protein" for known in sorted(set(kinds))]
    if len(kinds) > 1:
        return cast(PaperRow, "+".join(names * 2 if len(names) == 1 else names))
    return cast(PaperRow, f"{kind if kind in {'classification', 'regression'} else 'function'} {names[0]}")


def _known(labels: Mapping[str, str]) -> str:
    shown = [cell if cell == name else f"{cell} ({name})" for cell, name in labels.items()]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def _any_of(names: tuple[str, ...]) -> str:
    return " or ".join(repr(name) for name in names)
