"""The stage: examples are stored, drawn and packed; the model trains on them; what was asked is kept with it."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import FinetuneSettings
from llama_gene.corpus.pack import IGNORE
from llama_gene.errors import SettingsError, TaskError
from llama_gene.finetune.draw import draw_examples, task_weights
from llama_gene.finetune.remember import fill_memory
from llama_gene.finetune.rows import ExampleRows
from llama_gene.finetune.store import Draw, ExampleStore
from llama_gene.model.folder import load_base, save_folder
from llama_gene.model.lora import adapt
from llama_gene.model.merge import bring_home
from llama_gene.model.rows import find_memory
from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.registry import save_task
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import (
    TEMPLATE_VERSION,
    InstructionEncoder,
    PromptEncoder,
    Shorten,
    prompt_hash,
    wordings,
)
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.tokenizer.chat import ChatFrame, read_chat_frame
from llama_gene.training import HeldOut, Stopping, train
from llama_gene.training.curves import PAGE, write_page
from llama_gene.training.held_out import hold_out
from llama_gene.training.parallel import rank

# A row of a rare n-gram is moved by thirty times the rate when it is read: by all that a linear model said of it.
_FILLED_RATE = 0.1


@dataclass(frozen=True)
class TaskRows:
    """The rows of one task.

    Attributes:
        task: The task.
        examples: The rows to tune on; they are gone through once.
        record: What is kept with the model: where they come from, their hash, how many there were.
        dev: Rows that the model never trains on; their loss is measured while it trains.
    """

    task: Task
    examples: Iterable[Example]
    record: Mapping[str, Any]
    dev: Sequence[Example] = ()


@dataclass(frozen=True)
class InstructionRows:
    """Free instructions that are mixed in.

    Attributes:
        name: What they are called.
        share: Their share of all examples.
        instructions: They are gone through once.
    """

    name: str
    share: float
    instructions: Iterable[Instruction]


@dataclass(frozen=True)
class _Prompts:
    """How prompts are made for one model.

    Attributes:
        tokenizer: Its tokenizer.
        max_tokens: Longest prompt and answer together.
        shorten: What is kept of sequences too long.
        chat: What its chat template puts around them.
    """

    tokenizer: GeneTokenizer
    max_tokens: int
    shorten: Shorten
    chat: ChatFrame | None

    def encoder(self, task: Task, questions: Sequence[str] = ()) -> PromptEncoder:
        return PromptEncoder(task, self.tokenizer, self.max_tokens, self.shorten, chat=self.chat, questions=questions)

    def record(self) -> dict[str, Any]:
        """What it takes to make them again."""
        chat = None if self.chat is None else self.chat.fingerprint
        return {"template": TEMPLATE_VERSION, "max_tokens": self.max_tokens, "shorten": self.shorten, "chat": chat}


def finetune(
    base: Path,
    tasks: Sequence[TaskRows],
    settings: FinetuneSettings,
    output: Path,
    checkpoints: Path,
    *,
    seed: int,
    instructions: Sequence[InstructionRows] = (),
    english: Sequence[NDArray[np.uint32]] = (),
    logs: Path | None = None,
) -> None:
    """Tune the model folder `base` on `tasks`; save the (merged) model with the tasks as `output`.

    Args:
        base: A model folder.
        tasks: What it is to learn.
        settings: How to train.
        output: The model folder to make, with the page of the training in it.
        checkpoints: A folder for this training alone; see `train`.
        seed: Decides the order of the examples, and what else is drawn.
        instructions: What it is not to forget.
        english: The ids of documents that are not trained on, by which forgetting shows.
        logs: A folder for the page while the training goes on, and for trackers; see `train`.

    Raises:
        LlamaGeneError: A task does not fit the model, or the training cannot go on.
    """
    unknown = settings.weights.keys() - {one.task.name for one in tasks}
    if unknown:
        hint = f"tasks: {', '.join(one.task.name for one in tasks)}"
        raise SettingsError(f"finetune.weights: no task is named {min(unknown)!r}", hint=hint)
    model, tokenizer, record = load_base(base, settings)
    max_tokens = min(settings.block_size, int(model.config.max_position_embeddings))
    chat = read_chat_frame(base) if settings.chat == "auto" else None
    prompts = _Prompts(tokenizer, max_tokens, settings.shorten, chat)
    store, counts = _store(prompts, tasks, instructions, settings, checkpoints)
    rows = ExampleRows(
        store,
        draw(store, settings, [one.share for one in instructions], seed=seed),
        settings.block_size,
        tokenizer.pad_id,
        rows_a_step=settings.batch_size * settings.accumulate,
        learn_sequences=settings.sequence_loss > 0,
        equal_answers=settings.equal_answers,
    )
    dev = [hold_out_answers(prompts.encoder(one.task), one.dev) for one in tasks if one.dev]
    names = tuple(one.name for one in dev)
    text = hold_out(tokenizer, "text", english, int(model.config.max_position_embeddings))
    if settings.fill_memory:
        fill_memory(model, store, [one.task for one in tasks], checkpoints / "memory.safetensors", seed=seed)
    memory_rate = settings.memory_learning_rate or settings.learning_rate * (
        _FILLED_RATE if settings.fill_memory else 1
    )
    if (memory := find_memory(model)) is not None:
        memory.dropout = settings.memory_dropout
    trained = adapt(model, settings, tokenizer.base_size, seed=seed)
    log = train(
        trained,
        rows,
        settings,
        checkpoints,
        seed=seed,
        title="finetune",
        held_out=[*dev, *([text] if text else [])],
        logs=logs,
        sequence_weight=settings.sequence_loss,
        memory_rate=memory_rate,
        stopping=Stopping(names, settings.patience) if settings.patience and names else None,
    )
    if rank() > 0:
        return
    model = bring_home(trained, base, output, tokenizer.fingerprint)
    summary = {
        **log.record(),
        "train": settings.train,
        "useful_share": round(rows.useful_share, 4),
        "instructions_too_long": {one.name: counts[one.name] for one in instructions},
    }
    if text is not None:
        bits = [value for _, value in log.bits(text.name)]
        summary["english"] = {"before": bits[0], "after": bits[-1]}
    task_records = {
        one.task.name: {"prompt_hash": prompt_hash(one.task), "train_shortened": counts[one.task.name], **one.record}
        for one in tasks
    }
    definitions = checkpoints / "tasks"
    shutil.rmtree(definitions, ignore_errors=True)
    for one in tasks:
        save_task(one.task, definitions / f"{one.task.name}.toml")
    kept: dict[str, Any] = {key: value for key, value in record.items() if key in {"base", "pretrain"}}
    kept |= {"finetune": summary, "prompts": prompts.record(), "tasks": task_records}
    save_folder(model, base, output, kept, definitions)
    write_page(log, settings, output / PAGE)


def _store(
    prompts: _Prompts,
    tasks: Sequence[TaskRows],
    instructions: Sequence[InstructionRows],
    settings: FinetuneSettings,
    folder: Path,
) -> tuple[ExampleStore, dict[str, int]]:
    """All examples, encoded; and of each group how many were shortened, or left out because they are too long.

    Raises:
        TaskError: A task has no training rows.
        SettingsError: No instruction of a file fits.
    """
    store, counts = ExampleStore(folder), {}
    for one in tasks:
        encoder = prompts.encoder(one.task, wordings(one.task) if settings.paraphrase else ())
        both_strands = settings.reverse_complement and one.task.strand_symmetric
        before = len(store)
        counts[one.task.name] = store.add_task(encoder, one.examples, both_strands=both_strands)
        if len(store) == before:
            raise TaskError(f"task {one.task.name!r} has no training rows")
    for mixed in instructions:
        before = len(store)
        encode = InstructionEncoder(prompts.tokenizer, prompts.max_tokens, chat=prompts.chat)
        counts[mixed.name] = store.add_instructions(mixed.name, encode, mixed.instructions)
        if len(store) == before:
            problem = f"no instruction of {mixed.name!r} fits into {prompts.max_tokens} tokens"
            raise SettingsError(problem, hint="raise finetune.block_size, or leave them out")
    store.close()
    return store, counts


def draw(store: ExampleStore, settings: FinetuneSettings, shares: Sequence[float], *, seed: int) -> Draw:
    """Which examples are seen, in which order, on which strand and in which words.

    Args:
        store: The examples; groups of instructions come last.
        settings: How often, and evenly over what.
        shares: The share of all examples that each group of instructions gets.
        seed: Decides everything.
    """
    groups = [store.members(index) for index in range(len(store.groups))]
    of_task = store.groups[: len(groups) - len(shares)]
    sizes = [len(group) for group in groups[: len(of_task)]]
    by_size = task_weights(sizes, settings.task_temperature)
    weights = [settings.weights.get(task.name, 1.0) * weight for task, weight in zip(of_task, by_size, strict=True)]
    of_tasks = 1 - sum(shares)
    num_draws = max(1, round(settings.epochs * sum(sizes) / of_tasks))
    examples = draw_examples(
        groups,
        [*(of_tasks * weight / sum(weights) for weight in weights), *shares],
        num_draws,
        seed=seed,
        labels=store.labels if settings.balance_labels else None,
    )
    generator = np.random.default_rng([seed, 1])
    of_group = store.group_of(examples)
    num_strands = np.array([group.num_strands for group in store.groups])[of_group]
    num_others = np.array([len(group.frames) - 1 for group in store.groups])[of_group]
    reworded = (generator.random(num_draws) < settings.paraphrase) & (num_others > 0)
    others = 1 + generator.integers(0, np.maximum(num_others, 1))
    return Draw(examples, generator.integers(0, num_strands), np.where(reworded, others, 0))


def hold_out_answers(encoder: PromptEncoder, examples: Sequence[Example]) -> HeldOut:
    """Rows of a task whose answers are measured while a model trains, and never trained on."""
    encoded = encoder.encode(examples)
    documents = [np.array(one.prompt + one.answer, np.int64) for one in encoded]
    labels = [np.array([IGNORE] * len(one.prompt) + one.answer, np.int64) for one in encoded]
    if encoder.task.kind == "text":  # long answers cost more, and are none the worse for it
        num_bytes = sum(len((example.answer or "").encode()) for example in examples)
        return HeldOut(encoder.task.name, "bits per byte of its answers", documents, labels, num_bytes)
    return HeldOut(encoder.task.name, "bits per answer", documents, labels, len(examples))
