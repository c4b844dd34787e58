"""Checkpoints: what trains, whole or absent, with checksums that are verified before one is used.

Weights and optimizer lie whole, by the names of the parameters, so that any number of processes can go on from them.

This module imports torch; import it where it is used.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from llama_gene.errors import FormatError
from llama_gene.files import hash_file, read_json, read_object, write_json, write_sealed
from llama_gene.training.gather import dealt_out, gathered, put_back
from llama_gene.training.parallel import gather_objects, rank

_MARKER = "complete.json"  # a checkpoint without it was cut short, and is not used
_WEIGHTS, _OPTIMIZER, _RANDOM = "model.safetensors", "optimizer.safetensors", "random.safetensors"
_SCHEDULER = "scheduler.json"


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest checkpoint whose files are all there, as they were saved; says which newer ones are not used."""
    for folder in reversed(list_checkpoints(checkpoints)):
        problem = _damage(folder)
        if problem is None:
            return folder
        print(f"  {folder}: {problem}, so this checkpoint is not used", file=sys.stderr, flush=True)
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the oldest first, whole or not."""
    return sorted(folder.glob("checkpoint-*"), key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which it was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None if nothing is."""
    if not (folder / _MARKER).exists():
        return f"it has no {_MARKER}"
    try:
        sums = read_object(folder / _MARKER, _WEIGHTS)
    except FormatError:
        return f"{_MARKER} is damaged"
    for name, value in sums.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if hash_file(folder / name) != value:
            return f"{name} is damaged"
    return None


def finish_checkpoint(draft: Path, final: Path, keep: int) -> None:
    """Give a checkpoint that is written its checksums and its name, and remove those that are too old.

    Args:
        draft: The written checkpoint; its parent is removed.
        final: Its place among the others.
        keep: How many to keep, this one included.
    """
    write_sealed(
        draft / _MARKER,
        {path.relative_to(draft).as_posix(): hash_file(path) for path in draft.rglob("*") if path.is_file()},
    )
    shutil.rmtree(final, ignore_errors=True)
    draft.replace(final)
    shutil.rmtree(draft.parent)
    # One with a higher number was damaged, or it would have been resumed: it must not push out a good one.
    found = list_checkpoints(final.parent)
    old = [path for path in found if checkpoint_step(path) <= checkpoint_step(final)]
    for path in [*old[:-keep], *found[len(old) :]]:
        shutil.rmtree(path)


def save_weights(model: Any, folder: Path) -> None:
    """Save what trains of `model`, each parameter under its own name; the frozen rest lies in the base's folder.

    All processes must ask; the first one writes.
    """
    _save_tensors(gathered(_trained(model).items()), folder / _WEIGHTS)


def load_weights(model: Any, folder: Path) -> None:
    """Put what `save_weights` saved back into `model`, however many processes share it now."""
    own = _trained(model)
    with safe_open(folder / _WEIGHTS, "pt") as saved, torch.no_grad():
        assert own.keys() == set(saved.keys()), "a checkpoint of a training that trained other parameters"
        for name, value in own.items():
            put_back(value, saved.get_tensor(name))


def _trained(model: Any) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def save_scheduler(scheduler: Any, folder: Path) -> None:
    """Save where `scheduler` is; the first process writes."""
    if rank() == 0:
        write_json(folder / _SCHEDULER, scheduler.state_dict())


def load_scheduler(scheduler: Any, folder: Path) -> None:
    """Put what `save_scheduler` saved back."""
    scheduler.load_state_dict(read_json(folder / _SCHEDULER))


def save_optimizer(optimizer: Any, model: Any, folder: Path) -> None:
    """Save what `optimizer` knows of each parameter, under the parameter's name.

    All processes must ask; the first one writes.
    """
    names = {id(value): name for name, value in model.named_parameters()}
    states = (
        (f"{names[id(value)]}.{key}", state)
        for group in optimizer.param_groups
        for value in group["params"]
        for key, state in optimizer.state[value].items()
    )
    _save_tensors(gathered(states), folder / _OPTIMIZER)


def load_optimizer(optimizer: Any, model: Any, folder: Path, rates: Sequence[float]) -> None:
    """Put what `save_optimizer` saved back, however many processes share the parameters now.

    Args:
        optimizer: For the same parameters.
        model: The model they are of.
        folder: A checkpoint.
        rates: The learning rate that each of its groups goes on with.
    """
    names = {id(value): name for name, value in model.named_parameters()}
    with safe_open(folder / _OPTIMIZER, "pt") as saved:
        keys: dict[str, list[str]] = {}
        for name in saved.keys():  # noqa: SIM118 - it is no dict
            keys.setdefault(name.rpartition(".")[0], []).append(name)
        values = [value for group in optimizer.param_groups for value in group["params"]]
        states = {}
        for place, value in enumerate(values):
            found = {name.rpartition(".")[2]: saved.get_tensor(name) for name in keys[names[id(value)]]}
            # A count of steps has no dimension, and lies whole everywhere.
            states[place] = {key: dealt_out(one, value) if one.dim() else one for key, one in found.items()}
    groups = optimizer.state_dict()["param_groups"]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def save_random_states(folder: Path) -> None:
    """Save the random states of all processes, which must all ask: of torch, as nothing else draws in a training."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    every = enumerate(gather_objects(states))
    named = {f"{number}.{key}": state for number, found in every for key, state in found.items()}
    _save_tensors(named, folder / _RANDOM)


def load_random_states(folder: Path) -> None:
    """Go on with this process's random numbers; a process that was not there goes on with those it began with."""
    mine = {
        name.partition(".")[2]: state
        for name, state in load_file(folder / _RANDOM).items()
        if name.startswith(f"{rank()}.")
    }
    if "cpu" in mine:
        torch.set_rng_state(mine["cpu"])
    if "cuda" in mine and torch.cuda.is_available():
        torch.cuda.set_rng_state(mine["cuda"])


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    if rank() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
