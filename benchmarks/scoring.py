"""Label scoring against writing an answer a row, on one checkpoint: what ``evaluation.py score`` runs.

The checkpoint is a new LLaMA of the shape of stories260K, tuned for some hundred steps on core promoters (simulated:
they are richer in G and C; with ``--data``, GUE's) in the prompt of the reference's test notebook. Its tokenizer has
English and pieces of DNA, none of this prompt's or these labels' words. Then the same rows are asked

- as that notebook does: one ``generate`` of 8 tokens a row, the label looked for in what was written. Its substring
  rule counts "Non-promoter" as "promoter"; so the strict rule stands beside it, and is what accuracies are compared by;
- by `StockModel.predict`: both labels scored, rows in batches.

Where lm-evaluation-harness is installed (``pip install llama-gene[harness]``), the checkpoint is asked in our own
template, too: by `StockModel.predict`, and by the harness on what ``tasks export`` writes of the same rows, in batches
of 64. Of the harness only its `loglikelihood` counts, not how it makes its task.

All in one process on one thread; time is CPU time, tokenizing included, loading not.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llama_gene.inference.judge import label_of
from llama_gene.inference.stock import StockModel
from llama_gene.model.base import SIZES, Shape, new_model
from llama_gene.simulate.english import documents
from llama_gene.tasks.convert import find_split
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.rows import load_rows
from llama_gene.tasks.style import Style
from llama_gene.tasks.task import Example, Task
from llama_gene.vocabulary.text import train_text_tokenizer

TASK, MORE_LABELS, LETTERS = "prom_core_all", "splice_reconstructed", 70
BATCH, LEARNING_RATE, VOCABULARY = 16, 3e-3, 512
LEAST_RATIO, LEAST_TO_HARNESS = 30, 3
HARNESS_BATCH = 64


@dataclass(frozen=True)
class Run:
    """What a way of asking took, and how often it was right."""

    name: str
    num_rows: int
    seconds: float
    accuracy: float
    by_substring: float | None = None

    @property
    def rate(self) -> float:
        return self.num_rows / self.seconds


def simulate(task: Task, num: int, seed: int) -> list[Example]:
    """Sequences of which one half, the promoters, have 56 % of G and C, the other 44 %."""
    rng, rows = random.Random(seed), []
    for number in range(num):
        share = 0.56 if number % 2 else 0.44
        letters = rng.choices("GCAT", [share / 2, share / 2, (1 - share) / 2, (1 - share) / 2], k=LETTERS)
        rows.append(Example(f"row{number}", ("".join(letters),), task.label_names[number % len(task.label_names)]))
    return rows


def real(task: Task, data: Path, split: str, num: int) -> list[Example]:
    return list(load_rows(task, find_split(task, data, split), cap=num).examples)


def make_checkpoint(task: Task, rows: list[Example], steps: int, folder: Path) -> StockModel:
    """A model that knows the task in the reference's words."""
    shape = Shape(64, 5, 8, 4, 172, tied=True)
    texts = [*documents(np.random.default_rng(1), 2000), *(row.sequences[0] for row in rows)]
    train_text_tokenizer(texts, VOCABULARY, folder)
    SIZES["stories"] = shape
    special = {"eos_token_id": 0, "pad_token_id": 1}
    new_model("stories", VOCABULARY, 512, special, seed=1).save_pretrained(folder)
    stock = StockModel.load(str(folder), "reference-test")
    model, encoder, rng = stock.model.train(), stock.encoder(task), random.Random(1)
    answers = dict(zip(task.candidates, encoder.candidate_ids, strict=True))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 20) * (1 - step / steps)
        drawn = rng.sample(rows, BATCH)
        prompts = [encoded.prompt for encoded in encoder.encode(drawn)]
        asked = [prompt + answers[str(row.answer)] for prompt, row in zip(prompts, drawn, strict=True)]
        ids = stock.readout.tensor(asked)
        labels = torch.full_like(ids, -100)
        for row, (prompt, whole) in enumerate(zip(prompts, asked, strict=True)):
            labels[row, len(prompt) : len(whole)] = ids[row, len(prompt) : len(whole)]
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    return stock


def notebook(stock: StockModel, task: Task, rows: list[Example]) -> list[str]:
    """The reference's loop: `generate` for one row after the other, and what it wrote without the prompt."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(stock.folder))
    answers = []
    for row in rows:
        text = Style("reference-test").prompt(task, row.sequences)
        ids = tokenizer.encode(text, return_tensors="pt", truncation=True, max_length=1000)
        written = stock.model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)
        answers.append(tokenizer.decode(written[0], skip_special_tokens=True)[len(text) :])
    return answers


def by_harness(stock: StockModel, task: Task, rows: list[Example], folder: Path, name: str) -> Run:
    """The harness on the exported rows, with the same weights."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoTokenizer

    from llama_gene.tasks.export import export_to_harness

    exported, _ = export_to_harness(task, rows, folder, bare=True)
    tokenizer = AutoTokenizer.from_pretrained(str(stock.folder))
    model = HFLM(pretrained=stock.model, tokenizer=tokenizer, batch_size=HARNESS_BATCH, device="cpu")
    score, taken = model.loglikelihood, []

    def timed_score(requests: Any, **options: Any) -> Any:
        seconds, found = timed(lambda: score(requests, **options))
        taken.append(seconds)
        return found

    model.loglikelihood = timed_score
    with contextlib.chdir(folder):
        manager = TaskManager(include_path=".", include_defaults=False)
        found = lm_eval.simple_evaluate(model=model, tasks=[exported], task_manager=manager, bootstrap_iters=0)
    return Run(name, len(rows), sum(taken), found["results"][exported]["acc,none"])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def runs(data: Path | None, num_train: int, num_rows: int, steps: int, folder: Path) -> Iterator[Run]:
    """Both ways, on the same rows."""
    torch.set_num_threads(1)
    task = load_task(TASK)
    train = simulate(task, num_train, 1) if data is None else real(task, data, "train", num_train)
    test = simulate(task, num_rows, 2) if data is None else real(task, data, "dev", num_rows)
    stock = make_checkpoint(task, train, steps, folder)
    truth = [row.answer for row in test]

    def share(said: list[bool]) -> float:
        return sum(said) / len(said)

    seconds, written = timed(lambda: notebook(stock, task, test))
    strict = [label_of(task, text) == right for text, right in zip(written, truth, strict=True)]
    lenient = [str(right) in text for text, right in zip(written, truth, strict=True)]
    yield Run("the reference's loop", len(test), seconds, share(strict), share(lenient))
    yield scored(stock, task, test, "label scoring")
    if not find_spec("lm_eval"):
        return
    ours = StockModel(stock.model, folder, "stories", "llama-gene")
    # The harness asks once a label, so it matters how many there are.
    for other, rows in ((task, test), (load_task(MORE_LABELS), simulate(load_task(MORE_LABELS), num_rows, 2))):
        num = f"{len(other.label_names)} labels"
        yield by_harness(stock, other, rows, folder.parent / "harness", f"lm-evaluation-harness, {num}")
        yield scored(ours, other, rows, f"label scoring, our template, {num}")


def scored(stock: StockModel, task: Task, rows: list[Example], name: str) -> Run:
    """Our way."""
    list(stock.predict(task, rows[:8]))  # what is made once is made
    seconds, predicted = timed(lambda: list(stock.predict(task, rows)))
    right = [one.answer == row.answer for one, row in zip(predicted, rows, strict=True)]
    return Run(name, len(rows), seconds, sum(right) / len(right))
