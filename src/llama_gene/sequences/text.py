"""Documents of plain language, one at a time."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import Section, as_text, data_suffix, display_name, open_bytes
from llama_gene.sequences.papers import as_object, paper_id, paper_text
from llama_gene.sequences.read import Reject, at_line
from llama_gene.sequences.table import JSONL_SUFFIXES, Row, parse_object, require_columns
from llama_gene.sequences.uniprot import is_uniprot, read_entries

_OBJECT_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*\"")


@dataclass(frozen=True, slots=True)
class TextRecord:
    """A document.

    Args:
        id: Its name where it has one, else the file and the line.
        text: Its text, without white space at its ends; not empty.
    """

    id: str
    text: str


def read_texts(path: str | Path, *, field: str = "text") -> Iterator[str]:
    """The texts of `read_text_records`.

    Raises:
        FormatError: With file and line, for the first document that does not hold.
    """
    for record in read_text_records(path, field=field):
        yield record.text


def read_text_records(
    path: str | Path,
    *,
    field: str = "text",
    section: Section | None = None,
    on_reject: Callable[[Reject], None] | None = None,
) -> Iterator[TextRecord]:
    """Read documents: plain text with one document a line, JSONL with one object a line, or a UniProt flat file.

    Of a JSON object the text under `field` is the document. Where it has no such field and is a paper, its title,
    abstract and body are, see `paper_text`. Of a UniProt entry it is the function comments, see `Entry.text`; an entry
    without one is no document.

    Args:
        path: A file, compressed or not; ``"-"`` is standard input. JSONL is known by its name, or by a start of ``{"``.
        field: The key of the text in a JSONL object; ``content.text`` is ``text`` inside ``content``.
        section: Only this part of the file.
        on_reject: Called with each document that does not hold, and reading goes on; without it that raises.

    Yields:
        Documents without white space at their ends; blank ones are left out.

    Raises:
        FormatError: With file and line: broken JSON, an object without `field` that is no paper, a `field` that is not
            text, text that is not UTF-8, no document at all.
    """
    name = display_name(path)
    lines_before = section.lines if section else 0
    empty = True
    with open_bytes(path, section) as stream, at_line(lines_before):
        start = stream.peek(1)
        if is_uniprot(start):
            for entry in read_entries(stream, name):
                empty = False
                if entry.text:
                    yield TextRecord(entry.accession, entry.text)
        else:
            is_jsonl = data_suffix(path) in JSONL_SUFFIXES or _starts_with_object(path, section, start)
            for line, text in enumerate(as_text(stream, name), start=1):
                try:
                    record = _record(text.strip(), field if is_jsonl else None, name, line, lines_before)
                except FormatError as error:
                    if on_reject is None:
                        raise
                    on_reject(Reject("", f"{name}:{line + lines_before}", error.problem))
                    empty = False
                    continue
                if record.text:
                    empty = False
                    yield record
    # A section may be blank where the whole file is not.
    if empty and section is None:
        raise FormatError("no text in it", where=name, hint="give one document a line")


def _starts_with_object(path: str | Path, section: Section | None, start: bytes) -> bool:
    """Whether the file is JSONL by its first bytes, of which a section has only its own."""
    if section is not None and section.start:
        with open_bytes(path) as whole:
            start = whole.peek(1)
    return _OBJECT_START.match(start) is not None


def _record(text: str, field: str | None, name: str, line: int, lines_before: int) -> TextRecord:
    identifier = f"{Path(name).name}:{line + lines_before}"
    if not text or field is None:
        return TextRecord(identifier, text)
    where = f"{name}:{line}"
    try:
        cells = dict(parse_object(text))
    except ValueError as error:
        raise FormatError(str(error), where=where, hint=f'write one object a line: {{"{field}": "..."}}') from None
    document = _document(cells, field, name, line)
    if not isinstance(document, str):
        raise FormatError(f"{field!r} is not text but {document!r:.40}", where=where, hint="put the text into quotes")
    try:
        document.encode()
    except UnicodeEncodeError:
        hint = "write characters beyond U+FFFF as both of their \\u escapes, or as UTF-8"
        raise FormatError("half of a surrogate pair in the text", where=where, hint=hint) from None
    return TextRecord(paper_id(cells) or identifier, document.strip())


def _document(cells: dict[str, Any], field: str, name: str, line: int) -> Any:
    """What stands under `field`, else the text of the paper."""
    key: str = field
    inside: Mapping[str, Any] = cells
    while key not in inside and "." in key:
        outer, _, key = key.partition(".")
        inside = as_object(inside.get(outer))
    if key in inside:
        return inside[key]
    paper = paper_text(cells)
    if paper is None:
        require_columns(name, Row(line, cells), [field])
    return paper
