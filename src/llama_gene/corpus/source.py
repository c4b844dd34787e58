"""Sources: files of sequences or text become documents of bounded length."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_gene.config import CorpusSettings, Modality, SourceSettings
from llama_gene.sequences.alphabet import ALPHABETS
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.text import read_texts
from llama_gene.tokenizer import Span, neutralise

OnReject = Callable[[Reject], None]


@dataclass(frozen=True, slots=True)
class Document:
    """One unit of training text.

    Attributes:
        origin: Where it comes from, stable over runs: ``record:start`` (0-based, in letters) or ``file:index``.
        content: A sequence span, or plain text.
        num_tags: Literal tags of ours found in the text and made harmless.
    """

    origin: str
    content: Span | str
    num_tags: int = 0


def read_documents(
    source: SourceSettings, path: Path, settings: CorpusSettings, on_reject: OnReject
) -> Iterator[Document]:
    """The documents of one file of a source; records that do not hold go to `on_reject`.

    DNA records are split at ambiguity codes (runs of N above all) and windowed, since a chromosome is no document.
    A protein is one document, without the ambiguous residues being cut: they can be spelled, and are rare.
    """
    if source.kind == "text":
        for index, text in enumerate(read_texts(path, field=source.text_field)):
            harmless, num_tags = neutralise(text)
            yield Document(f"{path.name}:{index}", harmless, num_tags)
        return
    alphabet = ALPHABETS[source.kind]
    for record in read_records(path, source.kind, policy=settings.bad_letters, on_reject=on_reject):
        if source.kind == "protein":
            if len(record.sequence) >= settings.min_length:
                yield Document(f"{record.id}:0", Span("protein", record.sequence))
            else:
                on_reject(Reject(record.id, str(path), f"shorter than min_length = {settings.min_length}"))
            continue
        num_windows = 0
        for start, run in alphabet.pure_runs(record.sequence, settings.min_length):
            for offset in range(0, len(run), settings.window):
                window = run[offset : offset + settings.window]
                if len(window) >= settings.min_length:
                    num_windows += 1
                    yield Document(f"{record.id}:{start + offset}", Span("dna", window))
        if num_windows == 0:
            on_reject(Reject(record.id, str(path), f"no clean run of min_length = {settings.min_length} bases"))


MODALITIES: tuple[Modality, ...] = ("dna", "protein", "text")
