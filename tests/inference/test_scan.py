"""Windows along chromosomes, and the tracks that are made of them."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError, SettingsError
from llama_gene.inference import scan
from llama_gene.inference.answers import Answers
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.scan import ScannedRows, TrackWriter, segments, track_label, windows
from llama_gene.sequences.record import Record
from llama_gene.tasks.task import Example, Task
from nano import CONFORM, FLAGS, PAIR, STRENGTH


def places(length: int, size: int, step: int) -> list[tuple[int, int]]:
    record = Record("r", "A" * length, "dna")
    return [(window.start, window.end) for window, _ in windows(record, size, step, both_strands=False)]


def test_windows_are_whole_and_the_last_one_ends_with_the_record() -> None:
    assert places(10, 4, 3) == [(0, 4), (3, 7), (6, 10)]
    assert places(11, 4, 3) == [(0, 4), (3, 7), (6, 10), (7, 11)]
    assert places(4, 4, 3) == places(4, 9, 3) == [(0, 4)]


def test_both_strands_of_dna_and_the_one_of_protein() -> None:
    found = list(windows(Record("r", "AACGT", "dna"), 4, 1, both_strands=True))
    assert [(window.start, window.strand, letters) for window, letters in found] == [
        (0, "+", "AACG"), (0, "-", "CGTT"), (1, "+", "ACGT"), (1, "-", "ACGT"),
    ]  # fmt: skip
    (only,) = windows(Record("p", "MKV", "protein"), 9, 1, both_strands=True)
    assert (only[0].strand, only[1]) == (".", "MKV")


def test_windows_of_unknown_letters_are_left_out() -> None:
    record = Record("r", "ACNNNNGT", "dna")
    assert [w.start for w, _ in windows(record, 4, 1, both_strands=False)] == [0, 4]


def share_of_g(blocks: Iterable[list[Example]]) -> Iterator[list[Prediction]]:
    for block in blocks:
        shares = [example.sequences[0].count("G") / len(example.sequences[0]) for example in block]
        yield [
            Prediction(example.id, "Conform" if share >= 0.5 else "Conform not", None, (1 - share, share), 0)
            for example, share in zip(block, shares, strict=True)
        ]


def bed_of(sequence: str, size: int, step: int, path: Path, *, both: bool = True, name: str = "chr 1") -> None:
    rows = ScannedRows(
        share_of_g, [Record(name, sequence, "dna")], Answers(CONFORM), "Conform", size, step, both_strands=both
    )
    path.write_text("".join(TrackWriter(None).text(block) for block in rows(0)))


def test_the_rows_are_bed(tmp_path: Path) -> None:
    bed_of("GGGGCCAA", 4, 4, tmp_path / "a.bed")
    assert (tmp_path / "a.bed").read_text() == (
        "chr_1\t0\t4\tConform\t1000\t+\t1.0\n"
        "chr_1\t0\t4\tConform_not\t0\t-\t0.0\n"
        "chr_1\t4\t8\tConform_not\t0\t+\t0.0\n"
        "chr_1\t4\t8\tConform\t500\t-\t0.5\n"
    )


def test_a_letter_has_the_value_of_the_nearest_window(tmp_path: Path) -> None:
    bed_of("GGGGCCAACC", 4, 2, tmp_path / "a.bed", both=False)
    # Windows at 0, 2, 4, 6 with their middles at 2, 4, 6, 8.
    assert list(segments(tmp_path / "a.bed", "+")) == [
        ("chr_1", 0, 3, 1.0), ("chr_1", 3, 5, 0.5), ("chr_1", 5, 7, 0.0), ("chr_1", 7, 10, 0.0),
    ]  # fmt: skip
    bed_of("GGG" + "N" * 8 + "GAA", 3, 1, tmp_path / "b.bed", both=False)
    found = list(segments(tmp_path / "b.bed", "+"))
    assert found[0][1:3] == (0, 2)
    assert [one[1:3] for one in found] == [(0, 2), (2, 4), (10, 12), (12, 14)]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
@settings(deadline=None)
def test_a_track_covers_a_record_once_where_windows_touch(length: int, size: int, step: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bed"
        bed_of(("GATC" * 15)[:length], size, min(step, size), path, name="r")
        for strand in "+-":
            end = 0
            for _, start, stop, _ in segments(path, strand):
                assert start == end
                assert stop >= start
                end = stop
            assert end == length


@pytest.mark.parametrize("suffix", ["bedgraph", "bw"])
def test_a_track_of_both_strands_is_two_files(suffix: str, tmp_path: Path) -> None:
    output = tmp_path / f"scan.{suffix}"
    writer = TrackWriter(output)
    bed_of("GGGGCCAACC", 4, 2, tmp_path / "partial", name="chr1")
    plus, minus = (list(segments(tmp_path / "partial", strand)) for strand in "+-")
    writer.finish(tmp_path / "partial", output)
    names = [f"scan.{strand}.{suffix}" for strand in ("minus", "plus")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name, expected in zip(names, (minus, plus), strict=True):
        if suffix == "bw":
            track = pyBigWig.open(str(tmp_path / name))
            found = [("chr1", *one) for one in track.intervals("chr1")]
            assert track.chroms() == {"chr1": 10}
            track.close()
        else:
            cells = [line.split("\t") for line in (tmp_path / name).read_text().splitlines()]
            found = [(one[0], int(one[1]), int(one[2]), float(one[3])) for one in cells]
        assert found == expected


def test_a_bigwig_of_no_windows_is_an_error(tmp_path: Path) -> None:
    bed_of("NNNN", 2, 1, tmp_path / "partial")
    with pytest.raises(FormatError, match="no window of these records can be asked about"):
        TrackWriter(tmp_path / "a.bw").finish(tmp_path / "partial", tmp_path / "a.bw")
    assert not (tmp_path / "a.bw").exists()


def test_which_label_is_shown() -> None:
    assert track_label(CONFORM, None) == "Conform"
    assert track_label(CONFORM, "Conform not") == "Conform not"
    assert track_label(STRENGTH, None) is None
    three = Task.model_validate(CONFORM.model_dump() | {"labels": {"0": "a", "1": "b", "2": "c"}})
    for task, label, problem in (
        (three, None, "--scan: which label?\n  --label, of: a, b, c"),
        (three, "d", "--label 'd'"),
        (STRENGTH, "yes", "a regression has no labels"),
        (PAIR, None, "is no classification or regression of one sequence"),
        (FLAGS, None, "is no classification or regression of one sequence"),
    ):
        with pytest.raises(SettingsError) as raised:
            track_label(task, label)
        assert problem in str(raised.value)


def test_formats_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"a\.tsv: the name says no format of a scan"):
        TrackWriter(Path("a.tsv"))

    def without(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(scan, "import_module", without)
    with pytest.raises(SettingsError, match=r"pip install 'llama-gene\[bigwig\]'"):
        TrackWriter(Path("a.bw"))
