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
    rows = _num_rows(read_json(model_file)) if model_file.is_file() else 0
    if (folder / "tokenizer.json").is_file():
        spec = read_json(folder / "tokenizer.json")
        require_tokenizer(spec, folder / "tokenizer.json")
        layout = read_layout(spec)
        if layout is None and (config_file.is_file() or model_file.is_file()):
            spec, special = _load_stock(folder)
            config |= special
    elif (folder / "tokenizer.model").is_file():
        spec, special = sentencepiece.convert(folder / "tokenizer.model")
        _add_tokens_beside(spec, config, folder)
        config, layout = special | config, None
    else:
        (spec, special), layout = _load_stock(folder), None
        config |= special
    config = _only_known({key: value for key, value in config.items() if key not in _DROPPED}, spec)
    # Rows beyond an extended tokenizer are our own rounding: the next kind goes there.
    return Base(folder, spec, config, layout, rows if layout is None else 0)


def _num_rows(config: dict[str, Any]) -> int:
    # Models of text and images keep the language model's numbers one level down.
    rows = config.get("vocab_size", config.get("text_config", {}).get("vocab_size"))
    return rows if isinstance(rows, int) else 0


def _add_tokens_beside(spec: dict[str, Any], config: dict[str, Any], folder: Path) -> None:
    """Add the tokens that a folder with a bare ``tokenizer.model`` keeps in files beside it, under their ids."""
    entries = {int(index): dict(token) for index, token in config.get("added_tokens_decoder", {}).items()}
    if (folder / "added_tokens.json").is_file():
        named = {_content(config.get(name)) for name in SPECIAL_TOKENS}
        for content, index in read_json(folder / "added_tokens.json").items():
            entries.setdefault(index, {"content": content, "special": content in named})
    known = {*spec["model"]["vocab"], *(token["content"] for token in spec["added_tokens"])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "special": False}
    for index, entry in sorted(entries.items()):
        if entry["content"] not in known:
            # The tokenizers that such files were written for cut added tokens out of the raw text, whatever they say.
            spec["added_tokens"].append({"id": index, **flags, **entry, "normalized": False})
            # `tokenizers` numbers added tokens that the vocabulary lacks by its length, whatever the file says.
            spec["model"]["vocab"][entry["content"]] = index


def _only_known(config: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """Special tokens by their text, and only those there are: transformers would add the others behind our back."""
    vocab = spec["model"]["vocab"]  # of a Unigram model, which is refused later on, a list of (piece, score)
    pieces = vocab if isinstance(vocab, dict) else [piece for piece, _ in vocab]
    known = {*pieces, *(token["content"] for token in spec["added_tokens"])}
    kept = {key: value for key, value in config.items() if key not in SPECIAL_TOKENS or _content(value) in known}
    kept |= {name: _content(kept[name]) for name in SPECIAL_TOKENS if name in kept}
    for name in ("extra_special_tokens", "additional_special_tokens"):
        if isinstance(kept.get(name), list):
            kept[name] = [token for token in kept[name] if _content(token) in known]
        elif isinstance(kept.get(name), dict):
            kept[name] = {key: token for key, token in kept[name].items() if _content(token) in known}
    return kept


def _content(token: Any) -> str | None:
    # transformers writes a special token as a string, or as a dictionary with its flags.
    return token.get("content") if isinstance(token, dict) else token


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
