"""Trackers by name: TensorBoard files beside the run, or an account at W&B or trackio."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llama_gene.config import Tracker
from llama_gene.errors import LlamaGeneError, SettingsError

_PACKAGES: dict[Tracker, str] = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}


def require_trackers(names: Sequence[Tracker]) -> None:
    """Check that the packages of the trackers are there, before any work.

    Raises:
        SettingsError: One is missing.
    """
    for name in names:
        package = _PACKAGES[name]
        if find_spec(package) is None:
            hint = f"pip install {package}, or leave {name!r} out of track"
            raise SettingsError(f"track: {name!r} needs the package {package}, which is not installed", hint=hint)


@contextmanager
def tracker_errors() -> Iterator[None]:
    """Turn what W&B and trackio raise, such as where nobody has logged in, into errors that say what to change."""
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in _PACKAGES.values():
            raise
        hint = f"mend that, or leave {package!r} out of track; the same command goes on from the last checkpoint"
        raise LlamaGeneError(f"{package}: {error}", hint=hint) from error


def open_trackers(names: Sequence[Tracker], logs: Path, step: int) -> list[Any]:
    """The trackers as callbacks of ``transformers``.

    Args:
        names: The trackers; see `require_trackers`.
        logs: The folder for what is written on this machine.
        step: Where the training resumes, 0 if it begins.
    """
    from transformers.integrations import TrackioCallback, WandbCallback

    from llama_gene.training.event_file import EventFile

    made = {"tensorboard": lambda: EventFile(logs, step), "wandb": WandbCallback, "trackio": TrackioCallback}
    return [made[name]() for name in names]
