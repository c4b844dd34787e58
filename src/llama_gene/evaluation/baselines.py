"""What a score must beat: plain predictors, trained on the model's training rows and scored on the same test rows.

- ``majority`` (``mean`` for regression): the most frequent answer, whatever the sequence says.
- ``k-mer``: a linear model on how often every short word stands in each input, and how much two inputs of one kind
  differ in it. It knows composition and motifs, and nothing of where they are.
- ``k-mer + position``: the same, with letters (and letter pairs of DNA) *at their places* beside it: counted from the
  start where all rows of an input are equally long, else in bins along the length and near both ends.
- ``nearest``: the answer of the training row with the most similar k-mers.
- ``translation`` (classification of DNA with a protein): whether the translated DNA holds the protein's letters.
- ``MMseqs2``, where it is installed: the answer of the training row that aligns best, else what the first one says.

The settings below are the same for all tasks. They were chosen by hand on dev splits of some twenty tasks, with 5,000
training rows at most: raw or logarithmic counts, rows or columns normalised, each input alone or all together, with or
without the difference of two inputs, and C in 1, 3, 10, 30, 100. On those dev rows the baselines are therefore, if
anything, flattered.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from llama_gene.errors import FormatError
from llama_gene.evaluation.alignment import best_aligned, find_mmseqs
from llama_gene.evaluation.features import Kind, KmerTable, Matrix
from llama_gene.evaluation.translation import translation_rule
from llama_gene.files import hash_value, read_object, write_sealed

TaskKind = Literal["classification", "regression", "multilabel", "text"]
Rows = Sequence[tuple[str, ...]]
Answers = npt.NDArray[Any]

_MAX_K: Mapping[Kind, int] = {"dna": 6, "protein": 3}
_MAX_K_IN_PLACE: Mapping[Kind, int] = {"dna": 2, "protein": 1}
_NUM_BINS = 8
_NUM_END_PLACES = 30  # as long as a signal peptide
_MAX_FIXED_LENGTH = 2000  # beyond it one column a place is only noise, and much memory

_ORDER = ("majority", "mean", "k-mer", "k-mer + position", "nearest", "translation", "MMseqs2")
_C = {"k-mer": 10.0, "k-mer + position": 3.0}
_RIDGE_ALPHA = 1.0
_MAX_ITERATIONS = 500
_NEAREST_BLOCK = 256
# With all of the above in the name of what is cached. Count it up when a baseline changes in another way.
_EDITION = 2


def fit_predict(
    task_kind: TaskKind,
    kinds: Sequence[Kind],
    train: Rows,
    targets: npt.ArrayLike,
    test: Rows,
    *,
    cache: Path | None = None,
) -> dict[str, Answers]:
    """Train every baseline of a task and predict the test rows.

    Args:
        task_kind: What an answer is.
        kinds: The alphabet of each input.
        train: Training rows, each one canonical sequence per input; n of them.
        targets: Their answers: label numbers [n], values [n], bool [n, labels] or texts [n].
        test: Rows to predict, m of them.
        cache: A folder: what is found for these very rows is kept there, and not made again.

    Returns:
        Name -> predictions in the form of `targets`, with m rows: ``majority`` (``mean`` for regression), ``nearest``
        and, where it is installed, ``MMseqs2``; beside them ``k-mer`` and ``k-mer + position`` for classification and
        regression, and ``translation`` for classification of DNA with a protein. Training rows of one class teach
        nothing more, so that every baseline says that class. Without test rows there is the first one only.

    Raises:
        ValueError: There are no training rows, or the numbers of rows, targets, inputs and kinds do not agree.
        FormatError: What is cached was damaged.
        LlamaGeneError: MMseqs2 fails.

    >>> rows, labels = [("TATATA",), ("ATATAT",), ("GCGCGC",), ("CGCGCG",)], [0, 0, 1, 1]
    >>> answers = fit_predict("classification", ["dna"], rows, labels, [("TATAT",), ("GCGCG",)])
    >>> {name: answers[name].tolist() for name in ("majority", "k-mer", "k-mer + position", "nearest")}
    {'majority': [0, 0], 'k-mer': [0, 1], 'k-mer + position': [0, 1], 'nearest': [0, 1]}
    """
    answers = np.asarray(targets)
    _check(kinds, train, answers, test)
    if cache is None:
        return _fit_predict(task_kind, kinds, train, answers, test)
    settings = [_MAX_K, _MAX_K_IN_PLACE, _NUM_BINS, _NUM_END_PLACES, _MAX_FIXED_LENGTH, _C, _RIDGE_ALPHA, _EDITION]
    known = [task_kind, list(kinds), list(train), answers.tolist(), list(test), settings, find_mmseqs() is not None]
    path = cache / f"baselines-{hash_value(known)[:32]}.json"
    if not path.is_file():
        found = _fit_predict(task_kind, kinds, train, answers, test)
        write_sealed(path, {"of": path.stem} | {name: guess.tolist() for name, guess in found.items()})
    dtype = np.float64 if task_kind == "regression" else answers.dtype
    # In the order of the report: JSON keeps none.
    kept = read_object(path, "of")
    if kept["of"] != path.stem:
        raise FormatError("the answers to other rows", where=path, hint="remove it")
    return {name: np.asarray(kept[name], dtype=dtype) for name in _ORDER if name in kept}


def _fit_predict(
    task_kind: TaskKind, kinds: Sequence[Kind], train: Rows, answers: Answers, test: Rows
) -> dict[str, Answers]:
    plain = _majority(answers) if task_kind != "regression" else answers.mean(axis=0)
    plain_name = "mean" if task_kind == "regression" else "majority"
    found = {plain_name: np.repeat(np.asarray(plain)[None], len(test), axis=0)}
    if not test:
        return found
    tables = [KmerTable([row[i] for row in (*train, *test)], kind, _MAX_K[kind]) for i, kind in enumerate(kinds)]
    counts = _counts(tables, kinds, logarithmic=True)
    if task_kind in ("classification", "regression"):
        features = {
            "k-mer": _counts(tables, kinds, logarithmic=False),
            "k-mer + position": _side_by_side([counts, _places(tables, kinds, len(train))]),
        }
        for name, matrix in features.items():
            fit = _ridge if task_kind == "regression" else _logistic
            found[name] = fit(matrix, answers, _C[name])
    found["nearest"] = _nearest(counts, answers)
    if task_kind == "classification" and sorted(kinds) == ["dna", "protein"]:
        dna = kinds.index("dna")
        found["translation"] = translation_rule(
            [(row[dna], row[1 - dna]) for row in train], answers, [(row[dna], row[1 - dna]) for row in test]
        )
    if (program := find_mmseqs()) is not None:
        best = best_aligned(program, kinds, train, test)
        found["MMseqs2"] = found[plain_name].copy()
        found["MMseqs2"][best >= 0] = answers[best[best >= 0]]
    return found


def left_out() -> str:
    """What a report should say of baselines that this machine cannot make; empty where there are none.

    >>> left_out() in {"", "MMseqs2 is not installed: no baseline by alignment."}
    True
    """
    return "" if find_mmseqs() else "MMseqs2 is not installed: no baseline by alignment."


def _check(kinds: Sequence[Kind], train: Rows, answers: Answers, test: Rows) -> None:
    if not train:
        raise ValueError("no rows to train a baseline on")
    if len(train) != len(answers):
        raise ValueError(f"{len(train)} training rows, but {len(answers)} targets")
    for row in (*train, *test):
        if len(row) != len(kinds):
            raise ValueError(f"a row of {len(row)} sequences in a task of {len(kinds)} inputs")


def _majority(answers: Answers) -> Answers:
    """The most frequent answer; of equally frequent ones the first in order, so that it is always the same."""
    values, counts = np.unique(answers, axis=0, return_counts=True)
    most: Answers = values[counts.argmax()]
    return most


# ---- features; each matrix holds the training rows, and then the test rows ----


def _counts(tables: Sequence[KmerTable], kinds: Sequence[Kind], *, logarithmic: bool) -> Matrix:
    """Counts of each input, and for two inputs of one kind also how far apart they are, k-mer by k-mer.

    Without the differences a linear model cannot say "these two are alike", which is what most pair tasks ask.
    """
    blocks = []
    for table in tables:
        counts = table.counts()
        if logarithmic:
            counts.data = np.log1p(counts.data)
        # Each input by itself: a long gene would drown a short protein.
        blocks.append(_normalised(counts))
    if len(kinds) == 2 and kinds[0] == kinds[1]:
        blocks.append(abs(blocks[0] - blocks[1]))
    return _side_by_side(blocks)


def _places(tables: Sequence[KmerTable], kinds: Sequence[Kind], num_train: int) -> Matrix:
    blocks = []
    for table, kind in zip(tables, kinds, strict=True):
        max_k = _MAX_K_IN_PLACE[kind]
        # Test rows do not decide what the features are.
        lengths = set(table.lengths[:num_train].tolist())
        if len(lengths) == 1 and max(lengths) <= _MAX_FIXED_LENGTH:
            parts = [table.at_places(lengths.pop(), max_k)]
        else:
            ends = [table.at_places(_NUM_END_PLACES, 1, from_end=from_end) for from_end in (False, True)]
            parts = [table.in_bins(_NUM_BINS, max_k), *ends]
        blocks.append(_normalised(_side_by_side(parts)))
    return _side_by_side(blocks)


def _side_by_side(blocks: Sequence[Matrix]) -> Matrix:
    from scipy.sparse import hstack  # type: ignore[import-untyped]

    return hstack(blocks, format="csr")


def _normalised(matrix: Matrix) -> Matrix:
    from sklearn.preprocessing import normalize

    return normalize(matrix)


# ---- models ----


def _logistic(matrix: Matrix, answers: Answers, inverse_penalty: float) -> Answers:
    from sklearn.linear_model import LogisticRegression

    num_train = len(answers)
    if len(np.unique(answers)) == 1:
        return np.repeat(answers[:1], matrix.shape[0] - num_train)
    model = LogisticRegression(C=inverse_penalty, max_iter=_MAX_ITERATIONS).fit(matrix[:num_train], answers)
    guess: Answers = model.predict(matrix[num_train:])
    return guess


def _ridge(matrix: Matrix, answers: Answers, _: float) -> Answers:
    from sklearn.linear_model import Ridge

    num_train = len(answers)
    model = Ridge(alpha=_RIDGE_ALPHA, solver="lsqr").fit(matrix[:num_train], answers)
    guess: Answers = model.predict(matrix[num_train:])
    return guess


def _nearest(matrix: Matrix, answers: Answers) -> Answers:
    """The answer of the training row with the largest cosine; the first one of equals."""
    num_train = len(answers)
    train, test = matrix[:num_train].T.tocsr(), matrix[num_train:]
    rows = [
        # In blocks: the similarities of all rows at once may not fit into memory.
        (test[start : start + _NEAREST_BLOCK] @ train).toarray().argmax(axis=1)
        for start in range(0, test.shape[0], _NEAREST_BLOCK)
    ]
    guess: Answers = answers[np.concatenate(rows)]
    return guess
