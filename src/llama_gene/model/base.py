"""Base models: one from scratch with a named size, or any causal language model of Hugging Face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_gene.errors import LlamaGeneError, ModelError, SettingsError
from llama_gene.files import disk_errors, read_object
from llama_gene.sequences import ALPHABETS, Kind, complement, translate

if TYPE_CHECKING:
    from transformers import PreTrainedModel


Letters = Mapping[Kind, Sequence[int]]
"""The ids of the letters of each kind of sequence that is spelled by letters."""


@dataclass(frozen=True)
class Shape:
    """The shape of a model from scratch.

    Attributes:
        hidden: Width.
        num_layers: Layers.
        num_heads: Heads of attention.
        num_kv_heads: Heads of its keys and values.
        intermediate: Width of the MLP.
        tied: Whether one matrix is embedding and head; for small models half of the parameters would be rows.
        layers: One letter a layer: ``c`` mixes each position with the eight before it (a short convolution), ``a`` is
            attention. Such a model is an LFM2; without them it is a LLaMA.
        remembers: Whether it has a memory of n-grams of letters; see ``modeling_gene``.
    """

    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate: int
    tied: bool
    layers: str = ""
    remembers: bool = False


def _hybrid(hidden: int, layers: str, num_heads: int, intermediate: int) -> Shape:
    return Shape(hidden, len(layers), num_heads, num_heads, intermediate, tied=True, layers=layers)


def _gene(hidden: int, layers: str, num_heads: int, intermediate: int) -> Shape:
    return replace(_hybrid(hidden, layers, num_heads, intermediate), remembers=True)


SIZES: dict[str, Shape] = {
    "nano": Shape(64, 2, 4, 4, 176, tied=True),
    "tiny": Shape(128, 2, 8, 8, 352, tied=True),
    "micro": Shape(128, 3, 8, 8, 352, tied=True),
    "mini": Shape(256, 6, 8, 8, 704, tied=True),
    "small": Shape(512, 10, 8, 8, 1408, tied=True),
    "base": Shape(768, 12, 12, 12, 2048, tied=True),
    "1b": Shape(2048, 16, 32, 8, 8192, tied=False),
    "7b": Shape(4096, 32, 32, 32, 11008, tied=False),
    # Motifs are what short convolutions see at once, and what attention has to find out (docs/lab-notes.md).
    "hybrid-nano": _hybrid(64, "ca", 4, 176),
    "hybrid-micro": _hybrid(96, "cca", 8, 264),
    "hybrid-mini": _hybrid(128, "cca", 4, 352),
    "hybrid-small": _hybrid(512, "ccacacacaa", 8, 1408),
    # The same with a memory of n-grams: what k-mers say is known at once.
    "gene-nano": _gene(64, "ca", 4, 176),
    "gene-tiny": _gene(128, "caa", 4, 352),
    "gene-mini": _gene(128, "cca", 4, 352),
    "gene-small": _gene(512, "ccacacacaa", 8, 1408),
}
_ORDERS: Mapping[Kind, Sequence[int]] = {"dna": (4, 6, 8), "protein": (2, 3, 4)}  # lengths of remembered n-grams
_PLACES: Mapping[Kind, Sequence[int]] = {"dna": (2, 512), "protein": (1, 128)}  # a length, and places it is known at
_SHARED: Mapping[Kind, Sequence[int]] = {"dna": (3, 5), "protein": (3, 4)}  # of those that sequences share
OURS = "llama_gene"  # the model type of ``modeling_gene``
_EVEN = 0.1  # of the scores of attention: it looks everywhere alike
_KERNEL = 9  # positions that a short convolution sees, its own among them: about the length of a motif


def shape_config(size: str, num_rows: int, context: int, letters: Letters | None = None) -> dict[str, Any]:
    """The ``config.json`` of a model from scratch of a named size.

    Args:
        size: A name in `SIZES`.
        num_rows: Rows of the embedding and the head.
        context: Longest input, in tokens.
        letters: The ids of the letters of each kind of sequence that is spelled by letters.

    Raises:
        SettingsError: No such size, or it remembers n-grams of letters and a vocabulary has longer pieces.
    """
    if size not in SIZES:
        raise SettingsError(f"model.size: no size is named {size!r}", hint=f"sizes: {', '.join(SIZES)}")
    shape = SIZES[size]
    config: dict[str, Any] = {
        "model_type": "llama",
        "vocab_size": num_rows,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": context,
        "tie_word_embeddings": shape.tied,
        # LLaMA's own 0.02 is 1 / sqrt(2500): on a narrow model it is so small that motifs are learned much later
        # (docs/lab-notes.md, "initial weights").
        "initializer_range": shape.hidden**-0.5 if shape.hidden < 2048 else 0.02,
    }
    if shape.layers:
        config |= {
            "model_type": "lfm2",
            "layer_types": [{"c": "conv", "a": "full_attention"}[layer] for layer in shape.layers],
            "conv_L_cache": _KERNEL,
            "block_auto_adjust_ff_dim": False,  # the width of the MLP is the one above
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},  # as LLaMA's: rows are short
        }
    if shape.remembers:
        config |= _memory_config(letters or {})
    return config


def _memory_config(letters: Letters) -> dict[str, Any]:
    """What turns the configuration of an LFM2 into one with a memory of n-grams.

    Raises:
        SettingsError: Nothing is spelled by letters.
    """
    if not letters:
        hint = "set vocabulary.dna.size = 4 and vocabulary.protein.size = 20, or take a model without a memory"
        raise SettingsError("a memory of n-grams needs sequences that are spelled by letters", hint=hint)
    letters = {kind: letters[kind] for kind in ALPHABETS if kind in letters}  # codons are read from the first alphabet
    dna, protein = ALPHABETS["dna"].letters, ALPHABETS["protein"].letters
    config: dict[str, Any] = {
        "model_type": OURS,
        "ngram_letters": [list(ids) for ids in letters.values()],
        "ngram_orders": [list(_ORDERS[kind]) for kind in letters],
        "ngram_places": [list(_PLACES[kind]) for kind in letters],
        "ngram_shared": [list(_SHARED[kind]) for kind in letters],
        "ngram_complements": [[dna.index(complement(one)) for one in dna] if kind == "dna" else [] for kind in letters],
    }
    if len(letters) == len(ALPHABETS):
        config["ngram_codons"] = [protein.find(translate("".join(codon))) for codon in product(dna, repeat=3)]
    return config


def new_model(
    size: str,
    num_rows: int,
    context: int,
    special_ids: dict[str, int],
    letters: Letters | None = None,
    *,
    seed: int,
) -> "PreTrainedModel":
    """A model with random weights.

    Args:
        size: A name in `SIZES`.
        num_rows: Rows of the embedding and the head.
        context: Longest input, in tokens.
        special_ids: ``eos_token_id``, ``pad_token_id`` and, where there is one, ``bos_token_id``.
        letters: As for `shape_config`.
        seed: Decides the weights.

    Raises:
        SettingsError: As for `shape_config`.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    register_gene()
    values = {**shape_config(size, num_rows, context, letters), "bos_token_id": None, **special_ids}
    set_seed(seed)
    _use_our_progress()
    model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values))
    if SIZES[size].remembers:
        _hand_on_memory(model)
    return model


def _hand_on_memory(model: "PreTrainedModel") -> None:
    """Let attention first hand on the mean of what is remembered, as it is, and convolutions and MLPs write nothing.

    What linear models say of a sequence is then there to be read from the first step on (lab notes, 2026-11-27).
    """
    import torch

    from llama_gene.model.modeling_gene import RememberingLayer

    with torch.no_grad():
        for layer in model.get_decoder().layers:
            layer.feed_forward.w2.weight.zero_()
            if not layer.is_attention_layer:
                layer.conv.out_proj.weight.zero_()
            elif isinstance(layer, RememberingLayer):
                layer.self_attn.q_layernorm.weight.fill_(_EVEN)
                torch.nn.init.orthogonal_(layer.self_attn.v_proj.weight)
                layer.self_attn.out_proj.weight.copy_(layer.self_attn.v_proj.weight.T)


def register_gene() -> None:
    """Make our own architecture known to transformers, as if it came with it; a folder's code is never run."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from llama_gene.model.modeling_gene import GeneConfig, GeneForCausalLM

    AutoConfig.register(GeneConfig.model_type, GeneConfig, exist_ok=True)
    AutoModelForCausalLM.register(GeneConfig, GeneForCausalLM, exist_ok=True)


def _use_our_progress() -> None:
    """Keep the bars and the tables of transformers, for every file read or written, out of what we say."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "*.jinja")


def find_base(base: str, patterns: tuple[str, ...] = _FILES) -> Path:
    """The local folder of a base: `base` itself if it is a folder, else a snapshot of that hub id.

    Args:
        base: A folder, or a hub id.
        patterns: The files wanted of a hub id; a plan needs no weights.

    Raises:
        ModelError: It is missing or gated, or the hub cannot be reached; the message says what to do.
    """
    folder = Path(base)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError("no config.json: this is no Hugging Face model folder", where=folder)
        return folder
    if folder.is_absolute() or base.startswith(".") or base.count("/") != 1:
        raise ModelError(f"no model at {base!r}", hint="give an existing folder, or a hub id such as owner/name")
    return _download(base, patterns)


def _download(hub_id: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        with disk_errors(Path(HF_HUB_CACHE)):
            return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except LlamaGeneError:
        raise
    except GatedRepoError:
        hint = f"ask for access at https://huggingface.co/{hub_id}, then log in with: hf auth login"
        raise ModelError(f"the model {hub_id!r} is gated", hint=hint) from None
    except RepositoryNotFoundError:
        hint = "check the name; for a private model log in with: hf auth login"
        raise ModelError(f"the hub has no model {hub_id!r}", hint=hint) from None
    except HFValidationError as error:
        raise ModelError(f"{hub_id!r} is neither a folder nor a hub id: {error}") from None
    except Exception as error:  # noqa: BLE001 - offline, no network, or whatever else its HTTP client may raise
        hint = "download it where there is a network, and give its folder; HF_HUB_OFFLINE=1 uses the local cache only"
        raise ModelError(f"cannot reach the hub for {hub_id!r} ({type(error).__name__})", hint=hint) from None


def check_causal(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder, after checking that it is a causal language model we can load.

    Raises:
        ModelError: It is an encoder, an encoder-decoder, or needs code of its own.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = read_object(folder / "config.json")
    architectures = config.get("architectures") or []
    known = config.get("model_type") in {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, OURS}
    if "auto_map" in config and not known:
        raise ModelError("this model needs code from its own folder, which is not run", where=folder)
    if not known or (
        architectures and not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)
    ):
        given = ", ".join(architectures) or f"model_type {config.get('model_type')!r}"
        hint = "choose a decoder such as LLaMA, Mistral, Qwen, Gemma or GPT-2"
        raise ModelError(f"{given} is no causal language model", where=folder / "config.json", hint=hint)
    return config


def load_model(folder: Path, **options: Any) -> "PreTrainedModel":
    """Load the weights of a causal language model, in fp32 on the CPU, from safetensors only.

    Args:
        folder: A Hugging Face model folder.
        options: More that transformers is told: in which form to keep the weights, and where.

    Raises:
        ModelError: No weights, damaged weights, or no causal language model.
    """
    from transformers import AutoModelForCausalLM

    check_causal(folder)
    register_gene()
    _use_our_progress()
    if not any(folder.glob("*.safetensors")):
        hint = "only safetensors are read, since other formats can run code; convert the weights first"
        raise ModelError("no *.safetensors in this folder", where=folder, hint=hint)
    _check_index(folder)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, dtype="float32", use_safetensors=True, trust_remote_code=False, **options
        )
    except Exception as error:  # noqa: BLE001 - a configuration from outside makes transformers fail in any way
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"the weights cannot be loaded ({first})", where=folder) from None
    return model


def _check_index(folder: Path) -> None:
    """Check that the files of weights that an index names lie in the model's own folder."""
    path = folder / "model.safetensors.index.json"
    if not path.is_file():
        return
    names = read_object(path, "weight_map")["weight_map"]
    for name in names.values() if isinstance(names, dict) else [names]:
        if not (isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name):
            raise ModelError(f"it names weights that are not in this folder: {name!r:.80}", where=path)
