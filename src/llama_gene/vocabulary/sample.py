"""Draw the letters that a vocabulary is learned from: evenly over the files, evenly along each."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.read import Reject, read_records

_STRETCH = 4096  # letters; short beside a chromosome, so that a sample sees all of it


@dataclass(frozen=True, slots=True)
class Share:
    """What is drawn from one file.

    Args:
        path: The file.
        num_letters: Its letters, all records.
        longest: The letters of its longest record.
        num_drawn: How many letters are drawn.
    """

    path: Path
    num_letters: int
    longest: int
    num_drawn: int


def share_out(
    paths: Sequence[Path],
    kind: Kind,
    num_letters: int,
    *,
    on_reject: Callable[[Reject], None],
    on_sequence: Callable[[str], object] | None = None,
) -> list[Share]:
    """Divide `num_letters` letters over files, the same number for every file that has them.

    Reads each file once, since its length decides how densely it is drawn from.

    Args:
        paths: Sequence files.
        kind: What their letters are.
        num_letters: How many to draw in all; fewer if the files have fewer.
        on_reject: Called with each record that does not hold.
        on_sequence: Called with each sequence of the others, in the order in which `draw` gives them.
    """
    lengths: list[tuple[int, int]] = []
    for path in paths:
        total = longest = 0
        for record in read_records(path, kind, on_reject=on_reject):
            total += len(record.sequence)
            longest = max(longest, len(record.sequence))
            if on_sequence is not None:
                on_sequence(record.sequence)
        lengths.append((total, longest))
    left = num_letters
    drawn = [0] * len(paths)
    # What a short file cannot give is left for the longer ones.
    for rank, place in enumerate(sorted(range(len(paths)), key=lambda place: lengths[place])):
        drawn[place] = min(lengths[place][0], left // (len(paths) - rank))
        left -= drawn[place]
    return [Share(path, *of_path, num) for path, of_path, num in zip(paths, lengths, drawn, strict=True)]


def draw(shares: Sequence[Share], kind: Kind, *, seed: int = 0) -> Iterator[str]:
    """Sequences of about as many letters as the shares say; whole records of a file that is drawn as a whole.

    Of other files every so-manieth stretch of 4,096 letters is taken; `seed` decides where that begins.
    """
    rng = random.Random(seed)
    for share in shares:
        offset = rng.random() - 0.5
        if share.num_drawn == 0:
            continue
        density, owed = share.num_drawn / share.num_letters, offset * _STRETCH
        for record in read_records(share.path, kind, on_reject=_known_already):
            if density == 1:
                yield record.sequence
                continue
            for start in range(0, len(record.sequence), _STRETCH):
                stretch = record.sequence[start : start + _STRETCH]
                owed += density * len(stretch)
                if owed >= len(stretch) / 2:
                    owed -= len(stretch)
                    yield stretch


def sample_sequences(
    paths: Sequence[Path], kind: Kind, num_letters: int, rejects: list[Reject], *, seed: int = 0
) -> Iterator[str]:
    """`share_out` and `draw` in one; `rejects` gets the records that do not hold."""
    return draw(share_out(paths, kind, num_letters, on_reject=rejects.append), kind, seed=seed)


def _known_already(reject: Reject) -> None:
    """The first reading has reported it."""
