"""The temperatures of a model's tasks, kept in its folder, so that whoever asks it gets calibrated probabilities."""

from pathlib import Path

from llama_gene.errors import FormatError
from llama_gene.files import read_json, write_sealed

FILE = "calibration.json"


def kept_temperatures(folder: Path) -> dict[str, float]:
    """The temperatures that are kept with the model in `folder`, by task.

    Raises:
        FormatError: The file of the temperatures is none of ours.
    """
    return {task: float(kept["temperature"]) for task, kept in _read(folder).items()}


def kept_temperature(folder: Path, task: str) -> float | None:
    """The temperature that is kept for a task of the model in `folder`; None if there is none.

    Raises:
        FormatError: As for `kept_temperatures`.
    """
    return kept_temperatures(folder).get(task)


def keep_temperature(folder: Path, task: str, temperature: float, fitted_on: str) -> None:
    """Keep the temperature of a task in a model's folder.

    Args:
        folder: The model folder.
        task: The task's name.
        temperature: Above 0.
        fitted_on: The rows it was fitted on, in words.
    """
    write_sealed(folder / FILE, _read(folder) | {task: {"temperature": temperature, "fitted_on": fitted_on}})


def _read(folder: Path) -> dict[str, dict[str, float | str]]:
    path = folder / FILE
    if not path.exists():
        return {}
    kept = read_json(path)
    if not isinstance(kept, dict) or not all(_holds(entry) for entry in kept.values()):
        hint = f"remove it, or write it again: llama-gene evaluate {folder} --task NAME --keep-temperature"
        raise FormatError("no temperatures in it", where=path, hint=hint)
    return kept


def _holds(entry: object) -> bool:
    temperature = entry.get("temperature") if isinstance(entry, dict) else None
    return isinstance(temperature, int | float) and temperature > 0
