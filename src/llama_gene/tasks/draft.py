"""A task out of a table that no definition knows: what its columns look like, and what follows from that."""

import math
import re
import statistics
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llama_gene.errors import FormatError, TaskError
from llama_gene.sequences.alphabet import DNA, PROTEIN, Kind
from llama_gene.tasks.convert.table import scan_table
from llama_gene.tasks.task import TaskKind

_MAX_VALUES = 200  # more different cells than this are no labels
_MAX_CLASSES = 50
_FEW = 20  # as many different cells may be labels, though they could be sequences
_MIN_LETTERS = 8  # mean length of a column of sequences
_MIN_SHARE = 0.95  # of its cells that must be sequences
_MIN_GRID = 11
_MAX_GRID = 1001
_TAIL = 0.005  # share of the numbers at each end that may lie outside the grid of answers
_PLAIN = frozenset("ACGTN")
_SEQUENCE_NAMES = re.compile(r"(?i).*(seq|dna|rna|protein|peptide).*")
_LABEL_NAMES = ("label", "labels", "target", "class", "category", "y", "value", "score", "answer", "function")
_ID_NAMES = {"", "id", "seq_id", "name", "index", "accession"}
_FLAGS = re.compile(r"[01](?:\s*;\s*[01])+")


@dataclass
class Column:
    """What the cells of one column look like.

    Attributes:
        name: Its name.
        num_cells: Cells that are not empty.
        values: How often each of them stands there; None once there are too many different ones.
        numbers: Those that are finite numbers.
        decimals: Most digits after the point of a number.
        num_dna: Those that are spelled in DNA.
        num_protein: Those that are spelled in upper-case residues.
        num_flags: Those that are rows of 0 and 1, as `0;1;0`.
        num_positions: Flags in the longest of them.
        num_letters: Letters of all of them.
    """

    name: str
    num_cells: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    numbers: "array[float]" = field(default_factory=lambda: array("d"))
    decimals: int = 0
    num_dna: int = 0
    num_protein: int = 0
    num_flags: int = 0
    num_positions: int = 0
    num_letters: int = 0

    def add(self, cell: str) -> None:
        """Look at one more cell."""
        cell = cell.strip()
        if not cell:
            return
        self.num_cells += 1
        self.num_letters += len(cell)
        if self.values is not None:
            self.values[cell] += 1
            if len(self.values) > _MAX_VALUES:
                self.values = None
        if (number := _number(cell)) is not None:
            self.numbers.append(number)
            self.decimals = max(self.decimals, len(cell.partition(".")[2]))
            return
        if _FLAGS.fullmatch(cell):
            self.num_flags += 1
            self.num_positions = max(self.num_positions, cell.count(";") + 1)
            return
        letters = DNA.canonical(cell)
        plain = sum(map(letters.count, _PLAIN))
        self.num_dna += plain >= 0.9 * len(letters) and not DNA.odd_letters(letters)
        residues = PROTEIN.canonical(cell)
        self.num_protein += cell.isupper() and not PROTEIN.odd_letters(residues)

    @property
    def sequence_kind(self) -> Kind | None:
        """What its sequences are; None if they are none."""
        if not self.num_cells or self.num_letters < _MIN_LETTERS * self.num_cells:
            return None
        few = self.values is not None and len(self.values) <= _FEW and self.num_cells >= 3 * len(self.values)
        if few and not _SEQUENCE_NAMES.fullmatch(self.name):
            return None  # "POSITIVE" is spelled in residues, too
        if self.num_dna >= _MIN_SHARE * self.num_cells:
            return "dna"
        return "protein" if self.num_protein >= _MIN_SHARE * self.num_cells else None

    @property
    def task_kind(self) -> TaskKind:
        """What sort of answer it holds."""
        num_values = None if self.values is None else len(self.values)
        if self.num_flags == self.num_cells:
            return "multilabel"
        is_number = len(self.numbers) >= _MIN_SHARE * self.num_cells
        if is_number and (self.decimals or num_values is None or num_values > _FEW):
            return "regression"
        repeats = num_values is not None and num_values <= _MAX_CLASSES and self.num_cells >= 2 * num_values
        return "classification" if is_number or repeats else "text"


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def look_at(path: str | Path) -> list[Column]:
    """The columns of a table, each looked through to its end; memory is bounded but for 8 bytes a number.

    Raises:
        FormatError: The file is no table, or none of its rows holds.
    """
    columns: dict[str, Column] = {}
    fault: FormatError | None = None
    for row in scan_table(path):
        if isinstance(row, FormatError):
            fault = fault or row
            continue
        for name, cell in row.cells.items():
            columns.setdefault(name, Column(name)).add(cell)
    if not columns and fault is not None:
        raise fault
    return list(columns.values())


def guess_sequences(columns: Sequence[Column]) -> list[tuple[str, Kind]]:
    """The columns that hold sequences; where some of them are named like that, only those.

    Raises:
        TaskError: There is none, or there are more than two.
    """
    found = [(column.name, kind) for column in columns if (kind := column.sequence_kind) is not None]
    named = [(name, kind) for name, kind in found if _SEQUENCE_NAMES.fullmatch(name)]
    found = named or found
    if not 1 <= len(found) <= 2:
        problem = f"{len(found)} columns look like sequences, not one or two"
        raise TaskError(problem, hint=f"name them: --column COLUMN:dna; columns: {_names(columns)}")
    return found


def guess_label(columns: Sequence[Column], sequences: Sequence[str]) -> str:
    """The column of the answers.

    Raises:
        TaskError: It could be one of several, or none.
    """
    rest = [column for column in columns if column.name not in sequences and column.num_cells]
    for known in _LABEL_NAMES:
        for column in rest:
            if column.name.casefold() == known:
                return column.name
    rest = [column for column in rest if column.name.casefold() not in _ID_NAMES]
    if len(rest) != 1:
        problem = "no column looks like labels" if not rest else f"{len(rest)} columns could be the labels"
        raise TaskError(problem, hint=f"name it: --label-column COLUMN; columns: {_names(columns)}")
    return rest[0].name


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns)


def guess_labels(column: Column, *, several: bool = False) -> dict[str, str]:
    """Label cell -> the word that answers it, as far as the cells themselves say it.

    Args:
        column: The column of the labels.
        several: A cell says of each of several labels whether it holds, as `0;1;0`.

    Raises:
        TaskError: No labels, or too many of them.
    """
    if several:
        return {str(place): f"label {place}" for place in range(column.num_positions)}
    if column.values is None or len(column.values) < 2:
        number = "more than 200" if column.values is None else len(column.values)
        hint = "a classification needs at least two; for free text or numbers give --kind text or --kind regression"
        raise TaskError(f"column {column.name!r} has {number} different labels", hint=hint)
    cells = sorted(column.values, key=lambda cell: (0, float(cell), "") if _number(cell) is not None else (1, 0, cell))
    return {"0": "no", "1": "yes"} if cells == ["0", "1"] else {cell: " ".join(cell.split()) for cell in cells}


@dataclass(frozen=True)
class Grid:
    """The numbers that a regression can answer; see `Task`."""

    decimals: int
    minimum: float
    maximum: float


def guess_grid(column: Column) -> Grid:
    """A grid of some dozens of answers that holds 99 % of the numbers, or all of them where the tails are short.

    Raises:
        TaskError: No numbers, or numbers so large that every whole one cannot be an answer.
    """
    if len(column.numbers) < 2 or min(column.numbers) == max(column.numbers):
        raise TaskError(f"column {column.name!r} has no two different numbers", hint="choose another --label-column")
    numbers = sorted(column.numbers)
    low, high = numbers[0], numbers[-1]
    tail = int(_TAIL * len(numbers))
    inner_low, inner_high = numbers[tail], numbers[-1 - tail]
    if high - low > 1.25 * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    for decimals in range(7):
        scale = 10**decimals
        first, last = math.floor(low * scale + 1e-9), math.ceil(high * scale - 1e-9)
        if last - first + 1 >= _MIN_GRID or decimals == 6:
            break
    if last - first + 1 > _MAX_GRID:
        hint = "divide the numbers, or take their logarithm, so that whole numbers are steps fine enough"
        median = statistics.median(numbers)
        raise TaskError(f"numbers from {low:g} to {high:g} (median {median:g}) have too many answers", hint=hint)
    return Grid(decimals, first / scale, last / scale)
