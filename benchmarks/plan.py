"""Measured training steps beside their plan: memory and FLOPs, on three shapes, each in a process of its own.

Run: ``python benchmarks/plan.py [--shape NAME]``. Memory is the peak resident size of the process less its size before
the model was made, in the second of two micro-batches with the optimizer's state there, as in the middle of any
training. FLOPs are those that PyTorch's own counter sees in one micro-batch, forward and backward.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import ratios

BATCH, BLOCK = 4, 512
SHAPES: dict[str, dict[str, Any]] = {
    "stories15M, new rows, fp32": {
        "config": {"hidden_size": 288, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 768},
        "rows": (92_032, 32_000),
        "training": {"train": "lora+new-rows", "precision": "fp32"},
    },
    "31 M, everything, bf16": {
        "config": {"hidden_size": 512, "num_hidden_layers": 10, "num_attention_heads": 8, "intermediate_size": 1408},
        "rows": (16_384, 16_000),
        "training": {"train": "all", "precision": "bf16"},
    },
    "110 M, the paper's LoRA, checkpointing, bf16": {
        "config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 2048},
        "rows": (92_032, 32_000),
        "training": {"train": "lora+embeddings", "precision": "bf16", "gradient_checkpointing": True},
    },
}
LIMIT = 0.15
TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def child(name: str) -> dict[str, float]:
    """Measure one shape; this process does nothing else."""
    import contextlib
    import resource

    import psutil
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaConfig, LlamaForCausalLM

    from llama_gene.config import TrainingSettings
    from llama_gene.model.architecture import architecture_of
    from llama_gene.model.head import plain_model
    from llama_gene.model.lora import adapt
    from llama_gene.model.plan import count_flops, memory_of
    from llama_gene.training.loss import packed_loss

    shape = SHAPES[name]
    num_rows, num_base = shape["rows"]
    config = {"model_type": "llama", "vocab_size": num_rows, "tie_word_embeddings": False, **shape["config"]}
    settings = TrainingSettings(**shape["training"], batch_size=BATCH, block_size=BLOCK, accumulate=2)
    architecture = architecture_of(config)
    planned = memory_of(architecture, settings, num_rows - num_base, device="cpu")
    flops = count_flops(architecture, settings, num_rows - num_base)

    def micro_batch(model: Any, rows: int, block: int) -> None:
        ids = torch.randint(0, num_rows, (rows, block))
        half = torch.arange(block // 2)
        positions = torch.cat([half, half]).expand(rows, block)  # two documents a row
        mixed = settings.precision == "bf16"
        with torch.autocast("cpu", dtype=torch.bfloat16) if mixed else contextlib.nullcontext():
            batch = {"input_ids": ids, "labels": ids, "position_ids": positions}
            loss = packed_loss(model, batch, rows * block, chunked=True)
        loss.backward()  # type: ignore[no-untyped-call]

    def grown() -> Any:
        torch.manual_seed(1)
        model = adapt(LlamaForCausalLM(LlamaConfig(**config)), settings, num_base)
        if settings.gradient_checkpointing:
            plain_model(model).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return model.train()

    # What the libraries load at their first call is no part of a training.
    whole, config = config, config | TINY
    warm = grown()
    micro_batch(warm, 1, 64)
    torch.optim.AdamW([p for p in warm.parameters() if p.requires_grad], fused=True).step()
    del warm
    config = whole
    before = psutil.Process().memory_info().rss
    model = grown()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    micro_batch(model, 1, 16)
    optimizer.step()
    optimizer.zero_grad()
    for _ in range(2):
        micro_batch(model, BATCH, BLOCK)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def attention(query: Sequence[int], key: Sequence[int], *_: Any, **__: Any) -> int:
        return 4 * math.prod(query) * key[2]

    def attention_back(_: Any, query: Sequence[int], key: Sequence[int], *__: Any, **___: Any) -> int:
        return attention(query, key) * 5 // 2

    def added_product(_: Any, left: Sequence[int], right: Sequence[int], *__: Any, **___: Any) -> int:
        return 2 * left[0] * left[1] * right[1]

    aten = torch.ops.aten
    of_cpu = {
        # The counter knows attention on GPUs alone, and products that are added in place not at all.
        aten.addmm_: added_product,
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_back,
    }
    with FlopCounterMode(display=False, custom_mapping=of_cpu) as counter:
        micro_batch(model, BATCH, BLOCK)
    return {
        "planned memory": sum(planned.values()),
        "measured memory": peak - before,
        "planned FLOPs": sum(part.total for part in flops.values()) * BATCH * BLOCK,
        "measured FLOPs": counter.get_total_flops(),
        **{f"planned {part}": size for part, size in planned.items()},
    }


def main() -> None:
    """Print the table; the exit code is 1 where a plan is further off than 15 %."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--child", choices=SHAPES)
    ratios.add_option(parser)
    words = parser.parse_args()
    if words.child:
        print(json.dumps(child(words.child)))
        return
    good = True
    print(f"{'shape':<46} {'what':<8} {'planned':>10} {'measured':>10} {'ratio':>7}")
    for name in [words.shape] if words.shape else SHAPES:
        command = [sys.executable, __file__, "--child", name]
        # Freed blocks go back at once: the heap's holes are the allocator's, and another one on a GPU.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144", "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        found = json.loads(done.stdout)
        for what, unit, scale in (("memory", "MB", 1e6), ("FLOPs", "GF", 1e9)):
            planned, measured = found[f"planned {what}"] / scale, found[f"measured {what}"] / scale
            good &= abs(planned / measured - 1) <= LIMIT
            near = min(planned / measured, measured / planned)
            ratios.write(words.ratios, {f"{what} planned, {name}": near})
            print(f"{name:<46} {what:<8} {planned:>7,.0f} {unit} {measured:>7,.0f} {unit} {planned / measured:>7.3f}")
        parts = (f"{part.removeprefix('planned ')} {size / 1e6:,.0f}" for part, size in found.items())
        print("    planned MB: " + ", ".join(list(parts)[4:]))
    sys.exit(not good)


if __name__ == "__main__":
    main()
