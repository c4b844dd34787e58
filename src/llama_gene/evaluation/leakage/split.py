"""A table as train, dev and test, with whole clusters on one side: no row of one is leaked by a row of another one."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llama_gene.config import LeakageSettings
from llama_gene.errors import FormatError, SettingsError, TaskError
from llama_gene.evaluation.leakage.clusters import cluster_rows
from llama_gene.evaluation.leakage.containment import Integers
from llama_gene.evaluation.leakage.rows import RowReader
from llama_gene.files import atomic_path
from llama_gene.sequences.compression import data_suffix, open_text
from llama_gene.sequences.read import Reject
from llama_gene.sequences.table import JSONL_SUFFIXES, TABLE_SUFFIXES, Row
from llama_gene.tasks.convert.table import scan_table
from llama_gene.tasks.task import Example

SIDES = ("train", "dev", "test")
_MAX_LABELS = 200  # more different ones are numbers or texts: nothing to spread evenly


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table that hold.

    Args:
        path: The table.
        lines: The line of each row.
        rows: Their sequences.
        labels: Their label cells; None where there is no such column.
    """

    path: Path
    lines: Sequence[int]
    rows: Sequence[Example]
    labels: Sequence[str] | None


def read_table_to_split(path: Path, reader: RowReader, label_column: str, on_reject: Callable[[Reject], None]) -> Table:
    """Read a table whole.

    Raises:
        FormatError: It is no table, lacks a column, or no row holds.
    """
    refused: set[str] = set()

    def note(reject: Reject) -> None:
        refused.add(reject.where)
        on_reject(reject)

    rows = list(reader.read(path, note))
    if not rows:
        raise FormatError("no row holds", where=path, hint="what was set aside, and why, stands above")
    found = (row for row in scan_table(path) if isinstance(row, Row))
    kept = [(row.line, row.cells.get(label_column)) for row in found if f"{path}:{row.line}" not in refused]
    labels = [cell for _, cell in kept if cell is not None]
    return Table(path, [line for line, _ in kept], rows, labels if len(labels) == len(rows) else None)


def assign(clusters: Integers, labels: Sequence[str] | None, shares: Sequence[float], seed: int) -> Integers:
    """Put whole clusters on the sides of a split, the largest first, each where the most of its labels is missing.

    A cluster goes only where there is room for it, or else to the first side, which is the largest.

    Args:
        clusters: int64[n], the cluster of each row, numbered from 0.
        labels: The label of each row, to be spread evenly; None where that has no meaning.
        shares: The wanted share of the rows for each side; together 1.
        seed: Decides between clusters of one size.

    Returns:
        int64[n]: the side of each row.

    >>> assign(np.array([0, 0, 0, 1, 2]), None, [0.6, 0.4], seed=1).tolist()
    [0, 0, 0, 1, 1]
    """
    classes = np.unique(labels, return_inverse=True)[1] if labels is not None else np.zeros(len(clusters), np.int64)
    counts = np.zeros((clusters.max() + 1, classes.max() + 1))
    np.add.at(counts, (clusters, classes), 1)
    sizes = counts.sum(axis=1)
    wanted = np.outer(shares, counts.sum(axis=0))
    missing, room = wanted.copy(), np.ceil(wanted.sum(axis=1))
    side_of = np.zeros(len(sizes), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(sizes))
    for cluster in order[np.argsort(-sizes[order], kind="stable")].tolist():
        fits = room >= sizes[cluster]
        need = (missing / np.maximum(wanted, 1e-9)) @ counts[cluster]
        # The first of equals, so that the largest clusters train.
        side = int(np.where(fits, need, -np.inf).argmax()) if fits.any() else 0
        side_of[cluster] = side
        missing[side] -= counts[cluster]
        room[side] -= sizes[cluster]
    return side_of[clusters]


def split_rows(
    table: Table, reader: RowReader, rule: LeakageSettings, dev: float, test: float, seed: int
) -> tuple[Integers, Integers]:
    """The side and the cluster of each row of a table.

    Raises:
        SettingsError: Shares that leave nothing on a side.
        TaskError: One cluster holds so many rows that a side stays empty.
    """
    if not (0 <= dev < 1 and 0 <= test < 1 and 0 < dev + test < 1):
        hint = "give shares from 0 to 1 that together leave something to train on"
        raise SettingsError(f"--dev {dev:g} --test {test:g}", hint=hint)
    clusters = cluster_rows(table.rows, reader.kinds, rule)
    labels = table.labels if table.labels is not None and len(set(table.labels)) <= _MAX_LABELS else None
    sides = assign(clusters, labels, [1 - dev - test, dev, test], seed)
    for number, share in enumerate((1 - dev - test, dev, test)):
        if share and not (sides == number).any():
            largest = int(np.bincount(clusters).max())
            problem = f"no cluster fits into {SIDES[number]}: the largest holds {largest:,} of {len(clusters):,} rows"
            raise TaskError(problem, where=table.path, hint=way_out(reader))
    return sides, clusters


def way_out(reader: RowReader) -> str:
    """What to change where too many rows are in one cluster."""
    more = "ask more before rows hang together: --threshold 0.8, or a larger --k"
    if len(reader.kinds) == 1:
        return more
    return f"each partner stands on one side, and so do all rows it is in; {more}, or hold out by one --column alone"


def write_sides(table: Table, sides: Integers, files: Mapping[str, Path]) -> None:
    """Write the rows of each side as they stand in the table, under its header; each file whole or not at all."""
    side_of = {line: SIDES[side] for line, side in zip(table.lines, sides.tolist(), strict=True)}
    with _writers(table, files) as write:
        if data_suffix(table.path) in JSONL_SUFFIXES:
            with open_text(table.path) as lines:
                for line, text in enumerate(lines, start=1):
                    if line in side_of:
                        write(side_of[line], text)
            return
        for row in scan_table(table.path):
            if isinstance(row, Row) and row.line in side_of:
                write(side_of[row.line], row)


def output_suffix(table: Path) -> str:
    """The suffix of the sides of a table: its own, unpacked; `.csv` for Parquet and what has none of a table."""
    suffix = data_suffix(table)
    return suffix if suffix in {*TABLE_SUFFIXES, *JSONL_SUFFIXES} else ".csv"


@contextmanager
def _writers(table: Table, files: Mapping[str, Path]) -> Iterator[Callable[[str, Row | str], None]]:
    """A function that writes a row, or a line of JSON as it is, to the file of a side."""
    with ExitStack() as stack:
        drafts = {side: stack.enter_context(atomic_path(path)) for side, path in files.items()}
        streams = {
            side: stack.enter_context(draft.open("w", encoding="utf-8", newline="")) for side, draft in drafts.items()
        }
        delimiter = TABLE_SUFFIXES.get(output_suffix(table.path), ",")
        writers = {
            side: csv.writer(stream, delimiter=delimiter, lineterminator="\n") for side, stream in streams.items()
        }
        begun: set[str] = set()

        def write(side: str, row: Row | str) -> None:
            if isinstance(row, str):
                streams[side].write(row.rstrip("\n") + "\n")
                return
            if side not in begun:
                begun.add(side)
                writers[side].writerow(row.cells)
            writers[side].writerow(row.cells.values())

        yield write
