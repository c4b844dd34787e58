"""Bring an adapter home: merged weights are what every other engine can load."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llama_gene.errors import ModelError
from llama_gene.files import hash_file, hash_value, read_object
from llama_gene.model.folder import RECORD, load_folder, require_whole, save_folder, write_record
from llama_gene.model.lora import quiet_peft

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def merge(model: "PeftModel") -> "PreTrainedModel":
    """The plain model with the adapter's weights added in, tied as its base was."""
    merged: PreTrainedModel = model.merge_and_unload()
    if merged.config.tie_word_embeddings:
        merged.tie_weights()
    return merged


def bring_home(trained: Any, base: Path, output: Path, tokenizer_fingerprint: str) -> "PreTrainedModel":
    """The plain model after a training; what trained as an adapter is saved beside `output` on the way.

    Args:
        trained: What ``model.lora.adapt`` made, trained.
        base: The folder it was loaded from.
        output: Where the model will be saved; its adapter becomes ``OUTPUT-adapter``.
        tokenizer_fingerprint: Of its tokenizer.
    """
    if not hasattr(trained, "merge_and_unload"):
        return cast("PreTrainedModel", trained)
    adapter = output.with_name(f"{output.name}-adapter")
    save_adapter(trained, adapter, tokenizer_fingerprint)
    # Into weights read anew: those in memory may be in four bits, and their rows in two blocks.
    return load_merged(base, adapter)


def save_adapter(model: "PeftModel", folder: Path, tokenizer_fingerprint: str) -> None:
    """Save what trained as an adapter of PEFT, with the rows of embedding and head whole where any of them trained.

    Args:
        model: An adapted model, whose base was loaded from a folder.
        folder: The folder to make.
        tokenizer_fingerprint: Of the tokenizer it was trained with; kept with the hash of the base's weights.
    """
    from llama_gene.files import atomic_folder
    from llama_gene.model.rows import joined_state, row_parameters

    plain = model.get_base_model()
    rows_trained = any(rows.requires_grad for rows in row_parameters(plain))
    base = hash_weights(Path(plain.name_or_path))
    with atomic_folder(folder) as draft:
        model.save_pretrained(draft, state_dict=joined_state(model), save_embedding_layers=rows_trained)
        write_record(draft, {"tokenizer": tokenizer_fingerprint, "base": base})


def hash_weights(folder: Path) -> str:
    """The hash of a model folder's weights."""
    return hash_value({path.name: hash_file(path) for path in folder.glob("*.safetensors")})


def load_merged(base: Path, adapter: Path) -> "PreTrainedModel":
    """The model of folder `base` with `adapter` merged in.

    Raises:
        ModelError: The adapter was trained on other weights or with another tokenizer, or is no adapter.
    """
    from peft import PeftModel

    if not (adapter / "adapter_config.json").exists():
        raise ModelError("no adapter_config.json: this is no adapter", where=adapter)
    model, tokenizer, _ = load_folder(base)
    trained_on = read_object(adapter / RECORD)
    hint = "merge it into the model it was trained on"
    if trained_on.get("tokenizer") != tokenizer.fingerprint:
        raise ModelError(f"this adapter was trained with another tokenizer than {base}", where=adapter, hint=hint)
    if trained_on.get("base") != hash_weights(base):
        raise ModelError(f"this adapter was trained on other weights than those of {base}", where=adapter, hint=hint)
    if not (adapter / "adapter_model.safetensors").is_file():
        hint = "only safetensors are read, since other formats can run code"
        raise ModelError("no adapter_model.safetensors in this folder", where=adapter, hint=hint)
    require_whole(adapter, trained_on)
    with quiet_peft():
        return merge(PeftModel.from_pretrained(model, adapter))


def merge_folders(base: Path, adapter: Path, output: Path) -> None:
    """Merge an adapter folder into its base folder and save the result.

    Raises:
        ModelError: The adapter was trained on other weights or with another tokenizer, or is no adapter.
    """
    merged = load_merged(base, adapter)
    record = read_object(base / RECORD)
    save_folder(
        merged,
        base,
        output,
        {key: value for key, value in record.items() if key not in {"version", "tokenizer", "files"}},
    )
