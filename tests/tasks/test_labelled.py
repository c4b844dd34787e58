"""Rows with labels out of every form, and into tables of every layout."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import FormatError, SettingsError
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.convert.labelled import (
    LabelledRow,
    from_instructions,
    read_columns,
    read_functions,
    read_headers,
    read_layout,
)
from llama_gene.tasks.convert.write import write_table
from llama_gene.tokenizer import Span


def refuse(reject: Reject) -> None:
    raise AssertionError(reject)


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def one(sequence: str, label: str, name: str = "a") -> LabelledRow:
    return LabelledRow(name, (Span("dna", sequence),), label)


@pytest.mark.parametrize("layout", ["gue", "lucaone", "table"])
def test_gue_and_lucaone_are_the_same_rows(tmp_path: Path, layout: str) -> None:
    source = table(tmp_path / "a.csv", "sequence,label\nACGT,1\nTTTT,0\n")
    rows = list(read_layout(source, "gue", "refuse", None))
    assert rows == [one("ACGT", "1", "row2"), one("TTTT", "0", "row3")]
    out = tmp_path / "b.tsv"
    assert write_table(rows, out, layout, on_reject=refuse) == 2  # type: ignore[arg-type]
    again = (
        list(read_columns(out, [("sequence", "dna")], "label", "refuse", None))
        if layout == "table"
        else list(read_layout(out, layout, "refuse", None))  # type: ignore[arg-type]
    )
    assert [(row.spans, row.label) for row in again] == [(row.spans, row.label) for row in rows]


KINDS = st.lists(st.sampled_from(["dna", "protein"]), min_size=2, max_size=2)


@given(kinds=KINDS, label=st.text("abc01 ,\"'", min_size=1).filter(str.strip), num=st.integers(1, 3))
def test_pairs_round_trip(tmp_path_factory: pytest.TempPathFactory, kinds: list[str], label: str, num: int) -> None:
    label = " ".join(label.split())
    spans = tuple(Span(kind, "ACGT" if kind == "dna" else "MKV") for kind in kinds)  # type: ignore[arg-type]
    rows = [LabelledRow(f"a{place}|b{place}", spans, label) for place in range(num)]
    path = tmp_path_factory.mktemp("pairs") / "a.csv"
    write_table(rows, path, "lucaone_pair", on_reject=refuse)
    assert list(read_layout(path, "lucaone_pair", "refuse", None)) == rows


def test_a_row_of_another_shape_is_set_aside(tmp_path: Path) -> None:
    pair = LabelledRow("p", (Span("dna", "ACGT"), Span("protein", "MKV")), "1")
    rejects: list[Reject] = []
    assert write_table([one("ACGT", "1"), pair], tmp_path / "a.csv", "table", on_reject=rejects.append) == 1
    assert rejects == [Reject("p", "", "it has the sequences dna and protein, and the first row has dna")]


@pytest.mark.parametrize(
    ("row", "layout", "name", "message"),
    [
        (LabelledRow("a", (Span("protein", "MKV"),), "1"), "gue", "a.csv", "rows of protein do not fit .* 'gue'"),
        (one("ACGT", "1"), "lucaone_pair", "a.csv", "rows of dna do not fit"),
        (one("ACGT", "1"), "table", "a.xlsx", r"'a.xlsx' says no format of a table\n  end it with .csv"),
    ],
)
def test_what_does_not_fit_is_not_written(
    tmp_path: Path, row: LabelledRow, layout: str, name: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        write_table([row], tmp_path / name, layout, on_reject=refuse)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_not_lucaones(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "seq_id,seq_type,seq,label\na,rna,ACGU,1\n")
    with pytest.raises(FormatError, match=r"a.csv:2: the first row is not of the layout 'lucaone'\n  .*seq_type"):
        list(read_layout(path, "lucaone", "refuse", None))


@pytest.mark.parametrize(
    ("header", "pattern", "found"),
    [
        ("a promoter", None, ("a", "promoter")),
        ("a non promoter", None, ("a", "non promoter")),
        ("a|1", None, ("a", "1")),
        ("sp|P1|x 0", None, ("sp|P1|x", "0")),
        ("a len=3 class=yes", r"class=(\w+)", ("a", "yes")),
        ("a", None, None),
        ("a class=", r"class=(\w+)", None),
    ],
)
def test_labels_in_headers(tmp_path: Path, header: str, pattern: str | None, found: tuple[str, str] | None) -> None:
    path = table(tmp_path / "a.fa", f">{header}\nACGT\n>b fine class=fine\nAC\n")
    rejects: list[Reject] = []
    rows = list(read_headers(path, "dna", pattern, "skip", rejects.append))
    assert [(row.id, row.label) for row in rows[:-1]] == ([found] if found else [])
    assert rows[-1].spans == (Span("dna", "AC"),)
    assert [reject.reason for reject in rejects] == ([] if found else ["record 'a': no label in its header"])


@pytest.mark.parametrize(("pattern", "message"), [("(", "is no regular expression"), ("x", "has no group")])
def test_a_pattern_that_finds_nothing(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        list(read_headers(table(tmp_path / "a.fa", ">a\nACGT\n"), "dna", pattern, "skip", None))


FLAT = """ID   A_B   Reviewed;   3 AA.
AC   {};
OS   Frog virus 3 (isolate Goorha) (FV-3).
{}SQ   SEQUENCE   3 AA;  1 MW;  1 CRC64;
     {}
//
"""
SAYS = "CC   -!- FUNCTION: Binds zinc. {ECO:1}.\n"


def test_functions_of_proteins(tmp_path: Path) -> None:
    entries = [("P1", SAYS, "MKV"), ("P2", "", "MKV"), ("P3", SAYS, "MK"), ("P4", SAYS, "MK1")]
    path = table(tmp_path / "a.dat", "".join(FLAT.format(*entry) for entry in entries))
    rejects: list[Reject] = []
    rows = list(read_functions(path, "skip", rejects.append))
    assert rows == [LabelledRow("P1", (Span("protein", "MKV"),), "Binds zinc.", "Frog virus 3")]
    assert [(reject.id, reject.reason) for reject in rejects] == [
        ("P2", "UniProt: no FUNCTION comment"),
        ("P3", "UniProt: it says 3 residues, and there are 2"),
        ("P4", "1 letter outside the protein alphabet: '1' (1)"),
    ]
    assert rejects[1].where == f"{path}:14"
    tsv = "Entry\tSequence\tFunction [CC]\tOrganism\nP1\tMKV\tFUNCTION: Binds zinc. {ECO:1}.\tFrog virus 3 (x)\n"
    assert list(read_functions(table(tmp_path / "a.tsv", tsv), "skip", None)) == rows
    with pytest.raises(FormatError, match="this is XML, but not UniProt's"):
        list(read_functions(table(tmp_path / "a.xml", "<html></html>"), "skip", None))


def test_alpaca_rows_become_a_table() -> None:
    span = Span("dna", "ACGT")
    rejects: list[Reject] = []
    instructions = [Instruction("a", ("Is it? ", span), "yes"), Instruction("b", ("Hello",), "no")]
    rows = list(from_instructions(instructions, rejects.append))
    assert rows == [LabelledRow("a", (span,), "yes", "Is it?")]
    assert [reject.reason for reject in rejects] == ["0 sequences in the instruction, not one or two"]
