"""Rows of several documents in one line, for attention that is told lengths instead of a mask."""

from pathlib import Path
from typing import Any

import pytest

from llama_gene.model import attention
from llama_gene.model.attention import attend_by_length, attends_by_length
from llama_gene.model.base import new_model
from llama_gene.model.convolution import keep_documents_apart
from llama_gene.model.head import hidden_states


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> str:
    """What FlashAttention does, in plain PyTorch: no mask, and lengths read off the positions of a single row."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface

    def attend(
        module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, scaling: float, **kwargs: Any
    ) -> tuple[Any, None]:
        assert attention_mask is None
        positions = kwargs["position_ids"]
        one_row = len(query) == 1
        document = (positions[0] == 0).cumsum(0) if one_row else torch.zeros(query.shape[-2])
        places = torch.arange(query.shape[-2])
        seen = (document[:, None] == document) & (places[:, None] >= places)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, seen, scale=scaling)
        return mixed.transpose(1, 2), None

    name = "stand_in"
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, lambda *_, **__: None)
    monkeypatch.setattr(attention, "_BY_LENGTH", name)
    return name


@pytest.mark.parametrize("size", ["nano", "hybrid-nano"])
def test_documents_are_kept_apart_by_their_lengths_as_by_a_mask(stand_in: str, size: str) -> None:
    import torch

    from llama_gene.model.convolution import document_inputs

    model = new_model(size, 30, 64, {"eos_token_id": 0, "pad_token_id": 1}, seed=1).eval()
    keep_documents_apart(model)
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 0, 0]])
    inputs = {"input_ids": torch.randint(2, 30, (2, 8)), "position_ids": positions}
    inputs |= document_inputs(model, positions)
    with torch.inference_mode():
        by_mask = hidden_states(model, **inputs)
        assert not attends_by_length(model)
        model.set_attn_implementation(stand_in)
        assert attends_by_length(model)
        by_length = hidden_states(model, **inputs)
        # Two rows as they are would have told it nothing: documents see each other.
        blind = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
    assert torch.allclose(by_length, by_mask, atol=1e-5)
    assert not torch.allclose(blind, by_mask, atol=1e-2)


def test_without_flash_attention_nothing_changes(nano_folder: Path) -> None:
    from llama_gene.model.folder import load_folder

    model = load_folder(nano_folder)[0]
    attend_by_length(model)
    assert model.config._attn_implementation == "sdpa"
