"""Continuous batching: texts are written token by token together, and come and go while the others go on.

Each row stands in one batch whose cache is padded on the left. A new prompt is read on its own, and its cache is then
put beside the others'; a finished row is cut out. What a layer keeps must be a growing block (attention) or of one size
(short convolutions); models with others (sliding windows, state spaces) take no new prompt before the batch is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    Args:
        temperature: 0 takes the most probable one.
        top_p: Only the most probable tokens that together have this probability are drawn from.
        seed: The same seed draws the same text, whatever else is written beside it; None draws a new one.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(slots=True, eq=False)
class Row:
    """A text that is being written.

    Args:
        prompt: Its ids.
        sampling: How its tokens are drawn.

    Attributes:
        token: The token drawn last.
        logprob: Its log-probability in nats, before temperature.
    """

    prompt: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    token: int = -1
    logprob: float = 0.0
    generator: Any = None


class RunningBatch:
    """Rows that are written together.

    Args:
        model: The model, in evaluation mode.
        num_tokens: Ids from here on are rows that only round up the matrix; they are never drawn.

    Attributes:
        rows: What is being written, in the order of the batch.
    """

    def __init__(self, model: "PreTrainedModel", num_tokens: int) -> None:
        self._model, self._num_tokens = model, num_tokens
        self.rows: list[Row] = []
        self._cache: Any = None
        self._real: torch.Tensor  # bool[num_rows, width]: what is no padding
        self._logits: torch.Tensor  # [num_rows, vocabulary]: after the last token

    def add(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows, and put them beside the others.

        Raises:
            ValueError: The model's cache cannot be put together, and there are rows already; see `mergeable`.
        """
        import torch
        from transformers import DynamicCache

        width = max(len(row.prompt) for row in rows)
        device = self._model.device
        ids = torch.tensor([[0] * (width - len(row.prompt)) + list(row.prompt) for row in rows], device=device)
        real = torch.tensor(
            [[False] * (width - len(row.prompt)) + [True] * len(row.prompt) for row in rows], device=device
        )
        for row in rows:
            row.generator = torch.Generator().manual_seed(
                torch.seed() if row.sampling.seed is None else row.sampling.seed
            )
        cache = DynamicCache(config=self._model.config)
        logits = self._forward(ids, real, cache, (real.cumsum(1) - 1).clamp(min=0))
        if not self.rows:
            self._cache, self._real, self._logits = cache, real, logits
        else:
            self._join(cache, real, logits)
        self.rows += rows

    @property
    def mergeable(self) -> bool:
        """Whether more rows can be added to those that are there."""
        return not self.rows or all(_is_block(layer) or _is_convolution(layer) for layer in self._cache.layers)

    def draw(self, processor: "Callable[[torch.Tensor], torch.Tensor] | None" = None) -> None:
        """Draw the next token of every row.

        Args:
            processor: Makes other logits of those of all rows: of what may not come, minus infinity.
        """
        logits = self._logits[:, : self._num_tokens].float()
        if processor is not None:
            logits = processor(logits)
        logprobs = logits.log_softmax(-1)
        greedy = logits.argmax(-1).tolist()
        for place, row in enumerate(self.rows):
            row.token = greedy[place] if row.sampling.temperature == 0 else _sampled(logits[place], row)
            row.logprob = float(logprobs[place, row.token])

    def advance(self, keep: Sequence[bool]) -> None:
        """Let go of rows that are done, and read the tokens drawn for the others.

        Args:
            keep: For each row, whether it goes on.
        """
        import torch

        if not all(keep):
            self._select([place for place, kept in enumerate(keep) if kept])
        if not self.rows:
            return
        tokens = torch.tensor([[row.token] for row in self.rows], device=self._model.device)
        self._real = torch.cat([self._real, torch.ones_like(self._real[:, :1])], dim=1)
        self._logits = self._forward(tokens, self._real, self._cache, self._real.sum(1, keepdim=True) - 1)

    def _forward(
        self, ids: "torch.Tensor", real: "torch.Tensor", cache: Any, positions: "torch.Tensor"
    ) -> "torch.Tensor":
        import torch

        with torch.inference_mode():
            out = self._model(
                input_ids=ids,
                attention_mask=real.long(),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def _join(self, cache: Any, real: "torch.Tensor", logits: "torch.Tensor") -> None:
        import torch
        from torch.nn.functional import pad

        if not self.mergeable:
            raise ValueError("what this model remembers of one text cannot be put beside another's")
        width = max(self._real.shape[1], real.shape[1])

        def beside(one: torch.Tensor, other: torch.Tensor, trailing: int) -> torch.Tensor:
            filled = [pad(part, (*[0] * (2 * trailing), width - part.shape[-1 - trailing], 0)) for part in (one, other)]
            return torch.cat(filled, dim=0)

        with torch.inference_mode():
            for mine, new in zip(self._cache.layers, cache.layers, strict=True):
                if _is_block(mine):
                    mine.keys, mine.values = beside(mine.keys, new.keys, 1), beside(mine.values, new.values, 1)
                else:
                    for place, state in new.conv_states.items():
                        if state is not None:  # a layer need not use all the states it may have
                            mine.conv_states[place] = torch.cat([mine.conv_states[place], state])
            self._real = beside(self._real, real, 0)
            self._logits = torch.cat([self._logits, logits])

    def _select(self, places: list[int]) -> None:
        import torch

        self.rows = [self.rows[place] for place in places]
        if not places:
            self._cache = None
            return
        with torch.inference_mode():
            chosen = torch.tensor(places, device=self._model.device)
            self._cache.reorder_cache(chosen)  # the one way to choose rows that every kind of layer has
            self._real, self._logits = self._real[chosen], self._logits[chosen]
            if not self.mergeable:
                return
            # Columns that are padding in all rows now.
            first = int(self._real.any(0).int().argmax())
            if first:
                self._real = self._real[:, first:]
                for layer in filter(_is_block, self._cache.layers):
                    layer.keys, layer.values = layer.keys[..., first:, :], layer.values[..., first:, :]


def _is_block(layer: Any) -> bool:
    """Whether a layer of a cache keeps keys and values of every position, and nothing else."""
    from transformers.cache_utils import DynamicLayer

    return type(layer) is DynamicLayer


def _is_convolution(layer: Any) -> bool:
    """Whether a layer of a cache keeps the last few positions, and nothing else."""
    from transformers.cache_utils import LinearAttentionLayer

    return type(layer) is LinearAttentionLayer and not any(layer.is_recurrent_states_initialized.values())


def _sampled(logits: "torch.Tensor", row: Row) -> int:
    import torch

    probabilities = (logits / row.sampling.temperature).softmax(-1).cpu()
    if row.sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        # The most probable token always stays.
        ordered[(ordered.cumsum(-1) - ordered) >= row.sampling.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(0, order, ordered)
    # What torch.multinomial does, in a quarter of its time: where a number falls among the sums of probabilities.
    sums = probabilities.double().cumsum(-1)
    drawn = torch.rand(1, generator=row.generator, dtype=torch.float64) * sums[-1]
    return min(int(torch.searchsorted(sums, drawn, right=True)), len(sums) - 1)
