"""What a memory of n-grams begins with: what linear models of the tasks make of the same n-grams.

An output of such a model is a weight for each row of the table. It is given a direction of its own in the space of the
model's vectors, so that the mean over a sequence says, along that direction, what the linear model says of it. The
tuning that follows finds out what to make of that, and changes all of it.

What a linear model says of rows that it was fitted on is nearly always right, and would teach the rest of the model to
believe it and nothing else. So there is one for each fold of the rows, fitted on the others: the memory is their mean,
and half of the examples, drawn anew each time, are trained on with that of their fold.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import SettingsError
from llama_gene.files import atomic_path
from llama_gene.finetune.store import ExampleStore, Ints
from llama_gene.model.head import plain_model
from llama_gene.model.rows import find_memory
from llama_gene.progress import progress
from llama_gene.tasks.task import Task
from llama_gene.training.parallel import as_the_first

_MOST_ROWS = 40_000  # of a task: more take minutes and say little that is new
_AT_ONCE = 256
_INVERSE_PENALTY = 10.0
_HEAVY = (1.0, 3.0)  # what places, or what sequences share, may count: splice sites and same genome need 3, most 1
_FOLDS = 5
_RIDGE_ALPHA = 1.0
_MAX_ITERATIONS = 100
_SCALE = 3.0  # of a row's part along a direction; what else attention reads is 1 on the mean

Matrix = Any  # scipy.sparse.csr_matrix: scipy has no types, and is loaded late


def fill_memory(model: Any, store: ExampleStore, tasks: Sequence[Task], path: Path, *, seed: int) -> None:
    """Give `model` a memory that begins with linear models of `tasks`, in place.

    Tasks that answer in text or in several labels have none.

    Args:
        model: The model to tune.
        store: The examples; the first groups are the tasks'.
        tasks: The tasks, in their order.
        path: Where the memory is kept, so that a tuning that goes on need not make it again.
        seed: Decides which rows are looked at, and the directions.

    Raises:
        SettingsError: The model has no memory.
    """
    import torch
    from safetensors.torch import load_file, save_file

    memory = find_memory(plain_model(model))
    if memory is None:
        hint = "take a size with a memory, such as model.size = gene-mini"
        raise SettingsError("finetune.fill_memory: the model has no memory of n-grams", hint=hint)

    def make() -> None:
        if not path.is_file():
            weights = _linear_weights(memory, store, tasks, seed)
            directions = _directions(weights.shape[1], memory.table.shape[1], seed)
            with atomic_path(path) as draft:
                save_file({"weights": torch.from_numpy(weights), "directions": torch.from_numpy(directions)}, draft)

    as_the_first(make)
    kept = load_file(path)
    with torch.no_grad():
        tables = _SCALE / memory.gain * (kept["weights"].mT @ kept["directions"])
        mean = tables.mean(dim=0)
        memory.table.copy_(mean)
        memory.folds = (tables - mean).to(memory.table.device)


def _linear_weights(memory: Any, store: ExampleStore, tasks: Sequence[Task], seed: int) -> NDArray[np.float32]:
    """What each row of the table weighs for each output of each task, float32[folds, outputs, rows]; 1 on the mean."""
    generator = np.random.default_rng([seed, 2])
    found = [np.zeros((_FOLDS, 0, len(memory.table)), np.float32)]
    with progress("linear models for the memory", len(tasks)) as report:
        for group, task in enumerate(tasks):
            if task.kind in {"classification", "regression"}:
                chosen = generator.permutation(store.members(group))[:_MOST_ROWS]
                strands = store.groups[group].num_strands
                counts, folds = _counts(memory, store, chosen, strands)
                if len(task.inputs) > 1:
                    heavy = slice(memory.first_shared, None)
                else:
                    heavy = slice(memory.first_placed, memory.first_shared)
                found.append(_fit(counts, np.tile(store.choices[chosen], strands), folds, task, heavy))
            report(group + 1)
    weights = np.concatenate(found, axis=1)
    mean = weights.mean(axis=0)
    sizes = np.sqrt((mean**2).sum(axis=1) / np.maximum((mean != 0).sum(axis=1), 1))
    scaled: NDArray[np.float32] = (weights / np.maximum(sizes, 1e-12)[:, None]).astype(np.float32)
    return scaled


def _counts(memory: Any, store: ExampleStore, examples: Ints, strands: int) -> tuple[Matrix, Ints]:
    """How often each row of the table is read for each example, [strands * examples, rows], and the examples' folds."""
    import torch
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    asked = [(example, strand) for strand in range(strands) for example in examples.tolist()]
    rows, columns, folds = [], [], []
    for start in range(0, len(asked), _AT_ONCE):
        prompts = []
        for example, strand in asked[start : start + _AT_ONCE]:
            ids, num_answer, _ = store.ask(example, strand, 0)
            prompts.append(ids[: len(ids) - num_answer])
        lengths = [len(prompt) for prompt in prompts]
        prompt = np.repeat(np.arange(len(prompts)), lengths)
        packed = torch.from_numpy(np.concatenate(prompts))[None]
        places = torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))[None]
        read = memory.find(packed, 0, places)[0].numpy()
        place, column = read.nonzero()
        rows.append(start + prompt[place])
        columns.append(read[place, column])
        fold = memory.fold(packed, torch.from_numpy(prompt)[None], _FOLDS)[0].numpy()
        folds.append(fold[np.cumsum(lengths) - 1])
    there = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(asked), len(memory.table))
    return csr_matrix((np.ones(len(there[0]), np.float32), there), shape), np.concatenate(folds)


def _fit(counts: Matrix, answers: Ints, folds: Ints, task: Task, heavy: slice) -> NDArray[np.float32]:
    """For each fold the weights of a linear model of the others, float32[folds, outputs, rows].

    Args:
        counts: How often each row of the table is read, [examples, rows].
        answers: int64[examples].
        folds: int64[examples].
        task: Whose examples they are. It has an output for each label, or one for two or a number.
        heavy: Rows that may count more than others; the first fold says whether they do.
    """
    import warnings

    from scipy.sparse import diags
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    labels = np.unique(answers)
    if len(labels) == 1:
        return np.zeros((_FOLDS, 0, counts.shape[1]), np.float32)
    others = [folds != fold for fold in range(_FOLDS)]
    needed = 1 if task.kind == "regression" else len(labels)
    if any(len(np.unique(answers[chosen])) < needed for chosen in others):
        others = [np.ones_like(others[0])] * _FOLDS  # too few rows for folds: all learn from all
    tried_on = others[0] if others[0].all() else ~others[0]

    def fit(matrix: Matrix, chosen: NDArray[np.bool_]) -> Any:
        if task.kind == "regression":
            model = Ridge(alpha=_RIDGE_ALPHA, solver="lsqr")
        else:
            model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS)
        return model.fit(matrix[chosen], answers[chosen])

    tried = []
    # Several threads wait for each other here, ten times as long where other work goes on.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # near its end is as good: tuning goes on from there
        for weight in _HEAVY:
            weights = np.ones(counts.shape[1], np.float32)
            weights[heavy] = weight
            matrix = normalize(counts @ diags(weights))
            first = fit(matrix, others[0])
            tried.append((first.score(matrix[tried_on], answers[tried_on]), weights, matrix, first))
        _, weights, matrix, first = max(tried, key=lambda one: one[0])
        models = [first, *(fit(matrix, chosen) for chosen in others[1:])]
    # On counts as they are, a row of what counts three times as much weighs three times as much.
    return np.stack([np.atleast_2d(model.coef_) * weights for model in models]).astype(np.float32)


def _directions(outputs: int, width: int, seed: int) -> NDArray[np.float32]:
    """A direction of length 1 for each output, float32[outputs, width]; at right angles, while there is room."""
    generator = np.random.default_rng([seed, 3])
    found = []
    for start in range(0, outputs, width):
        square, _ = np.linalg.qr(generator.normal(size=(width, width)))
        found.append(square[: min(width, outputs - start)])
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, width), np.float32)
