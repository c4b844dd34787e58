"""A SentencePiece ``tokenizer.model`` in the making: a base's table of pieces, to which others are appended.

The file is a protocol buffer of a few fields; writing those here needs no extra package. `sentencepiece` reads it.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from llama_gene.errors import TokenizerError
from llama_gene.vocabulary import sentencepiece
from llama_gene.vocabulary.base import Base
from llama_gene.vocabulary.layout import parts_of

# The types of a piece.
NORMAL: Final = 1
CONTROL: Final = 3
USER_DEFINED: Final = 4
_UNKNOWN, _BYTE = 2, 6

HINT: Final = (
    "the shared scheme needs a SentencePiece base of type BPE (LLaMA 1 or 2, Mistral), best with its tokenizer.model"
)
_BPE = 2
_SPACE = "▁"
_TRAINER_NAMES = ("unk_token", "bos_token", "eos_token", "pad_token")  # fields 40 to 43 of the trainer's settings


class PieceTable:
    """The bytes of a ``tokenizer.model``, and the ids of its pieces.

    Args:
        message: The file so far. Fields of a protocol buffer that repeat may stand anywhere, so new pieces follow it.
        vocab: The id of every piece in it; they count from 0 without a gap.
    """

    def __init__(self, message: bytes, vocab: Mapping[str, int]) -> None:
        self.message, self.vocab = bytearray(message), dict(vocab)

    @property
    def size(self) -> int:
        """The next free id."""
        return len(self.vocab)

    def add(self, text: str, score: float, piece_type: int) -> None:
        """Append a piece that is not in the table yet."""
        assert text not in self.vocab
        self.vocab[text] = self.size
        self.message += _piece(text, score, piece_type)


def table_of(source: Base) -> PieceTable:
    """The base's own ``tokenizer.model``, or one made of its ``tokenizer.json``; tokens of the latter alone come last.

    Raises:
        TokenizerError: If the two do not belong together, or cannot be kept exactly.
    """
    file = source.folder / "tokenizer.model"
    if not file.is_file():
        return _from_merges(source)
    spec, _ = sentencepiece.convert(file)
    if any(step["type"] == "Strip" for step in parts_of(spec, "normalizer")):
        # Then the parts of a prompt could not be encoded one by one.
        raise TokenizerError("it strips white space (remove_extra_whitespaces)", where=file, hint=HINT)
    known, vocab = vocab_of(source.spec), spec["model"]["vocab"]
    moved = next((text for text, index in vocab.items() if known.get(text) != index), None)
    if moved is not None:
        problem = f"piece {moved!r} has id {vocab[moved]} here and {known.get(moved)} in tokenizer.json"
        raise TokenizerError(problem, where=file, hint="remove the one that does not belong to the model")
    return PieceTable(file.read_bytes(), vocab)


def vocab_of(spec: Mapping[str, Any]) -> dict[str, int]:
    """The id of every token of a ``tokenizer.json``, added ones too."""
    vocab: dict[str, int] = spec["model"]["vocab"]
    return vocab | {token["content"]: token["id"] for token in spec["added_tokens"]}


def type_of_added(spec: Mapping[str, Any], text: str) -> int:
    """The type of a token that no merge makes: one that is found in the text, or one that never is."""
    special = {token["content"]: token["special"] for token in spec["added_tokens"]}
    return CONTROL if special.get(text, True) else USER_DEFINED


def reserved_name(index: int) -> str:
    """The name of a row of the model that no token has."""
    return f"<|reserved_{index}|>"


def _from_merges(source: Base) -> PieceTable:
    """A ``tokenizer.model`` for a base that has none: a piece's score is the rank of its first merge."""
    spec, where = source.spec, source.folder
    vocab = vocab_of(spec)
    unknown = spec["model"].get("unk_token")
    if unknown not in vocab:
        raise TokenizerError("its tokenizer.json names no unknown token", where=where, hint=HINT)
    prefix = _dummy_prefix(spec, where)
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in spec["model"]["merges"]]
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges, start=1):
        ranks.setdefault(left + right, rank)
    added = {token["content"] for token in spec["added_tokens"]}
    byte_fallback = bool(spec["model"].get("byte_fallback"))
    texts = {index: text for text, index in vocab.items()}
    table = PieceTable(b"", {})
    for index in range(1 + max(texts)):
        text = texts.get(index, reserved_name(index))
        if text == unknown:
            piece_type = _UNKNOWN
        elif text in added or index not in texts:
            piece_type = type_of_added(spec, text)
        elif byte_fallback and len(text) == len("<0x00>") and text.startswith("<0x"):
            piece_type = _BYTE
        else:
            piece_type = NORMAL
            _require_merge(text, ranks, vocab, where)
        table.add(text, -ranks.get(text, len(merges) + index), piece_type)
    ids = {40 + place: vocab.get(source.config.get(name, ""), -1) for place, name in enumerate(_TRAINER_NAMES)}
    trainer = _message({3: _BPE, 4: table.size, 35: int(byte_fallback)} | ids | {40: vocab[unknown]})
    normalizer = _message({1: "identity", 3: int(prefix), 4: 0, 5: 1})
    table.message += _message({2: trainer, 3: normalizer})
    return table


def _dummy_prefix(spec: Mapping[str, Any], where: Path) -> bool:
    """Whether a space is put before a text; SentencePiece puts it before a text that begins with one, too."""
    prefix = escaped = False
    for step in (*parts_of(spec, "normalizer"), *parts_of(spec, "pre_tokenizer")):
        if step == {"type": "Prepend", "prepend": _SPACE}:
            prefix = True
        elif step == {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}:
            escaped = True
        elif step["type"] == "Metaspace" and step["replacement"] == _SPACE and not step.get("split", True):
            prefix, escaped = prefix or step.get("prepend_scheme", "always") != "never", True
        else:
            problem = f"its tokenizer.json has the step {step['type']}, which a SentencePiece model cannot say"
            raise TokenizerError(problem, where=where, hint=HINT)
    if not escaped:
        raise TokenizerError(f"it does not write spaces as {_SPACE!r}", where=where, hint=HINT)
    return prefix


def _require_merge(text: str, ranks: Mapping[str, int], vocab: Mapping[str, int], where: Path) -> None:
    """SentencePiece makes a piece of any two that spell it, so a piece that no merge makes would come to life."""
    if text not in ranks and any(text[:cut] in vocab and text[cut:] in vocab for cut in range(1, len(text))):
        raise TokenizerError(f"its piece {text!r} is made by no merge", where=where, hint=HINT)


def _piece(text: str, score: float, piece_type: int) -> bytes:
    return _message({1: _message({1: text, 2: float(score), 3: piece_type})})


def _message(fields: Mapping[int, int | float | str | bytes]) -> bytes:
    """A protocol buffer message of `fields`, by their numbers."""
    return b"".join(_field(number, value) for number, value in fields.items())


def _field(number: int, value: int | float | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    # Negative integers are written as 64-bit two's complement.
    number &= (1 << 64) - 1
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
