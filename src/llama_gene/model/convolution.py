"""Short convolutions that stop where a document starts, as attention does in a packed row.

LFM2's layers mix each position with the few before it. In a row of several documents the first positions of one would
see the end of the one before: transformers tells them apart only where CUDA's ``causal_conv1d`` is installed.

This module imports torch and transformers; import it where it is used.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from torch import Tensor, nn
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv

from llama_gene.errors import ModelError
from llama_gene.model.head import plain_model

_KEEPS_TO_ITSELF = {"full_attention", "sliding_attention", "chunked_attention"}


class PackedShortConv(Lfm2ShortConv):  # type: ignore[misc]
    """A layer of LFM2 with the same weights, and an exact document mask on any machine."""

    def forward(
        self,
        hidden_states: Tensor,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        places: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The layer's output: float[rows, positions, width].

        Args:
            hidden_states: float[rows, positions, width].
            past_key_values: See transformers; there is none where documents are packed.
            attention_mask: See transformers.
            places: int64[rows, positions], see `spread`; without them a row is one document.
            kwargs: See transformers.
        """
        if places is None:
            plain: Tensor = super().forward(hidden_states, past_key_values, attention_mask, **kwargs)
            return plain
        before, after, value = self.in_proj(hidden_states).chunk(3, dim=-1)
        mixed = _convolve(before * value, self.conv, places)
        projected: Tensor = self.out_proj(after * mixed)
        return projected


def _convolve(values: Tensor, convolution: nn.Conv1d, places: Tensor) -> Tensor:
    """`values`, float[rows, positions, width], each mixed with those before it in its document."""
    flat, index = values.flatten(0, 1), places.flatten()
    apart = flat.new_zeros(int(index[-1]) + 1, flat.shape[-1]).index_copy(0, index, flat)
    mixed = F.conv1d(
        apart.T[None],
        convolution.weight.to(flat.dtype),
        None if convolution.bias is None else convolution.bias.to(flat.dtype),
        padding=convolution.kernel_size[0] - 1,
        groups=flat.shape[-1],
    )
    return mixed[0].T[index].view_as(values)


def spread(position_ids: Tensor, gap: int) -> Tensor:
    """Where the positions of all rows stand in one line with `gap` places free before each document.

    >>> spread(torch.tensor([[0, 1, 2, 0], [0, 1, 0, 1]]), gap=2).tolist()
    [[2, 3, 4, 7], [10, 11, 14, 15]]
    """
    flat = position_ids.flatten()
    places = torch.arange(len(flat), device=flat.device) + gap * (flat == 0).cumsum(0)
    return places.view_as(position_ids)


def keep_documents_apart(model: Any) -> None:
    """Make the short convolutions of a model, with adapters or without, stop where a document starts.

    Raises:
        ModelError: It has other layers that carry a state from position to position, such as Mamba's.
    """
    plain = plain_model(model)
    for module in plain.modules():
        if type(module) is Lfm2ShortConv:
            module.__class__ = PackedShortConv
    config = plain.config.get_text_config()
    others = set(getattr(config, "layer_types", None) or ()) - _KEEPS_TO_ITSELF
    if (others or getattr(plain, "_is_stateful", False)) and not _short_convolutions(plain):
        named = ", ".join(sorted(others)) or str(config.model_type)
        hint = "choose a base whose layers are attention, or LFM2's short convolutions"
        raise ModelError(f"layers of this base ({named}) would carry one packed document into the next", hint=hint)


def document_inputs(model: Any, position_ids: Tensor) -> dict[str, Tensor]:
    """What a model is given beside `position_ids`, int64[rows, positions], so that its layers keep documents apart."""
    found = _short_convolutions(plain_model(model))
    return {"places": spread(position_ids, found[0].conv_kernel_size - 1)} if found else {}


def _short_convolutions(plain: Any) -> list[PackedShortConv]:
    return [module for module in plain.modules() if isinstance(module, PackedShortConv)]
