"""Stopping early: when held-out sets no longer gain, a training ends, and the best weights are kept.

This module imports torch and transformers; import it where it is used.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from llama_gene.training.checkpoints import load_weights, save_weights
from llama_gene.training.log import VALIDATION
from llama_gene.training.parallel import rank

_FOLDER = "best"


class Patience(TrainerCallback):  # type: ignore[misc]
    """Keeps the weights with the least mean loss over some held-out sets; stops when nothing is gained for long.

    What it decides by is the log, which lies in every checkpoint: a resumed training decides the same.

    Args:
        names: The held-out sets that count.
        patience: Validations without a gain after which the training stops.
        checkpoints: The folder of this training.
    """

    def __init__(self, names: Collection[str], patience: int, checkpoints: Path) -> None:
        self._names, self._patience, self._folder = names, patience, checkpoints / _FOLDER

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Keep the weights if they are the best so far; stop if the best is long ago."""
        means = mean_losses(state.log_history, self._names)
        best = best_step(means)
        if best == state.global_step:
            self._keep(model)
        elif list(means).index(state.global_step) - list(means).index(best) >= self._patience:
            control.should_training_stop = True

    def _keep(self, model: Any) -> None:
        draft = self._folder.with_suffix(".draft")
        save_weights(model, draft)
        if rank() == 0:
            shutil.rmtree(self._folder, ignore_errors=True)
            draft.replace(self._folder)

    def restore(self, model: Any, history: Sequence[Mapping[str, Any]]) -> int:
        """Put the best weights into `model`; returns the step they are from."""
        means = mean_losses(history, self._names)
        best = best_step(means)
        if best != max(means):
            load_weights(model, self._folder)
        return best


def mean_losses(history: Sequence[Mapping[str, Any]], names: Collection[str]) -> dict[int, float]:
    """The mean loss over held-out sets at each validation, by its step.

    >>> mean_losses([{"step": 0, "eval_a_loss": 2.0, "eval_b_loss": 1.0}, {"step": 1, "loss": 3.0}], ["a", "b"])
    {0: 1.5}
    """
    keys = [f"{VALIDATION}{name}_loss" for name in names]
    return {int(entry["step"]): sum(entry[key] for key in keys) / len(keys) for entry in history if keys[0] in entry}


def best_step(means: Mapping[int, float]) -> int:
    """The first step with the least mean.

    >>> best_step({0: 2.0, 5: 1.0, 10: 1.0})
    5
    """
    return min(means, key=lambda step: (means[step], step))
