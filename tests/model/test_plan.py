"""Plans: counted on the meta device, equal to what real models have, and right for the paper's case."""

import contextlib
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.config import TrainingSettings
from llama_gene.errors import ModelError, SettingsError
from llama_gene.model.architecture import (
    KNOWN,
    Architecture,
    architecture_of,
    config_of,
    rows_of,
)
from llama_gene.model.base import SIZES, new_model, shape_config
from llama_gene.model.gpu import GIB, GPUS, find_gpu
from llama_gene.model.lora import adapt
from llama_gene.model.plan import (
    SHARED,
    count_flops,
    count_trainable,
    memory_of,
    plan_training,
    remedies,
)
from llama_gene.sequences import Kind

PAPER = {
    "train": "lora+embeddings",
    "lora": {"rank": 8},
    "precision": "bf16",
    "gradient_checkpointing": True,
    "batch_size": 32,
    "accumulate": 48,
}


def training(**values: Any) -> TrainingSettings:
    return TrainingSettings.model_validate(values)


@pytest.fixture(scope="module")
def paper() -> Architecture:
    return architecture_of(config_of("huggyllama/llama-7b"), rows=92_032)


@pytest.fixture(scope="module")
def small() -> Architecture:
    return architecture_of(shape_config("mini", 8192, 1024))


# architectures


def test_the_7b_of_the_paper_is_known_by_name(paper: Architecture) -> None:
    # Width 4,096, 32 layers: four square projections and three of 4,096 x 11,008 in each.
    assert paper.num_linear == 32 * (4 * 4096**2 + 3 * 4096 * 11_008) == 6_476_005_376
    assert paper.num_rows_parameters == 2 * 92_032 * 4096 == 753_926_144
    assert paper.num_other == 65 * 4096
    assert paper.num_parameters == 7_230_197_760
    assert paper.num_lora(8) == 8 * 32 * (4 * 8192 + 3 * 15_104) == 19_988_480


@pytest.mark.parametrize(
    ("name", "millions"),
    [("huggyllama/llama-7b", 6738), ("meta-llama/Llama-3.2-1B", 1236), ("meta-llama/Llama-3.1-70B", 70_554)],
)
def test_known_bases_have_their_published_size(name: str, millions: int) -> None:
    assert round(architecture_of(KNOWN[name]).num_parameters / 1e6) == millions


@pytest.mark.parametrize("size", ["nano", "micro", "mini"])
def test_the_meta_device_counts_what_a_real_model_has(size: str) -> None:
    model = new_model(size, 640, 256, {"eos_token_id": 0, "pad_token_id": 1}, seed=1)
    found = architecture_of(shape_config(size, 640, 256))
    assert found.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (found.num_layers, found.gated, found.tied) == (SIZES[size].num_layers, True, True)


def test_other_families_are_counted_from_their_modules() -> None:
    small = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64}
    gpt2 = architecture_of(small)
    linear = 2 * (32 * 96 + 32 * 32 + 2 * 32 * 128)
    assert (gpt2.num_linear, gpt2.num_rows_parameters, gpt2.gated, gpt2.intermediate) == (linear, 3200, False, 128)
    qwen = architecture_of(
        {"model_type": "qwen3", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16}
        | {"num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 100, "tie_word_embeddings": False}
    )
    assert qwen.num_linear == 2 * (2 * 32 * 64 + 2 * 32 * 32 + 3 * 32 * 48)
    assert (qwen.num_kv_heads, qwen.head_dim, qwen.num_row_matrices) == (2, 16, 2)


def test_a_hybrid_is_counted_with_its_convolutions() -> None:
    shape = shape_config("hybrid-nano", 512, 256)
    hybrid = architecture_of(shape)
    real = new_model("hybrid-nano", 512, 256, {}, seed=0)
    assert hybrid.num_parameters == sum(parameter.numel() for parameter in real.parameters())


def test_a_memory_is_counted_with_its_tables() -> None:
    letters: dict[Kind, list[int]] = {"dna": [0, 1, 2, 3], "protein": list(range(4, 24))}
    remembering = architecture_of(shape_config("gene-nano", 512, 256, letters))
    real = new_model("gene-nano", 512, 256, {}, letters, seed=0)
    assert remembering.num_parameters == sum(parameter.numel() for parameter in real.parameters())
    # All DNA 4-mers and 6-mers, residue pairs and threes, and 16,384 rows each for what there is more of; and pairs of
    # bases at 512 places, residues at 128. Shared threes and fives of DNA, threes and fours of residues in 1,024 rows.
    rows = 1 + 4**4 + 4**6 + 20**2 + 20**3 + 2 * 16_384 + 512 * 4**2 + 128 * 20 + 4**3 + 4**5 + 2 * 1024
    alike = architecture_of(shape_config("hybrid-nano", 512, 256))
    assert remembering.num_other - alike.num_other == rows * 64


def test_rows_are_read_and_set() -> None:
    assert rows_of(KNOWN["meta-llama/Llama-3.1-8B"]) == 128_256
    assert architecture_of(shape_config("nano", 100, 64), rows=164).rows == 164


def test_what_cannot_be_planned_raises() -> None:
    with pytest.raises(SettingsError, match="no size is named 'huge'\n  sizes: nano"):
        shape_config("huge", 100, 64)
    with pytest.raises(ModelError, match="cannot reach the hub for 'owner/name'"):
        config_of("owner/name")
    with pytest.raises(ModelError, match="cannot read this model"):
        architecture_of({"model_type": "no-such-type"})
    experts = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4}
    with pytest.raises(ModelError, match="mixture of experts"):
        architecture_of({"model_type": "mixtral", "intermediate_size": 48, "vocab_size": 100, **experts})


# what trains


def test_about_a_tenth_of_the_papers_model_trains(paper: Architecture) -> None:
    plan = plan_training(
        paper, training(**PAPER), tokens=3 * 10**9, num_new_rows=60_032, gpu=find_gpu("a100-80gb"), num_gpus=8
    )
    assert plan.trainable.adapters == 19_988_480
    assert plan.trainable.rows == 753_926_144
    assert round(plan.share, 4) == 0.1067
    assert plan.batch_tokens == 32 * 48 * 512
    assert plan.num_steps == 3814
    assert "DDP" in plan.fits()


@pytest.mark.parametrize("train", ["all", "lora", "lora+embeddings", "lora+new-rows"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_trains_is_what_a_real_model_trains(train: str, tied: bool) -> None:
    config = shape_config("nano", 640, 256) | {"tie_word_embeddings": tied}
    model = new_model("nano", 640, 256, {"eos_token_id": 0, "pad_token_id": 1}, seed=1)
    if not tied:
        model = type(model)(type(model.config)(**{**model.config.to_dict(), "tie_word_embeddings": False}))
    settings = training(train=train, lora={"rank": 4})
    adapted = adapt(model, settings, 500)
    found = count_trainable(architecture_of(config), settings, 140)
    assert found.total == sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


# memory and FLOPs


def saved_bytes(num_layers: int, values: TrainingSettings) -> int:
    """Bytes that the layers of a small model keep for the backward pass, weights themselves not counted."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    shape = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 176}
    config = LlamaConfig(vocab_size=128, num_hidden_layers=num_layers, tie_word_embeddings=False, **shape)
    model = adapt(LlamaForCausalLM(config), values, 64).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, 128, (values.batch_size, values.block_size))
    positions = torch.arange(values.block_size // 2).repeat(2).expand(ids.shape)
    mixed = values.precision == "bf16"
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16) if mixed else contextlib.nullcontext(),
    ):
        decoder = model.get_base_model().get_decoder() if hasattr(model, "get_base_model") else model.get_decoder()
        decoder(input_ids=ids, position_ids=positions, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("train", ["all", "lora"])
@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_a_layer_keeps_what_the_plan_says(precision: str, train: str, dropout: float) -> None:
    values = training(
        train=train, precision=precision, batch_size=4, block_size=128, lora={"rank": 4, "dropout": dropout}
    )
    measured = saved_bytes(3, values) - saved_bytes(2, values)
    sizes = []
    for layers in (3, 2):
        config = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
        shape = architecture_of(config | {"intermediate_size": 176, "num_hidden_layers": layers, "vocab_size": 128})
        parts = memory_of(shape, values, 64, device="cpu")
        sizes.append(parts["activations"] + parts.get("bf16 copies", 0))
    assert sizes[0] - sizes[1] == pytest.approx(measured, rel=0.03)


@pytest.mark.parametrize("train", ["all", "lora+embeddings", "lora+new-rows"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_flops_are_what_pytorch_counts(train: str, checkpointing: bool) -> None:
    import torch.utils.flop_counter as counting

    from llama_gene.model.head import plain_model
    from llama_gene.training.loss import packed_loss

    values = training(
        train=train,
        precision="bf16",
        batch_size=2,
        block_size=64,
        lora={"rank": 4},
        gradient_checkpointing=checkpointing,
    )
    model = new_model("nano", 640, 64, {"eos_token_id": 0, "pad_token_id": 1}, seed=1)
    model.config._attn_implementation = "eager"  # whose products the counter knows on a CPU
    adapted = adapt(model, values, 500).train()
    if checkpointing:
        plain_model(adapted).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ids = torch.randint(0, 640, (2, 64))
    batch = {"input_ids": ids, "labels": ids, "position_ids": torch.arange(64).expand(2, 64)}
    with counting.FlopCounterMode(display=False) as counter, torch.autocast("cpu", dtype=torch.bfloat16):
        packed_loss(adapted, batch, chunked=True).backward()
    parts = count_flops(architecture_of(shape_config("nano", 640, 64)), values, 140)
    # Without a fused kernel the backward pass needs no scores again: twice, not two and a half times.
    planned = sum(part.total for part in parts.values()) - 0.5 * parts["attention"].forward
    # Two values the counter misses or cannot skip: the last position has no target, and in-place sums go uncounted.
    assert counter.get_total_flops() / (planned * 128) == pytest.approx(1, abs=0.06)


@given(
    num_gpus=st.integers(2, 64),
    train=st.sampled_from(["all", "lora", "lora+embeddings", "lora+new-rows"]),
    precision=st.sampled_from(["fp32", "bf16"]),
    batch=st.integers(1, 64),
)
@settings(deadline=None, max_examples=60)
def test_sharding_and_checkpointing_never_cost_memory(
    small: Architecture, num_gpus: int, train: str, precision: str, batch: int
) -> None:
    values = training(train=train, precision=precision, batch_size=batch)
    sizes = {name: sum(memory_of(small, values, 100, strategy=name, num_gpus=num_gpus).values()) for name in SHARED}
    assert sizes["ZeRO-2"] <= sizes["DDP"]
    more = {name: sum(memory_of(small, values, 100, strategy=name, num_gpus=2 * num_gpus).values()) for name in SHARED}
    assert all(more[name] <= sizes[name] for name in SHARED)
    recomputed = values.model_copy(update={"gradient_checkpointing": True})
    for name in SHARED:
        again = memory_of(small, recomputed, 100, strategy=name, num_gpus=num_gpus)
        assert sum(again.values()) <= sizes[name]


def test_frozen_weights_cost_no_gradient_of_their_own(small: Architecture) -> None:
    everything = count_flops(small, training(train="all"), 100)
    frozen = count_flops(small, training(train="lora"), 100)
    assert everything["linear"].backward == 2 * everything["linear"].forward == 2 * frozen["linear"].backward
    again = count_flops(small, training(train="all", gradient_checkpointing=True), 100)
    assert again["linear"].again == again["linear"].forward
    assert "adapters" not in everything


def test_four_bits_take_an_eighth_of_the_frozen_weights(paper: Architecture) -> None:
    whole = memory_of(paper, training(**PAPER), 60_032)
    quantized = memory_of(paper, training(**PAPER | {"lora": {"load_in_4bit": True}}), 60_032)
    saved = (whole["weights"] - quantized["weights"]) / paper.num_linear
    assert saved == pytest.approx(4 - 0.5, abs=0.02)  # bytes a weight; a little is left for the scales


# what to do


def test_an_impossible_training_comes_with_ways_out(paper: Architecture) -> None:
    gpu = find_gpu("RTX 4090")
    values = training(train="lora+embeddings", precision="bf16", batch_size=8, accumulate=8)
    plan = plan_training(paper, values, tokens=10**9, num_new_rows=60_032, gpu=gpu, num_gpus=8)
    assert plan.fits() == []
    ways = remedies(paper, values, 60_032, gpu, 8)
    assert any("gradient_checkpointing=true" in way.change for way in ways)
    assert ways[-1].change.startswith("plan.gpu=")
    assert all(way.gib <= gpu.memory for way in ways[:-1])


def test_gpus_are_found_by_name() -> None:
    assert find_gpu("a100-40gb").memory < find_gpu("A100 80GB").memory
    assert find_gpu("V100-32GB").peak("bf16") == find_gpu("V100-32GB").peak("fp32")
    assert all(gpu.memory * GIB > 2e10 for gpu in GPUS)
    with pytest.raises(SettingsError, match="no GPU is named 'TPU'\n  known: A100-40GB"):
        find_gpu("TPU")
