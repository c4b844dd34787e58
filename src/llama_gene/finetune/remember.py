"""What a memory of n-grams begins with: what linear models of the tasks make of the same n-grams.

An output of such a model is a weight for each row of the table. It is given a direction of its own in the space of the
model's vectors, so that the mean over a sequence says, along that direction, what the linear model says of it. The
tuning that follows finds out what to make of that, and changes all of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import SettingsError
from llama_gene.files import atomic_path
from llama_gene.finetune.store import ExampleStore
from llama_gene.model.head import plain_model
from llama_gene.progress import progress
from llama_gene.tasks.task import Task
from llama_gene.training.parallel import as_the_first

_MOST_ROWS = 12_000  # of a task: more take minutes and say little that is new
_INVERSE_PENALTY = 10.0
_RIDGE_ALPHA = 1.0
_MAX_ITERATIONS = 100
_SCALE = 0.5  # of a row's part along a direction; what else attention reads is 1 on the mean

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

    memory = getattr(plain_model(model).get_decoder(), "ngrams", None)
    if memory is None:
        hint = "take a size with a memory, such as model.size = gene-mini, or set model.remember"
        raise SettingsError("finetune.fill_memory: the model has no memory of n-grams", hint=hint)

    def make() -> None:
        if not path.is_file():
            weights = _linear_weights(memory, store, tasks, seed)
            table = torch.from_numpy(_SCALE * weights.T @ _directions(len(weights), memory.table.shape[1], seed))
            with atomic_path(path) as draft:
                save_file({"table": table.float() / memory.gain}, draft)

    as_the_first(make)
    with torch.no_grad():
        memory.table.copy_(load_file(path)["table"])


def _linear_weights(memory: Any, store: ExampleStore, tasks: Sequence[Task], seed: int) -> NDArray[np.float32]:
    """The weight of each row of the table for each output of each task, float32[outputs, rows]; 1 on the mean."""
    generator = np.random.default_rng([seed, 2])
    found = []
    with progress("linear models for the memory", len(tasks)) as report:
        for group, task in enumerate(tasks):
            if task.kind in {"classification", "regression"}:
                members = store.members(group)
                chosen = np.sort(generator.permutation(members)[:_MOST_ROWS])
                found.append(_fit(_counts(memory, store, chosen), store.choices[chosen], task))
            report(group + 1)
    weights = np.concatenate(found) if found else np.zeros((0, memory.table.shape[0]), np.float32)
    sizes = np.sqrt((weights**2).sum(axis=1) / np.maximum((weights != 0).sum(axis=1), 1))
    scaled: NDArray[np.float32] = (weights / np.maximum(sizes, 1e-12)[:, None]).astype(np.float32)
    return scaled


def _counts(memory: Any, store: ExampleStore, examples: NDArray[np.int64]) -> Matrix:
    """How often each row of the table is read for each example, every example of length 1: [examples, rows]."""
    import torch
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
    from sklearn.preprocessing import normalize

    columns = []
    for example in examples.tolist():
        ids, num_answer, _ = store.ask(example, 0, 0)
        read = memory.find(torch.from_numpy(ids[: len(ids) - num_answer])[None]).flatten().numpy()
        columns.append(read[read > 0])
    rows = np.repeat(np.arange(len(columns)), [len(one) for one in columns])
    ones = np.ones(len(rows), np.float32)
    return normalize(csr_matrix((ones, (rows, np.concatenate(columns))), (len(columns), len(memory.table))))


def _fit(counts: Matrix, answers: NDArray[np.int64], task: Task) -> NDArray[np.float32]:
    """The weights of a linear model, float32[outputs, rows]: an output for each label, or one for two or a number."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    if len(np.unique(answers)) == 1:
        return np.zeros((0, counts.shape[1]), np.float32)
    if task.kind == "regression":
        ridge = Ridge(alpha=_RIDGE_ALPHA, solver="lsqr").fit(counts, answers.astype(float))
        return np.array(ridge.coef_[None], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near its end is as good: tuning goes on from there
        model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS).fit(counts, answers)
    return np.array(model.coef_, np.float32)


def _directions(outputs: int, width: int, seed: int) -> NDArray[np.float32]:
    """A direction of length 1 for each output, float32[outputs, width]; at right angles, while there is room."""
    generator = np.random.default_rng([seed, 3])
    found = []
    for start in range(0, outputs, width):
        square, _ = np.linalg.qr(generator.normal(size=(width, width)))
        found.append(square[: min(width, outputs - start)])
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, width), np.float32)
