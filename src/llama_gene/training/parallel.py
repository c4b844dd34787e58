"""Processes that train as one: how many there are, and how they agree.

A process knows its place by the variables that torchrun and our own launcher set: ``RANK`` of ``WORLD_SIZE``.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from llama_gene.config import TrainingSettings
from llama_gene.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

_T = TypeVar("_T")


def world_size() -> int:
    """How many processes train together, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process among them; number 0 speaks and writes for all."""
    return int(os.environ.get("RANK", "0"))


def num_processes(settings: TrainingSettings) -> int:
    """How many processes a training takes: those it is told, or all GPUs of this machine as far as they share a step.

    Raises:
        SettingsError: There are fewer GPUs than processes, or a step cannot be shared out among them.
    """
    if world_size() > 1:
        return world_size()
    import torch

    num_gpus = torch.cuda.device_count()
    num_rows = settings.batch_size * settings.accumulate
    if settings.processes is None:
        return max((num for num in range(1, num_gpus + 1) if num_rows % num == 0), default=1)
    if num_gpus and settings.processes > num_gpus:
        problem = f"{settings.processes} processes need as many GPUs, and this machine has {num_gpus}"
        raise SettingsError(problem, hint=f"take processes={num_gpus}, or start on more machines with torchrun")
    settings.shared_by(settings.processes)
    return settings.processes


def all_agree(good: "Tensor") -> bool:
    """Whether `good`, bool[], holds in every process; all of them must ask."""
    if world_size() == 1:
        return bool(good)
    import torch
    import torch.distributed as dist

    verdict = good.to(torch.int32)
    dist.all_reduce(verdict, dist.ReduceOp.MIN)
    return bool(verdict)


def gather_objects(value: _T) -> list[_T]:
    """The `value` of every process, in their order; all of them must ask."""
    if world_size() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def as_the_first(find: Callable[[], _T]) -> _T:
    """What `find` gives in process 0, in every process; all of them must ask."""
    return gather_objects(find() if rank() == 0 else None)[0]  # type: ignore[return-value]
