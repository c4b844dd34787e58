"""Instruction tuning: examples of all tasks, packed whole into rows, with the loss on the answers alone."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llama_gene.config import FinetuneSettings
from llama_gene.corpus.pack import IGNORE, Row
from llama_gene.errors import TaskError
from llama_gene.model.folder import load_base, save_folder
from llama_gene.model.lora import adapt
from llama_gene.model.merge import bring_home
from llama_gene.tasks.registry import save_task
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import TEMPLATE_VERSION, Encoded, PromptEncoder, prompt_hash
from llama_gene.training import train

_OPEN_ROWS = 32  # rows that are filled side by side; more leave less padding, and mix less evenly


@dataclass(frozen=True)
class TaskRows:
    """The training examples of one task.

    Attributes:
        task: The task.
        examples: The rows to tune on.
        record: What is kept with the model: where they come from, their hash, how many there were.
    """

    task: Task
    examples: Sequence[Example]
    record: dict[str, Any]


def finetune(
    base: Path, tasks: Sequence[TaskRows], settings: FinetuneSettings, output: Path, checkpoints: Path, *, seed: int
) -> None:
    """Tune the model folder `base` on `tasks`; save the (merged) model with the tasks as `output`.

    Raises:
        LlamaGeneError: A task does not fit the model, or the training cannot go on.
    """
    model, tokenizer, record = load_base(base, settings)
    max_tokens = min(settings.block_size, int(model.config.max_position_embeddings))
    encoded, shortened = [], {}
    for rows_of in tasks:
        if not rows_of.examples:
            raise TaskError(f"task {rows_of.task.name!r} has no training rows")
        encoder = PromptEncoder(rows_of.task, tokenizer, max_tokens, settings.shorten)
        examples = encoder.encode(rows_of.examples)
        shortened[rows_of.task.name] = sum(example.num_cut > 0 for example in examples)
        encoded += examples
    rows_a_step = settings.batch_size * settings.accumulate
    rows = ExampleRows(
        encoded, settings.block_size, settings.epochs, tokenizer.pad_id, rows_a_step=rows_a_step, seed=seed
    )
    trained = adapt(model, settings, tokenizer.base_size, seed=seed)
    log = train(trained, rows, settings, checkpoints, seed=seed, title="finetune")
    model = bring_home(trained, base, output, tokenizer.fingerprint)
    summary = {
        "steps": log.num_steps,
        "tokens": log.num_tokens,
        "useful_share": round(rows.useful_share, 4),
        "trainable_parameters": log.num_trainable,
        "parameters": log.num_parameters,
        "train": settings.train,
        "seconds": round(log.seconds, 1),
        "losses": [list(point) for point in log.losses],
    }
    task_records = {
        rows_of.task.name: {
            "prompt_hash": prompt_hash(rows_of.task),
            "train_shortened": shortened[rows_of.task.name],
            **rows_of.record,
        }
        for rows_of in tasks
    }
    definitions = checkpoints / "tasks"
    shutil.rmtree(definitions, ignore_errors=True)
    for rows_of in tasks:
        save_task(rows_of.task, definitions / f"{rows_of.task.name}.toml")
    kept: dict[str, Any] = {key: value for key, value in record.items() if key in {"base", "pretrain"}}
    prompts = {"template": TEMPLATE_VERSION, "max_tokens": max_tokens, "shorten": settings.shorten}
    save_folder(
        model, base, output, {**kept, "finetune": summary, "prompts": prompts, "tasks": task_records}, definitions
    )


class ExampleRows:
    """Encoded examples packed whole into rows, in a new random order each epoch.

    Indexing gives ``{"input_ids", "labels", "position_ids"}``, int64[block_size] each. Only answers are targets.

    Args:
        examples: Each at most `block_size` tokens long.
        block_size: Tokens in a row.
        epochs: How often every example is seen; a fraction sees some of them once more.
        pad_id: Fills up the rows.
        rows_a_step: The rows are filled up to a multiple of this.
        seed: Decides the order.
    """

    def __init__(
        self,
        examples: Sequence[Encoded],
        block_size: int,
        epochs: float,
        pad_id: int,
        *,
        rows_a_step: int = 1,
        seed: int,
    ) -> None:
        self._examples, self._block_size, self._pad_id = examples, block_size, pad_id
        generator = np.random.default_rng(seed)
        order: list[int] = []
        wanted = max(1, round(epochs * len(examples)))
        while len(order) < wanted:
            order += generator.permutation(len(examples)).tolist()
        lengths = [len(example.prompt) + len(example.answer) for example in examples]
        self._rows = pack_whole(order[:wanted], lengths, block_size)
        num_rows = len(self._rows)
        while len(self._rows) % rows_a_step:
            # The last step is filled up with rows seen before, from the first on, so that none is dropped.
            self._rows.append(self._rows[len(self._rows) - num_rows])
        self.useful_share = sum(lengths[i] for i in order[:wanted]) / (len(self._rows) * block_size)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for place in self._rows[index]:
            example = self._examples[place]
            ids += example.prompt + example.answer
            # By length, not by id: an answer may hold any token, the padding's too.
            labels += [IGNORE] * len(example.prompt) + example.answer
            positions += range(len(example.prompt) + len(example.answer))
        padding = self._block_size - len(ids)
        return {
            "input_ids": np.array(ids + [self._pad_id] * padding, dtype=np.int64),
            "labels": np.array(labels + [IGNORE] * padding, dtype=np.int64),
            "position_ids": np.array(positions + list(range(padding)), dtype=np.int64),
        }


def pack_whole(order: Sequence[int], lengths: Sequence[int], block_size: int) -> list[list[int]]:
    """Put items into rows, first row first that has room, among the newest few; no item is split.

    >>> pack_whole([0, 1, 2, 3], [6, 5, 4, 3], 10)
    [[0, 2], [1, 3]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for item in order:
        for row in range(max(0, len(rows) - _OPEN_ROWS), len(rows)):
            if room[row] >= lengths[item]:
                break
        else:
            rows.append([])
            room.append(block_size)
            row = len(rows) - 1
        rows[row].append(item)
        room[row] -= lengths[item]
    return rows
