"""Rows come back from every format as they were put in."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from llama_gene.errors import SettingsError
from llama_gene.inference import rows as rows_module
from llama_gene.inference.rows import Column, RowWriter, format_of

COLUMNS = [Column("id", str), Column("label", str), Column("p(yes)", float), Column("n", int)]
ROWS = [["a", "yes", 0.123456, 3], ['b "x", y\tz\nw', None, 1.0, None]]


def test_the_text_of_every_format() -> None:
    tsv, table = RowWriter(COLUMNS, "tsv"), RowWriter(COLUMNS, "csv")
    assert tsv.head() + tsv.text(ROWS) == 'id\tlabel\tp(yes)\tn\na\tyes\t0.1235\t3\nb "x", y z w\t-\t1.0000\t-\n'
    read = list(csv.reader((table.head() + table.text(ROWS)).splitlines(keepends=True)))
    assert read == [["id", "label", "p(yes)", "n"], ["a", "yes", "0.1235", "3"], [ROWS[1][0], "-", "1.0000", "-"]]
    lines = RowWriter(COLUMNS, "jsonl")
    names = [column.name for column in COLUMNS]
    assert lines.head() == ""
    assert [json.loads(line) for line in lines.text(ROWS).splitlines()] == [
        dict(zip(names, row, strict=True)) for row in ROWS
    ]


def test_parquet_has_the_types_and_as_many_groups_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "_ROW_GROUP", 2)
    writer = RowWriter(COLUMNS, "parquet")
    (tmp_path / "partial").write_text(writer.head() + writer.text(ROWS + ROWS[:1]))
    writer.finish(tmp_path / "partial", tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [str(field.type) for field in table.schema] == ["string", "string", "double", "int64"]
    assert [list(row.values()) for row in table.to_pylist()] == [*ROWS, ROWS[0]]
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == 2


def test_the_format_is_said_or_stands_in_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"a.tsv": "tsv", "a": "tsv", "a.TXT": "tsv", "a.csv": "csv", "a.jsonl": "jsonl", "a.parquet": "parquet"}
    assert {name: format_of(Path(name), None) for name in names} == names
    assert format_of(None, None) == "tsv"
    assert format_of(Path("a.dat"), "csv") == "csv"
    with pytest.raises(SettingsError, match=r"a.xlsx: the name says no format: '.xlsx'\n.*or say --format"):
        format_of(Path("a.xlsx"), None)
    with pytest.raises(SettingsError, match=r"--format 'xlsx'\n  one of: tsv, csv, jsonl, parquet"):
        format_of(None, "xlsx")
    with pytest.raises(SettingsError, match="cannot be written to standard output"):
        format_of(None, "parquet")

    def without_pyarrow(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(rows_module, "import_module", without_pyarrow)
    with pytest.raises(SettingsError, match=r"needs the package pyarrow\n  pip install 'llama-gene\[parquet\]'"):
        format_of(Path("a.parquet"), None)
