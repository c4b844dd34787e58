"""Draw the letters that a vocabulary is learned from: evenly over the files, evenly along each."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.read import Reject, read_records

_PIECE = 4096  # letters; short beside a chromosome, so that a sample sees all of it


def sample_sequences(paths: Sequence[Path], kind: Kind, num_letters: int, rejects: list[Reject]) -> Iterator[str]:
    """Sequences of about `num_letters` letters in all, the same number from every file that has them.

    Each file is read twice, since its length decides how densely it is drawn from. No chance is involved: of each file
    every so-manieth stretch of 4,096 letters is taken.

    Args:
        paths: Sequence files.
        kind: What their letters are.
        num_letters: How many to draw.
        rejects: Gets the records that do not hold.
    """
    lengths = [sum(len(r.sequence) for r in read_records(path, kind, on_reject=rejects.append)) for path in paths]
    left = num_letters
    shares: dict[Path, int] = {}
    # What a short file cannot give is left for the longer ones.
    for rank, (length, path) in enumerate(sorted(zip(lengths, paths, strict=True))):
        shares[path] = min(length, left // (len(paths) - rank))
        left -= shares[path]
    for length, path in zip(lengths, paths, strict=True):
        if length == 0:
            continue
        density, owed = shares[path] / length, 0.0
        for record in read_records(path, kind, on_reject=_known_already):
            for start in range(0, len(record.sequence), _PIECE):
                piece = record.sequence[start : start + _PIECE]
                owed += density * len(piece)
                if owed >= len(piece) / 2:
                    owed -= len(piece)
                    yield piece


def _known_already(reject: Reject) -> None:
    """The first reading has reported it."""
