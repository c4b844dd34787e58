import gzip
from pathlib import Path

import pytest

from llama_gene.errors import FormatError
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.text import read_text_records, read_texts

ENTRY = """ID   001R_FRG3G              Reviewed;          15 AA.
AC   Q6GZX4; A0A000;
DT   28-JUN-2011, integrated into UniProtKB/Swiss-Prot.
DE   RecName: Full=Putative transcription factor 001R {ECO:0000303|PubMed:1};
DE   AltName: Full=Another name;
OS   Frog virus 3 (isolate Goorha) (FV-3).
CC   -!- FUNCTION: Binds Na(+)-
CC       dependent <dna> elements (PubMed:123, Ref.4). Late
CC       genes need it. {ECO:0000305|PubMed:15165820}.
CC   -!- FUNCTION: [Isoform 2]: Does nothing.
CC   -!- SUBUNIT: Homodimer.
CC   -----------------------------------------------------------------------
CC   Copyrighted by the UniProt Consortium
CC   -----------------------------------------------------------------------
SQ   SEQUENCE   15 AA;  29735 MW;  B4840739BF7D4121 CRC64;
     MAFSAEDVLK EYDRR
//
"""
SECOND = ENTRY.replace("001R", "002R").replace("Q6GZX4", "Q6GZX3").replace("-!- FUNCTION", "-!- CAUTION")
FUNCTION = (
    "Putative transcription factor 001R of Frog virus 3: Binds Na(+)-dependent <dna> elements. Late genes need it. "
    "[Isoform 2]: Does nothing."
)


def test_an_entry_that_is_cut_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_text(ENTRY + SECOND.removesuffix("//\n"))
    with pytest.raises(FormatError, match=r"a\.dat:18: UniProt: the entry that begins here does not end"):
        list(read_records(path, "protein"))
    path.write_text(ENTRY.removesuffix("//\n") + SECOND)
    with pytest.raises(FormatError, match=r"a\.dat:1: "):
        list(read_texts(path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("     MAFSAEDVLK EYDRR\n", ""), "UniProt: no sequence (SQ)"),
        (("AC   Q6GZX4; A0A000;\n", ""), "UniProt: no accession number (AC)"),
        ((" EYDRR", " EYDR"), "record 'Q6GZX4': UniProt: SQ says 15 residues, and there are 14"),
        ((" EYDRR", " EYDR-"), "record 'Q6GZX4': 1 letter outside the protein alphabet: '-' (1)"),
    ],
)
def test_a_bad_entry_is_set_aside_with_its_reason(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = tmp_path / "a.dat"
    path.write_text(SECOND + ENTRY.replace(*change))
    rejects: list[Reject] = []
    assert [record.id for record in read_records(path, "protein", on_reject=rejects.append)] == ["Q6GZX3"]
    assert [reject.where for reject in rejects] == [f"{path}:18"]
    assert reason in rejects[0].reason


def test_sequences_and_function_comments(tmp_path: Path) -> None:
    path = tmp_path / "sprot"
    path.write_bytes(gzip.compress((ENTRY + SECOND).encode()))
    records = list(read_records(path, "protein"))
    assert [(record.id, record.sequence) for record in records] == [
        ("Q6GZX4", "MAFSAEDVLKEYDRR"),
        ("Q6GZX3", "MAFSAEDVLKEYDRR"),
    ]
    assert records[0].description == "Putative transcription factor 001R"
    # An entry without a function comment is no document.
    assert [(text.id, text.text) for text in read_text_records(path)] == [("Q6GZX4", FUNCTION)]
