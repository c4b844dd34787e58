"""Checkpoints: what trains, whole or absent, with checksums that are verified before one is used."""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_gene.files import hash_file, write_json

if TYPE_CHECKING:
    from torch import Tensor

_MARKER = "complete.json"  # a checkpoint without it was cut short, and is not used
_WEIGHTS = "model.safetensors"


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
    return sorted(folder.glob("checkpoint-*"), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None if nothing is."""
    marker = folder / _MARKER
    if not marker.exists():
        return f"it has no {_MARKER}"
    try:
        sums: dict[str, str] = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return f"{_MARKER} is damaged"
    for name, value in sums.items():
        if not (folder / name).exists():
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
    write_json(draft / _MARKER, {path.name: hash_file(path) for path in draft.iterdir() if path.is_file()})
    shutil.rmtree(final, ignore_errors=True)
    draft.replace(final)
    shutil.rmtree(draft.parent)
    # One with a higher number was damaged, or it would have been resumed: it must not push out a good one.
    found = list_checkpoints(final.parent)
    old = [path for path in found if _step(path) <= _step(final)]
    for path in [*old[:-keep], *found[len(old) :]]:
        shutil.rmtree(path)


def save_weights(model: Any, state: "dict[str, Tensor] | None", folder: Path) -> None:
    """Save what trains of `model`, each parameter under its own name; the frozen rest lies in the base's folder.

    Args:
        model: The model that trains.
        state: Its state where it was gathered from several devices; the model's own if None.
        folder: A checkpoint.
    """
    from safetensors.torch import save_file

    own = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(own if state is None else {name: state[name] for name in own}, folder / _WEIGHTS)


def load_weights(model: Any, folder: Path) -> None:
    """Put what `save_weights` saved back into `model`."""
    import torch
    from safetensors.torch import load_file

    saved = load_file(folder / _WEIGHTS)
    own = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert own.keys() == saved.keys(), "a checkpoint of a training that trained other parameters"
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(saved[name])
