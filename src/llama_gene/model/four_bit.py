"""A base in four bits (QLoRA): its frozen projections take an eighth of the memory, adapters train on top."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from llama_gene.errors import SettingsError
from llama_gene.model.base import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_four_bit(folder: Path) -> "PreTrainedModel":
    """Load the weights of a causal language model with its projections in four bits (NF4), on the GPU.

    Embedding, head and norms keep their type, so that rows can train.

    Raises:
        SettingsError: There is no CUDA device, or bitsandbytes is not installed.
        ModelError: As for `load_model`.
    """
    import torch

    if not torch.cuda.is_available():
        hint = "leave it out, or run where a GPU is"
        raise SettingsError("lora.load_in_4bit needs a CUDA device, and there is none", hint=hint)
    if find_spec("bitsandbytes") is None:
        hint = "pip install bitsandbytes"
        raise SettingsError("lora.load_in_4bit needs bitsandbytes, which is not installed", hint=hint)
    from transformers import BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return load_model(folder, quantization_config=four_bits, device_map={"": torch.cuda.current_device()})
