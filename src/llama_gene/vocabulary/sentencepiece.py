"""A bare SentencePiece ``tokenizer.model`` (LLaMA 1 and 2, Mistral) as a ``tokenizer.json`` with exactly its ids.

transformers 5 ignores the scores of such a file, so we convert it: every piece gets a unique rank by its score, and a
merge for each way to cut it into two pieces. The file is a protocol buffer of a few fields; reading those here needs no
extra package.
"""

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import TokenizerError

_SPACE = "▁"
_BPE = 2
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    score: float
    type: int


def convert(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read ``tokenizer.model``.

    Args:
        path: A SentencePiece model of the BPE kind.

    Returns:
        The content of a ``tokenizer.json``, and the special tokens as ``tokenizer_config.json`` names them.

    Raises:
        TokenizerError: If the file is damaged, or of a kind that cannot be converted exactly.
    """
    try:
        message = list(_fields(path.read_bytes()))
        pieces = [_piece(value) for field, value in message if field == 1 and isinstance(value, bytes)]
        trainer, normalizer = (dict(_fields(_last_bytes(message, field))) for field in (2, 3))
    except (IndexError, ValueError, struct.error) as error:
        hint = "download it again"
        raise TokenizerError(f"not a SentencePiece model ({error})", where=path, hint=hint) from None
    _require_exact(path, pieces, trainer)
    names = {"unk_token": (40, 0), "bos_token": (41, 1), "eos_token": (42, 2), "pad_token": (43, -1)}
    special = {}
    for name, (field, default) in names.items():
        index = _signed(trainer.get(field, default))
        if 0 <= index < len(pieces):
            special[name] = pieces[index].text
    return _spec(pieces, trainer, normalizer, special.get("unk_token")), special


def _require_exact(path: Path, pieces: list[_Piece], trainer: dict[int, int | bytes]) -> None:
    hint = "take a base with a tokenizer.json, or a SentencePiece model of type BPE"
    if not pieces:
        raise TokenizerError("no pieces in it", where=path, hint=hint)
    if trainer.get(3, 1) != _BPE:
        raise TokenizerError("a SentencePiece model, but not of type BPE", where=path, hint=hint)
    if trainer.get(24, 0) or any(piece.type == _UNUSED for piece in pieces):
        raise TokenizerError("white space as suffix, or unused pieces: cannot be kept exactly", where=path, hint=hint)


def _spec(
    pieces: list[_Piece], trainer: dict[int, int | bytes], normalizer: dict[int, int | bytes], unknown: str | None
) -> dict[str, Any]:
    """The ``tokenizer.json``; SentencePiece's defaults are true for the dummy prefix and for escaping white space."""
    prefix = bool(normalizer.get(3, 1))
    steps: list[dict[str, Any]] = []
    if charsmap := normalizer.get(2, b""):
        assert isinstance(charsmap, bytes)
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()})
    if normalizer.get(4, 1):
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    if prefix:
        steps.append({"type": "Prepend", "prepend": _SPACE})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": _SPACE})
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": piece.text, **flags, "special": piece.type != _USER_DEFINED}
            for index, piece in enumerate(pieces)
            if piece.type in {_UNKNOWN, _CONTROL, _USER_DEFINED}
        ],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": bool(trainer.get(35, 0)),
            "ignore_merges": False,
            "vocab": {piece.text: index for index, piece in enumerate(pieces)},
            "merges": _merges(pieces),
        },
    }


def _merges(pieces: list[_Piece]) -> list[list[str]]:
    """A merge for each way to cut each piece in two, best score first.

    Scores tie in published models; the earlier piece goes first then, so that ranks are unique.
    """
    normal = [(index, piece) for index, piece in enumerate(pieces) if piece.type in {_NORMAL, _USER_DEFINED}]
    known = {piece.text for _, piece in normal}
    merges = []
    for _, piece in sorted(normal, key=lambda entry: (-entry[1].score, entry[0])):
        # The longer left half first, as `generate_merges` of transformers has it.
        cuts = ((piece.text[:place], piece.text[place:]) for place in range(len(piece.text) - 1, 0, -1))
        merges += [[left, right] for left, right in cuts if left in known and right in known]
    return merges


def _piece(message: bytes) -> _Piece:
    text, score, kind = "", 0.0, _NORMAL
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            text = value.decode()
        elif field == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            kind = value
    return _Piece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer message: (number, integer or raw bytes)."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        field, wire_type = key >> 3, key & 7
        if wire_type == 0:
            number, place = _varint(message, place)
            yield field, number
            continue
        if wire_type == 2:
            length, place = _varint(message, place)
        elif wire_type in {1, 5}:
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {place}")
        if place + length > len(message):
            raise ValueError("cut short")
        yield field, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place


def _last_bytes(message: list[tuple[int, int | bytes]], wanted: int) -> bytes:
    found = [value for field, value in message if field == wanted and isinstance(value, bytes)]
    return found[-1] if found else b""


def _signed(value: int | bytes) -> int:
    # Negative integers are written as 64-bit two's complement.
    assert isinstance(value, int)
    return value - (1 << 64) if value >= 1 << 63 else value
