"""The log of a training: what was measured along the way, whole after any number of interruptions.

It stands in the state that ``transformers`` keeps with every checkpoint, so a resumed training goes on with the log of
the checkpoint, and no step is in it twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VALIDATION = "eval_"  # begins the name of a validation's figure, as transformers and its trackers expect

Columns = dict[str, list[float]]

_POINTS = ("loss", "learning_rate", "grad_norm", "tokens_per_second")
_DIGITS = 6
_MOST_NAMED = 4  # held-out sets that are told one by one on a line


@dataclass(frozen=True)
class TrainingLog:
    """What came of a training, or has come of it so far.

    Attributes:
        title: Which training it is.
        num_steps: Optimizer steps in the whole training.
        tokens_a_step: Tokens in a step, padding included.
        num_trainable: Parameters that train.
        num_parameters: All parameters.
        units: Name of a held-out set -> what its bits are.
        history: What was logged, in order, as ``transformers`` keeps it.
        best_step: The step that the weights are from, where it is not the last one that decides that.
    """

    title: str
    num_steps: int
    tokens_a_step: int
    num_trainable: int
    num_parameters: int
    units: Mapping[str, str]
    history: Sequence[Mapping[str, Any]] = ()
    best_step: int | None = None

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return int(self.history[-1]["step"]) if self.history else 0

    @property
    def num_tokens(self) -> int:
        """Tokens seen up to `step`, padding included."""
        return self.step * self.tokens_a_step

    @property
    def seconds(self) -> float:
        """The time it took, without what an interruption cost."""
        return float(self.history[-1]["seconds"]) if self.history else 0.0

    @property
    def points(self) -> Columns:
        """Columns ``step``, ``loss`` (a mean since the point before, nats a target), rates and norm of the gradient."""
        return _columns(_POINTS, (entry for entry in self.history if "loss" in entry))

    @property
    def validation(self) -> Columns:
        """Columns ``step`` and ``NAME_loss``, ``NAME_bits`` of every held-out set; see `HeldOut`."""
        names = [f"{name}_{figure}" for name in self.units for figure in ("loss", "bits")]
        measured = [
            {key.removeprefix(VALIDATION): value for key, value in entry.items()}
            for entry in self.history
            if any(key.startswith(VALIDATION) for key in entry)
        ]
        return _columns(names, measured)

    def bits(self, name: str) -> list[tuple[float, float]]:
        """(step, bits a letter) of a held-out set, from before the first step on; none if it was never measured."""
        columns = self.validation
        return list(zip(columns["step"], columns[f"{name}_bits"], strict=True))

    def before_and_after(self) -> str:
        """The bits of every held-out set, for people."""
        bits = [dict(zip(self.units, values, strict=True)) for values in self._first_and_last()]
        before, after = (self.in_short(values) for values in bits)
        return ", ".join(f"{name} {before[name]:.3f} -> {after[name]:.3f}" for name in before)

    def _first_and_last(self) -> tuple[list[float], list[float]]:
        columns = [self.bits(name) for name in self.units]
        return [points[0][1] for points in columns], [points[-1][1] for points in columns]

    def in_short(self, bits: Mapping[str, float]) -> dict[str, float]:
        """The bits of held-out sets by name; of many sets the means of those with the same unit, by unit."""
        if len(bits) <= _MOST_NAMED:
            return dict(bits)
        by_unit: dict[str, list[float]] = {}
        for name, value in bits.items():
            by_unit.setdefault(self.units[name], []).append(value)
        return {unit: sum(values) / len(values) for unit, values in by_unit.items()}

    def record(self) -> dict[str, Any]:
        """What is kept with the model."""
        return {
            "steps": self.num_steps,
            "tokens": self.num_tokens,
            "trainable_parameters": self.num_trainable,
            "parameters": self.num_parameters,
            "seconds": round(self.seconds, 1),
            **({} if self.best_step is None else {"best_step": self.best_step}),
            "log": self.points,
            **({"validation": self.validation} if self.units else {}),
        }


def _columns(names: Iterable[str], entries: Iterable[Mapping[str, Any]]) -> Columns:
    entries = list(entries)
    columns: Columns = {"step": [int(entry["step"]) for entry in entries]}
    for name in names:
        columns[name] = [float(f"{entry[name]:.{_DIGITS}g}") for entry in entries]
    return columns
