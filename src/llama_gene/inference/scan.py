"""A task asked along chromosomes: windows on both strands, as BED, bedGraph or bigWig.

Windows are whole: they begin every `step` letters, and a last one ends with the record; a record shorter than a window
is one. A window of which more than half is no plain letter (N and its kin) is left out.

In a track each letter has the value of the window whose middle is nearest to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError, SettingsError
from llama_gene.files import atomic_path, publish
from llama_gene.inference.answers import Answers
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.rows import Cell
from llama_gene.inference.stream import Ask, blocks_of
from llama_gene.sequences.alphabet import ALPHABETS, reverse_complement
from llama_gene.sequences.record import Record
from llama_gene.tasks.task import Example, Task

SUFFIXES = (".bed", ".bedgraph", ".bg", ".bw", ".bigwig")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a record, on one strand; the coordinates are those of BED: from 0, the end not included."""

    record: str
    start: int
    end: int
    strand: str


def windows(record: Record, size: int, step: int, *, both_strands: bool) -> Iterator[tuple[Window, str]]:
    """The windows of a record with their letters, as read on their strand.

    Args:
        record: DNA or protein; protein has one strand, ``.``.
        size: Letters of a window.
        step: Letters from the start of one to that of the next.
        both_strands: Each window of DNA a second time, as its reverse complement.
    """
    last = max(0, len(record) - size)
    starts = [*range(0, last, step), last]
    plain = set(ALPHABETS[record.kind].letters)
    for start in starts:
        letters = record.sequence[start : start + size]
        if sum(map(letters.count, plain)) * 2 < len(letters):
            continue
        end = start + len(letters)
        if record.kind == "protein":
            yield Window(record.id, start, end, "."), letters
            continue
        yield Window(record.id, start, end, "+"), letters
        if both_strands:
            yield Window(record.id, start, end, "-"), reverse_complement(letters)


@dataclass
class ScannedRows:
    """The rows of all windows, made as they are asked for.

    Args:
        ask: What answers.
        records: The chromosomes.
        answers: How predictions become answers.
        label: Whose probability is the value; of no meaning for a regression.
        size: Letters of a window.
        step: From one window to the next.
        both_strands: Whether the reverse strand of DNA is asked about, too.

    Attributes:
        num_shortened: Windows so far that did not fit and were cut.
    """

    ask: Ask
    records: Iterable[Record]
    answers: Answers
    label: str | None
    size: int
    step: int
    both_strands: bool
    num_shortened: int = 0

    def __call__(self, skip: int) -> Iterator[list[list[Cell]]]:
        """The rows behind the first `skip`: record, start, end, label, score of 0 to 1000, strand, value."""
        for predictions in self.ask(blocks_of(self._examples(), skip=skip)):
            self.num_shortened += sum(prediction.num_cut > 0 for prediction in predictions)
            yield [self._row(prediction) for prediction in predictions]

    def _examples(self) -> Iterator[Example]:
        for record in self.records:
            for window, letters in windows(record, self.size, self.step, both_strands=self.both_strands):
                yield Example("\t".join(map(str, (window.record, window.start, window.end, window.strand))), (letters,))

    def _row(self, prediction: Prediction) -> list[Cell]:
        record, start, end, strand = prediction.id.split("\t")
        if prediction.value is not None:
            return [record, int(start), int(end), self.answers.task.name, 0, strand, round(prediction.value, 6)]
        prediction = self.answers.calibrate(prediction)
        assert prediction.probabilities is not None
        assert self.label is not None
        value = prediction.probabilities[self.answers.task.label_names.index(self.label)]
        name = self.answers.label(prediction) or "."
        return [record, int(start), int(end), name, round(1000 * value), strand, round(value, 6)]


def track_label(task: Task, label: str | None) -> str | None:
    """The label whose probability a scan shows: the one that is named, else the second of two.

    Raises:
        SettingsError: The task cannot be asked along a sequence, or which label is meant is not clear.
    """
    if len(task.inputs) != 1 or task.kind not in {"classification", "regression"}:
        problem = f"--scan: task {task.name!r} is no classification or regression of one sequence"
        raise SettingsError(problem, hint="choose another task")
    if task.kind == "regression":
        if label is not None:
            raise SettingsError(f"--label {label!r}: a regression has no labels", hint="leave it out")
        return None
    names = task.label_names
    if label is None and len(names) == 2:
        return names[1]
    if label not in names:
        raise SettingsError(
            f"--label {label!r}" if label else "--scan: which label?", hint=f"--label, of: {', '.join(names)}"
        )
    return label


class TrackWriter:
    """The rows of a scan as BED of seven columns (the seventh is the value), or what is made of it at the end.

    Args:
        output: Its suffix says the format; a track of both strands becomes two files, ``NAME.plus.bw`` and
            ``NAME.minus.bw``. None for BED on standard output.

    Raises:
        SettingsError: The name says no such format, or pyBigWig is missing.
    """

    def __init__(self, output: Path | None) -> None:
        self._suffix = ".bed" if output is None else output.suffix.lower()
        if self._suffix not in SUFFIXES:
            raise SettingsError(
                "the name says no format of a scan", where=output, hint=f"end it with {', '.join(SUFFIXES)}"
            )
        if self._suffix in {".bw", ".bigwig"}:
            try:
                import_module("pyBigWig")
            except ImportError:
                hint = "pip install 'llama-gene[bigwig]', or write .bed or .bedgraph"
                raise SettingsError("bigWig needs the package pyBigWig", hint=hint) from None

    def head(self) -> str:
        """BED has no header."""
        return ""

    def text(self, rows: Iterable[Sequence[Cell]]) -> str:
        """The lines of rows; white space in a name would be the end of a column."""
        return "".join("\t".join("_".join(str(cell).split()) for cell in row) + "\n" for row in rows)

    def finish(self, partial: Path, output: Path) -> None:
        """Make the file, or a file for each strand, of all rows."""
        if self._suffix == ".bed":
            publish(partial, output)
            return
        strands = _strands(partial)
        for strand in strands:
            name = {"+": "plus", "-": "minus"}.get(strand, "")
            path = output.with_suffix(f".{name}{output.suffix}") if len(strands) > 1 else output
            with atomic_path(path) as draft:
                (_write_bigwig if self._suffix in {".bw", ".bigwig"} else _write_bedgraph)(partial, strand, draft)
        partial.unlink()


def _strands(bed: Path) -> list[str]:
    with bed.open(encoding="utf-8") as lines:
        found = {line.split("\t")[5] for line in lines}
    return sorted(found) or ["+"]


def segments(bed: Path, strand: str) -> Iterator[tuple[str, int, int, float]]:
    """The track of one strand: record, start, end, value; in order and without overlap."""
    before: tuple[str, int, int, float] | None = None
    begin = 0
    with bed.open(encoding="utf-8") as lines:
        for line in lines:
            cells = line.rstrip("\n").split("\t")
            if cells[5] != strand:
                continue
            now = (cells[0], int(cells[1]), int(cells[2]), float(cells[6]))
            start = now[1]
            if before is not None:
                touches = before[0] == now[0] and now[1] <= before[2]
                # The middle between the two middles; of windows apart, each ends where it does.
                stop = (before[1] + before[2] + now[1] + now[2]) // 4 if touches else before[2]
                yield before[0], begin, stop, before[3]
                start = stop if touches else now[1]
            before, begin = now, start
    if before is not None:
        yield before[0], begin, before[2], before[3]


def _write_bedgraph(bed: Path, strand: str, draft: Path) -> None:
    with draft.open("w", encoding="utf-8") as out:
        for record, start, end, value in segments(bed, strand):
            out.write(f"{record}\t{start}\t{end}\t{value:.6g}\n")


def _write_bigwig(bed: Path, strand: str, draft: Path) -> None:
    library: Any = import_module("pyBigWig")
    lengths: dict[str, int] = {}
    for record, _, end, _ in segments(bed, strand):
        lengths[record] = max(end, lengths.get(record, 0))
    if not lengths:
        raise FormatError("no window of these records can be asked about", hint="they are N, or nearly so")
    track = library.open(str(draft), "w")
    try:
        track.addHeader(list(lengths.items()))
        for record, start, end, value in segments(bed, strand):
            track.addEntries([record], [start], ends=[end], values=[value])
    finally:
        track.close()
