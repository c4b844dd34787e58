"""What may be written next, so that a sequence is one: inside a span only its letters, and at the limit its end."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import SettingsError
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.tokenizer.gene import kind_code

if TYPE_CHECKING:
    import torch


class SpanConstraint:
    """Masks logits by what stands before them; a `LogitsProcessor` of transformers, too.

    Inside an open span: pieces of its kind that are spelled in letters of one meaning (ACGT, the twenty residues), and
    behind the first of them its closing tag; nothing but that tag where the letters or the tokens end. Outside: no
    pieces and no closing tags.

    Args:
        tokenizer: A tokenizer of typed spans.
        max_length: Tokens in all, those before included.
        max_letters: Letters of a span, those before included; None for any number.

    Raises:
        SettingsError: The tokenizer writes no tags.
    """

    def __init__(self, tokenizer: GeneTokenizer, max_length: int, max_letters: int | None = None) -> None:
        if tokenizer.scheme != "typed":
            hint = "ask a model with typed spans; a shared vocabulary cannot tell where a sequence ends"
            raise SettingsError("this model's tokenizer has no spans", where=tokenizer.folder, hint=hint)
        self._tokenizer, self._max_length, self._max_letters = tokenizer, max_length, max_letters
        self._opens: dict[int, Kind] = {tokenizer.opening(kind)[0]: kind for kind in tokenizer.kinds}
        self._closes = {kind: tokenizer.closing(kind)[0] for kind in tokenizer.kinds}

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """The scores, with minus infinity where nothing may come.

        Args:
            input_ids: int64[num_rows, length]: all tokens before.
            scores: float[num_rows, num_tokens] or wider.
        """
        import torch

        allowed = np.zeros(tuple(scores.shape), dtype=bool)
        for row, ids in enumerate(input_ids.tolist()):
            mask = self.allowed(ids)
            allowed[row, : len(mask)] = mask[: scores.shape[1]]
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)

    def allowed(self, ids: Sequence[int]) -> NDArray[np.bool_]:
        """What may come after `ids`: bool[num_tokens]."""
        kind, num_letters = self._open_span(ids)
        if kind is None:
            return self._outside
        room = None if self._max_letters is None else self._max_letters - num_letters
        mask = np.zeros_like(self._outside)
        mask[self._closes[kind]] = num_letters > 0
        if len(ids) + 1 >= self._max_length or (room is not None and room <= 0):
            mask[self._closes[kind]] = True
            return mask
        mask |= self._plain[kind] if room is None else self._plain[kind] & (self._letters <= room)
        return mask

    def _open_span(self, ids: Sequence[int]) -> tuple[Kind | None, int]:
        """The kind of the span that is open at the end of `ids`, and its letters so far."""
        num_letters = 0
        for token in reversed(ids):
            if token in self._opens:
                return self._opens[token], num_letters
            if self._letters[token] == 0:
                return None, 0
            num_letters += int(self._letters[token])
        return None, 0

    @cached_property
    def _letters(self) -> NDArray[np.int32]:
        return self._tokenizer.letters_of()

    @cached_property
    def _plain(self) -> dict[Kind, NDArray[np.bool_]]:
        """The pieces of each kind that are spelled in letters of one meaning."""
        kinds = self._tokenizer.token_kinds()
        masks = {}
        for kind in self._tokenizer.kinds:
            letters = set(ALPHABETS[kind].letters)
            mask = np.asarray(kinds == kind_code(kind))
            for token, piece in self._tokenizer.spellings().items():
                mask[token] &= set(piece) <= letters
            masks[kind] = mask
        return masks

    @cached_property
    def _outside(self) -> NDArray[np.bool_]:
        mask = self._letters == 0
        mask[[*self._closes.values(), self._tokenizer.pad_id]] = False
        return np.asarray(mask)
