"""Bring an adapter home: merged weights are what every other engine can load."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_gene.errors import ModelError
from llama_gene.files import read_json
from llama_gene.model.folder import RECORD, load_folder, save_folder

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def merge(model: "PeftModel") -> "PreTrainedModel":
    """The plain model with the adapter's weights added in, tied as its base was."""
    merged: PreTrainedModel = model.merge_and_unload()
    if merged.config.tie_word_embeddings:
        merged.tie_weights()
    return merged


def save_adapter(model: "PeftModel", folder: Path, tokenizer_fingerprint: str) -> None:
    """Save the adapter alone, with the fingerprint of the tokenizer it was trained with."""
    from llama_gene.files import atomic_folder, write_json

    with atomic_folder(folder) as draft:
        model.save_pretrained(draft, save_embedding_layers=False)
        write_json(draft / RECORD, {"tokenizer": tokenizer_fingerprint})


def merge_folders(base: Path, adapter: Path, output: Path) -> None:
    """Merge an adapter folder into its base folder and save the result.

    Raises:
        ModelError: The adapter was trained with another tokenizer, or is no adapter.
    """
    from peft import PeftModel

    model, tokenizer, record = load_folder(base)
    if not (adapter / "adapter_config.json").exists():
        raise ModelError("no adapter_config.json: this is no adapter", where=adapter)
    trained_with: Any = read_json(adapter / RECORD).get("tokenizer")
    if trained_with != tokenizer.fingerprint:
        hint = "merge it into the model it was trained on"
        raise ModelError(f"this adapter was trained with another tokenizer than {base}", where=adapter, hint=hint)
    merged = merge(PeftModel.from_pretrained(model, adapter))
    save_folder(
        merged, base, output, {key: value for key, value in record.items() if key not in {"version", "tokenizer"}}
    )
