"""The most similar training row by alignment, where MMseqs2 is installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llama_gene.errors import LlamaGeneError
from llama_gene.evaluation.features import Kind, Matrix

Rows = Sequence[tuple[str, ...]]

_COMMAND = "mmseqs"
_SEARCH_TYPES: dict[Kind, str] = {"dna": "3", "protein": "1"}
_BLOCK = 256
_LAST_WORDS = 300


def find_mmseqs() -> str | None:
    """The path of the program; None where it is not installed."""
    return shutil.which(_COMMAND)


def best_aligned(program: str, kinds: Sequence[Kind], train: Rows, test: Rows) -> npt.NDArray[np.int64]:
    """The training row with the highest bit score, summed over the sequences of a row; of equal ones the first.

    Args:
        program: The path of MMseqs2.
        kinds: What each sequence of a row is.
        train: n training rows.
        test: m test rows.

    Returns:
        int64[m]: numbers of training rows, -1 where nothing aligns.

    Raises:
        LlamaGeneError: MMseqs2 fails.
    """
    columns = [
        _bit_scores(program, kind, [row[place] for row in test], [row[place] for row in train])
        for place, kind in enumerate(kinds)
    ]
    best = []
    for start in range(0, len(test), _BLOCK):
        # In blocks: the scores of all pairs of rows at once may not fit into memory.
        scores = reduce(add, [(rows[start : start + _BLOCK] @ to_train).toarray() for rows, to_train in columns])
        best.append(np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1))
    return np.concatenate(best)


def _bit_scores(program: str, kind: Kind, test: Sequence[str], train: Sequence[str]) -> tuple[Matrix, Matrix]:
    """Two factors of the bit scores [m, n]: each different sequence is searched once, however many rows have it."""
    from scipy.sparse import coo_matrix  # type: ignore[import-untyped]

    queries, targets = list(dict.fromkeys(test)), list(dict.fromkeys(train))
    hits = np.array(_search(program, kind, queries, targets), dtype=np.float64).reshape(-1, 3)
    places = hits[:, 0].astype(np.int64), hits[:, 1].astype(np.int64)
    found = coo_matrix((hits[:, 2], places), shape=(len(queries), len(targets))).tocsr()
    columns = _numbers(train, targets), np.arange(len(train))
    to_train = coo_matrix((np.ones(len(train)), columns), shape=(len(targets), len(train))).tocsr()
    return found[_numbers(test, queries)], to_train


def _numbers(sequences: Sequence[str], distinct: Sequence[str]) -> npt.NDArray[np.int64]:
    numbers = {sequence: number for number, sequence in enumerate(distinct)}
    return np.array([numbers[sequence] for sequence in sequences], dtype=np.int64)


def _search(program: str, kind: Kind, queries: Sequence[str], targets: Sequence[str]) -> list[tuple[int, int, float]]:
    """Query, target and bit score of the best alignment of each pair that aligns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, sequences in (("queries.fa", queries), ("targets.fa", targets)):
            text = "".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences))
            (folder / file).write_text(text, encoding="ascii")
        words = [program, "easy-search", *(str(folder / file) for file in ("queries.fa", "targets.fa", "hits", "work"))]
        words += ["--search-type", _SEARCH_TYPES[kind], "--format-output", "query,target,bits", "-v", "1"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())[-_LAST_WORDS:]
            hint = "mend its installation, or take it off the PATH: then this baseline is left out"
            raise LlamaGeneError(f"MMseqs2 failed: {said}", where=program, hint=hint)
        best: dict[tuple[int, int], float] = {}
        for line in (folder / "hits").read_text(encoding="ascii").splitlines():
            query, target, bits = line.split("\t")
            pair = int(query), int(target)
            best[pair] = max(best.get(pair, 0.0), float(bits))
        return [(*pair, bits) for pair, bits in best.items()]
