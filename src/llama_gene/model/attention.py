"""Attention over packed rows by the length of their documents, where FlashAttention is installed.

A mask of a whole row costs its square, documents side by side or not. FlashAttention takes their lengths instead, which
transformers reads off the positions - but only of a batch of one row: in others documents would see each other
without a word. So all rows are laid in one line for it.

This module imports torch; import it where it is used.
"""

from typing import Any

import torch
from torch import Tensor

_BY_LENGTH = "flash_attention"


def attend_by_length(model: Any) -> None:
    """Let a model of transformers attend by FlashAttention, where it and this machine can."""
    from transformers.utils import is_flash_attn_2_available

    if is_flash_attn_2_available() and getattr(model, "_supports_flash_attn", False):
        model.set_attn_implementation(f"{_BY_LENGTH}_2")


def attends_by_length(model: Any) -> bool:
    """Whether the rows of a packed batch have to lie in one line for a model of transformers."""
    return str(model.config._attn_implementation).startswith(_BY_LENGTH)


def decode_in_one_line(decoder: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states of a packed batch, float[rows, positions, width], from a batch of one row.

    Args:
        decoder: A model of transformers without its head.
        inputs: ``input_ids`` and ``position_ids``, int64[rows, positions], and what else it is given of that shape.
    """
    lined = {name: value.reshape(1, -1) for name, value in inputs.items()}
    hidden: Tensor = decoder(**lined, use_cache=False).last_hidden_state
    rows, positions = inputs["input_ids"].shape
    return torch.unflatten(hidden[0], 0, (rows, positions))
