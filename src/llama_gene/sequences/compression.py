"""Open a file, plain or compressed, or standard input; whatever is wrong with it becomes a `FormatError`.

The compression is found by the first bytes and not by the name, because names lie: browsers unpack ``.gz`` in passing.
"""

import bz2
import codecs
import difflib
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from llama_gene.errors import FormatError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_COMPRESSION_SUFFIXES = {*_MAGIC.values(), ".gzip", ".bgz", ".zstd"}
_NUM_MAGIC = max(map(len, _MAGIC))
_BUFFER = 1 << 20
# A kilobyte of zstd can unpack to 32 MB at most, and its decoder takes no limit: so it is fed by the kilobyte.
_ZSTD_INPUT = 1 << 10
# Sequences and tables pack to a tenth, the most repetitive to a fiftieth. What grows beyond this was made to fill a
# memory, or is nothing that one learns from.
_MOST_GROWTH = 500
_FREE_GROWTH = 1 << 28  # bytes that any file may unpack to


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a plain file that holds whole records, so that several processes can read one file.

    Args:
        start: Its first byte, from 0.
        stop: The byte after its last.
        lines: How many lines stand before it.
    """

    start: int
    stop: int
    lines: int


def display_name(path: str | Path) -> str:
    """What error messages call `path`.

    >>> display_name("-"), display_name("a.fa")
    ('standard input', 'a.fa')
    """
    return "standard input" if str(path) == "-" else str(path)


def data_suffix(path: str | Path) -> str:
    """The suffix that tells the format, in lower case: the one before that of the compression, or none.

    >>> data_suffix("reads.FASTQ.gz"), data_suffix("table.csv"), data_suffix("-")
    ('.fastq', '.csv', '')
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSION_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_compressed(head: bytes) -> bool:
    """Whether a file with these first bytes has to be unpacked.

    >>> is_compressed(b"BZh91AY"), is_compressed(b">chr1")
    (True, False)
    """
    return head.startswith((*_MAGIC, b"PK\x03\x04"))


@contextmanager
def open_bytes(path: str | Path, section: Section | None = None) -> Iterator[io.BufferedReader]:
    """Open `path` and unpack it while it is read; memory stays bounded.

    Args:
        path: A file that is plain, gz, bz2, xz or zst (also many members in a row); ``"-"`` is standard input.
        section: Read no more than this part of a plain file.

    Yields:
        A buffered reader of the unpacked bytes; ``peek`` gives the start of the data.

    Raises:
        FormatError: If the file is missing, a folder, unreadable, empty, truncated or damaged; also later, on reading.
    """
    name = display_name(path)
    with ExitStack() as stack:
        source = _open_source(path, stack)
        if section is not None:
            source.seek(section.start)
            source = cast(BinaryIO, _buffered(_Limited(source, section.stop - section.start)))
        head = source.read(_NUM_MAGIC)
        if not head:
            raise FormatError("the file is empty", where=name, hint="give a file with something in it")
        packed = _Joined(head, source)
        unpacked = _unpack(packed, head, name)
        stream = _buffered(_Guarded(unpacked, name, packed if is_compressed(head) else None))
        if not stream.peek(1):
            raise FormatError("the file is empty once it is unpacked", where=name, hint="make it again")
        yield stream


@contextmanager
def open_text(path: str | Path, *, newline: str | None = None) -> Iterator[TextIO]:
    """Like `open_bytes`, as UTF-8 text (a byte order mark is taken away).

    Args:
        path: As for `open_bytes`.
        newline: As for `open`; ``""`` leaves line ends as they are.

    Raises:
        FormatError: As `open_bytes`; also, with the line, for bytes that are not UTF-8.
    """
    with open_bytes(path) as stream:
        yield as_text(stream, display_name(path), newline=newline)


def as_text(stream: BinaryIO | io.BufferedReader, name: str, *, newline: str | None = None) -> TextIO:
    """The UTF-8 text in a byte stream; bytes that are not UTF-8 raise a `FormatError` with their line."""
    return io.TextIOWrapper(_buffered(_Utf8(stream, name)), encoding="utf-8-sig", newline=newline)


def not_utf8(name: str, line: int, start: bytes = b"") -> FormatError:
    """The error for bytes that are not UTF-8; `start` is the first bytes of the file or line."""
    encoding = "UTF-16" if start[:2] in {b"\xff\xfe", b"\xfe\xff"} else "LATIN1"
    hint = f"write it as UTF-8, for example: iconv -f {encoding} -t UTF-8 FILE > NEW"
    return FormatError("not UTF-8 text", where=f"{name}:{line}", hint=hint)


def _open_source(path: str | Path, stack: ExitStack) -> BinaryIO:
    name = display_name(path)
    if name != str(path):
        # Not put on the stack: standard input is not ours to close.
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(path).open("rb"))
    except FileNotFoundError:
        raise FormatError("no such file", where=name, hint=_nearest_file(Path(path))) from None
    except IsADirectoryError:
        raise FormatError("this is a folder, not a file", where=name, hint=f"name files in it: {name}/*") from None
    except PermissionError:
        raise FormatError("may not be read", where=name, hint=f"allow it: chmod u+r {name}") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be opened ({error})", where=name, hint="check the path") from None


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    try:
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.iterdir()], n=1)
    except OSError:
        near = []
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"


def _unpack(source: io.RawIOBase, head: bytes, name: str) -> BinaryIO:
    if head.startswith(b"PK\x03\x04"):
        raise FormatError("a zip archive", where=name, hint=f"unpack it first: unzip {name}")
    buffered = _buffered(source)
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            return _decoder(suffix, buffered, name)
        # A compressed file cut within its magic number would otherwise pass for a very short plain one.
        if len(head) < len(magic) and magic.startswith(head) and name.endswith(suffix):
            raise _truncated(name)
    return cast(BinaryIO, buffered)


def _decoder(suffix: str, source: io.BufferedReader, name: str) -> BinaryIO:
    if suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=source, mode="rb"))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.BZ2File(source))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(source))
    return cast(BinaryIO, _buffered(_Zstd(source, name)))


def _buffered(source: io.RawIOBase) -> io.BufferedReader:
    # The type stubs make BufferedReader generic over its source, which says nothing here.
    return cast(io.BufferedReader, io.BufferedReader(source, _BUFFER))


def _truncated(name: str) -> FormatError:
    return FormatError("the compressed file is truncated", where=name, hint="copy or download it again")


class _Joined(io.RawIOBase):
    """The bytes already read from a stream that cannot seek back, then the rest of it.

    Attributes:
        num_bytes: How many were read.
    """

    def __init__(self, head: bytes, source: BinaryIO) -> None:
        self._head = head
        self._source = source
        self.num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        data = self._head[: len(view)] or self._source.read(len(view))
        self._head = self._head[len(data) :]
        self.num_bytes += len(data)
        view[: len(data)] = data
        return len(data)


class _Limited(io.RawIOBase):
    """The next `length` bytes of a stream."""

    def __init__(self, source: BinaryIO, length: int) -> None:
        self._source = source
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        data = self._source.read(min(len(view), self._left))
        self._left -= len(data)
        view[: len(data)] = data
        return len(data)


class _Guarded(io.RawIOBase):
    """Turns what the decoders raise on a broken file into an error that names the file, and stops at bombs.

    Args:
        source: The unpacked bytes.
        name: What messages call the file.
        packed: Where they come from, if they were packed.
    """

    def __init__(self, source: BinaryIO, name: str, packed: _Joined | None) -> None:
        self._source = source
        self._name = name
        self._packed = packed
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        try:
            data = self._source.read(len(view))
        except EOFError:
            raise _truncated(self._name) from None
        except (OSError, zlib.error, lzma.LZMAError) as error:
            # Decoders raise OSErrors without a number; one with a number comes from the disk.
            if isinstance(error, OSError) and error.errno is not None:
                raise FormatError(
                    f"cannot be read ({error.strerror})", where=self._name, hint="check the disk"
                ) from None
            hint = "copy or download it again"
            raise FormatError(f"the compressed file is damaged ({error})", where=self._name, hint=hint) from None
        self._num_bytes += len(data)
        if self._packed and self._num_bytes > max(_FREE_GROWTH, _MOST_GROWTH * self._packed.num_bytes):
            hint = "if that is what it is meant to hold, unpack it first"
            raise FormatError(f"it unpacks to more than {_MOST_GROWTH} times its size", where=self._name, hint=hint)
        view[: len(data)] = data
        return len(data)


class _Zstd(io.RawIOBase):
    """Unpacks zstd frames. The library's own reader ends silently where a file is cut; this one raises EOFError."""

    def __init__(self, source: BinaryIO | io.BufferedReader, name: str) -> None:
        try:
            import zstandard
        except ImportError:
            hint = "pip install zstandard, or unpack it first: zstd -d FILE"
            raise FormatError("zst files need the package zstandard", where=name, hint=hint) from None
        self._source = source
        self._frames = zstandard.ZstdDecompressor()
        self._error = zstandard.ZstdError
        self._frame = self._frames.decompressobj()
        self._inside = False
        self._packed = b""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        while not self._ready:
            if not self._next():
                return 0
        data, self._ready = self._ready[: len(view)], self._ready[len(view) :]
        view[: len(data)] = data
        return len(data)

    def _next(self) -> bool:
        packed = self._packed or self._source.read(_ZSTD_INPUT)
        self._packed = b""
        if not packed:
            if self._inside:
                raise EOFError
            return False
        try:
            self._ready = self._frame.decompress(packed)
        except self._error as error:
            raise OSError(str(error)) from None
        self._inside = not self._frame.eof
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame = self._frames.decompressobj()
        return True


class _Utf8(io.RawIOBase):
    """Passes bytes on and checks that they are UTF-8, so that the error can say the line."""

    def __init__(self, source: BinaryIO | io.BufferedReader, name: str) -> None:
        self._source = source
        self._name = name
        self._line = 1
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        data = self._source.read(len(view))
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line = self._line + error.object[: error.start].count(b"\n")
            raise not_utf8(self._name, line, bytes(error.object)) from None
        self._line += data.count(b"\n")
        view[: len(data)] = data
        return len(data)
