"""The data folder: where a file lies while it comes, how it gets its name, and the record ``fetched.json``.

What has not come whole lies in a folder ``.fetch`` beside its place: on the disk it has to be on, and where no
pattern of a recipe finds it.
"""

import datetime
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from llama_gene.errors import LlamaGeneError
from llama_gene.files import disk_errors, hash_file, read_json, write_json
from llama_gene.sequences.compression import open_bytes

RECORD = "fetched.json"
STAGING = ".fetch"
_PACKED = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00", ".zst": b"\x28\xb5\x2f\xfd", ".zip": b"PK"}
_WEB_PAGE = (b"<!doctype html", b"<html")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of a file have to add up to.

    Attributes:
        kind: ``sha256``, ``md5``, or ``git``: the id of a git blob, as the hub gives for small files.
        value: Hexadecimal, in lower case.
    """

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Remote:
    """One file as it is at its origin.

    Attributes:
        path: Where it has to lie, relative to the data root.
        origin: Where it is.
        size: Bytes to bring; None where the server does not say.
        checksum: None where the server publishes none.
        version: What changes when the file does: ETag, date, or commit; None where the server gives none.
        licence: As the catalogue says.
    """

    path: str
    origin: str
    size: int | None
    checksum: Checksum | None
    version: str | None
    licence: str


class DataFolder:
    """A data root and its record of what was fetched.

    Args:
        root: What paths are relative to; it is made when something comes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def target(self, path: str) -> Path:
        """Where a file has to lie.

        Raises:
            LlamaGeneError: That would be outside of the data root.
        """
        parts = PurePosixPath(path).parts
        if path.startswith("/") or "\\" in path or not parts or ".." in parts:
            hint = "paths are relative to the data root, and have no .."
            raise LlamaGeneError(f"not a place in the data root: {path!r}", where=self.root, hint=hint)
        return self.root / path

    def staged(self, path: str) -> Path:
        """Where a file lies while it comes."""
        target = self.target(path)
        return target.parent / STAGING / f"{target.name}.part"

    def record_of(self, path: str) -> dict[str, Any] | None:
        """What is known of a fetched file: origin, size, sha256, date, licence, and what it was checked by."""
        record: dict[str, Any] | None = self._records().get(path)
        return record

    def verify(self, path: str, origin: str) -> bool:
        """Whether a file was fetched from `origin` before, and is what it was then.

        Raises:
            LlamaGeneError: It is another file by now, or was fetched from somewhere else.
        """
        record, target = self.record_of(path), self.target(path)
        if record is None or not target.is_file():
            return False
        hint = "move it away, and it is fetched anew"
        if record["origin"] != origin:
            raise LlamaGeneError(f"there already, from {record['origin']}", where=target, hint=hint)
        if target.stat().st_size != record["size"] or hash_file(target) != record["sha256"]:
            raise LlamaGeneError(f"not what was fetched on {record['date']}: it has changed", where=target, hint=hint)
        return True

    def adopt(self, remote: Remote) -> bool:
        """Record a file that somebody put in its place by hand, if it is the one at the origin.

        Raises:
            LlamaGeneError: There is a file, and it is another one.
        """
        target = self.target(remote.path)
        if not target.is_file():
            return False
        try:
            size = None if "#" in remote.origin else remote.size  # that of its archive
            self._note(remote, target, check(target, remote, size, remote.path))
        except LlamaGeneError as error:
            hint = f"it is in the way of {remote.origin}: move it away"
            raise LlamaGeneError(f"a file that is there already: {error.problem}", where=target, hint=hint) from None
        return True

    def publish(self, staged: Path, remote: Remote, size: int | None) -> None:
        """Give a file that has come whole its place and its record.

        Args:
            staged: Where it lies.
            remote: What it has to be.
            size: Bytes that it has to have, None if that is not known.

        Raises:
            LlamaGeneError: It is not what it has to be; it is kept beside, and the message says where.
        """
        target = self.target(remote.path)
        try:
            checked_by = check(staged, remote, size, remote.path)
        except LlamaGeneError as error:
            bad = staged.with_suffix(".bad")
            staged.replace(bad)
            hint = f"what came is kept as {bad}; the same command fetches it anew"
            raise LlamaGeneError(error.problem, where=remote.origin, hint=hint) from None
        with writing(target):
            with staged.open("rb+") as file:
                sync(file)
            staged.replace(target)
            self._note(remote, target, checked_by)
        with suppress(OSError):  # something else is on its way there
            staged.parent.rmdir()

    def _note(self, remote: Remote, target: Path, checked_by: str) -> None:
        record = {
            "origin": remote.origin,
            "version": remote.version,
            "size": target.stat().st_size,
            "sha256": hash_file(target),
            "checked": checked_by,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "licence": remote.licence,
        }
        write_json(self.root / RECORD, {**self._records(), remote.path: record})

    def _records(self) -> dict[str, Any]:
        file = self.root / RECORD
        records: dict[str, Any] = read_json(file) if file.exists() else {}
        return records


def sync(file: Any) -> None:
    """Wait until what was written to an open file is on disk."""
    import os

    file.flush()
    os.fsync(file.fileno())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """`disk_errors` with what helps here: what has come is not lost."""
    try:
        with disk_errors(path):
            yield
    except LlamaGeneError as error:
        if isinstance(error.__cause__, OSError):
            hint = "what has come is kept: mend that, or choose another --root, and run the same command again"
            raise LlamaGeneError(error.problem, where=path, hint=hint) from error.__cause__
        raise


def check(file: Path, remote: Remote, size: int | None, name: str) -> str:
    """Whether `file` is what it has to be.

    Args:
        file: Where it lies.
        remote: Its checksum, if there is one.
        size: Its bytes, if that is known.
        name: The name that it is to have; its suffix says what it is.

    Returns:
        What it was checked by.

    Raises:
        LlamaGeneError: It is not; the problem says what differs.
    """
    length = file.stat().st_size
    if size is not None and length != size:
        raise LlamaGeneError(f"{length:,} bytes instead of {size:,}")
    with file.open("rb") as handle:
        head = handle.read(64).lstrip().lower()
    magic = _PACKED.get(PurePosixPath(name).suffix)
    if head.startswith(_WEB_PAGE) or (magic and not head.startswith(magic.lower())):
        raise LlamaGeneError(f"not a {PurePosixPath(name).suffix} file, but something else that the server sent")
    if remote.checksum is not None:
        found = _sum(file, remote.checksum.kind)
        if found != remote.checksum.value:
            raise LlamaGeneError(f"its {remote.checksum.kind} is {found}, and has to be {remote.checksum.value}")
        return remote.checksum.kind
    if magic and not name.endswith(".zip"):
        read_through(file)
        return "unpacking"
    return "nothing" if size is None else "size"


def read_through(file: Path) -> None:
    """Unpack a file once, so that what it holds of a check sum is compared.

    Raises:
        FormatError: It is damaged or truncated.
    """
    with open_bytes(file) as stream:
        while stream.read(_BLOCK):
            pass


def _sum(file: Path, kind: str) -> str:
    digest = hashlib.sha1(usedforsecurity=False) if kind == "git" else hashlib.new(kind, usedforsecurity=False)
    if kind == "git":
        digest.update(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
