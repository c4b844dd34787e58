"""Read log-probabilities off a model: only at the places that are asked about, and only of the tokens in question."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_TOLERANCE = 1e-3  # in nats: what a model that ignores a mask gets wrong is far above, what rounding does far below


class Readout:
    """A model, and how its logits are made.

    Args:
        model: The model, in evaluation mode.
        pad_id: Fills up shorter rows on the right, where nothing that is causal sees it.
    """

    def __init__(self, model: "PreTrainedModel", pad_id: int) -> None:
        from llama_gene.model.head import find_head

        self.model, self.pad_id = model, pad_id
        self._head = find_head(model)

    def tensor(self, rows: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Rows of ids as one matrix, filled up on the right: int64[num_rows, width]."""
        import torch

        width = max(map(len, rows))
        return torch.tensor([[*row, *[self.pad_id] * (width - len(row))] for row in rows], device=self.model.device)

    def padded_left(self, rows: Sequence[Sequence[int]]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Rows of ids as one matrix, filled up on the left, and what of it is real: int64[num_rows, width] each."""
        import torch

        width, device = max(map(len, rows)), self.model.device
        ids = torch.tensor([[*[self.pad_id] * (width - len(row)), *row] for row in rows], device=device)
        real = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
        return ids, real

    def read(
        self, places: "torch.Tensor", tokens: Sequence[int], *, normalised: bool = True, **inputs: Any
    ) -> tuple["torch.Tensor", Any]:
        """What the model says of `tokens` after the given places.

        Args:
            places: int64[num_rows, num_places], positions in the rows of the input.
            tokens: Ids.
            normalised: Whether log-probabilities are wanted; else they are so up to a constant for each place, and no
                other row of the vocabulary is touched.
            inputs: What the model is called with.

        Returns:
            float32[num_rows, num_places, num_tokens] in nats, and the model's cache.
        """
        import torch

        rows = torch.arange(len(places), device=places.device)[:, None]
        if self._head is None:
            kept, place = torch.unique(places, return_inverse=True)
            out = self.model(**inputs, logits_to_keep=kept)
            logits = out.logits[rows, place].float()
            sums = logits.logsumexp(-1, keepdim=True) if normalised else 0
            return logits[..., tokens] - sums, out.get("past_key_values")
        out = self.model.get_decoder()(**inputs)
        hidden = out.last_hidden_state[rows, places].flatten(0, 1)
        head = self._head if normalised else self._head.only(tokens)
        found = []
        for _, logits in head.logits(hidden, head.blocks):
            found.append(logits[:, tokens] - logits.logsumexp(-1, keepdim=True) if normalised else logits.clone())
        # A state-space model calls what it remembers something else; it is not asked for it.
        return torch.cat(found).view(*places.shape, len(tokens)), out.get("past_key_values")

    @cached_property
    def shares_caches(self) -> bool:
        """Whether nodes of a trie can be read over a prompt's cache, each seeing its own branch alone.

        That takes layers that attend to whatever a mask lets them, and keep keys and values only: no convolution, no
        state, no window, no bias by distance. A model is believed only after asking.
        """
        import torch

        from llama_gene.inference.score import over_cache, over_texts
        from llama_gene.inference.trie import build_trie

        few = min(8, self.model.get_input_embeddings().weight.shape[0])
        prompts = [[place % few for place in range(length)] for length in (3, 9)]
        trie = build_trie([[1 % few, 2 % few, 3 % few, 0], [1 % few, 0, 2 % few, 0], [2 % few, 1 % few, 1 % few, 0]])
        try:
            with torch.inference_mode():
                ids = self.tensor(prompts)
                cache = self.model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
                if not _keeps_all(cache):
                    return False
                one = over_cache(self, prompts, cache, ids.shape[1], trie)
                other = over_texts(self, prompts, trie)[1]
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):  # it takes no such mask, or no cache
            return False
        return bool((one - other).abs().max() < _TOLERANCE)

    @cached_property
    def pads_left(self) -> bool:
        """Whether rows that are filled up on the left, and say so, are written as if they stood alone."""
        few = min(8, self.model.get_input_embeddings().weight.shape[0])
        short = [place % few for place in range(3)]
        together, alone = self._logits_after([short, [place % few for place in range(9)]]), self._logits_after([short])
        return all(bool((one[:1] - other).abs().max() < _TOLERANCE) for one, other in zip(together, alone, strict=True))

    def _logits_after(self, prompts: Sequence[Sequence[int]]) -> tuple["torch.Tensor", ...]:
        """The logits of two tokens written after prompts that are filled up on the left."""
        import torch

        ids, real = self.padded_left(prompts)
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=real,
                max_new_tokens=2,
                min_new_tokens=2,
                do_sample=False,
                pad_token_id=self.pad_id,
                output_logits=True,
                return_dict_in_generate=True,
            )
        return tuple(out.logits)


def _keeps_all(cache: Any) -> bool:
    from transformers.cache_utils import DynamicLayer

    layers = getattr(cache, "layers", None) or [None]
    return all(type(layer) is DynamicLayer for layer in layers)
