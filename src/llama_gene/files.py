"""Files that are whole or absent: atomic writes, content hashes, and what to say when the disk is full."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError, LlamaGeneError

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SEAL = "seal"
_MAKE_IT_AGAIN = "it was written by something else, or damaged; make it again"
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder one may not write to into an error that names `path` and the way out."""
    try:
        yield
    except LlamaGeneError:
        raise
    except Exception as error:
        number = _errno_of(error)
        if number in _FULL_DISK:
            hint = "free some space, or choose another --output, and run the same command again"
            raise LlamaGeneError("no space left to write", where=path, hint=hint) from error
        if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise LlamaGeneError("may not write here", where=path, hint="choose another --output") from error
        if number in {errno.EEXIST, errno.EISDIR, errno.ENOTDIR}:
            problem = "a file or folder that is there already is in the way"
            raise LlamaGeneError(problem, where=path, hint="choose another --output") from error
        raise


def _errno_of(error: Exception) -> int | None:
    """The error number of the operating system behind `error`, also where a library hides it in words."""
    if isinstance(error, OSError):
        return error.errno
    # safetensors and tokenizers write from Rust.
    if found := _RUST_ERROR.search(str(error)):
        return int(found[1])
    # torch.save says no more than that less was written than it meant to write.
    if isinstance(error, RuntimeError) and "inline_container.cc" in str(error) and "Reader" not in str(error):
        return errno.ENOSPC
    return None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write a file to; it gets its final name only if the block succeeds.

    The bytes are on disk before the rename, so a reader sees the old file, or the new one, and never a part of it.
    """
    # The suffixes stay at the end, so that writers which choose a format by name still do.
    draft = path.with_name(f".{os.getpid()}.part.{path.name}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            publish(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def publish(draft: Path, path: Path) -> None:
    """Give a finished file its final name, once its bytes are on disk."""
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling folder of `path`, renamed to `path` (which it replaces) only if the block succeeds."""
    draft = path.with_name(f".{os.getpid()}.part.{path.name}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # One may be left by a killed process with this number: in a container it is the same each time.
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            yield draft
            for file in draft.rglob("*"):
                if file.is_file():
                    _sync(file)
            if path.exists():
                shutil.rmtree(path)
            draft.replace(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Like `write_json`, of an object that gets a ``seal``, the hash of all else in it, which `read_json` checks."""
    write_json(path, seal(value))


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` with the hash of what will be read back of it."""
    return {**value, _SEAL: hash_value(json.loads(json.dumps(value)))}


def unseal(value: Any, where: str | Path) -> Any:
    """`value` without its seal, if it has one.

    Raises:
        FormatError: The seal is not that of the rest: some of it was changed.
    """
    if isinstance(value, dict) and _SEAL in value and value.pop(_SEAL) != hash_value(value):
        raise FormatError("it was changed after it was written, or damaged", where=where, hint=_MAKE_IT_AGAIN)
    return value


def read_json(path: Path) -> Any:
    """Read a JSON file of ours; a missing, broken or changed one is an error that names it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError("no such file", where=path) from None
    except OSError as error:
        raise FormatError(f"it cannot be read ({error.strerror})", where=path) from None
    # Neither ever ends in a JSONDecodeError: an integer of thousands of digits, and a list in thousands of lists.
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not valid JSON ({error})", where=path, hint=_MAKE_IT_AGAIN) from None
    return unseal(value, path)


def read_object(path: Path, *keys: str) -> dict[str, Any]:
    """Like `read_json`, of an object that has at least `keys`."""
    value = read_json(path)
    if not isinstance(value, dict) or not set(keys) <= value.keys():
        problem = "not the JSON object that belongs here" + (f", with {', '.join(keys)}" if keys else "")
        raise FormatError(problem, where=path, hint=_MAKE_IT_AGAIN)
    return value


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_value(value: Any) -> str:
    """The SHA-256 of a JSON value in canonical form, as hexadecimal.

    >>> hash_value({"a": 1, "b": 2}) == hash_value({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
