"""The shape of a model without its weights: what a plan counts with.

The model is built on PyTorch's meta device, where tensors have shapes and no memory, so any decoder that transformers
knows is counted from its own modules and not from a formula of ours.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llama_gene.errors import ModelError
from llama_gene.model.base import check_causal, find_base, register_gene

Config = dict[str, Any]


def _llama(hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, rows: int, context: int) -> Config:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "vocab_size": rows,
        "max_position_embeddings": context,
        "tie_word_embeddings": False,
    }


# What the hub's config.json of these says, so that their plans need no network (and no access to a gated model).
KNOWN: Final[dict[str, Config]] = {
    "huggyllama/llama-7b": _llama(4096, 32, 32, 32, 11008, 32_000, 2048),
    "meta-llama/Llama-2-7b-hf": _llama(4096, 32, 32, 32, 11008, 32_000, 4096),
    "meta-llama/Llama-2-13b-hf": _llama(5120, 40, 40, 40, 13824, 32_000, 4096),
    "meta-llama/Meta-Llama-3-8B": _llama(4096, 32, 32, 8, 14336, 128_256, 8192),
    "meta-llama/Llama-3.1-8B": _llama(4096, 32, 32, 8, 14336, 128_256, 131_072),
    "meta-llama/Llama-3.1-70B": _llama(8192, 80, 64, 8, 28672, 128_256, 131_072),
    "meta-llama/Llama-3.2-1B": _llama(2048, 16, 32, 8, 8192, 128_256, 131_072) | {"tie_word_embeddings": True},
}


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weight matrices of one name and shape, over all layers."""

    name: str
    inputs: int
    outputs: int
    count: int

    @property
    def size(self) -> int:
        """Parameters of all of them."""
        return self.inputs * self.outputs * self.count


@dataclass(frozen=True, slots=True)
class Architecture:
    """What decides parameters, memory and FLOPs of a decoder.

    Attributes:
        model_type: As transformers calls it.
        num_layers: Decoder layers; one that does not attend is counted as if it did, so plans of hybrids are too high.
        hidden: Width.
        num_heads: Attention heads.
        num_kv_heads: Heads of keys and values.
        head_dim: Width of a head.
        intermediate: Width inside the MLP.
        gated: Whether the MLP multiplies two branches, as LLaMA's does.
        rows: Rows of the embedding, and of the head.
        tied: Whether the two are one matrix.
        matrices: All linear projections but the head.
        num_other: Parameters that are in no matrix: norms, biases, learned positions, short convolutions.
    """

    model_type: str
    num_layers: int
    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate: int
    gated: bool
    rows: int
    tied: bool
    matrices: tuple[Matrix, ...]
    num_other: int

    @property
    def num_linear(self) -> int:
        """Parameters of the linear projections, without the head."""
        return sum(matrix.size for matrix in self.matrices)

    @property
    def num_row_matrices(self) -> int:
        """1 where embedding and head are one matrix, else 2."""
        return 1 if self.tied else 2

    @property
    def num_rows_parameters(self) -> int:
        """Parameters of the embedding and the head."""
        return self.num_row_matrices * self.rows * self.hidden

    @property
    def num_parameters(self) -> int:
        """All parameters."""
        return self.num_linear + self.num_rows_parameters + self.num_other

    def num_lora(self, rank: int) -> int:
        """Parameters of adapters of `rank` beside every linear projection."""
        return sum(rank * (matrix.inputs + matrix.outputs) * matrix.count for matrix in self.matrices)


def config_of(base: str) -> Config:
    """The configuration of a base, without its weights: a known model, a folder, or a hub id.

    Raises:
        ModelError: It is no causal language model, or cannot be found or reached.
    """
    if base in KNOWN and not Path(base).is_dir():
        return KNOWN[base]
    return check_causal(find_base(base, patterns=("config.json",)))


def rows_of(config: Config) -> int:
    """The rows that a configuration gives to the embedding.

    Raises:
        ModelError: transformers cannot read it.
    """
    return int(_read(config).get_text_config().vocab_size)


def _read(config: Config) -> Any:
    """The configuration as transformers has it, with all that it leaves out filled in."""
    from transformers import AutoConfig

    register_gene()
    settings = {key: value for key, value in config.items() if key not in {"auto_map", "quantization_config"}}
    try:
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"transformers cannot read this model ({error})", hint="check its config.json") from None


def architecture_of(config: Config, rows: int | None = None) -> Architecture:
    """Count a model from its configuration.

    Args:
        config: The content of its ``config.json``.
        rows: Rows of embedding and head; the configuration's own if not given.

    Raises:
        ModelError: transformers cannot build it, or it is a mixture of experts, whose layers do not all compute.
    """
    import torch
    from transformers import AutoModelForCausalLM

    full = _read(config)
    text = full.get_text_config()
    if rows is not None:
        text.vocab_size = rows
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(full)
    except (KeyError, ValueError, AttributeError, TypeError, RuntimeError) as error:
        raise ModelError(f"transformers cannot build this model ({error})", hint="check its config.json") from None
    convolutions = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Conv1d)}
    if any(parameter.ndim > 2 and id(parameter) not in convolutions for parameter in model.parameters()):
        raise ModelError("a mixture of experts cannot be planned", hint="choose a base whose layers all compute")
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    shapes: Counter[tuple[str, int, int]] = Counter()
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        kind = type(module).__name__
        if weight is None or weight is head or kind not in {"Linear", "Conv1D"}:
            continue
        inputs, outputs = weight.shape if kind == "Conv1D" else reversed(weight.shape)
        shapes[name.rpartition(".")[2], inputs, outputs] += 1
    matrices = tuple(Matrix(*shape, count) for shape, count in shapes.items())
    tied = head is embedding or bool(full.tie_word_embeddings)
    hidden = int(text.hidden_size)
    heads = int(text.num_attention_heads)
    intermediate = int(getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * hidden)
    total = {id(parameter): parameter.numel() for parameter in model.parameters()}
    num_parameters = sum(total.values()) - (0 if head is embedding or not tied else head.numel())
    num_rows_parameters = embedding.numel() * (1 if tied else 2)
    return Architecture(
        model_type=str(full.model_type),
        num_layers=int(text.num_hidden_layers),
        hidden=hidden,
        num_heads=heads,
        num_kv_heads=int(getattr(text, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(text, "head_dim", None) or hidden // heads),
        intermediate=intermediate,
        gated=sum(m.outputs * m.count for m in matrices if m.inputs == hidden and m.outputs % intermediate == 0)
        >= 2 * intermediate * int(text.num_hidden_layers),
        rows=int(embedding.shape[0]),
        tied=tied,
        matrices=matrices,
        num_other=num_parameters - num_rows_parameters - sum(matrix.size for matrix in matrices),
    )
