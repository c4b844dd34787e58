import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.files import (
    atomic_folder,
    atomic_path,
    disk_errors,
    hash_value,
    read_json,
    read_object,
    write_json,
    write_sealed,
    write_text,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """As on a disk with so much room: what is written beyond gets EFBIG, from Python, Rust and C++ alike."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_raises_with_a_way_out_and_leaves_the_old_file(tmp_path: Path, number: int) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(LlamaGeneError, match=r"report\.json: no space left to write\n  free some space"):  # noqa: PT012, SIM117
        with atomic_path(path) as draft:
            draft.write_text("half")
            raise OSError(number, os.strerror(number))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_one_may_not_write_to_raises_with_a_way_out(tmp_path: Path, number: int) -> None:
    with pytest.raises(LlamaGeneError, match="may not write here\n  choose another --output"), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_any_other_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), disk_errors(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(ValueError, match="7"), disk_errors(tmp_path):
        raise ValueError("7")
    with pytest.raises(RuntimeError, match="Reader"), disk_errors(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc:1] PytorchStreamReader failed")
    with pytest.raises(FormatError, match="os error 28"), disk_errors(tmp_path):
        raise FormatError("ours already (os error 28)")


def write_torch(path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(100_000)}, path)


def write_safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(100_000)}, path)


def write_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE(vocab={str(i): i for i in range(20_000)}, merges=[])).save(str(path))


@pytest.mark.parametrize(
    "write",
    [write_torch, write_safetensors, write_tokenizer, lambda path: path.write_bytes(bytes(100_000))],
    ids=["torch", "safetensors", "tokenizers", "python"],
)
def test_a_disk_that_fills_up_under_a_library_says_so_too(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(LlamaGeneError, match="no space left"), atomic_folder(tmp_path / "model") as draft:  # noqa: SIM117
        with files_of_at_most(50_000):
            write(draft / "weights")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "deep" / "file") as draft:  # noqa: PT012
        draft.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "deep" / "folder") as draft:  # noqa: PT012
        (draft / "inner").mkdir()
        (draft / "inner" / "file").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_folder_replaces_the_old_one_only_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with atomic_folder(folder) as draft:
        (draft / "a").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as draft:  # noqa: PT012
        (draft / "b").write_text("2")
        raise ZeroDivisionError
    assert [path.name for path in folder.iterdir()] == ["a"]
    with atomic_folder(folder) as draft:
        (draft / "c").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["c"]


def test_what_a_killed_process_of_our_number_left_is_no_hindrance(tmp_path: Path) -> None:
    # In a container every run may have the same process number.
    left = tmp_path / f".{os.getpid()}.part.model"
    left.mkdir()
    (left / "half").write_text("half")
    with atomic_folder(tmp_path / "model") as draft:
        (draft / "whole").write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "whole"]


def test_the_final_name_appears_last(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv.gz"
    with atomic_path(path) as draft:
        assert draft.name.endswith(".csv.gz")
        draft.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_json_that_is_missing_or_broken_raises_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    for broken in (b"{", b"\xff\xfe", b""):
        (tmp_path / "broken.json").write_bytes(broken)
        with pytest.raises(FormatError, match=r"broken\.json: not valid JSON"):
            read_json(tmp_path / "broken.json")


@given(value=json_values)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "Größe 🧬\n")
    assert (tmp_path / "a").read_bytes() == "Größe 🧬\n".encode()


@given(values=st.dictionaries(st.text(), json_values, min_size=2, max_size=4))
def test_hashes_follow_the_value_and_not_its_order(values: dict[str, object]) -> None:
    assert hash_value(dict(reversed(values.items()))) == hash_value(values) != hash_value([values])


def test_a_seal_holds_what_is_written(tmp_path: Path) -> None:
    path, value = tmp_path / "a.json", {"b": [1, 0.5, None], "c": {"d": "e"}}
    write_sealed(path, value)
    assert read_json(path) == read_object(path, "b", "c") == value
    with pytest.raises(FormatError, match=r"a\.json: not the JSON object that belongs here, with x"):
        read_object(path, "x")
    path.write_text(path.read_text().replace("0.5", "0.25"))
    with pytest.raises(FormatError, match=r"a\.json: it was changed after it was written, or damaged"):
        read_json(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{", ""])
def test_what_is_no_json_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FormatError, match=r"cannot be read \(Is a directory\)"):
        read_json(tmp_path)
