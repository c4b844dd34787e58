"""LFM2 with a memory of n-grams: what a few letters say by themselves is looked up, and need not be computed.

Where attention first looks, each position brings one row for every n-gram of letters that ends there, from tables that
are many times larger than the rest of the model and cost next to nothing: a step reads a few rows. What a linear
model makes of k-mer counts, the baseline that is hardest to beat, a layer of attention can then do at once;
convolutions are left with what it cannot say. Tables of hashed n-grams beside the tokens of a language model are an
idea of Clark et al. (CANINE), Pagnoni et al. (Byte Latent Transformer) and Huang et al. (over-tokenized transformers).

An exported folder brings this file, so that stock transformers can open it: it imports nothing of llama_gene.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from torch import Tensor, nn
from transformers import DynamicCache, Lfm2Config, Lfm2ForCausalLM, Lfm2Model
from transformers.models.lfm2.modeling_lfm2 import Lfm2DecoderLayer, Lfm2PreTrainedModel

_MIX = 2_654_435_761  # Knuth's multiplier: neighbouring numbers fall far apart
_STATE = 1  # of the first layer's states in a cache; 0 is what its convolution keeps


class GeneConfig(Lfm2Config):  # type: ignore[misc]
    """The configuration of LFM2, and what is remembered.

    Attributes:
        ngram_letters: For each alphabet the ids of its letters. Ids of no alphabet end every n-gram.
        ngram_orders: For each alphabet the lengths of its n-grams.
        ngram_buckets: Most rows for the n-grams of one length; where there are more n-grams, some share a row.
    """

    model_type = "llama_gene"

    ngram_letters: list[list[int]] | None = None
    ngram_orders: list[list[int]] | None = None
    ngram_buckets: int = 16_384
    number_of_conv_states: int = 2

    @property
    def ngram_context(self) -> int:
        """Letters before a position that decide what is remembered there."""
        return max(order for orders in self.ngram_orders or [] for order in orders) - 1


class NGramMemory(nn.Module):
    """Vectors of the n-grams that end at each position."""

    gain = 5.0  # of a table's rows: each is read seldom, and so learns as if at five times the learning rate

    def __init__(self, config: GeneConfig) -> None:
        super().__init__()
        letters, orders = config.ngram_letters or [], config.ngram_orders or []
        # For each table: alphabet, order, letters of the alphabet, rows, first row. Row 0 is of no n-gram.
        self._tables: list[tuple[int, int, int, int, int]] = []
        size = 1
        for alphabet, (ids, lengths) in enumerate(zip(letters, orders, strict=True)):
            for order in lengths:
                rows = min(len(ids) ** order, config.ngram_buckets)
                self._tables.append((alphabet, order, len(ids), rows, size))
                size += rows
        self._letters = letters
        self.table = nn.Parameter(torch.zeros(size, config.hidden_size))  # nothing is remembered yet

    def forward(self, ids: Tensor, context: int = 0, places: Tensor | None = None) -> Tensor:
        """The sum of the vectors of the n-grams at each position, float[rows, positions - context, width].

        Args:
            ids: int64[rows, positions].
            context: The first positions of these are only looked back to.
            places: Of the others, where they stand in their document, int64[rows, positions - context]: no n-gram
                reaches back beyond its beginning.
        """
        found = self.find(ids)[:, context:]
        if places is not None:
            lengths = torch.tensor([order for _, order, *_ in self._tables], device=ids.device)
            found = found.masked_fill(places.unsqueeze(-1) < lengths - 1, 0)
        summed: Tensor = F.embedding_bag(found.flatten(0, 1), self.table, mode="sum", padding_idx=0)
        return self.gain * summed.view(*found.shape[:2], self.table.shape[1])

    def find(self, ids: Tensor) -> Tensor:
        """The row of the table for each n-gram, int64[rows, positions, tables]; 0 where none ends."""
        numbers = [self._number(ids, letters) for letters in self._letters]
        columns = []
        for alphabet, order, base, rows, first in self._tables:
            number = numbers[alphabet]
            value, whole = number, number >= 0
            for back in range(1, order):
                before = F.pad(number, (back, 0), value=-1)[:, : number.shape[1]]
                value, whole = value + before * base**back, whole & (before >= 0)
            if base**order > rows:
                value = value * _MIX % 2**32 % rows
            columns.append(torch.where(whole, value + first, 0))
        return torch.stack(columns, dim=-1)

    @staticmethod
    def _number(ids: Tensor, letters: list[int]) -> Tensor:
        """The number of each letter in its alphabet; -1 for what is no letter of it."""
        matches = ids.unsqueeze(-1) == torch.tensor(letters, device=ids.device)
        return torch.where(matches.any(-1), matches.int().argmax(-1), -1)


class RememberingLayer(Lfm2DecoderLayer):  # type: ignore[misc]
    """A layer of attention that reads what is remembered beside what the layers below found."""

    def forward(self, hidden_states: Tensor, *, remembered: Tensor, **kwargs: Any) -> Tensor:
        """As LFM2's; `remembered` is float[rows, positions, width]."""
        # After the norm: what layers write for each other is soon a hundred times as large as what a table holds.
        found = self.operator_norm(hidden_states)
        mixed, _ = self.self_attn(hidden_states=found + remembered.to(found.dtype), **kwargs)
        hidden_states = hidden_states + mixed
        output: Tensor = hidden_states + self.feed_forward(self.ffn_norm(hidden_states))
        return output


class GeneModel(Lfm2Model):  # type: ignore[misc]
    """LFM2's decoder; its first layer of attention is given what is remembered."""

    config_class = GeneConfig
    _no_split_modules: ClassVar[list[str]] = ["Lfm2DecoderLayer", "RememberingLayer"]

    def __init__(self, config: GeneConfig) -> None:
        super().__init__(config)
        self.ngrams = NGramMemory(config)
        place = config.layer_types.index("full_attention")
        self.layers[place] = RememberingLayer(config, place)
        self._convolution = config.layer_types.index("conv")  # keeps in a cache which letters came last
        self.post_init()

    def embed(self, ids: Tensor, cache: Any = None, places: Tensor | None = None) -> Tensor:
        """The vectors of tokens and, beside them, what is remembered: float[rows, positions, 2 * width].

        Args:
            ids: int64[rows, positions].
            cache: What is kept of the tokens before them, and will be of these.
            places: Where they stand in their document, int64[rows, positions]; in one, if not given.
        """
        seen, before = ids, self.config.ngram_context
        if cache is not None:
            layer, options = self._convolution, {"state_idx": _STATE, "conv_kernel_size": before}
            # Where there is nothing yet it keeps zeros, which must be no letter.
            seen = cache.update_conv_state(ids[:, None] + 1, layer, **options)[:, 0] - 1
        remembered = self.ngrams(seen, seen.shape[1] - ids.shape[1], places)
        return torch.cat([self.embed_tokens(ids), remembered], dim=-1)

    def forward(
        self, input_ids: Tensor | None = None, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """As LFM2's; `inputs_embeds` is what `embed` gives."""
        if input_ids is not None:
            use_cache = kwargs.get("use_cache")
            if (self.config.use_cache if use_cache is None else use_cache) and kwargs.get("past_key_values") is None:
                kwargs["past_key_values"] = DynamicCache(config=self.config)
            inputs_embeds = self.embed(input_ids, kwargs.get("past_key_values"), kwargs.get("position_ids"))
        assert inputs_embeds is not None
        tokens, remembered = inputs_embeds.chunk(2, dim=-1)
        return super().forward(None, *args, inputs_embeds=tokens, remembered=remembered, **kwargs)


class GeneForCausalLM(Lfm2ForCausalLM):  # type: ignore[misc]
    """LFM2 as a language model, with a memory of n-grams."""

    config_class = GeneConfig
    _no_split_modules: ClassVar[list[str]] = ["Lfm2DecoderLayer", "RememberingLayer"]

    def __init__(self, config: GeneConfig) -> None:
        Lfm2PreTrainedModel.__init__(self, config)
        self.model = GeneModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
