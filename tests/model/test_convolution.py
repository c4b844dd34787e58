"""Short convolutions in packed rows: what a document gives is what it gives alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

from llama_gene.config import LoraSettings
from llama_gene.errors import ModelError
from llama_gene.model.base import new_model
from llama_gene.model.convolution import PackedShortConv, document_inputs, keep_documents_apart
from llama_gene.model.head import hidden_states
from llama_gene.model.lora import add_lora

VOCABULARY = 40


@pytest.fixture(scope="module")
def packed() -> torch.nn.Module:
    """A model whose documents are kept apart."""
    model = new_model("hybrid-nano", VOCABULARY, 64, {"eos_token_id": 0, "pad_token_id": 1}, seed=3).eval()
    keep_documents_apart(model)
    return model


@settings(deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5), seed=st.integers(0, 2**16))
def test_packing_contamination_of_trl_1230(packed: torch.nn.Module, lengths: list[int], seed: int) -> None:
    ids = torch.from_numpy(np.random.default_rng(seed).integers(0, VOCABULARY, (2, sum(lengths))))
    positions = torch.cat([torch.arange(length) for length in lengths]).expand(2, -1)
    with torch.inference_mode():
        together = hidden_states(packed, input_ids=ids, position_ids=positions, **document_inputs(packed, positions))
        alone = torch.cat([hidden_states(packed, input_ids=part) for part in ids.split(lengths, dim=1)], dim=1)
    assert torch.allclose(together, alone, atol=1e-4)


def test_without_the_mask_documents_run_into_each_other(packed: torch.nn.Module) -> None:
    ids, positions = torch.arange(12)[None], torch.cat([torch.arange(6), torch.arange(6)])[None]
    with torch.inference_mode():
        together = hidden_states(packed, input_ids=ids, position_ids=positions)[:, 6:]
        alone = hidden_states(packed, input_ids=ids[:, 6:])
    assert not torch.allclose(together, alone, atol=1e-2)


def test_the_weights_stay_those_of_a_stock_model(packed: torch.nn.Module, tmp_path: Path) -> None:
    packed.save_pretrained(tmp_path)  # type: ignore[operator]
    stock = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert not any(isinstance(module, PackedShortConv) for module in stock.modules())
    ids = torch.arange(12)[None]
    with torch.inference_mode():
        assert torch.allclose(stock(input_ids=ids).logits, packed(input_ids=ids).logits, atol=1e-5)


def test_adapters_are_kept_apart_too() -> None:
    model = new_model("hybrid-nano", VOCABULARY, 64, {}, seed=3)
    adapted = add_lora(model, LoraSettings())
    keep_documents_apart(adapted)
    assert document_inputs(adapted, torch.arange(3)[None])["places"].tolist() == [[8, 9, 10]]
    assert document_inputs(new_model("nano", VOCABULARY, 64, {}, seed=3), torch.arange(3)[None]) == {}


def test_a_state_that_runs_on_is_refused() -> None:
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(ModelError, match=r"\(linear_attention\) would carry one packed document into the next"):
        keep_documents_apart(MambaForCausalLM(config))
