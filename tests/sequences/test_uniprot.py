import gzip
from pathlib import Path

import pytest

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import open_bytes
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.table import Row
from llama_gene.sequences.text import read_text_records, read_texts
from llama_gene.sequences.uniprot import Entry, from_row, read_entries
from llama_gene.sequences.uniprot_xml import read_xml_entries

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


# The same two entries as XML, and the first of them as a row of a TSV.

XML_ENTRY = """<entry dataset="Swiss-Prot" created="2011-06-28">
<accession>Q6GZX4</accession><accession>A0A000</accession><name>001R_FRG3G</name>
<protein><recommendedName><fullName evidence="1">Putative transcription factor 001R</fullName></recommendedName>
<alternativeName><fullName>Another name</fullName></alternativeName></protein>
<organism><name type="scientific">Frog virus 3 (isolate Goorha)</name><name type="common">FV-3</name></organism>
<comment type="function"><text evidence="2">Binds Na(+)-dependent &lt;dna&gt; elements (PubMed:123, Ref.4). Late
genes need it.</text></comment>
<comment type="function"><molecule>Isoform 2</molecule><text>Does nothing.</text></comment>
<comment type="subunit"><text>Homodimer.</text></comment>
<comment type="alternative products"><isoform><id>1</id><sequence type="displayed"/></isoform></comment>
<sequence length="15" mass="1">MAFSAEDVLK
EYDRR</sequence>
</entry>
"""
XML_SECOND = XML_ENTRY.replace("Q6GZX4", "Q6GZX3").replace("001R", "002R").replace('type="function"', 'type="caution"')
XML = '<?xml version="1.0" encoding="UTF-8"?>\n<uniprot xmlns="https://uniprot.org/uniprot">\n{}</uniprot>\n'
BOMB = """<?xml version="1.0"?><!DOCTYPE uniprot [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<uniprot><entry><accession>&b;</accession></entry></uniprot>"""


def xml_entries(path: Path) -> list[Entry]:
    with open_bytes(path) as stream:
        return list(read_xml_entries(stream, path.name))


def test_xml_says_what_the_flat_file_says(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(gzip.compress(XML.format(XML_ENTRY + XML_SECOND).encode()))
    (tmp_path / "a.dat").write_text(ENTRY + SECOND)
    found = xml_entries(tmp_path / "a.xml")
    with open_bytes(tmp_path / "a.dat") as stream:
        flat = list(read_entries(stream, "a.dat"))
    for one, other in zip(found, flat, strict=True):
        other.line = one.line
        assert one == other
    assert [entry.line for entry in found] == [3, 16]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "a.xml:1: a document type, where entities are declared, which UniProt never has"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><uniprot/>', "a.xml:1: a document type"),
        (XML.format(XML_ENTRY)[:-40], r"a.xml:1\d: not whole XML .*\n  .* download it again"),
        (XML.format(XML_ENTRY.replace("</name>", "</nam>")), "a.xml:4: not whole XML .mismatched tag"),
        (XML.format("<entry>" + "<a>" * 70), "elements inside 64 others"),
        ("<uniprot>" + "<" + "a" * 300_000, "a tag of more than 200,000 bytes"),
        ("<uniprot><entry>" + "<accession/>" * 150_000, "an entry of more than 100,000 letters"),
        ("<uniprot><entry><accession>" + "A" * 150_000, "an entry of more than 100,000 letters"),
    ],
)
def test_xml_from_outside_is_refused_before_it_can_do_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr("llama_gene.sequences.uniprot_xml._MAX_TOKEN", 200_000)
    monkeypatch.setattr("llama_gene.sequences.uniprot_xml._MAX_LETTERS", 100_000)
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        xml_entries(tmp_path / "a.xml")
    assert len(str(caught.value).splitlines()) <= 2


def test_a_row_of_the_site() -> None:
    function = (
        "FUNCTION: Binds Na(+)-dependent <dna> elements (PubMed:123, Ref.4). Late genes need it. "
        "{ECO:0000305|PubMed:15165820}.; FUNCTION: [Isoform 2]: Does nothing."
    )
    cells = {
        "Entry": "Q6GZX4",
        "Protein names": "Putative transcription factor 001R (Another name)",
        "Organism": "Frog virus 3 (isolate Goorha) (FV-3)",
        "Function [CC]": function,
        "Sequence": "MAFSAEDVLKEYDRR",
    }
    assert from_row(Row(2, cells)).text == FUNCTION
    assert from_row(Row(2, {**cells, "Function [CC]": ""})).function == ""
    with pytest.raises(FormatError, match=r"no column 'Sequence'; there are: Entry.*\n  download it with fields="):
        from_row(Row(2, {key: cell for key, cell in cells.items() if key != "Sequence"}))
