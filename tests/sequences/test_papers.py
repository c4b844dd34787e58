import json
from pathlib import Path
from typing import Any

import pytest

from llama_gene.errors import FormatError
from llama_gene.sequences.read import Reject
from llama_gene.sequences.text import read_text_records, read_texts

PARAGRAPHS = [
    {"section": "Intro", "text": "We ask.", "cite_spans": [{"start": 1}]},
    {"text": " "},
    {"text": "We find."},
]
S2ORC_2020 = {
    "paper_id": "7",
    "title": "On p53",
    "pdf_parse": {"abstract": [{"text": "Short."}], "body_text": PARAGRAPHS},
}
CORD_19 = {"paper_id": "7", "metadata": {"title": "On p53"}, "abstract": [{"text": "Short."}], "body_text": PARAGRAPHS}
PLAIN = {"id": "7", "title": "On p53", "abstract": "Short.", "body_text": "We ask.\n\nWe find."}
S2ORC_2023 = {
    "corpusid": 7,
    "content": {"text": "On p53\n\nShort.\n\nWe ask.\n\nWe find.", "annotations": {"title": "x"}},
}
WHOLE = "On p53\n\nShort.\n\nWe ask.\n\nWe find."


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "papers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("paper", [S2ORC_2020, CORD_19, PLAIN, S2ORC_2023], ids=["2020", "cord", "plain", "2023"])
def test_papers_of_all_layouts(tmp_path: Path, paper: dict[str, Any]) -> None:
    (record,) = read_text_records(write(tmp_path, paper))
    assert (record.id, record.text) == ("7", WHOLE)


def test_the_named_field_comes_first_and_may_lie_inside_others(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN | {"text": "this", "a": {"b": {"c": "that"}, "d.e": "else"}})
    assert list(read_texts(path)) == ["this"]
    assert list(read_texts(path, field="a.b.c")) == ["that"]
    assert list(read_texts(path, field="a.x")) == [WHOLE]


def test_a_paper_without_a_word_is_left_out(tmp_path: Path) -> None:
    assert list(read_texts(write(tmp_path, {"abstract": [], "body_text": []}, PLAIN))) == [WHOLE]


@pytest.mark.parametrize("odd", [{"title": "no paper"}, {"content": ["words"]}, {"metadata": 3}, {"pdf_parse": None}])
def test_what_is_no_paper_is_refused_or_set_aside(tmp_path: Path, odd: dict[str, Any]) -> None:
    path = write(tmp_path, PLAIN, odd)
    with pytest.raises(FormatError, match=r"papers\.jsonl:2: no column 'text'"):
        list(read_texts(path))
    rejects: list[Reject] = []
    assert [record.text for record in read_text_records(path, on_reject=rejects.append)] == [WHOLE]
    assert rejects == [Reject("", f"{path}:2", "no column 'text'")]
