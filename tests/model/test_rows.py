"""Training the new rows alone: every bit of the old ones stays, and the new ones learn as they would in one matrix."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import ModelError
from llama_gene.model.folder import load_folder
from llama_gene.model.rows import joined_state, row_parameters, split_rows
from llama_gene.training import packed_loss
from nano import RandomRows, logits_of, parameters, some_ids


@pytest.fixture(params=["tied", "untied"])
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue({"tied": "nano_folder", "untied": "untied_folder"}[request.param])
    return path


def batch_of(num: int, num_tokens: int) -> dict[str, Any]:
    import torch

    rows = RandomRows(num, num_tokens=num_tokens)
    return {key: torch.from_numpy(np.stack([rows[i][key] for i in range(num)])) for key in rows[0]}


def test_rows_that_cannot_be_split_raise(nano_folder: Path) -> None:
    import torch

    model: Any = load_folder(nano_folder)[0]
    rows = len(model.get_input_embeddings().weight)
    with pytest.raises(ModelError, match=f"no row of {rows} is new"):
        split_rows(model, rows)

    class Normed(torch.nn.Embedding):
        def forward(self, ids: Any) -> Any:
            return super().forward(ids).tanh()

    model.set_input_embeddings(Normed(rows, 64))
    with pytest.raises(ModelError, match=r"\(Normed, Linear\) cannot be split .*\n  take train = \"lora\+embeddings\""):
        split_rows(model, 10)


def test_a_split_model_is_the_same_model(folder: Path) -> None:
    model, genes, _ = load_folder(folder)
    before = parameters(model)
    logits = logits_of(model, some_ids(genes))
    split_rows(model, genes.base_size)
    assert np.array_equal(logits_of(model, some_ids(genes)), logits)
    joined = {name: value.numpy() for name, value in joined_state(model).items()}
    assert joined.keys() == before.keys()
    assert all(np.array_equal(joined[name], before[name]) for name in before)
    # A tied pair stays one.
    blocks = 2 if model.config.tie_word_embeddings else 4
    assert len(row_parameters(model)) == blocks


def test_new_rows_get_the_gradient_that_they_have_in_one_matrix(folder: Path) -> None:
    model, genes, _ = load_folder(folder)
    first_new, batch = genes.base_size, batch_of(4, genes.num_tokens)
    loss = packed_loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    whole = [part.weight.grad.clone() for part in (model.get_input_embeddings(), model.get_output_embeddings())]
    split_rows(model, first_new)
    split = packed_loss(model, batch)
    split.backward()  # type: ignore[no-untyped-call]
    assert float(split.detach()) == pytest.approx(float(loss.detach()), abs=1e-6)
    for part, expected in zip((model.get_input_embeddings(), model.get_output_embeddings()), whole, strict=True):
        assert part.base.grad is None
        assert np.allclose(part.new.grad, expected[first_new:], atol=1e-6)
    # A batch without a new token still reaches the new rows of the head, which are in every sum.
    batch["input_ids"], batch["labels"] = batch["input_ids"] % 50, batch["labels"].clamp(max=49)
    model.zero_grad()
    packed_loss(model, batch).backward()  # type: ignore[no-untyped-call]
    assert float(model.get_output_embeddings().new.grad.abs().sum()) > 0


def test_a_scaled_embedding_stays_scaled() -> None:
    """Gemma multiplies what it looks up by the root of its width."""
    import torch
    from transformers import GemmaConfig, GemmaForCausalLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = GemmaForCausalLM(GemmaConfig(vocab_size=60, num_key_value_heads=1, head_dim=8, **sizes)).eval()
    with torch.no_grad():
        ids = torch.arange(20, 50)[None]
        before = model(input_ids=ids, use_cache=False).logits
        split_rows(model, 40)
        assert torch.allclose(model(input_ids=ids, use_cache=False).logits, before, atol=1e-6)
