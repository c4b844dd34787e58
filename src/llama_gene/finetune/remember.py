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
from llama_gene.model.rows import find_memory
from llama_gene.progress import progress
from llama_gene.tasks.task import Task
from llama_gene.training.parallel import as_the_first

_MOST_ROWS = 40_000  # of a task: more take minutes and say little that is new
_AT_ONCE = 256
_NO_TOKEN = -1
_INVERSE_PENALTY = 10.0
_PLACED = (1.0, 3.0)  # what an n-gram at its place may count beside others: splice sites need 3, most tasks 1
_TRIED_ON = 5  # one row of so many says which
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
            table = torch.from_numpy(_SCALE * weights.T @ _directions(len(weights), memory.table.shape[1], seed))
            with atomic_path(path) as draft:
                save_file({"table": table.float() / memory.gain}, draft)

    as_the_first(make)
    with torch.no_grad():
        memory.table.copy_(load_file(path)["table"])


def _linear_weights(memory: Any, store: ExampleStore, tasks: Sequence[Task], seed: int) -> NDArray[np.float32]:
    """The weight of each row of the table for each output of each task, float32[outputs, rows]; 1 on the mean."""
    from scipy.sparse import vstack  # type: ignore[import-untyped]

    generator = np.random.default_rng([seed, 2])
    found = []
    with progress("linear models for the memory", len(tasks)) as report:
        for group, task in enumerate(tasks):
            if task.kind in {"classification", "regression"}:
                chosen = generator.permutation(store.members(group))[:_MOST_ROWS]
                strands = store.groups[group].num_strands
                counts = vstack([_counts(memory, store, chosen, strand) for strand in range(strands)], format="csr")
                answers, tried = np.tile(store.choices[chosen], strands), np.tile(chosen % _TRIED_ON == 0, strands)
                found.append(_fit(counts, answers, tried, task, memory.first_placed))
            report(group + 1)
    weights = np.concatenate(found) if found else np.zeros((0, memory.table.shape[0]), np.float32)
    sizes = np.sqrt((weights**2).sum(axis=1) / np.maximum((weights != 0).sum(axis=1), 1))
    scaled: NDArray[np.float32] = (weights / np.maximum(sizes, 1e-12)[:, None]).astype(np.float32)
    return scaled


def _counts(memory: Any, store: ExampleStore, examples: NDArray[np.int64], strand: int) -> Matrix:
    """How often each row of the table is read for each example: [examples, rows]."""
    import torch
    from scipy.sparse import csr_matrix

    rows, columns = [], []
    for start in range(0, len(examples), _AT_ONCE):
        prompts = []
        for example in examples[start : start + _AT_ONCE].tolist():
            ids, num_answer, _ = store.ask(example, strand, 0)
            prompts.append(np.append(ids[: len(ids) - num_answer], _NO_TOKEN))  # no n-gram reaches into the next
        read = memory.find(torch.from_numpy(np.concatenate(prompts))[None])[0].numpy()
        row = np.repeat(np.arange(start, start + len(prompts)), [len(prompt) for prompt in prompts])
        place, table = read.nonzero()
        rows.append(row[place])
        columns.append(read[place, table])
    there = (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix((np.ones(len(there[0]), np.float32), there), (len(examples), len(memory.table)))


def _fit(
    counts: Matrix, answers: NDArray[np.int64], tried: NDArray[np.bool_], task: Task, first_placed: int
) -> NDArray[np.float32]:
    """The weights of a linear model, float32[outputs, rows]: an output for each label, or one for two or a number.

    Args:
        counts: How often each row of the table is read, [examples, rows]; from `first_placed` on by place.
        answers: int64[examples].
        tried: bool[examples]; those on which it is found out how much places count.
        task: Whose examples they are.
        first_placed: See `counts`.
    """
    import warnings

    from scipy.sparse import diags
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import normalize

    if len(np.unique(answers)) == 1:
        return np.zeros((0, counts.shape[1]), np.float32)

    def fit(placed: float, rows: NDArray[np.bool_]) -> tuple[Any, Matrix]:
        """A model of `rows` where what stands at its place counts `placed` times, and the counts as it sees them."""
        weight = np.where(np.arange(counts.shape[1]) < first_placed, 1, placed).astype(np.float32)
        seen = normalize(counts @ diags(weight))
        if task.kind == "regression":
            model = Ridge(alpha=_RIDGE_ALPHA, solver="lsqr")
        else:
            model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS)
        return model.fit(seen[rows], answers[rows]), seen

    def score(placed: float) -> float:
        model, seen = fit(placed, ~tried)
        return float(model.score(seen[tried], answers[tried]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near its end is as good: tuning goes on from there
        # Rows of one label teach nothing: too few are not split.
        can_try = tried.any() and len(np.unique(answers[~tried])) > 1
        best = max(_PLACED, key=score) if can_try else _PLACED[0]
        model, _ = fit(best, np.ones_like(tried))
    coefficients = np.atleast_2d(model.coef_)
    # On counts as they are, a row of what counts three times as much weighs three times as much.
    coefficients[:, first_placed:] *= best
    return np.array(coefficients, np.float32)


def _directions(outputs: int, width: int, seed: int) -> NDArray[np.float32]:
    """A direction of length 1 for each output, float32[outputs, width]; at right angles, while there is room."""
    generator = np.random.default_rng([seed, 3])
    found = []
    for start in range(0, outputs, width):
        square, _ = np.linalg.qr(generator.normal(size=(width, width)))
        found.append(square[: min(width, outputs - start)])
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, width), np.float32)
