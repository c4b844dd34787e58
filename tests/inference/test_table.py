"""How many records a file holds, as far as a look at its lines can tell."""

import gzip
from pathlib import Path

import pytest

from llama_gene.inference.table import count_records

FILES = {
    "a.fa": (b">a\nAC\nGT\n>b > c\nA", 2),
    "a.fq": (b"@a\nAC\n+\n!!\n@b\nA\n+\n!\n", 2),
    "a.csv": (b"sequence,label\nAC,1\nGT,0\n", 2),
    "a.jsonl": (b'{"sequence": "AC"}\n{"sequence": "GT"}\n', 2),
    "a.gb": (b"LOCUS x\n", None),
    "a.fa.gz": (gzip.compress(b">a\nAC\n"), None),
}


@pytest.mark.parametrize("name", FILES)
def test_the_number_of_records(name: str, tmp_path: Path) -> None:
    content, num = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert count_records(str(tmp_path / name)) == num


def test_records_across_the_pieces_that_are_read(tmp_path: Path) -> None:
    # 2 + 65,534 bytes: the mark of the second record is cut in two.
    (tmp_path / "a.fa").write_bytes(b">" + b"a" * 65_534 + b"\n" + b">b\nAC\n")
    assert count_records(str(tmp_path / "a.fa")) == 2
    assert count_records("-") is None
    assert count_records(str(tmp_path / "none.fa")) is None
