"""Whatever a file holds, a reader gives records, rejects or a `LlamaGeneError`; `make fuzz-readers` looks longer."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readers import READERS, SAMPLES, broken, fault

# What was found once, by the fuzzer or by hand: the reader, the file's name, its content.
FOUND: tuple[tuple[str, str, bytes], ...] = (
    ("variants", "a.vcf", b"chr1\t" + b"9" * 5000 + b"\t.\tA\tC\n"),
    ("records", "a.gb", b"LOCUS       A " + b"9" * 5000 + b" bp DNA\nORIGIN\n        1 acgt\n//\n"),
    ("recipe", "a.toml", b"seed = " + b"9" * 5000),
    ("recipe", "a.toml", b"name = " + b"[" * 3000),
    ("task file", "a.toml", b"decimals = " + b"9" * 5000),
    ("task file", "a.toml", b"labels = " + b"[" * 3000),
    ("pieces", "a.json", b'{"model": {"merges": ' + b"[" * 100_000),
    ("vocabulary", "a.json", b'{"kind": "dna", "size": ' + b"9" * 5000 + b"}"),
    ("vocabulary", "a.json", b'["kind"]'),
)


@pytest.mark.parametrize(("reader", "name", "content"), FOUND)
def test_what_was_found_once(reader: str, name: str, content: bytes, tmp_path: Path) -> None:
    assert fault(reader, name, content, tmp_path) is None


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_reads_its_own_samples_and_refuses_others(reader: str, tmp_path: Path) -> None:
    assert [name for name, content in SAMPLES.items() if fault(reader, name, content, tmp_path)] == []


def test_broken_files(tmp_path: Path) -> None:
    draw = random.Random(9)
    for _ in range(12):
        name, content = broken(draw)
        assert [(reader, problem) for reader in READERS if (problem := fault(reader, name, content, tmp_path))] == []


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from([*SAMPLES]), content=st.binary(max_size=400))
def test_arbitrary_bytes(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert [
            (reader, problem) for reader in READERS if (problem := fault(reader, name, content, Path(folder)))
        ] == []
