"""The tokenizer as all later stages know it, whatever the scheme."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llama_gene.config import Modality, Scheme
from llama_gene.errors import TokenizerError
from llama_gene.files import hash_value, read_json
from llama_gene.sequences.alphabet import Kind
from llama_gene.tokenizer.parts import Span
from llama_gene.vocabulary.layout import read_layout, require_tokenizer
from llama_gene.vocabulary.normalizer import KINDS
from llama_gene.vocabulary.shared import read_shared

_NUM_CACHED_TEXTS = 4096


class GeneTokenizer(ABC):
    """A tokenizer that knows sequences; `load` opens one of either scheme.

    Nothing is added before or after what is encoded: no beginning of text, no end of text.

    Args:
        folder: Where it stands; for messages, and to load it again in another process.
        spec: The content of ``tokenizer.json``.
        config: The content of ``tokenizer_config.json``.
        base_size: Ids below this are the base's.
        kinds: The kinds of sequence it knows, in the order they were added.

    Raises:
        TokenizerError: If it lacks an end-of-text or a padding token of its own.
    """

    scheme: ClassVar[Scheme]

    def __init__(
        self, folder: Path, spec: dict[str, Any], config: dict[str, Any], base_size: int, kinds: Iterable[Kind]
    ) -> None:
        self.folder, self.base_size, self.kinds = folder, base_size, tuple(kinds)
        self._spec = spec
        self._vocab: dict[str, int] = spec["model"]["vocab"]
        self._special = {name: _content(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
        self.num_tokens = 1 + max(max(self._vocab.values()), *(token["id"] for token in spec["added_tokens"]))
        self.bos_id = self._special_id("bos_token")
        self.eos_id = self._require_id("eos_token")
        self.pad_id = self._require_id("pad_token")
        if self.pad_id == self.eos_id:
            hint = "extend the base again; padding with the end of text hides it from the loss"
            raise TokenizerError("pad_token and eos_token are the same", where=folder, hint=hint)
        self._encode_text: Callable[[str, bool], tuple[int, ...]] = lru_cache(_NUM_CACHED_TEXTS)(self._encode_text_anew)

    @classmethod
    def load(cls, folder: Path) -> "GeneTokenizer":
        """Open the tokenizer of `folder`, in the scheme it was made in.

        Raises:
            TokenizerError: If there is none, or one that was not extended.
            FormatError: If ``tokenizer.json`` is no such file.
        """
        if not (folder / "tokenizer.json").is_file():
            hint = "give a folder that `llama-gene vocabulary extend` wrote, or a model made on one"
            raise TokenizerError("no tokenizer.json in it", where=folder, hint=hint)
        config_file = folder / "tokenizer_config.json"
        config = read_json(config_file) if config_file.is_file() else {}
        spec = read_json(folder / "tokenizer.json")
        require_tokenizer(spec, folder / "tokenizer.json")
        # Both build on this class.
        from llama_gene.tokenizer.shared import SharedTokenizer
        from llama_gene.tokenizer.typed import TypedTokenizer

        shared = read_shared(config)
        # A merged table can be the base of typed spans.
        if shared is None or read_layout(spec) is not None:
            return TypedTokenizer(folder, spec, config)
        return SharedTokenizer(folder, spec, config, shared)

    def __reduce__(self) -> tuple[Callable[[Path], "GeneTokenizer"], tuple[Path]]:
        return GeneTokenizer.load, (self.folder,)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the ids."""
        names = ("normalizer", "pre_tokenizer", "added_tokens", "model")
        return hash_value({name: self._spec.get(name) for name in names} | self._special)

    @abstractmethod
    def opening(self, kind: Kind) -> list[int]:
        """The ids before a sequence of `kind`, in a document of its own and in a prompt alike."""

    @abstractmethod
    def closing(self, kind: Kind) -> list[int]:
        """The ids after a sequence of `kind`."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Encode text. For many sequences, `encode_spans` and `encode_parts` are faster."""

    def encode_spans(self, kind: Kind, sequences: Sequence[str]) -> list[list[int]]:
        """The ids of `encode_bulk` as lists."""
        return [ids.tolist() for ids in self.encode_bulk(kind, sequences)]

    @abstractmethod
    def encode_bulk(self, kind: Kind, sequences: Sequence[str]) -> list[NDArray[np.int32]]:
        """Encode sequences in bulk, on all cores.

        Args:
            kind: What they are.
            sequences: Sequences of any length. Case and white space do not matter, U is T in DNA.

        Returns:
            For each sequence the ids between its `opening` and its `closing`: int32[num_tokens].

        Raises:
            SequenceError: For anything but letters and white space.
            TokenizerError: For a kind this tokenizer does not know.
        """

    @abstractmethod
    def encode_parts(self, parts: Sequence[str | Span]) -> list[int]:
        """Encode text and spans in turn, with the texts cached.

        Raises:
            TokenizerError: For a span of a kind this tokenizer does not know.
        """

    @abstractmethod
    def encode_texts(self, parts: Sequence[str | Span]) -> list[list[int]]:
        """The ids that each text of `parts` has in ``encode_parts(parts)``.

        Args:
            parts: Text and spans in turn, beginning and ending with text.
        """

    def special_texts(self) -> list[str]:
        """How special tokens are written out, the longest first; a text from outside must not hold them."""
        found = {token["content"] for token in self._spec["added_tokens"] if token["special"]}
        return sorted(found, key=lambda text: (-len(text), text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens too."""
        text: str = self._decoder.decode(list(ids), skip_special_tokens=False)
        return text

    @abstractmethod
    def base_spelling(self, index: int, num_base: int) -> list[int]:
        """The tokens below `num_base` that spell, as plain text, what token `index` stands for; empty if none do."""

    @abstractmethod
    def spellings(self) -> dict[int, str]:
        """The letters of every token that can stand in a sequence, by its id."""

    def letters_of(self) -> np.ndarray:
        """How many sequence letters each token stands for: int32[num_tokens], 0 for all that stands in no sequence."""
        letters = np.zeros(self.num_tokens, dtype=np.int32)
        for index, piece in self.spellings().items():
            letters[index] = len(piece)
        return letters

    @abstractmethod
    def token_kinds(self) -> np.ndarray:
        """Where each token is from: int8[num_tokens]; 0 text or tag, 1 the DNA vocabulary, 2 the protein vocabulary."""

    @abstractmethod
    def tokens_of(self, modality: Modality) -> np.ndarray:
        """The tokens whose cost counts in a document of DNA, protein or text: bool[num_tokens]."""

    def to_transformers(self) -> Any:
        """The same tokenizer as transformers knows it.

        For some model types (qwen2, qwen3_5) ``AutoTokenizer`` takes a class that drops the normalizer, whatever the
        folder says; this one never does.
        """
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(str(self.folder), local_files_only=True)

    @abstractmethod
    def _encode_text_anew(self, text: str, after_part: bool) -> tuple[int, ...]:
        """The ids of a text of a prompt; a base may put a space before the first part, so it matters whether it is."""

    @property
    @abstractmethod
    def _decoder(self) -> Tokenizer:
        """Any tokenizer with the table and the decoder of the whole."""

    def _require_kind(self, kind: Kind) -> None:
        if kind not in self.kinds:
            command = f"llama-gene vocabulary extend --scheme {self.scheme}"
            hint = f"extend it: {command} --base {self.folder} --{kind} DIR --output DIR"
            raise TokenizerError(f"the tokenizer has no {kind} spans", where=self.folder, hint=hint)

    def _special_id(self, name: str) -> int | None:
        token = self._special[name]
        return None if token is None else self._vocab.get(token)

    def _require_id(self, name: str) -> int:
        index = self._special_id(name)
        if index is None:
            hint = f"tokenizer_config.json must name a token of tokenizer.json as {name}"
            raise TokenizerError(f"no {name} (it says {self._special[name]!r})", where=self.folder, hint=hint)
        return index


def tokenizer_of(spec: dict[str, Any], normalizer: dict[str, Any]) -> Tokenizer:
    """The tokenizer of `spec`, with another normalizer."""
    # Somebody may have saved it with truncation or padding on.
    return Tokenizer.from_str(json.dumps(spec | {"normalizer": normalizer, "truncation": None, "padding": None}))


def kind_code(kind: Kind) -> int:
    """What stands for `kind` in ``token_kinds``; 0 is neither."""
    return 1 + KINDS.index(kind)


def _content(token: Any) -> str | None:
    # transformers writes a special token as a string, or as a dictionary with its flags.
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None
