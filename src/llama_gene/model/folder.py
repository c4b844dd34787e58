"""Model folders: a stock Hugging Face folder and our record ``llama_gene.json``, saved whole and checked on load."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_gene
from llama_gene.config import TrainingSettings
from llama_gene.errors import ModelError
from llama_gene.files import atomic_folder, read_json, write_json
from llama_gene.model.base import load_model
from llama_gene.model.four_bit import load_four_bit
from llama_gene.tokenizer import GeneTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECORD = "llama_gene.json"
# What is not of the tokenizer.
_WEIGHTS = ("*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", "*.html", RECORD)


def save_folder(
    model: "PreTrainedModel", tokenizer_folder: Path, output: Path, record: dict[str, Any], extra: Path | None = None
) -> None:
    """Save weights, tokenizer files and record as one folder, whole or not at all.

    Args:
        model: A plain (merged) model.
        tokenizer_folder: A folder whose tokenizer files are copied; anything else in it is left.
        output: The folder to make; replaced if it is there.
        record: What later stages need to know; the tokenizer's fingerprint and our version are added.
        extra: A folder to copy in as well (the tasks).

    Raises:
        ModelError: The model has fewer rows than the tokenizer has tokens.
    """
    tokenizer = GeneTokenizer.load(tokenizer_folder)
    _check_rows(model, tokenizer, output)
    with atomic_folder(output) as draft:
        model.save_pretrained(draft)
        for file in tokenizer_folder.iterdir():
            if file.is_file() and not any(file.match(pattern) for pattern in _WEIGHTS):
                shutil.copyfile(file, draft / file.name)
        if extra is not None:
            shutil.copytree(extra, draft / extra.name)
        write_json(draft / RECORD, {"version": llama_gene.__version__, "tokenizer": tokenizer.fingerprint, **record})


def load_base(folder: Path, settings: TrainingSettings) -> tuple["PreTrainedModel", GeneTokenizer, dict[str, Any]]:
    """Load what `save_folder` saved, as a training wants its base: whole, or in four bits.

    Raises:
        SettingsError: Four bits are asked for, and this machine lacks what they need.
        ModelError: As for `load_folder`.
    """
    adapters = settings.adapters
    return load_folder(folder, load_four_bit if adapters and adapters.load_in_4bit else load_model)


def load_folder(
    folder: Path, load: Callable[[Path], "PreTrainedModel"] = load_model
) -> tuple["PreTrainedModel", GeneTokenizer, dict[str, Any]]:
    """Load what `save_folder` saved.

    Args:
        folder: The model folder.
        load: How its weights are loaded.

    Raises:
        ModelError: It is no model folder of ours, or its tokenizer was changed since.
    """
    record, tokenizer = read_record(folder)
    model = load(folder)
    _check_rows(model, tokenizer, folder)
    return model, tokenizer, record


def read_record(folder: Path) -> tuple[dict[str, Any], GeneTokenizer]:
    """The record and the tokenizer of what `save_folder` saved, without its weights.

    Raises:
        ModelError: As for `load_folder`.
    """
    if not folder.is_dir():
        raise ModelError("no such model folder", where=folder, hint="make one with: llama-gene run RECIPE.toml")
    if not (folder / RECORD).exists():
        hint = "grow it first: llama-gene model extend"
        raise ModelError(f"no {RECORD}: this model does not know DNA or protein yet", where=folder, hint=hint)
    record: dict[str, Any] = read_json(folder / RECORD)
    tokenizer = GeneTokenizer.load(folder)
    if record.get("tokenizer") != tokenizer.fingerprint:
        hint = "restore its tokenizer.json, or make the model again"
        raise ModelError("the tokenizer is not the one that this model was made with", where=folder, hint=hint)
    return record, tokenizer


def _check_rows(model: "PreTrainedModel", tokenizer: GeneTokenizer, where: Path) -> None:
    rows = {
        model.config.vocab_size,
        *(m.weight.shape[0] for m in (model.get_input_embeddings(), model.get_output_embeddings())),
    }
    if len(rows) != 1 or min(rows) < tokenizer.num_tokens:
        problem = f"the model has {sorted(rows)} rows and the tokenizer {tokenizer.num_tokens} tokens: they do not fit"
        raise ModelError(problem, where=where)
