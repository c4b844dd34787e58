"""Objects of a JSON file one at a time, be it one object a line or one large array of them."""

import io
import json
from collections.abc import Iterator
from typing import Any, TextIO

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import as_text

_CHUNK = 1 << 16
_MAX_OBJECT = 1 << 26  # characters; a row of training data is a thousandth of that
_DECODER = json.JSONDecoder()


def scan_objects(stream: io.BufferedReader, name: str) -> Iterator[tuple[int, dict[str, Any]] | FormatError]:
    """The objects of a stream, each with the line it begins on; memory is bounded by the longest one.

    What is no object is yielded as its error, so that reading can go on.

    Args:
        stream: The unpacked bytes, at their start.
        name: What error messages call the file.

    Raises:
        FormatError: With file and line: neither an array nor lines of objects, or an array that is broken.
    """
    start = stream.peek(1).removeprefix(b"\xef\xbb\xbf").lstrip()
    text = as_text(stream, name)
    if start.startswith(b"["):
        yield from _scan_array(text, name)
    elif start.startswith(b"{"):
        yield from _scan_lines(text, name)
    else:
        raise FormatError("neither a JSON array nor lines of JSON objects", where=name, hint="see docs/tasks.md")


def _scan_lines(text: TextIO, name: str) -> Iterator[tuple[int, dict[str, Any]] | FormatError]:
    number = 0
    while line := text.readline(_MAX_OBJECT):
        number += 1
        if not line.isspace():
            yield _object(line, name, number)


def _object(text: str, name: str, line: int) -> tuple[int, dict[str, Any]] | FormatError:
    where = f"{name}:{line}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return FormatError(f"not valid JSON ({error})", where=where, hint="write one object a line, or one array")
    if not isinstance(value, dict):
        return FormatError(f"a JSON {type(value).__name__}, not an object", where=where)
    return line, value


def _scan_array(text: TextIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    window = _Window(text, name)
    window.take()  # the bracket
    while (mark := window.next_mark()) != "]":
        if mark == ",":
            window.take()
            mark = window.next_mark()
        if mark != "{":
            raise window.broken(f"{mark!r} stands where an object should" if mark else "the array does not end")
        yield window.line, window.take_object()


class _Window:
    """The part of a long JSON text that is looked at."""

    def __init__(self, text: TextIO, name: str) -> None:
        self.line = 1
        self._text, self._name = text, name
        self._rest, self._at_end = "", False
        self.next_mark()

    def next_mark(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            self.take(len(self._rest) - len(self._rest.lstrip()))
            if self._rest or self._at_end:
                return self._rest[:1]
            self._read_on()

    def take(self, num: int = 1) -> None:
        """Go on by `num` characters."""
        self.line += self._rest.count("\n", 0, num)
        self._rest = self._rest[num:]

    def take_object(self) -> dict[str, Any]:
        """The object that begins here."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._rest)
            except RecursionError:
                raise self.broken("an object inside too many others") from None
            except ValueError as error:
                # Perhaps there is only more of it to come.
                if self._at_end or len(self._rest) > _MAX_OBJECT:
                    raise self.broken(str(error)) from None
                self._read_on()
            else:
                self.take(end)
                return dict(value)

    def broken(self, problem: str) -> FormatError:
        hint = "it was cut or changed; make it again"
        return FormatError(f"not valid JSON ({problem})", where=f"{self._name}:{self.line}", hint=hint)

    def _read_on(self) -> None:
        # As much again as there is, so that a long object is not looked at too often.
        data = self._text.read(max(_CHUNK, len(self._rest)))
        self._at_end = not data
        self._rest += data
