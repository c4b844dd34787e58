"""LFM2 with a memory of n-grams: what a few letters say by themselves is looked up, and need not be computed.

Where attention first looks, each position brings one row for every n-gram of letters that ends there, and one for the
n-gram at its place in the sequence, from tables that are many times larger than the rest of the model and cost next to
nothing: a step reads a few rows. What a linear model makes of k-mers and of letters at their places, the baselines that
are hardest to beat, a layer of attention can then do at once; convolutions are left with what it cannot say. Tables of
hashed n-grams beside the tokens of a language model are an idea of Clark et al. (CANINE), Pagnoni et al. (Byte Latent
Transformer) and Huang et al. (over-tokenized transformers).

An exported folder brings this file, so that stock transformers can open it: it imports nothing of llama_gene.
"""

from typing import Any, ClassVar, NamedTuple

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
        ngram_places: For each alphabet the length of the n-grams that are known by their place, too, and the number of
            places, counted from the first letter after what is none.
        ngram_buckets: Most rows for the n-grams of one length; where there are more n-grams, some share a row.
    """

    model_type = "llama_gene"

    ngram_letters: list[list[int]] | None = None
    ngram_orders: list[list[int]] | None = None
    ngram_places: list[list[int]] | None = None
    ngram_buckets: int = 16_384
    number_of_conv_states: int = 2

    @property
    def ngram_context(self) -> int:
        """Letters before a position that decide what is remembered there."""
        longest = max(order for orders in self.ngram_orders or [] for order in orders)
        return max([longest - 1, *(order - 1 + places for order, places in self.ngram_places or [])])


class _Table(NamedTuple):
    """Rows for the n-grams of one length: `base` letters of `alphabet`, `rows` from `first` on (for each place)."""

    alphabet: int
    order: int
    base: int
    rows: int
    first: int
    places: int = 0


class NGramMemory(nn.Module):
    """Vectors of the n-grams that end at each position."""

    gain = 5.0  # of a table's rows: each is read seldom, and so learns as if at five times the learning rate
    dropout = 0.0  # the share of documents that are trained on without

    def __init__(self, config: GeneConfig) -> None:
        super().__init__()
        self._letters, self._tables, size = config.ngram_letters or [], list[_Table](), 1  # row 0 is of no n-gram
        kinds = range(len(self._letters))
        grams = [(kind, order, 0) for kind in kinds for order in (config.ngram_orders or [])[kind]]
        placed = [(kind, *config.ngram_places[kind]) for kind in kinds if config.ngram_places]
        for kind, order, places in (*grams, *placed):
            base = len(self._letters[kind])
            rows = min(base**order, config.ngram_buckets)
            self._tables.append(_Table(kind, order, base, rows, size, places))
            size += rows * max(places, 1)
        self.first_placed = next((table.first for table in self._tables if table.places), size)
        self.table = nn.Parameter(torch.zeros(size, config.hidden_size))  # nothing is remembered yet

    def forward(self, ids: Tensor, context: int = 0, places: Tensor | None = None) -> Tensor:
        """The sum of the vectors of the n-grams at each position, float[rows, positions - context, width].

        Args:
            ids: int64[rows, positions].
            context: The first positions of these are only looked back to.
            places: Of the others, where they stand in their document, int64[rows, positions - context]: no n-gram
                reaches back beyond its beginning.
        """
        found = self.find(ids, context, places)
        summed: Tensor = F.embedding_bag(found.flatten(0, 1), self.table, mode="sum", padding_idx=0)
        remembered = self.gain * summed.view(*found.shape[:2], self.table.shape[1])
        if self.training and self.dropout:
            documents = torch.zeros_like(found[..., 0]) if places is None else (places == 0).cumsum(dim=1)
            kept = torch.rand(len(ids), ids.shape[1] + 1, device=ids.device) >= self.dropout
            remembered = remembered * kept.gather(1, documents).unsqueeze(-1)
        return remembered

    def find(self, ids: Tensor, context: int = 0, places: Tensor | None = None) -> Tensor:
        """The row of the table for each n-gram, int64[rows, positions - context, tables]; 0 where none ends.

        What is given is what `forward` is given.
        """
        numbers = [self._number(ids, letters) for letters in self._letters]
        runs = [self._run(number)[:, context:] for number in numbers]
        if places is not None:
            runs = [torch.minimum(run, places + 1) for run in runs]
        columns = []
        for table in self._tables:
            number, run = numbers[table.alphabet], runs[table.alphabet]
            value = number
            for back in range(1, table.order):
                value = value + F.pad(number, (back, 0))[:, : number.shape[1]] * table.base**back
            value = value[:, context:]
            if table.base**table.order > table.rows:
                value = value * _MIX % 2**32 % table.rows
            whole = run >= table.order
            if table.places:
                place = run - table.order
                value, whole = value + place * table.rows, whole & (place < table.places)
            columns.append(torch.where(whole, value + table.first, 0))
        return torch.stack(columns, dim=-1)

    @staticmethod
    def _number(ids: Tensor, letters: list[int]) -> Tensor:
        """The number of each letter in its alphabet; -1 for what is no letter of it."""
        matches = ids.unsqueeze(-1) == torch.tensor(letters, device=ids.device)
        return torch.where(matches.any(-1), matches.int().argmax(-1), -1)

    @staticmethod
    def _run(number: Tensor) -> Tensor:
        """How many letters have come without a gap, this one included, int64[rows, positions]."""
        places = torch.arange(1, number.shape[1] + 1, device=number.device).expand_as(number)
        return places - torch.where(number < 0, places, 0).cummax(dim=1).values


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
