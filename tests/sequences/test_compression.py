import bz2
import gzip
import io
import lzma
import os
import random
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import data_suffix, open_bytes, open_text

PACK = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
packed_suffixes = pytest.mark.parametrize("suffix", [suffix for suffix in PACK if suffix])
DATA = random.Random(0).randbytes(3000)


def read_all(path):
    with open_bytes(path) as stream:
        return stream.read()


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "reads.fa").write_text(">x\nACGT\n")
    with pytest.raises(FormatError, match=r"raeds\.fa: no such file\s+did you mean .*reads\.fa"):
        read_all(tmp_path / "raeds.fa")
    with pytest.raises(FormatError, match=r"no such file\s+there is no folder"):
        read_all(tmp_path / "nowhere" / "reads.fa")


def test_folder_empty_and_zip(tmp_path):
    with pytest.raises(FormatError, match="this is a folder"):
        read_all(tmp_path)
    path = tmp_path / "a"
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="the file is empty"):
        read_all(path)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(FormatError, match="empty once it is unpacked"):
        read_all(path)
    path.write_bytes(b"PK\x03\x04....")
    with pytest.raises(FormatError, match="zip archive"):
        read_all(path)
    with pytest.raises(FormatError, match="cannot be opened"):
        read_all("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(FormatError, match="may not be read"):
        read_all(path)


@packed_suffixes
def test_a_file_cut_anywhere_is_an_error(tmp_path, suffix):
    packed = PACK[suffix](DATA)
    path = tmp_path / f"a{suffix}"
    for length in [*range(40), *range(40, len(packed), 37), *range(len(packed) - 20, len(packed))]:
        path.write_bytes(packed[:length])
        with pytest.raises(FormatError, match=rf"a\{suffix}: .*(truncated|damaged|empty)"):
            read_all(path)


@packed_suffixes
def test_a_damaged_file_is_an_error(tmp_path, suffix):
    packed = bytearray(PACK[suffix](b"ACGT" * 500))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "a"
    path.write_bytes(packed)
    # zstd frames made without a checksum may unpack to something else; that cannot be seen here.
    if suffix != ".zst":
        with pytest.raises(FormatError, match=r"damaged|truncated"):
            read_all(path)


def test_garbage_in_zstd(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(zstandard.compress(DATA) + b"garbage")
    with pytest.raises(FormatError, match="damaged"):
        read_all(path)


def test_text_that_is_not_utf8_names_the_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("eins\nzwölf\nfünf\n".encode("latin-1"))
    with pytest.raises(FormatError, match=r"a\.txt:2: not UTF-8 text\s+.*LATIN1"), open_text(path) as text:
        text.read()
    path.write_text("x" * 3_000_000 + "\n" * 7 + "ä\n", encoding="utf-8")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(FormatError, match=r"a\.txt:8: not UTF-8"), open_text(path) as text:
        text.read()
    path.write_text("id,sequence", encoding="utf-16")
    with pytest.raises(FormatError, match="UTF-16"), open_text(path) as text:
        text.read()


@pytest.mark.parametrize("suffix", PACK)
def test_the_name_does_not_matter_and_members_are_joined(tmp_path, suffix):
    path = tmp_path / "no_suffix"
    path.write_bytes(PACK[suffix](b"one\n") + PACK[suffix](DATA * 1000))
    assert read_all(path) == b"one\n" + DATA * 1000


@pytest.mark.parametrize("suffix", PACK)
def test_standard_input_stays_open(monkeypatch, suffix):
    stream = io.BytesIO(PACK[suffix]("änd\n".encode()))
    stream.seekable = lambda: False
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    with open_text("-") as text:
        assert text.read() == "änd\n"
    assert not stream.closed


def test_byte_order_mark_and_line_ends(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    with open_text(path) as text:
        assert list(text) == ["one\n", "two"]


@pytest.mark.parametrize(("name", "suffix"), [("a.b.fa.gz", ".fa"), ("a.CSV", ".csv"), ("a", ""), ("a.zst", "")])
def test_data_suffix(name, suffix):
    assert data_suffix(name) == suffix


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=1), min_size=1, max_size=4), st.sampled_from(sorted(PACK)))
def test_round_trip(tmp_path_factory, members, suffix):
    data = b"".join(members)
    if suffix == "" and data[:2] in {b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5", b"PK"}:
        return
    path = tmp_path_factory.mktemp("round") / "a"
    path.write_bytes(b"".join(map(PACK[suffix], members)))
    assert read_all(path) == data
