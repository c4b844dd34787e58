"""Documents of plain language, one at a time."""

import re
from collections.abc import Iterator
from pathlib import Path

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import as_text, data_suffix, display_name, open_bytes
from llama_gene.sequences.table import JSONL_SUFFIXES, Row, parse_object, require_columns

_OBJECT_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*\"")


def read_texts(path: str | Path, *, field: str = "text") -> Iterator[str]:
    """Read documents: plain text with one document a line, or JSONL with one object a line.

    Args:
        path: A file, compressed or not; ``"-"`` is standard input. JSONL is known by its name, or by a start of ``{"``.
        field: The key of the text in a JSONL object.

    Yields:
        Documents without white space at their ends; blank ones are left out.

    Raises:
        FormatError: With file and line: broken JSON, an object without `field`, a `field` that is not text, text
            that is not UTF-8, no document at all.
    """
    name = display_name(path)
    empty = True
    with open_bytes(path) as stream:
        is_jsonl = data_suffix(path) in JSONL_SUFFIXES or _OBJECT_START.match(stream.peek(1)) is not None
        for line, text in enumerate(as_text(stream, name), start=1):
            document = text.strip()
            if document and is_jsonl:
                document = _document(document, field, name, line)
            if document:
                empty = False
                yield document
    if empty:
        raise FormatError("no text in it", where=name, hint="give one document a line")


def _document(text: str, field: str, name: str, line: int) -> str:
    where = f"{name}:{line}"
    try:
        cells = dict(parse_object(text))
    except ValueError as error:
        raise FormatError(str(error), where=where, hint=f'write one object a line: {{"{field}": "..."}}') from None
    require_columns(name, Row(line, cells), [field])
    document = cells[field]
    if not isinstance(document, str):
        raise FormatError(f"{field!r} is not text but {document!r:.40}", where=where, hint="put the text into quotes")
    try:
        document.encode()
    except UnicodeEncodeError:
        hint = "write characters beyond U+FFFF as both of their \\u escapes, or as UTF-8"
        raise FormatError("half of a surrogate pair in the text", where=where, hint=hint) from None
    return document.strip()
