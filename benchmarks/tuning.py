"""Tuning beside the paper's route: prompts a second, useful tokens a second, memory.

Run: ``python benchmarks/tuning.py --data ../shared/data [--model FOLDER] [--steps 3] [--repeats 3]``.

``prompts``: every task of the data whose training rows are there becomes prompts and tokens, on one core, by the
tokenizer of ``--model`` (a model folder of ours; letters alone if not given): examples a second, and the peak
of memory when a tenth of the rows is read and when all are.

``tuning``: the shape of stories15M with random weights and a vocabulary of 92,032, LoRA of rank 8 and the whole
embedding and head, as in the paper. Its route takes the same examples in the same order, eight a batch, padded to the
longest, and makes all logits. Ours packs them into rows of as many tokens, and makes the logits of answers alone. A
useful token is no padding. Time is the CPU time of the best step after the first, on one thread; memory the peak of
the process less what it was before the steps. The routes take turns, and the ratios are those of the medians.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ratios

ROUTES = ("theirs", "ours")
NUM_ROWS, BATCH, BLOCK = 92_032, 8, 512
LEAST_PROMPTS, LEAST_SPEED, MOST_MEMORY = 20_000, 2.0, 0.5


def letters_tokenizer(folder: Path) -> Any:
    """A byte-level English and the letters of DNA and protein."""
    from llama_gene.tasks.registry import builtin_names, load_task
    from llama_gene.tasks.template import prompt_texts
    from llama_gene.tokenizer import GeneTokenizer
    from llama_gene.vocabulary.extend import extend
    from llama_gene.vocabulary.text import train_text_tokenizer
    from llama_gene.vocabulary.train import SequenceVocabulary

    tasks = [task for task in map(load_task, builtin_names()) if task.labels_file is None]
    text = train_text_tokenizer(prompt_texts(tasks), 1024, folder / "text")
    letters = [SequenceVocabulary("dna", ()), SequenceVocabulary("protein", ())]
    return GeneTokenizer.load(extend(text, letters, folder / "genes").folder)


def store_all(data: Path, model: Path | None, share: float, folder: Path) -> Any:
    """Prompts and tokens of the first `share` of the tasks' rows: a store, and the tokenizer."""
    from llama_gene.errors import FormatError
    from llama_gene.finetune.store import ExampleStore
    from llama_gene.tasks.convert import find_split
    from llama_gene.tasks.registry import builtin_names, load_task
    from llama_gene.tasks.rows import load_rows
    from llama_gene.tasks.template import PromptEncoder
    from llama_gene.tokenizer import GeneTokenizer

    tokenizer = GeneTokenizer.load(model) if model else letters_tokenizer(folder)
    found = []
    for name in builtin_names():
        try:
            task = load_task(name, data)
            found.append((task, find_split(task, data, "train")))
        except FormatError:  # its rows are not here
            continue
    started = time.process_time()
    store = ExampleStore(folder)
    for task, path in found:
        rows = load_rows(task, path, contradictions="drop")
        rows = load_rows(task, path, contradictions="drop", cap=max(1, int(share * len(rows)))) if share < 1 else rows
        store.add_task(PromptEncoder(task, tokenizer, BLOCK), rows, both_strands=False)
    store.close()
    return store, tokenizer, time.process_time() - started


def prompts(data: Path, model: Path | None, share: float) -> dict[str, float]:
    """How fast prompts are made of a share of all rows, and the peak of memory."""
    with tempfile.TemporaryDirectory() as folder:
        store, _, seconds = store_all(data, model, share, Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"examples": len(store), "rate": len(store) / seconds, "memory": peak}


def tuning(route: str, data: Path, model: Path | None, steps: int) -> dict[str, float]:
    """Train some steps by one of the routes; what they took."""
    import numpy as np
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from llama_gene.config import FinetuneSettings
    from llama_gene.finetune.rows import ExampleRows
    from llama_gene.finetune.store import Draw
    from llama_gene.finetune.tune import draw
    from llama_gene.model.lora import adapt
    from llama_gene.training.trainer import PackedModel

    torch.set_num_threads(1)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        store, tokenizer, _ = store_all(data, model, 0.02, Path(folder))
        whole = draw(store, FinetuneSettings(), [], seed=1)
        num = (1 + steps) * BATCH * 4
        chosen = Draw(whole.examples[:num], whole.strands[:num], whole.wordings[:num])
        asked = [
            store.ask(*map(int, one)) for one in zip(chosen.examples, chosen.strands, chosen.wordings, strict=True)
        ]
        rows = ExampleRows(store, chosen, BLOCK, tokenizer.pad_id)
        packed = [{key: torch.from_numpy(value) for key, value in rows[index].items()} for index in range(len(rows))]
    shape = {"hidden_size": 288, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 768}
    plain = LlamaForCausalLM(LlamaConfig(vocab_size=NUM_ROWS, tie_word_embeddings=False, **shape))
    batches: list[tuple[int, Callable[[], torch.Tensor]]] = []
    if route == "theirs":
        lora = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear")
        lora.modules_to_save = ["embed_tokens", "lm_head"]
        trained = get_peft_model(plain, lora)
        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            width = max(len(ids) for ids, _, _ in part)
            ids = np.full((len(part), width), tokenizer.pad_id)
            labels, mask = np.full(ids.shape, -100), np.zeros(ids.shape, np.int64)
            for row, (one, num_answer, _) in enumerate(part):
                ids[row, : len(one)], mask[row, : len(one)] = one, 1
                labels[row, len(one) - num_answer : len(one)] = one[len(one) - num_answer :]
            inputs = {"input_ids": ids, "labels": labels, "attention_mask": mask}
            tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
            batches.append((int(mask.sum()), lambda tensors=tensors: trained(**tensors, use_cache=False).loss))  # type: ignore[misc]
    else:
        trained = adapt(plain, FinetuneSettings(train="lora+embeddings"), 0, seed=1)
        loss_of = PackedModel(trained)
        size = max(1, statistics.median_low(sorted(len(ids) for ids, _, _ in asked)) * BATCH // BLOCK)
        for start in range(0, len(packed), size):
            part_rows = packed[start : start + size]
            batch = {key: torch.stack([row[key] for row in part_rows]) for key in part_rows[0]}
            useful = int((batch["input_ids"] != tokenizer.pad_id).sum())
            batches.append((useful, lambda batch=batch: loss_of(batch)))  # type: ignore[misc]
    trained.train()
    optimizer = torch.optim.AdamW([value for value in trained.parameters() if value.requires_grad], lr=1e-4, fused=True)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    rates = []
    for useful, forward in batches[: 1 + steps]:
        started = time.process_time()
        forward().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        rates.append(useful / (time.process_time() - started))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rate": max(rates[1:]), "memory": (peak - before) / 1e6}


def child(arguments: list[str]) -> dict[str, float]:
    """Run a part in a process of its own, which begins with this one's small peak of memory."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--child", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="a data root, with tasks in it")
    parser.add_argument("--model", type=Path, help="a model folder of ours, for its tokenizer")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each process")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each route")
    parser.add_argument("--child", nargs="*")
    ratios.add_option(parser)
    options = parser.parse_args()
    if options.child:
        part, value = options.child
        if part == "prompts":
            print(json.dumps(prompts(options.data, options.model, float(value))))
        else:
            print(json.dumps(tuning(value, options.data, options.model, options.steps)))
        return
    some, everything = child(["prompts", "0.1"]), child(["prompts", "1"])
    print(
        f"prompts of {everything['examples']:,} examples: {everything['rate']:,.0f} a second (target {LEAST_PROMPTS:,})"
    )
    print(f"peak of memory: {some['memory']:,.0f} MB with a tenth of the rows, {everything['memory']:,.0f} MB with all")
    found: dict[str, list[dict[str, float]]] = {route: [] for route in ROUTES}
    for _ in range(options.repeats):
        for route in ROUTES:
            found[route].append(child(["tuning", route]))
    medians = {
        route: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for route, runs in found.items()
    }
    print(f"{'':<8} {'useful tokens/s':>16} {'ratio':>6} {'target':>7} {'memory MB':>10} {'ratio':>6} {'target':>7}")
    theirs, ours = medians["theirs"], medians["ours"]
    found_ratios = {
        "memory of a tenth of the rows beside all": some["memory"] / everything["memory"],
        "useful tokens a second": ours["rate"] / theirs["rate"],
        "memory": theirs["memory"] / ours["memory"],
    }
    ratios.write(options.ratios, found_ratios)
    for route, one in medians.items():
        least, most = ("", "") if route == "theirs" else (f">={LEAST_SPEED}", f"<={MOST_MEMORY}")
        print(
            f"{route:<8} {one['rate']:>16,.0f} {one['rate'] / theirs['rate']:>6.2f} {least:>7} "
            f"{one['memory']:>10,.0f} {one['memory'] / theirs['memory']:>6.2f} {most:>7}"
        )


if __name__ == "__main__":
    main()
