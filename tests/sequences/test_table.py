import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import FormatError
from llama_gene.sequences.table import Row, read_rows, require_columns


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "sequence,label\nACGT,1\nACGT\n", r"a\.csv:3: 1 cells, but the header has 2 columns"),
        ("a.csv", "sequence,label\nACGT,1,2\n", r"a\.csv:2: 3 cells"),
        ("a.csv", 'sequence,label\n"AC\nGT",1\nACGT\n', r"a\.csv:4: 1 cells"),
        ("a.csv", "sequence,sequence\nA,C\n", r"a\.csv:1: the column 'sequence' is there twice"),
        ("a.csv", "sequence,,label\nA,C,1\n", r"a\.csv:1: column 2 has no name"),
        ("a.csv", "ACGTACGTACGTACGTACGTACGTACGTACGTACGT,1\n", r"a\.csv:1: no header: 'ACGT[ACGT]*\.\.\.' is data"),
        ("a.csv", "id,1\nx,2\n", r"a\.csv:1: no header: '1' is data"),
        ("a.csv", "sequence,label\n", "a table without rows"),
        ("a.csv", '\nsequence,label\nAC,1\n"ACGT,1\n', r"a\.csv:4: broken quotes"),
        ("a.csv", ">x\nACGT\n", "this is FASTA"),
        ("a.jsonl", '{"seq": "ACGT"}\n{"seq": \n', r"a\.jsonl:2: not valid JSON"),
        ("a.jsonl", '{"seq": "ACGT"}\n[1]\n', r"a\.jsonl:2: a JSON list, not an object"),
        ("a.jsonl", '{"seq": ["ACGT"]}\n', r"a\.jsonl:1: 'seq' holds an array"),
        ("a.jsonl", '{"seq": {"a": 1}}\n', r"a\.jsonl:1: 'seq' holds an object"),
        ("a.jsonl", '{"seq": "A", "seq": "C"}\n', r"a\.jsonl:1: the key 'seq' is there twice"),
        ("a.json", '[{"seq": "A"}]', "jq -c"),
        ("a.jsonl", '{"seq": ' + "[" * 100_000, "not valid JSON"),
    ],
)
def test_invalid_raises(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(FormatError, match=message):
        list(read_rows(path))


def test_a_missing_column_names_those_there_are():
    with pytest.raises(FormatError, match=r"d\.csv:2: no column 'lable'\s+did you mean 'label'\? columns: seq, label"):
        require_columns("d.csv", Row(2, {"seq": "A", "label": "1"}), ["seq", "lable"])
    require_columns("d.csv", Row(2, {"seq": "A", "label": "1"}), ["seq", "label"])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "id,seq\nx,AC\n\ny,GT\n", [Row(2, {"id": "x", "seq": "AC"}), Row(4, {"id": "y", "seq": "GT"})]),
        ("a.csv", '\n\nid,seq\r\nx,"A\nC"\r\n"y""z",G\r\n',
         [Row(4, {"id": "x", "seq": "A\nC"}), Row(6, {"id": 'y"z', "seq": "G"})]),
        ("a.tsv", "id, note \tseq\nx,y\tAC", [Row(2, {"id, note": "x,y", "seq": "AC"})]),
        ("a.txt", "id\tseq,uence\nx\tA", [Row(2, {"id": "x", "seq,uence": "A"})]),
        ("a", "sequence\nA", [Row(2, {"sequence": "A"})]),
        ("a.csv", ",seq\n0,A\n", [Row(2, {"": "0", "seq": "A"})]),
        ("a", '{"s": "A", "n": 1e-05, "t": true, "z": null}\n\n{"s": 007}'.replace("007", "7"),
         [Row(1, {"s": "A", "n": "1e-05", "t": "true", "z": ""}), Row(3, {"s": "7"})]),
    ],
)  # fmt: skip
def test_rows_literal(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert list(read_rows(path)) == expected
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + content.encode()))
    assert list(read_rows(path)) == expected


def test_a_cell_longer_than_the_csv_module_takes_by_default(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"seq,label\n{'A' * 1_000_000},1\n")
    [row] = read_rows(path)
    assert len(row.cells["seq"]) == 1_000_000


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=8).filter(str.strip)


@given(st.lists(st.fixed_dictionaries({"seq": cells, "label": cells}), min_size=1, max_size=5))
def test_csv_and_jsonl_round_trip(tmp_path_factory, rows):
    import csv

    folder = tmp_path_factory.mktemp("rows")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, ["seq", "label"])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [row.cells for row in read_rows(folder / "a.csv")] == rows
    assert [row.cells for row in read_rows(folder / "a.jsonl")] == rows
