"""How many letters and tokens are in what a forecast counts: measured rates, and a look into files."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Final

from llama_gene.config import Modality
from llama_gene.sequences.compression import data_suffix, open_bytes

# Letters a piece spells, by size of the vocabulary: pieces of 30,000 learned on 1 GB, on the genomes and proteins of
# ../shared/data/corpus in windows of 1,000 bases.
_LETTERS_PER_TOKEN: Final[dict[Modality, tuple[tuple[int, float], ...]]] = {
    "dna": (
        (4, 1.0),
        (16, 1.74),
        (64, 2.61),
        (256, 3.46),
        (512, 3.86),
        (1024, 4.26),
        (4096, 5.03),
        (16_384, 5.82),
        (30_000, 6.17),
    ),
    "protein": (
        (20, 1.0),
        (50, 1.18),
        (200, 1.6),
        (512, 1.85),
        (1024, 2.01),
        (4096, 2.35),
        (16_384, 2.71),
        (30_000, 2.9),
    ),
    "text": ((300, 1.5), (2048, 2.8), (32_000, 3.8), (128_000, 4.4)),
}
# The shared scheme spells sequences with more tokens than their own pieces would (docs of `vocabulary.shared`).
SHARED_COST: Final[dict[Modality, float]] = {"dna": 1.21, "protein": 1.07, "text": 1.0}
_PROMPT_TOKENS = 30  # the question, the tags and the answer of one row
_READ = 1 << 24  # bytes read of a file to count its letters; the rest is taken to be like them
_PACKED = 3.8  # letters in a byte of a packed file of sequences


def letters_per_token(kind: Modality, size: int) -> float:
    """Letters that a piece spells on average, in a vocabulary of `size` pieces.

    >>> letters_per_token("dna", 4), letters_per_token("protein", 20)
    (1.0, 1.0)
    >>> 6 < letters_per_token("dna", 30_000) < 6.5
    True
    """
    points = _LETTERS_PER_TOKEN[kind]
    for (small, low), (large, high) in pairwise(points):
        if size <= large:
            where = (math.log(max(size, small)) - math.log(small)) / (math.log(large) - math.log(small))
            return low + where * (high - low)
    return points[-1][1]


def count_letters(path: Path, size: int) -> float:
    """Letters in a file: without the headers of FASTA; of a large file, as its first 16 MB have them."""
    fasta = data_suffix(path) in {".fa", ".fasta", ".fna", ".faa"}
    num_read = num_letters = 0
    with open_bytes(path) as stream:
        while num_read < _READ and (lines := stream.readlines(1 << 20)):
            num_read += sum(map(len, lines))
            num_letters += sum(len(line) - 1 for line in lines if not (fasta and line.startswith(b">")))
        whole = not stream.peek(1)
    if whole:
        return num_letters
    unpacked = size if path.suffix in {"", data_suffix(path)} else size * _PACKED
    return unpacked * num_letters / num_read


def row_tokens(path: Path, rate: float, block_size: int, max_rows: int | None) -> float:
    """Tokens of a table's rows, each with its prompt and no longer than a block; of `max_rows` of them at most."""
    num_rows = 0
    total = 0.0
    with open_bytes(path) as stream:
        stream.readline()
        for line in stream:
            num_rows += 1
            total += min(block_size, len(line) / rate + _PROMPT_TOKENS)
    return total * min(1.0, (max_rows or num_rows) / max(1, num_rows))
