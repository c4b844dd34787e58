"""Held-out sets: what a model never trains on, measured while it trains.

To measure touches nothing that decides the training: no weights, no random numbers, no position in the data.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llama_gene.corpus.pack import IGNORE, Row

if TYPE_CHECKING:
    from torch import Tensor

_MOST_VALIDATIONS = 10  # while a training goes on
_MOST_TIME = 0.1  # of a training
_FORWARD_SHARE = 1 / 3  # of a step's time: the way back takes twice as long as the way forward


class Validation(Protocol):
    """Whatever is measured while a model trains."""

    def __call__(self, trainer: Any, /) -> dict[str, float]:
        """The figures by name; every process that trains calls this together and is given the same."""


@dataclass(frozen=True)
class HeldOut:
    """A set of documents, and what a model has to predict of them.

    Attributes:
        name: One word for people; its figures are ``NAME_loss`` and ``NAME_bits``.
        unit: What the bits are.
        documents: The ids of each, int64[length], not longer than the model can read.
        labels: The same, with `IGNORE` where nothing is to be predicted; always so for the first token.
        num_letters: Letters that the labels spell.
    """

    name: str
    unit: str
    documents: Sequence[NDArray[np.int64]]
    labels: Sequence[NDArray[np.int64]]
    num_letters: int

    @property
    def num_tokens(self) -> int:
        """Tokens in all documents."""
        return sum(map(len, self.documents))

    def figures(self, nats: float) -> dict[str, float]:
        """The figures that a loss of `nats` over the whole set comes to: nats a predicted token, bits a letter."""
        num_targets = sum(int((labels != IGNORE).sum()) for labels in self.labels)
        return {
            f"{self.name}_loss": nats / num_targets,
            f"{self.name}_bits": nats / math.log(2) / self.num_letters,
        }

    def batches(self, max_tokens: int) -> Iterator[Row]:
        """The documents in batches of about equal length, int64[documents, longest] each.

        What fills up the short ones stands behind them, so they do not see it.

        Args:
            max_tokens: In a batch, if it has more than one document.
        """
        order = sorted(range(len(self.documents)), key=lambda index: -len(self.documents[index]))
        while order:
            longest = len(self.documents[order[0]])
            size = max(1, max_tokens // longest)
            chosen, order = order[:size], order[size:]
            ids = np.zeros((len(chosen), longest), dtype=np.int64)
            labels = np.full_like(ids, IGNORE)
            for row, index in enumerate(chosen):
                ids[row, : len(self.documents[index])] = self.documents[index]
                labels[row, : len(self.labels[index])] = self.labels[index]
            positions = np.tile(np.arange(longest), (len(chosen), 1))
            yield {"input_ids": ids, "labels": labels, "position_ids": positions}


def validation_steps(held_out: Sequence[HeldOut], num_steps: int, tokens_a_step: int) -> int:
    """Steps between two validations, if nobody says: ten in a training, or fewer that take a tenth of its time.

    >>> document = np.zeros(1000, dtype=np.int64)
    >>> held_out = [HeldOut("DNA", "bits per base", [document], [document], 1)]
    >>> validation_steps(held_out, num_steps=500, tokens_a_step=2048), validation_steps(held_out, 500, 20)
    (50, 167)
    """
    affordable = _MOST_TIME * num_steps * tokens_a_step / _FORWARD_SHARE / max(sum(s.num_tokens for s in held_out), 1)
    return math.ceil(num_steps / max(1, min(_MOST_VALIDATIONS, int(affordable))))


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on held-out sets, as a `Validation`.

    Attributes:
        held_out: The sets.
        max_tokens: In a batch of more than one document.
    """

    held_out: Sequence[HeldOut]
    max_tokens: int

    def __call__(self, trainer: Any, /) -> dict[str, float]:
        """The figures of all sets; the processes share the work."""
        accelerator = trainer.accelerator
        nats = summed_losses(
            trainer.model_wrapped,
            self.held_out,
            self.max_tokens,
            device=accelerator.device,
            member=accelerator.process_index,
            num_members=accelerator.num_processes,
        )
        sums = accelerator.reduce(nats, "sum").tolist()
        return {
            name: value
            for one, sum_ in zip(self.held_out, sums, strict=True)
            for name, value in one.figures(sum_).items()
        }


def summed_losses(
    model: Any, held_out: Sequence[HeldOut], max_tokens: int, *, device: Any, member: int = 0, num_members: int = 1
) -> "Tensor":
    """The loss over each set in nats: float64[sets]; of several members, each has its share of the sum.

    Args:
        model: A `PackedModel`, wrapped or not. All members call it equally often.
        held_out: The sets.
        max_tokens: In a batch of more than one document.
        device: Where the model is.
        member: Which of the processes that train together this is.
        num_members: How many they are.
    """
    import torch

    batches = [(place, batch) for place, one in enumerate(held_out) for batch in one.batches(max_tokens)]
    nats = torch.zeros(len(held_out), dtype=torch.float64, device=device)
    was_training = model.training
    model.eval()
    is_compiled = any(module._compiled_call_impl is not None for module in model.modules())
    # Batches of every length would be compiled one by one, and slow the training's own down.
    as_it_is = torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
    try:
        with torch.no_grad(), as_it_is:
            for first in range(0, len(batches), num_members):
                place, batch = batches[min(first + member, len(batches) - 1)]
                loss = model({key: torch.from_numpy(value).to(device) for key, value in batch.items()}, 1)
                if first + member < len(batches):
                    nats[place] += loss
    finally:
        model.train(was_training)
        if hasattr(model, "reshard"):  # FSDP keeps what it gathered for a way back that does not come
            model.reshard()
    return nats
