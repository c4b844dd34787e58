"""Files become documents, and every document knows where it stood."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_with
from hypothesis import strategies as st

from llama_gene.config import CorpusSettings
from llama_gene.corpus.source import Document, read_documents
from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.sequences.read import Reject
from nano import dna


def read(path: Path, kind: str, **changes: Any) -> tuple[list[Document], list[Reject]]:
    source = {"name": "s", "kind": kind, "files": [path.name], "both_strands": changes.pop("both_strands", False)}
    settings = CorpusSettings(**{"source": [source], "window": 50, "min_length": 4} | changes)
    rejects: list[Reject] = []
    return list(read_documents(settings.source[0], path, None, settings, rejects.append)), rejects


def test_a_chromosome_is_split_at_n_and_windowed(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    left, right = dna(120, 1), dna(52, 2)
    path.write_text(f">chr1 some words\nNN{left}NNNNN{right.lower()}RACG\n>n\nNNN\n")
    documents, rejects = read(path, "dna")
    assert [(d.record, d.start, d.end) for d in documents] == [
        ("chr1", 2, 52), ("chr1", 52, 102), ("chr1", 102, 122), ("chr1", 127, 177),
    ]  # fmt: skip
    assert "".join(d.content for d in documents) == left + right[:50]
    assert [(reject.id, reject.reason) for reject in rejects] == [("n", "no clean run of min_length = 4 bases")]


@run_with(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.text("ACGTN", min_size=1, max_size=400), min_length=st.integers(2, 60), both=st.booleans())
def test_coordinates_give_back_the_letters(tmp_path: Path, sequence: str, min_length: int, both: bool) -> None:
    path = tmp_path / "a.fa"
    path.write_text(f">r\n{sequence}\n")
    documents, _ = read(path, "dna", min_length=min_length, both_strands=both)
    covered: list[int] = []
    for document in documents:
        start, end = document.start, document.end
        if start < end:
            assert document.content == sequence[start:end]
            covered += range(start, end)
        else:
            assert both
            assert document.content == reverse_complement(sequence[end:start])
        assert min_length <= abs(end - start) == len(document.content) <= 50
    assert len(set(covered)) == len(covered)
    assert len(documents) == (2 if both else 1) * sum(d.start < d.end for d in documents)


def test_a_protein_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text(f">p\n{'MKXLV' * 30}\n>q\nMK\n")
    documents, rejects = read(path, "protein")
    assert [(d.record, d.start, d.end) for d in documents] == [("p", 0, 150)]
    assert rejects == [Reject("q", str(path), "shorter than min_length = 4")]


def test_text_is_measured_in_bytes_and_bad_papers_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "p1", "text": "p53 – <dna>"}\n{"body": "x"}\n{"text": "y"}\n', encoding="utf-8")
    documents, rejects = read(path, "text")
    assert documents == [Document("p1", 0, 14, "p53 – < dna>", 1), Document("a.jsonl:3", 0, 1, "y")]
    assert rejects == [Reject("", f"{path}:2", "no column 'text'")]


@pytest.mark.parametrize("kind", ["protein", "text"])
def test_only_dna_has_strands(kind: str) -> None:
    with pytest.raises(ValueError, match="has no reverse complement"):
        CorpusSettings(source=[{"name": "s", "kind": kind, "files": ["a"], "both_strands": True}])  # type: ignore[list-item]
