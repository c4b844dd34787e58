"""How several processes share weights, gradients and optimizer: settings for transformers, accelerate and DeepSpeed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from llama_gene.config import Strategy, TrainingSettings
from llama_gene.errors import SettingsError
from llama_gene.files import read_json

DEEPSPEED: Final = "deepspeed.json"  # in a checkpoint that DeepSpeed has written: how many did, and how


def strategy_arguments(mine: TrainingSettings, num_processes: int) -> dict[str, Any]:
    """The training arguments of transformers that say how `num_processes` share a training; none for one process.

    Args:
        mine: What each of them does; see `TrainingSettings.shared_by`.
        num_processes: How many they are.

    Raises:
        SettingsError: DeepSpeed is asked for, and not installed.
    """
    if num_processes == 1:
        return {}
    if mine.strategy == "ddp":
        return {"ddp_find_unused_parameters": False}
    if mine.strategy == "fsdp":
        # Without this each process would add up whole gradients between the steps, and keep a part only then.
        always = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
        return {"fsdp": True, "fsdp_config": {"version": 2}, "accelerator_config": always}
    require_deepspeed(mine.strategy)
    bf16 = mine.precision == "bf16"
    return {"deepspeed": zero_config(mine, num_processes), "bf16": bf16}


def require_deepspeed(strategy: Strategy) -> None:
    """Find out whether `strategy` can be had.

    Raises:
        SettingsError: It needs DeepSpeed, which is not installed.
    """
    if strategy in {"zero2", "zero3"} and find_spec("deepspeed") is None:
        hint = "pip install 'llama-gene[deepspeed]', or take strategy=fsdp, which keeps as little"
        raise SettingsError(f'strategy = "{strategy}" needs DeepSpeed, which is not installed', hint=hint)


def require_same_sharing(checkpoint: Path, settings: TrainingSettings, num_processes: int) -> None:
    """Find out whether a training can go on from `checkpoint`: from DeepSpeed's, with the same processes alone.

    Raises:
        SettingsError: It cannot.
    """
    path = checkpoint / DEEPSPEED
    then = read_json(path) if path.exists() else None
    ours = num_processes == 1 or settings.strategy in {"ddp", "fsdp"}
    now = None if ours else sharing(settings.strategy, num_processes)
    if then == now:
        return
    if then is None:
        problem, way = "DeepSpeed cannot go on from what another strategy saved", "take strategy=fsdp"
    else:
        problem = "what DeepSpeed saved can go on with the same strategy and number of processes alone"
        way = f"set strategy={then['strategy']} and processes={then['processes']}"
    raise SettingsError(problem, where=checkpoint, hint=f"{way}, or begin again: remove {checkpoint.parent}")


def sharing(strategy: str, num_processes: int) -> dict[str, Any]:
    """What a checkpoint of DeepSpeed says of who wrote it."""
    return {"strategy": strategy, "processes": num_processes}


def zero_config(mine: TrainingSettings, num_processes: int) -> dict[str, Any]:
    """The configuration of DeepSpeed for ``zero2`` and ``zero3``; optimizer and learning rate stay ours."""
    zero: dict[str, Any] = {"stage": int(mine.strategy[-1]), "overlap_comm": True, "contiguous_gradients": True}
    return {
        "train_batch_size": mine.batch_size * mine.accumulate * num_processes,
        "train_micro_batch_size_per_gpu": mine.batch_size,
        "gradient_accumulation_steps": mine.accumulate,
        "gradient_clipping": mine.max_grad_norm,
        "bf16": {"enabled": mine.precision == "bf16"},
        # Gradients of many micro-batches would lose what each adds, if they were added up in bf16.
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": zero,
    }
