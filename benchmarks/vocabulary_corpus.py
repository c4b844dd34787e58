"""The texts of `vocabulary.py`: real records, topped up by a simulated genome or proteome; and what is cut from them.

The simulation is a Markov chain fitted on the real records, order 8 for DNA and 3 for protein, with diverged repeats:
stretches that are copies of earlier ones (in DNA of either strand) with 10 % substitutions, so copies of copies, too.
It has the composition and the redundancy of the real thing, not its genes. The same arguments give the same bytes.

Run by `vocabulary.py`, as a process of its own: what it holds in memory must not be counted for what is measured.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from llama_gene.files import atomic_path
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.sequences.read import Reject, read_records

ORDER: dict[Kind, int] = {"dna": 8, "protein": 3}
CHROMOSOME = 50_000_000  # letters; proteins are simulated so many at a time
NUM_CHAINS = 4096
REPEATS, REPEAT_LETTERS, SUBSTITUTIONS = 0.3, (200, 4000), 0.1
WINDOW, LINE = 512, 600
FASTA_LINE = 60

Codes = NDArray[np.uint8]
Records = Iterable[str]


def corpus(kind: Kind, num_letters: int, data: Path) -> Iterator[str]:
    """`num_letters` letters: the real records of `data`/corpus/`kind`, as far as they go, then simulated ones."""
    paths = sorted((data / "corpus" / kind).glob("*.fa*"))
    if not paths:
        raise SystemExit(f"no FASTA files in {data / 'corpus' / kind}: give --data")
    real = list(canonical_runs(paths, kind))
    left = num_letters
    for sequence in real:
        if left:
            yield sequence[:left]
            left -= min(left, len(sequence))
    if left:
        yield from simulate(kind, left, real)


def simulate(kind: Kind, num_letters: int, real: list[str], seed: int = 0) -> Iterator[str]:
    """Records of `num_letters` letters in all, in the manner of the `real` ones."""
    rng = np.random.default_rng(seed)
    letters = ALPHABETS[kind].letters
    symbols = np.frombuffer(letters.encode(), dtype=np.uint8)
    code_of = np.zeros(256, dtype=np.uint8)
    code_of[symbols] = np.arange(len(symbols))
    chain = Chain.fit(
        [code_of[np.frombuffer(text.encode(), dtype=np.uint8)] for text in real], len(letters), ORDER[kind]
    )
    lengths = np.array([len(text) for text in real])
    while num_letters:
        codes = chain.draw(min(CHROMOSOME, num_letters), rng)
        add_repeats(codes, len(letters), rng, both_strands=kind == "dna")
        text = symbols[codes].tobytes().decode()
        num_letters -= len(text)
        if kind == "dna":
            yield text
            continue
        start = 0
        while start < len(text):
            stop = start + int(lengths[rng.integers(len(lengths))])
            yield text[start:stop]
            start = stop


@dataclass(frozen=True)
class Chain:
    """A Markov chain, as an alias table a context (Walker 1977): one random number and two look-ups a letter.

    Args:
        order: Letters of a context.
        starts: How often each context was seen: int64[contexts].
        keep: The chance that a letter which was drawn evenly stays: float64[contexts, letters].
        instead: What it becomes otherwise: uint8[contexts, letters].
    """

    order: int
    starts: NDArray[np.int64]
    keep: NDArray[np.float64]
    instead: Codes

    @classmethod
    def fit(cls, records: list[Codes], num_letters: int, order: int) -> "Chain":
        """Count the letters after each context of `order` letters; one is added to every count."""
        counts = np.zeros(num_letters ** (order + 1), dtype=np.int64)
        for codes in records:
            words = np.zeros(max(0, len(codes) - order), dtype=np.int64)
            for place in range(order + 1):
                words = words * num_letters + codes[place : place + len(words)]
            counts += np.bincount(words, minlength=len(counts))
        table = counts.reshape(-1, num_letters)
        chances = (table + 1) / (table + 1).sum(axis=1, keepdims=True)
        return cls(order, table.sum(axis=1), *_alias_table(chances))

    def draw(self, num_letters: int, rng: np.random.Generator) -> Codes:
        """Letters of many chains side by side, one after the other in the result."""
        alphabet, num_contexts = self.keep.shape[1], len(self.starts)
        num_chains = min(NUM_CHAINS, 1 + num_letters // 1000)
        num_steps = -(-num_letters // num_chains)
        weights = self.starts + 1
        context = rng.choice(num_contexts, num_chains, p=weights / weights.sum())
        keep, instead = self.keep.ravel(), self.instead.ravel()
        drawn = np.empty((num_steps, num_chains), dtype=np.uint8)
        for step in range(num_steps):
            even, chance = np.divmod(rng.random(num_chains) * alphabet, 1.0)
            place = context * alphabet + even.astype(np.int64)
            letter = np.where(chance < keep[place], place % alphabet, instead[place])
            drawn[step] = letter
            context = (context * alphabet + letter) % num_contexts
        return drawn.T.ravel()[:num_letters].copy()


def _alias_table(chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], Codes]:
    num_contexts, num_letters = chances.shape
    left = chances * num_letters
    keep, instead = np.ones_like(left), np.zeros(left.shape, dtype=np.uint8)
    rows = np.arange(num_contexts)
    open_ = np.ones(left.shape, dtype=bool)
    for _ in range(num_letters - 1):
        # The poorest letter that is left is filled up by the richest.
        poor = np.where(open_, left, np.inf).argmin(axis=1)
        rich = np.where(open_, left, -np.inf).argmax(axis=1)
        keep[rows, poor] = np.minimum(left[rows, poor], 1.0)
        instead[rows, poor] = rich
        left[rows, rich] -= 1.0 - keep[rows, poor]
        open_[rows, poor] = False
    return keep, instead


def add_repeats(codes: Codes, num_letters: int, rng: np.random.Generator, *, both_strands: bool) -> None:
    """Overwrite a share of `codes` by diverged copies of what stands before them, in place."""
    shortest, longest = REPEAT_LETTERS
    num_copies = int(len(codes) * REPEATS / ((shortest + longest) / 2))
    for stop in np.sort(rng.integers(0, len(codes), num_copies)).tolist():
        length = int(rng.integers(shortest, longest))
        start = stop - length
        if start < length:
            continue
        origin = int(rng.integers(0, start - length + 1))
        copy = codes[origin : origin + length].copy()
        if both_strands and rng.random() < 0.5:
            copy = num_letters - 1 - copy[::-1]  # A and T, C and G stand opposite in the alphabet's order, too
        changed = np.flatnonzero(rng.random(length) < SUBSTITUTIONS)
        copy[changed] = (copy[changed] + rng.integers(1, num_letters, len(changed))) % num_letters
        codes[start:stop] = copy


def thin(kind: Kind, records: Records, share: float) -> Iterator[str]:
    """The same mix, smaller: the beginning of every DNA record, every so-manieth protein."""
    if kind == "protein":
        yield from evenly(records, share)
        return
    for sequence in records:
        if len(sequence) * share >= 2:
            yield sequence[: int(len(sequence) * share)]


def evenly(texts: Iterable[str], share: float) -> Iterator[str]:
    """About this share of the letters: every so-manieth text."""
    owed = 0.0
    for text in texts:
        owed += len(text) * share
        if owed >= len(text):
            owed -= len(text)
            yield text


def windows(records: Records, length: int) -> Iterator[str]:
    """Each record in pieces of `length`, without the rest."""
    for sequence in records:
        for start in range(0, len(sequence) - length + 1, length):
            yield sequence[start : start + length]


def canonical_runs(paths: Iterable[Path], kind: Kind) -> Iterator[str]:
    """The stretches of unambiguous letters, so that every tool has the same text before it."""
    run = re.compile(f"[{ALPHABETS[kind].letters}]{{2,}}")
    for path in paths:
        for record in read_records(path, kind, on_reject=_leave_out):
            yield from run.findall(record.sequence)


def _leave_out(_: Reject) -> None:
    pass


def write_fasta(records: Records, stream: IO[str]) -> None:
    """Records with numbers for names, in lines of 60."""
    for number, sequence in enumerate(records, start=1):
        stream.write(f">{number}\n")
        stream.writelines(sequence[at : at + FASTA_LINE] + "\n" for at in range(0, len(sequence), FASTA_LINE))


def write_lines(texts: Iterable[str], stream: IO[str]) -> None:
    """Texts, one a line."""
    stream.writelines(text + "\n" for text in texts)


def main() -> None:
    """Make one file."""
    parser = argparse.ArgumentParser(description="Make one text of benchmarks/vocabulary.py.")
    parser.add_argument("what", choices=["corpus", "thin", "windows", "lines", "line"])
    parser.add_argument("kind", choices=list(ALPHABETS))
    parser.add_argument("letters", type=int)
    parser.add_argument("source", type=Path, help="a data folder for `corpus`, else a FASTA file of this program")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    kind: Kind = arguments.kind
    wanted: int = arguments.letters
    texts: Iterable[str]
    write: Callable[[Iterable[str], IO[str]], None] = write_fasta
    if arguments.what == "corpus":
        texts = corpus(kind, wanted, arguments.source)
    else:
        total = sum(len(text) for text in canonical_runs([arguments.source], kind))
        records = canonical_runs([arguments.source], kind)
        share = min(1.0, wanted / total)
        if arguments.what == "thin":
            texts = thin(kind, records, share)
        elif arguments.what == "windows":
            texts = evenly(windows(records, WINDOW), share)
        elif arguments.what == "lines":
            texts, write = evenly(windows(records, LINE) if kind == "dna" else records, share), write_lines
        else:
            texts, write = [max(records, key=len)[:wanted]], write_lines
    with atomic_path(arguments.output) as draft, draft.open("w", encoding="ascii") as stream:
        write(texts, stream)


if __name__ == "__main__":
    main()
