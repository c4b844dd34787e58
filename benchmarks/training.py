"""Memory and time of a training step at a vocabulary of 92,000, beside the paper's route, each in a process of its own.

Run: ``python benchmarks/training.py [--tokens 2048] [--steps 3] [--repeats 3] [--precision fp32|bf16] [--tied]``.

The shape is that of stories15M (width 288, 6 layers, 6 heads) with random weights. The paper's route makes all logits,
and trains LoRA (r 8) with PEFT's ``modules_to_save=["embed_tokens", "lm_head"]``. Ours trains the same rows, or the
60,000 new ones alone; both sides see the same batches and the same optimizer. Memory is the peak resident size of the
process after the steps less what it was before them, weights and batches being there already; time is the CPU time
of the best step after the first, on one thread, which other work on the machine disturbs least. The routes take turns,
and the ratios are those of the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import ratios

ROUTES = ("theirs", "same rows", "new rows")
TARGETS = {"same rows": (0.5, 1.0), "new rows": (0.5, 0.75)}  # memory, time
NUM_ROWS, NUM_BASE, BLOCK = 92_032, 32_000, 512


def child(route: str, num_tokens: int, steps: int, precision: str, *, tied: bool) -> dict[str, float]:
    """Train some steps; what they took."""
    import contextlib
    import resource
    import time

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from llama_gene.config import TrainingSettings
    from llama_gene.model.lora import adapt
    from llama_gene.training.trainer import PackedModel

    torch.set_num_threads(1)
    torch.manual_seed(1)
    shape = {"hidden_size": 288, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 768}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=NUM_ROWS, tie_word_embeddings=tied, **shape))
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, NUM_ROWS, (num_tokens // BLOCK, BLOCK), generator=generator)
    positions = torch.arange(BLOCK).expand_as(ids).contiguous()
    if route == "theirs":
        rows = {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": tied}
        lora = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear")
        for name, value in rows.items():
            setattr(lora, name, value)
        trained = get_peft_model(model, lora)

        def loss_of() -> torch.Tensor:
            loss: torch.Tensor = trained(input_ids=ids, position_ids=positions, labels=ids, use_cache=False).loss
            return loss
    else:
        what = {"same rows": "lora+embeddings", "new rows": "lora+new-rows"}[route]
        trained = adapt(model, TrainingSettings(train=what), NUM_BASE, seed=1)
        packed = PackedModel(trained)
        batch = {"input_ids": ids, "labels": ids, "position_ids": positions}

        def loss_of() -> torch.Tensor:
            return packed(batch)  # type: ignore[no-any-return]

    trained.train()
    parameters = [value for value in trained.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    seconds = []
    for _ in range(1 + steps):
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext():
            loss = loss_of()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "memory": (peak - before) / 1e6,
        "time": min(seconds[1:]),
        "trained": sum(value.numel() for value in parameters),
        "loss": float(loss.detach()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens a step")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each process")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each route")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--tied", action="store_true", help="one matrix for embedding and head, as stories15M has it")
    parser.add_argument("--child", choices=ROUTES)
    ratios.add_option(parser)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.tokens, options.steps, options.precision, tied=options.tied)))
        return
    command = [sys.executable, __file__, *sys.argv[1:], "--child"]
    # This process imports nothing large: a child begins with its parent's peak.
    found: dict[str, list[dict[str, float]]] = {route: [] for route in ROUTES}
    for _ in range(options.repeats):
        for route in ROUTES:
            done = subprocess.run([*command, route], check=True, stdout=subprocess.PIPE, text=True)
            found[route].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {
        route: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for route, runs in found.items()
    }
    head = "tied" if options.tied else "untied"
    print(f"{options.tokens} tokens a step, {NUM_ROWS:,} rows ({NUM_BASE:,} old), {head}, {options.precision}")
    print(
        f"{'':<10} {'trains':>12} {'memory MB':>10} {'ratio':>6} {'target':>6} {'CPU s':>9} {'ratio':>6} {'target':>6}"
    )
    theirs = medians["theirs"]
    for route, ours in medians.items():
        if route != "theirs":
            found_ratios = {f"{what}, {route}": theirs[what] / ours[what] for what in ("memory", "time")}
            ratios.write(options.ratios, found_ratios)
        memory, time = TARGETS.get(route, ("", ""))
        print(
            f"{route:<10} {ours['trained']:>12,.0f} {ours['memory']:>10,.0f} {ours['memory'] / theirs['memory']:>6.2f} "
            f"{memory:>6} {ours['time']:>9.2f} {ours['time'] / theirs['time']:>6.2f} {time:>6}"
        )


if __name__ == "__main__":
    main()
