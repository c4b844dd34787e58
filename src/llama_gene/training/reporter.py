"""What a training says while it goes on: its progress, its log, and when to validate.

This module imports transformers; import it where it is used.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transformers import TrainerCallback

from llama_gene.progress import Progress
from llama_gene.training.log import VALIDATION, TrainingLog


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Progress; a log that is whole at every checkpoint; the word when to validate.

    Args:
        report: Where progress is shown.
        log: The training, with nothing logged yet.
        validate_every: Steps between validations; None for none at all.
        publish: Is given the log after each validation and each checkpoint, and at the end.
    """

    def __init__(
        self,
        report: Progress,
        log: TrainingLog,
        validate_every: int | None,
        publish: Callable[[TrainingLog], None] | None,
    ) -> None:
        self._report, self._log, self._validate_every, self._publish = report, log, validate_every, publish
        self._latest: dict[str, Any] = {}  # the newest value of each figure

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clocks."""
        for entry in state.log_history:
            self._latest |= entry
        self._begun = time.monotonic() - self._latest.get("seconds", 0.0)
        self._restart_clock(state)

    def _restart_clock(self, state: Any) -> None:
        self._since, self._first = time.monotonic(), state.global_step

    def _rate(self, state: Any) -> float:
        """Tokens a second since the last thing that was logged."""
        return float((state.global_step - self._first) * self._log.tokens_a_step / (time.monotonic() - self._since))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report; say whether to validate; and log where a resumed training will go on."""
        self._report(state.global_step, self._note(state))
        is_last = state.global_step == state.max_steps
        if self._validate_every is not None:
            control.should_evaluate |= is_last or state.global_step % self._validate_every == 0
        # What a checkpoint interrupts is logged with it, or a resumed training would log other means.
        control.should_log |= is_last or state.global_step % args.save_steps == 0 or control.should_evaluate

    def _note(self, state: Any) -> str:
        latest = self._latest
        words = [f"loss {latest['loss']:.3f}"] if "loss" in latest else []
        words.append(f"{latest.get('tokens_per_second') or self._rate(state):,.0f} tokens/s")
        keys = {name: f"{VALIDATION}{name}_bits" for name in self._log.units}
        bits = self._log.in_short({name: latest[key] for name, key in keys.items() if key in latest})
        words.append(" ".join(f"{name} {value:.2f}" for name, value in bits.items()))
        return "  ".join(words).rstrip()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Add tokens and time to what is logged, before a tracker is given it."""
        added = {"seconds": time.monotonic() - self._begun}
        if "loss" in logs:
            added |= {"tokens": state.global_step * self._log.tokens_a_step, "tokens_per_second": self._rate(state)}
            self._restart_clock(state)
        logs |= added
        state.log_history[-1] |= added
        self._latest |= logs

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Publish; the time of a validation is none of the training's rate."""
        self._pause(state)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Publish; nor is the time of a checkpoint."""
        self._pause(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Publish the whole."""
        self._pause(state)

    def _pause(self, state: Any) -> None:
        if self._publish is not None and state.is_world_process_zero:
            self._publish(replace(self._log, history=state.log_history))
        self._restart_clock(state)
