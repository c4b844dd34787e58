"""Files over https: a transfer that was cut goes on where it stopped, and begins anew if the file has changed since.

The standard library does it: `http_get` of huggingface_hub resumes without asking whether the file is still the same,
and fsspec needs aiohttp for this, which nothing else here wants.
"""

import fcntl
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urldefrag

from llama_gene.errors import LlamaGeneError
from llama_gene.fetch.catalogue import Wanted
from llama_gene.fetch.connection import open_address, patiently
from llama_gene.fetch.folder import Checksum, Remote, writing
from llama_gene.files import read_json, write_json
from llama_gene.progress import Progress

_NO_HEAD = {405, 501}
_BLOCK = 1 << 18
_LONGEST_LIST = 1 << 24  # bytes of a list of checksums


def mirrored(address: str, mirror: str | None) -> str:
    """Where a mirror has the file: in a folder with the name of its host, as ``wget -x`` lays files out.

    >>> mirrored("https://ftp.ensembl.org/pub/a.fa.gz", "https://mirror.lab/genomes/")
    'https://mirror.lab/genomes/ftp.ensembl.org/pub/a.fa.gz'
    """
    return address if mirror is None else f"{mirror.rstrip('/')}/{address.partition('://')[2]}"


def probe(wanted: Wanted, target: Path, mirror: str | None) -> Remote:
    """Ask a server for the size of a file, and for its checksum where it publishes one.

    Args:
        wanted: The file; of a member of an archive the archive is asked for.
        target: Where it has to lie, for what messages say.
        mirror: The address of a mirror.

    Raises:
        LlamaGeneError: The server cannot be reached, or does not give the file.
    """
    address = mirrored(urldefrag(wanted.origin).url, mirror)

    def ask() -> tuple[int | None, str | None]:
        try:
            with open_address(address, method="HEAD") as answer:
                length = None if _is_packed(answer.headers) else _length(answer.headers)
                return length or None, _version(answer.headers)  # what is made while it is sent may say 0
        except HTTPError as error:
            if error.code in _NO_HEAD:
                return None, None
            raise

    size, version = patiently(ask, address, target)
    checksum = None
    if wanted.checksums is not None:
        checksum = _checksums(mirrored(wanted.checksums, mirror), target).get(address.rpartition("/")[2])
    return Remote(wanted.path, wanted.origin, size, checksum, version, wanted.licence)


def download(remote: Remote, part: Path, target: Path, mirror: str | None, report: Progress) -> bool:
    """Bring a file, or the rest of it.

    Args:
        remote: The file.
        part: Where it is written, and where some of it may lie already.
        target: Where it has to lie in the end, for what messages say.
        mirror: The address of a mirror.
        report: Gets the bytes that are there.

    Returns:
        Whether the server had packed what it sent, so that `unpack` has to follow.

    Raises:
        LlamaGeneError: The server does not give it, or the disk is full; what has come stays in `part`.
    """
    address = mirrored(urldefrag(remote.origin).url, mirror)
    with writing(target):
        part.parent.mkdir(parents=True, exist_ok=True)
    with _owned(part, target) as file:
        transfer = _Transfer(address, part, file, target, report)
        return patiently(lambda: transfer.go_on(remote.version), address, target, lambda: part.stat().st_size)


def forget(part: Path) -> None:
    """Remove what is known of the transfer to `part`: it is done, or has to begin anew."""
    _state_of(part).unlink(missing_ok=True)


def unpack(part: Path, target: Path) -> None:
    """Undo the packing of a server (``Content-Encoding: gzip``) in place."""
    forget(part)  # what is told of the packed bytes does not hold for the plain ones
    plain = part.with_suffix(".plain")
    try:
        with writing(target), gzip.open(part) as packed, plain.open("wb") as file:
            while block := packed.read(_BLOCK):
                file.write(block)
        plain.replace(part)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        part.unlink()
        hint = "it is taken away; run the same command again"
        raise LlamaGeneError(f"what the server sent cannot be unpacked ({error})", where=target, hint=hint) from None
    finally:
        plain.unlink(missing_ok=True)


class _Transfer:
    """One file on its way, over as many connections as it takes."""

    def __init__(self, address: str, part: Path, file: IO[bytes], target: Path, report: Progress) -> None:
        self._address = address
        self._state = _state_of(part)
        self._file = file
        self._target = target
        self._report = report

    def go_on(self, version: str | None) -> bool:
        """Bring the rest of that version, or the file as it is now; whether it came packed."""
        start, before = self._file.seek(0, 2), self._before()
        if start and start == before.get("size") and version == before["version"]:
            return bool(before["packed"])
        wanted = {"Range": f"bytes={start}-", "If-Range": before["version"]} if start and before else {}
        try:
            with open_address(self._address, wanted) as answer:
                return self._receive(answer, start, before)
        except HTTPError as error:
            if error.code == 416 and start:  # the file has become shorter
                self._file.truncate(0)
                raise ConnectionError("it has changed") from None
            raise

    def _receive(self, answer: HTTPResponse, start: int, before: Mapping[str, Any]) -> bool:
        version = _version(answer.headers)
        if answer.status == 206:
            if version != before["version"] or not _begins_at(answer.headers, start):
                self._file.truncate(0)
                raise ConnectionError("the server sent another part than it was asked for")
        else:
            start = 0
            self._file.truncate(0)
        length, packed = _length(answer.headers), _is_packed(answer.headers)
        total = None if length is None else start + length
        state = {"address": self._address, "version": version, "size": total, "packed": packed}
        with writing(self._target):
            write_json(self._state, state)
        done = start
        while block := answer.read(_BLOCK):
            with writing(self._target):
                _write(self._file, block)
            done += len(block)
            self._report(done)
        if total is not None and done < total:
            raise ConnectionError(f"cut after {done:,} of {total:,} bytes")
        return packed

    def _before(self) -> dict[str, Any]:
        """What is known of the bytes that lie here; nothing if they cannot be gone on with."""
        state: dict[str, Any] = read_json(self._state) if self._state.exists() else {}
        return state if state.get("address") == self._address and state.get("version") else {}


def _state_of(part: Path) -> Path:
    return part.with_suffix(".state")


def _version(headers: Message) -> str | None:
    """What changes when the file does, in a form that ``If-Range`` takes; a weak ETag is not one."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _length(headers: Message) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def _is_packed(headers: Message) -> bool:
    return headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip")


def _begins_at(headers: Message, start: int) -> bool:
    return headers.get("Content-Range", "").startswith(f"bytes {start}-")


@contextmanager
def _owned(part: Path, target: Path) -> Iterator[IO[bytes]]:
    """The open file, for this process alone: two that wrote to it would mix their bytes."""
    with writing(target):
        file = part.open("ab", buffering=0)  # so that what has come is on its way to the disk, whatever happens next
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LlamaGeneError("another process is fetching this file", where=target, hint="wait for it") from None
        yield file


def _write(file: IO[bytes], block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def _checksums(address: str, target: Path) -> dict[str, Checksum]:
    """The checksums in a list of a server, by file name: a metalink, or lines as ``md5sum`` writes them."""

    def ask() -> str:
        with open_address(address) as answer:
            return answer.read(_LONGEST_LIST).decode("utf-8", "replace")

    text = patiently(ask, address, target)
    pairs = re.findall(r"^([0-9a-fA-F]{32}|[0-9a-fA-F]{64}) [ *](?:\./)?(\S+)$", text, re.MULTILINE)
    for entry in re.findall(r"<file name=\"[^\"]+\">.*?</file>", text, re.DOTALL):
        name = re.match(r"<file name=\"([^\"]+)\"", entry)
        found = re.search(r"<hash type=\"md5\">([0-9a-fA-F]{32})</hash>", entry)
        if name and found:
            pairs.append((found[1], name[1]))
    return {name: Checksum("md5" if len(value) == 32 else "sha256", value.lower()) for value, name in pairs}
