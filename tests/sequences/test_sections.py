"""Sections of a file are read as the whole file is, whatever their size."""

import gzip
import json
import random
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.sections import find_sections, hash_section
from llama_gene.sequences.text import read_text_records

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LINES = ["{a set}", "", "  ", "one two", "> three", '{"a": 1', "ID   x"]


def fasta(lengths: list[int], ending: str) -> str:
    rng = random.Random(3)
    rows = []
    for number, length in enumerate(lengths):
        rows += [f">r{number} some > words", "".join(rng.choices("ACGTN-", [9, 9, 9, 9, 1, 0.1], k=length)), ""]
    return ending.join(rows) + ending


def records_of(path: Path, kind: str, section: object = None) -> list[object]:
    found: list[object] = []
    found += read_records(path, kind, section=section, on_reject=found.append)  # type: ignore[arg-type]
    return sorted(found, key=repr)


@few
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12), size=st.integers(1, 300), crlf=st.booleans())
def test_fasta(tmp_path: Path, lengths: list[int], size: int, crlf: bool) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(fasta(lengths, "\r\n" if crlf else "\n").encode())
    sections = find_sections(path, size)
    parts = [found for section, _ in sections for found in records_of(path, "dna", section)]
    assert sorted(parts, key=repr) == records_of(path, "dna")
    whole = path.read_bytes()
    for section, digest in sections:
        piece = whole[section.start : section.stop] if section else whole
        assert digest == sha256(piece).hexdigest() == hash_section(path, section)
    assert len(sections) > 1 or len(whole) <= 2 * size + 200


@few
@given(
    lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=20).filter(lambda x: any(map(str.strip, x))),
    size=st.integers(1, 40),
)
def test_lines_of_text(tmp_path: Path, lines: list[str], size: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(["First line.", *lines]))
    whole = list(read_text_records(path))
    sections = find_sections(path, size, lines=True)
    assert [record for section, _ in sections for record in read_text_records(path, section=section)] == whole


def test_json_lines_say_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("".join(json.dumps({"id": f"r{n}", "seq": "ACGT" if n != 7 else "ACE"}) + "\n" for n in range(10)))
    sections = find_sections(path, 40)
    assert len(sections) == 5
    rejects: list[Reject] = []
    ids = [r.id for s, _ in sections for r in read_records(path, "dna", section=s, on_reject=rejects.append)]
    assert ids == [f"r{n}" for n in range(10) if n != 7]
    assert [(reject.id, reject.where) for reject in rejects] == [("r7", f"{path}:8")]


def test_errors_say_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(b">a\nACGT\n>b\nAC\xff\n")
    *_, (last, _) = find_sections(path, 4)
    assert last is not None
    assert last.lines == 2
    with pytest.raises(FormatError, match=r"a\.fa:4: not UTF-8"):
        list(read_records(path, "dna", section=last))


def test_flat_files(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    head = "ID   001R_FRG3G  Reviewed;  2 AA.\nAC   Q6GZX4;\n"
    tail = "SQ   SEQUENCE   2 AA;  297 MW;\n     MA\n//\n"
    path.write_text((head + "CC   -!- FUNCTION: Binds.\n" + tail + head + tail) * 3)
    sections = find_sections(path, 50)
    assert [section.lines for section, _ in sections if section] == [0, 6, 11, 17, 22, 28]
    assert [len(list(read_records(path, "protein", section=section))) for section, _ in sections] == [1] * 6
    assert [len(list(read_text_records(path, section=section))) for section, _ in sections] == [1, 0] * 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.fa.gz", gzip.compress(b">a\nACGT\n" * 99, mtime=0)),
        ("a.csv", b"id,sequence\n" + b"a,ACGT\n" * 99),
        ("a.fq", b"@a\nACGT\n+\n>>>>\n" * 99),
        ("empty", b""),
    ],
)
def test_what_cannot_be_divided_is_one_section(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert find_sections(path, 10) == [(None, sha256(content).hexdigest())]
