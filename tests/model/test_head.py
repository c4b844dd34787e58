"""The chunked loss is the whole loss, and so are its gradients; heads it does not know are left to the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.model import head as head_module
from llama_gene.model.folder import load_folder
from llama_gene.training import packed_loss
from nano import RandomRows


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few positions, so that a tiny world has many."""
    monkeypatch.setattr(head_module, "chunk_length", lambda *_: 3)


def whole_loss(hidden: Any, targets: Any, rows: Any, bias: Any, scale: float, cap: float | None) -> Any:
    import torch
    import torch.nn.functional as F  # noqa: N812

    logits = (hidden.to(rows.dtype) @ rows.T if bias is None else hidden @ rows.T + bias) * scale
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    return F.cross_entropy(logits.float(), targets, reduction="sum")


@settings(deadline=None, max_examples=60)
@given(
    num_positions=st.integers(0, 10),
    num_rows=st.integers(2, 40),
    cut=st.floats(0, 1),
    biased=st.booleans(),
    scale=st.sampled_from([1.0, 0.25]),
    cap=st.sampled_from([None, 2.0]),
    size=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_chunks_of_two_blocks_are_the_whole(
    num_positions: int,
    num_rows: int,
    cut: float,
    biased: bool,
    scale: float,
    cap: float | None,
    size: float,
    seed: int,
) -> None:
    import torch

    torch.manual_seed(seed)
    rows = (size * torch.randn(num_rows, 5)).requires_grad_()
    bias = torch.randn(num_rows).requires_grad_() if biased else None
    hidden = torch.randn(num_positions, 5).requires_grad_()
    targets = torch.randint(0, num_rows, (num_positions,))
    wanted = [value for value in (hidden, rows, bias) if value is not None]
    loss = whole_loss(hidden, targets, rows, bias, scale, cap)
    expected = torch.autograd.grad(loss, wanted)

    first_new = round(cut * num_rows)
    base, new = rows.detach()[:first_new], rows.detach()[first_new:].clone().requires_grad_()
    head = head_module.Head((base, new), bias, scale, cap)
    chunked = head.summed_loss(hidden, targets)
    ours = torch.autograd.grad(chunked, [value for value in (hidden, new, bias) if value is not None])

    def close(one: Any, other: Any) -> bool:
        return torch.allclose(one, other, rtol=1e-5, atol=1e-5 * max(1.0, size))

    assert close(chunked, loss)
    assert close(ours[0], expected[0])
    assert close(ours[1], expected[1][first_new:])
    if biased:
        assert close(ours[2], expected[2])


def test_a_loss_that_is_divided_divides_its_gradients() -> None:
    import torch

    rows, hidden, targets = torch.randn(9, 4).requires_grad_(), torch.randn(7, 4), torch.arange(7)
    head = head_module.Head((rows,))
    (of_sum,) = torch.autograd.grad(head.summed_loss(hidden, targets), rows)
    (of_mean,) = torch.autograd.grad(head.summed_loss(hidden, targets) / 7, rows)
    assert torch.allclose(of_mean * 7, of_sum, atol=1e-6)


@pytest.mark.parametrize("cap", [None, 2.0])
def test_a_target_counts_what_it_weighs(cap: float | None) -> None:
    import torch

    torch.manual_seed(3)
    rows, hidden, targets = torch.randn(9, 4).requires_grad_(), torch.randn(7, 4).requires_grad_(), torch.arange(7)
    bias = torch.randn(9).requires_grad_()
    weights = torch.tensor([0.0, 1.0, 2.0, 0.5, 1.0, 3.0, 0.25])
    logits = hidden @ rows.T + bias
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    theirs = (weights * torch.nn.functional.cross_entropy(logits, targets, reduction="none")).sum()
    ours = head_module.Head((rows,), bias, cap=cap).summed_loss(hidden, targets, weights)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    wanted = (hidden, rows, bias)
    for one, other in zip(torch.autograd.grad(ours, wanted), torch.autograd.grad(theirs, wanted), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_bf16_autocast_is_as_exact_as_bf16_can_be() -> None:
    import torch

    torch.manual_seed(1)
    rows, hidden = (0.1 * torch.randn(300, 32)).requires_grad_(), torch.randn(50, 32).requires_grad_()
    targets = torch.randint(0, 300, (50,))
    exact = torch.autograd.grad(whole_loss(hidden, targets, rows, None, 1.0, None), (hidden, rows))
    with torch.autocast("cpu", torch.bfloat16):
        theirs = torch.autograd.grad(
            torch.nn.functional.cross_entropy((hidden @ rows.T).float(), targets, reduction="sum"), (hidden, rows)
        )
        loss = head_module.Head((rows,)).summed_loss(hidden, targets)
    assert loss.dtype == torch.float32
    ours = torch.autograd.grad(loss, (hidden, rows))
    for one, other, true in zip(ours, theirs, exact, strict=True):
        assert one.dtype == torch.float32
        assert float((one - true).abs().max()) < 1.5 * float((other - true).abs().max())


def test_a_frozen_head_has_no_gradient_and_one_that_is_not_asked_for_computes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    rows, hidden, targets = torch.randn(9, 4), torch.randn(7, 4).requires_grad_(), torch.arange(7)
    head_module.Head((rows,)).summed_loss(hidden, targets).backward()
    assert rows.grad is None
    assert hidden.grad is not None
    monkeypatch.setattr(head_module, "_add_product", None)
    with torch.no_grad():
        assert float(head_module.Head((rows.requires_grad_(),)).summed_loss(hidden, targets)) > 0


def tiny_config(kind: str, **changes: Any) -> Any:
    from transformers import AutoConfig

    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    more = {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
    return AutoConfig.for_model(kind, **sizes | more | changes)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("mistral", {"tie_word_embeddings": True}),
        ("gemma2", {"final_logit_softcapping": 2.0}),
        ("granite", {"logits_scaling": 4.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("gpt2", {}),
        ("phi", {}),
        ("opt", {"word_embed_proj_dim": 8, "ffn_dim": 32}),
    ],
)
def test_the_loss_of_every_architecture_is_its_own(kind: str, changes: dict[str, Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_config(tiny_config(kind, **changes)).eval()
    ids = torch.randint(1, 50, (2, 12))
    batch = {"input_ids": ids, "labels": ids, "position_ids": torch.arange(12).expand_as(ids)}
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
        theirs = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert head_module.find_head(model) is not None
    assert float(packed_loss(model, batch).detach()) == pytest.approx(float(theirs), abs=1e-5)


def test_a_head_that_does_more_is_left_to_the_model(nano_folder: Path) -> None:
    """What we do not know about an architecture must not change what it learns."""
    import torch

    model: Any = load_folder(nano_folder)[0]
    rows = RandomRows(4)
    batch = {key: torch.from_numpy(np.stack([rows[i][key] for i in range(4)])) for key in rows[0]}
    plain = float(packed_loss(model, batch).detach())
    model.lm_head.register_forward_hook(lambda _, __, logits: 3 * logits)
    assert head_module.find_head(model) is None
    tripled = float(packed_loss(model, batch).detach())
    assert abs(tripled - plain) > 1e-3
    model.lm_head._forward_hooks.clear()
    model.lm_head.weight.data *= 3
    model.model.embed_tokens.weight = torch.nn.Parameter(model.model.embed_tokens.weight / 3)
    assert float(packed_loss(model, batch).detach()) == pytest.approx(tripled, abs=1e-5)
