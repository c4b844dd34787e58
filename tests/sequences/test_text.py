import lzma

import pytest

from llama_gene.errors import FormatError
from llama_gene.sequences.text import read_texts


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "\n \n", "no text in it"),
        ("a.jsonl", '{"text": "a"}\n{"body": "b"}\n', r"a\.jsonl:2: no column 'text'\s+.*columns: body"),
        ("a.jsonl", '{"text": ["b"]}\n', r"a\.jsonl:1: 'text' is not text"),
        ("a.jsonl", '{"text": "a"}\nplain\n', r"a\.jsonl:2: not valid JSON"),
        ("a.jsonl", '{"text": "\\ud800"}\n', r"a\.jsonl:1: half of a surrogate pair"),
    ],
)
def test_invalid_raises(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(FormatError, match=message):
        list(read_texts(path))


def test_plain_text(tmp_path):
    path = tmp_path / "a.txt.xz"
    path.write_bytes(lzma.compress(" One sentence.\r\n\nAnother – one.".encode()))
    assert list(read_texts(path)) == ["One sentence.", "Another – one."]


def test_jsonl(tmp_path):
    path = tmp_path / "a"
    path.write_text('{"id": 1, "text": "One\\ntwo", "body": "b"}\n{"text": "", "body": "c"}\n')
    assert list(read_texts(path)) == ["One\ntwo"]
    assert list(read_texts(path, field="body")) == ["b", "c"]


def test_a_brace_does_not_make_json(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("{a set} of words\n")
    assert list(read_texts(path)) == ["{a set} of words"]
