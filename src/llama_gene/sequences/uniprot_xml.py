"""UniProt XML, read as a stream: a file from outside is neither held in memory nor trusted.

UniProt's files have no document type, and so no entities of their own. One that declares any is refused before a single
entity is expanded, and what one entry may take is bounded.
"""

import io
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from llama_gene.errors import FormatError
from llama_gene.sequences.uniprot import Entry, clean_comment, species

_CHUNK = 1 << 16
_MAX_LETTERS = 1 << 26  # text of one entry; the longest protein known has 45,000 residues
_MAX_DEPTH = 64
_MAX_TOKEN = 1 << 24  # bytes that may be fed before the parser has made something of them

_NAMES = {"protein/recommendedName/fullName", "protein/submittedName/fullName"}
_KEPT = {"accession", "sequence", "organism/name", "comment/text", "comment/molecule", *_NAMES}


def is_uniprot_xml(start: bytes) -> bool:
    """Whether a file that begins with `start` is UniProt XML.

    >>> is_uniprot_xml(b"<?xml version='1.0'?><uniprot xmlns='https://uniprot.org/uniprot'>")
    True
    """
    return start.startswith(b"<") and b"<uniprot" in start


def read_xml_entries(stream: io.BufferedReader, name: str) -> Iterator[Entry]:
    """Every entry of an XML file, one at a time.

    Raises:
        FormatError: With file and line: no XML, one that ends too soon, one with a document type or entities, or one
            that takes more than any entry of UniProt does.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    reader = _Reader(parser, name)
    num_fed = 0
    last = False
    while not last:
        chunk = stream.read(_CHUNK)
        last = not chunk
        num_fed += len(chunk)
        try:
            parser.Parse(chunk, last)
        except expat.ExpatError as error:
            hint = "it was cut or changed; download it again"
            where = f"{name}:{error.lineno}"
            raise FormatError(f"not whole XML ({expat.ErrorString(error.code)})", where=where, hint=hint) from None
        if num_fed - max(parser.CurrentByteIndex, 0) > _MAX_TOKEN and not last:
            raise reader.refusal(f"a tag of more than {_MAX_TOKEN:,} bytes")
        yield from reader.entries
        reader.entries.clear()


class _Reader:
    """Collects the texts of an entry as the parser comes past them."""

    def __init__(self, parser: "expat.XMLParserType", name: str) -> None:
        self.entries: list[Entry] = []
        self._parser, self._name = parser, name
        self._path: list[str] = []
        self._depth = 0
        self._texts: dict[str, list[str]] = {}
        self._letters: list[str] | None = None
        self._num_letters = 0
        self._line = 0
        self._length: int | None = None
        self._function = False
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = self._refuse_doctype

    def refusal(self, problem: str) -> FormatError:
        hint = "give the file as UniProt has it"
        return FormatError(f"{problem}, which UniProt never has", where=f"{self._name}:{self._line_now}", hint=hint)

    @property
    def _line_now(self) -> int:
        return self._parser.CurrentLineNumber

    def _refuse_doctype(self, *_: Any) -> None:
        raise self.refusal("a document type, where entities are declared")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.refusal(f"elements inside {_MAX_DEPTH} others")
        if tag == "entry":
            self._path, self._texts, self._num_letters = [], {}, 0
            self._line, self._length = self._line_now, None
            return
        self._path.append(tag)
        path = "/".join(self._path)
        if path == "comment":
            self._function = attributes.get("type") == "function"
            self._texts["comment/molecule"] = []
        unwanted = (path == "organism/name" and attributes.get("type") != "scientific") or (
            path.startswith("comment/") and not self._function
        )
        self._letters = [] if path in _KEPT and not unwanted else None
        if path == "sequence" and attributes.get("length", "").isdecimal():
            self._length = int(attributes["length"][:9])
        self._count(1)

    def _data(self, data: str) -> None:
        if self._letters is not None:
            self._letters.append(data)
            self._count(len(data))

    def _count(self, num_letters: int) -> None:
        self._num_letters += num_letters
        if self._num_letters > _MAX_LETTERS:
            raise self.refusal(f"an entry of more than {_MAX_LETTERS:,} letters")

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag.rpartition(" ")[2] == "entry":
            self.entries.append(self._entry())
            self._texts = {}
            return
        path = "/".join(self._path)
        if self._letters is not None:
            text = " ".join("".join(self._letters).split())
            if path == "comment/text" and (molecule := self._texts["comment/molecule"]):
                text = f"[{molecule[0]}]: {text}"
            self._texts.setdefault(path, []).append(text)
            self._letters = None
        if self._path:
            self._path.pop()

    def _entry(self) -> Entry:
        def first(*paths: str) -> str:
            return next((self._texts[path][0] for path in paths if self._texts.get(path)), "")

        functions = [clean_comment(text) for text in self._texts.get("comment/text", [])]
        return Entry(
            self._line,
            first("accession"),
            first(*sorted(_NAMES)),
            species(first("organism/name")),
            " ".join(filter(None, functions)),
            first("sequence").replace(" ", ""),
            self._length,
        )
