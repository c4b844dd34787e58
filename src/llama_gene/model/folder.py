"""Model folders: a stock Hugging Face folder and our record ``llama_gene.json``, saved whole and checked on load."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_gene
from llama_gene.config import TrainingSettings
from llama_gene.errors import ModelError
from llama_gene.files import atomic_folder, hash_file, read_object, write_sealed
from llama_gene.model.base import load_model
from llama_gene.model.four_bit import load_four_bit
from llama_gene.tokenizer import GeneTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECORD = "llama_gene.json"
# What decides what a model computes.
_HASHED = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json", "tokenizer.json")
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
                copy_file(file, draft / file.name)
        if extra is not None:
            shutil.copytree(extra, draft / extra.name)
        write_record(draft, {"version": llama_gene.__version__, "tokenizer": tokenizer.fingerprint, **record})


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
    require_whole(folder, record)
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
    record = read_object(folder / RECORD, "tokenizer")
    tokenizer = GeneTokenizer.load(folder)
    if record["tokenizer"] != tokenizer.fingerprint:
        hint = "restore its tokenizer.json, or make the model again"
        raise ModelError("the tokenizer is not the one that this model was made with", where=folder, hint=hint)
    return record, tokenizer


def copy_file(file: Path, target: Path) -> None:
    """Copy a file of a model folder.

    Raises:
        ModelError: It is a link to a file elsewhere, as only the cache of the hub has them: so a stranger's model could
            bring a file of ours into what is shared.
    """
    folder, real = file.parent.resolve(), file.resolve()
    cache = folder.parent.parent / "blobs"  # snapshots/REVISION/FILE is a link to blobs/HASH
    if not (real.is_relative_to(folder) or real.is_relative_to(cache)):
        hint = "if it belongs to the model, put the file itself there"
        raise ModelError("a link that leads out of the model's folder", where=file, hint=hint)
    shutil.copyfile(file, target)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write our record of a model or an adapter, with the hashes of its files as they are now."""
    write_sealed(folder / RECORD, record | {"files": _hash_files(folder)})


def require_whole(folder: Path, record: dict[str, Any]) -> None:
    """Check that the files of a model or an adapter are those that its record was written with.

    A record of before there were hashes says nothing, and passes.

    Raises:
        ModelError: One is missing, or was changed or damaged.
    """
    written = record.get("files")
    if written is None:
        return
    now = _hash_files(folder)
    for name in sorted({*written, *now}):
        if written.get(name) != now.get(name):
            hint = "copy the folder again, or make the model again"
            raise ModelError("not the file that this model was saved with", where=folder / name, hint=hint)


def _hash_files(folder: Path) -> dict[str, str]:
    files = sorted({path for pattern in _HASHED for path in folder.glob(pattern) if path.is_file()})
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run, and weights come in several files
        return dict(zip((path.name for path in files), pool.map(hash_file, files), strict=True))


def _check_rows(model: "PreTrainedModel", tokenizer: GeneTokenizer, where: Path) -> None:
    rows = {
        model.config.vocab_size,
        *(m.weight.shape[0] for m in (model.get_input_embeddings(), model.get_output_embeddings())),
    }
    if len(rows) != 1 or min(rows) < tokenizer.num_tokens:
        problem = f"the model has {sorted(rows)} rows and the tokenizer {tokenizer.num_tokens} tokens: they do not fit"
        raise ModelError(problem, where=where)
