"""Tensors that lie in pieces on several processes: made whole, and dealt out again.

This module imports torch; import it where it is used.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from llama_gene.training.parallel import rank


def whole(value: Tensor) -> Tensor:
    """All of `value`, without its gradient; all processes must ask alike."""
    if _is_deepspeeds(value):
        return _whole_of_deepspeed(value)
    value = value.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value


def _whole_of_deepspeed(value: Any) -> Tensor:
    """A parameter that DeepSpeed keeps: in fp32, where it trains in bf16."""
    from deepspeed import zero
    from deepspeed.utils import safe_get_full_fp32_param

    precise: Tensor | None = safe_get_full_fp32_param(value) if value.requires_grad else None
    if precise is not None:
        return precise.detach().reshape(getattr(value, "ds_shape", value.shape))
    with zero.GatheredParameters([value], enabled=hasattr(value, "ds_id")):
        found: Tensor = value.detach().clone()
    return found


def gathered(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Every tensor whole, on the CPU, in process 0; nothing in the others. All processes must ask alike."""
    found = {}
    for name, value in named:
        all_of_it = whole(value)
        if rank() == 0:
            found[name] = all_of_it.cpu()
    return found


def dealt_out(whole: Tensor, like: Tensor) -> Tensor:
    """This process's piece of `whole`, which every process has, to lie as `like` does."""
    whole = whole.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements) if isinstance(like, DTensor) else whole


def put_back(value: Tensor, whole: Tensor) -> None:
    """Set a parameter, or this process's piece of it, to `whole`, which every process has."""
    if _is_deepspeeds(value):
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(value, whole.to(value.device))
    else:
        value.detach().copy_(dealt_out(whole, value))


def _is_deepspeeds(value: Tensor) -> bool:
    return hasattr(value, "ds_id") or hasattr(value, "_hp_mapping")


def put_whole(model: nn.Module) -> None:
    """Replace the pieces of each parameter by all of it, on the CPU, in process 0; the others lose the model.

    What shares parameters goes on sharing them. The model cannot be run any more: it is there to be saved.
    """
    made: dict[nn.Parameter, nn.Parameter | None] = {}
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            if value not in made:
                all_of_it = whole(value)
                made[value] = nn.Parameter(all_of_it.cpu(), value.requires_grad) if rank() == 0 else None
            setattr(module, name, made[value])
