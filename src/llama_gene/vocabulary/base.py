"""The base of an extension, as stock ``AutoTokenizer`` of transformers loads it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import TokenizerError
from llama_gene.files import read_json
from llama_gene.vocabulary import sentencepiece
from llama_gene.vocabulary.layout import SpanLayout, read_layout, require_tokenizer

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_COPIED = ("chat_template.jinja", "additional_chat_templates")
# These say how a class builds its backend. The saved tokenizer.json is the finished backend, so they must not act
# again.
_DROPPED = (
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "auto_map",
    "backend",
    "fix_mistral_regex",
    "is_local",
    "legacy",
    "local_files_only",
    "merges_file",
    "name_or_path",
    "sp_model_kwargs",
    "tokenizer_file",
    "use_default_system_prompt",
    "use_fast",
    "vocab_file",
)


@dataclass(frozen=True, slots=True)
class Base:
    """A tokenizer to extend.

    Args:
        folder: Where it was read.
        spec: The content of its ``tokenizer.json``.
        config: The content of its ``tokenizer_config.json``, without what would build the tokenizer anew.
        layout: The typed spans it has already.
        num_rows: Rows of the model's embedding, where a ``config.json`` stands beside the tokenizer; else 0.
    """

    folder: Path
    spec: dict[str, Any]
    config: dict[str, Any]
    layout: SpanLayout | None
    num_rows: int

    def copy_extras(self, output: Path) -> None:
        """Copy the chat templates, which stand in files of their own."""
        for name in _COPIED:
            source = self.folder / name
            if source.is_dir():
                shutil.copytree(source, output / name)
            elif source.is_file():
                shutil.copy(source, output / name)


def load_base(folder: Path) -> Base:
    """Read the tokenizer of `folder`: a Hugging Face folder, a bare ``tokenizer.model``, or one we extended before.

    Raises:
        TokenizerError: If there is no tokenizer, or none that can be extended.
        FormatError: If a file is not what its name says.
    """
    if not folder.is_dir():
        hint = "give a folder with tokenizer.json or tokenizer.model; a hub model is downloaded first"
        raise TokenizerError("no such folder", where=folder, hint=hint)
    config_file, model_file = folder / "tokenizer_config.json", folder / "config.json"
    config = read_json(config_file) if config_file.is_file() else {}
    rows = read_json(model_file).get("vocab_size") if model_file.is_file() else None
    if (folder / "tokenizer.json").is_file():
        spec = read_json(folder / "tokenizer.json")
        require_tokenizer(spec, folder / "tokenizer.json")
        layout = read_layout(spec)
        if layout is None and (config_file.is_file() or model_file.is_file()):
            spec, special = _load_stock(folder)
            config |= special
    elif (folder / "tokenizer.model").is_file():
        spec, special = sentencepiece.convert(folder / "tokenizer.model")
        config, layout = special | config, None
    else:
        (spec, special), layout = _load_stock(folder), None
        config |= special
    config = {key: value for key, value in config.items() if key not in _DROPPED}
    for name in SPECIAL_TOKENS:
        if isinstance(config.get(name), dict):
            config[name] = config[name]["content"]
    # Rows beyond an extended tokenizer are our own rounding: the next kind goes there.
    return Base(folder, spec, config, layout, rows if isinstance(rows, int) and layout is None else 0)


def _load_stock(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from transformers import AutoTokenizer

    hint = "a base needs a tokenizer that AutoTokenizer of transformers loads without remote code"
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TokenizerError(f"transformers cannot load the tokenizer: {reason}", where=folder, hint=hint) from error
    if not getattr(tokenizer, "is_fast", False):
        raise TokenizerError(f"{type(tokenizer).__name__} has no tokenizer.json form", where=folder, hint=hint)
    special = {name: value for name in SPECIAL_TOKENS if (value := getattr(tokenizer, name, None)) is not None}
    return json.loads(tokenizer.backend_tokenizer.to_str()), {name: str(value) for name, value in special.items()}
