"""Sources: files of sequences or text become documents of bounded length."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_gene.config import CorpusSettings, Modality, SourceSettings
from llama_gene.sequences.alphabet import DNA, reverse_complement
from llama_gene.sequences.compression import Section
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.text import read_text_records
from llama_gene.tokenizer import neutralise

MODALITIES: tuple[Modality, ...] = ("dna", "protein", "text")

OnReject = Callable[[Reject], None]


@dataclass(frozen=True, slots=True)
class Document:
    """One unit of training text.

    Attributes:
        record: The name of the record it is from.
        start: Where it begins in the record, from 0: in letters; 0 for text.
        end: The place after its last letter; for text its bytes in UTF-8. On the opposite strand `end` is less than
            `start`: it is read from the one down to the other.
        content: Canonical letters, or text.
        num_tags: Literal tags of ours found in the text and made harmless.
    """

    record: str
    start: int
    end: int
    content: str
    num_tags: int = 0


def read_documents(
    source: SourceSettings, path: Path, section: Section | None, settings: CorpusSettings, on_reject: OnReject
) -> Iterator[Document]:
    """The documents of a file of a source, or of a section of it; records that do not hold go to `on_reject`.

    DNA records are split at ambiguity codes (runs of N above all) and windowed, since a chromosome is no document. The
    windows do not overlap. A protein is one document: its ambiguous residues can be spelled, and are rare.
    """
    if source.kind == "text":
        for text in read_text_records(path, field=source.text_field, section=section, on_reject=on_reject):
            harmless, num_tags = neutralise(text.text)
            yield Document(text.id, 0, len(harmless.encode()), harmless, num_tags)
        return
    records = read_records(path, source.kind, policy=settings.bad_letters, section=section, on_reject=on_reject)
    for record in records:
        length = len(record.sequence)
        if source.kind == "protein":
            if length >= settings.min_length:
                yield Document(record.id, 0, length, record.sequence)
            else:
                on_reject(Reject(record.id, str(path), f"shorter than min_length = {settings.min_length}"))
            continue
        num_windows = 0
        for start, window in _windows(record.sequence, settings):
            num_windows += 1
            yield Document(record.id, start, start + len(window), window)
            if source.both_strands:
                yield Document(record.id, start + len(window), start, reverse_complement(window))
        if num_windows == 0:
            on_reject(Reject(record.id, str(path), f"no clean run of min_length = {settings.min_length} bases"))


def _windows(sequence: str, settings: CorpusSettings) -> Iterator[tuple[int, str]]:
    """The windows of a canonical sequence of DNA, each with its start; a rest below the shortest length is left out."""
    for start, run in DNA.pure_runs(sequence, settings.min_length):
        for offset in range(0, len(run), settings.window):
            window = run[offset : offset + settings.window]
            if len(window) >= settings.min_length:
                yield start + offset, window
