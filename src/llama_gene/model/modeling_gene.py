"""LFM2 with a memory of n-grams: what a few letters say by themselves is looked up, and need not be computed.

Where attention first looks, each position brings one row for every n-gram of letters that ends there, and one for the
n-gram at its place in the sequence, from tables that are many times larger than the rest of the model and cost next to
nothing: a step reads a few rows. What a linear model makes of k-mers and of letters at their places, the baselines that
are hardest to beat, a layer of attention can then do at once; convolutions are left with what it cannot say. Where an
earlier sequence of the same question has an n-gram, too, it brings another row, and a protein's n-gram may stand in a
gene as codons: so a model can tell how much two sequences share. Tables of hashed n-grams beside the tokens of a
language model are an idea of Clark et al. (CANINE), Pagnoni et al. (Byte Latent Transformer) and Huang et al.
(over-tokenized transformers).

An exported folder brings this file, so that stock transformers can open it: it imports nothing of llama_gene.
"""

from itertools import chain
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from torch import Tensor, nn
from transformers import DynamicCache, Lfm2Config, Lfm2ForCausalLM, Lfm2Model
from transformers.models.lfm2.modeling_lfm2 import Lfm2DecoderLayer, Lfm2PreTrainedModel

_MIX = 2_654_435_761  # Knuth's multiplier: neighbouring numbers fall far apart
_CONTIG_BITS, _NGRAM_BITS = 12, 32  # of the number by which n-grams of contigs are sorted
_STATE = 1  # of the first layer's states in a cache; 0 is what its convolution keeps


class GeneConfig(Lfm2Config):  # type: ignore[misc]
    """The configuration of LFM2, and what is remembered.

    Attributes:
        ngram_letters: For each alphabet the ids of its letters. Ids of no alphabet end every n-gram.
        ngram_orders: For each alphabet the lengths of its n-grams.
        ngram_places: For each alphabet the length of the n-grams that are known by their place, too, and the number of
            places, counted from the first letter after what is none.
        ngram_buckets: Most rows for the n-grams of one length; where there are more n-grams, some share a row.
        ngram_shared: For each alphabet the lengths of the n-grams that have another row where an earlier contig of the
            document has the same one. Two ids or more that are no letters lie between contigs.
        ngram_shared_buckets: Most rows for those of one length.
        ngram_complements: For each alphabet the numbers of its letters' complements, or none: such n-grams are the
            same on either strand.
        ngram_codons: For each three letters of the first alphabet the number of the letter of the second that they
            stand for, or -1: n-grams that are spelled so, on either strand, are n-grams of the second.
    """

    model_type = "llama_gene"

    ngram_letters: list[list[int]] | None = None
    ngram_orders: list[list[int]] | None = None
    ngram_places: list[list[int]] | None = None
    ngram_buckets: int = 16_384
    ngram_shared: list[list[int]] | None = None
    ngram_shared_buckets: int = 1024
    ngram_complements: list[list[int]] | None = None
    ngram_codons: list[int] | None = None
    number_of_conv_states: int = 2

    @property
    def ngram_context(self) -> int:
        """Positions before one that decide what is remembered there."""
        if any(self.ngram_shared or []):
            return int(self.max_position_embeddings)
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


class _Spelled(NamedTuple):
    """The n-gram that ends at each position, int64[rows, positions], and where one does, bool[rows, positions]."""

    number: Tensor
    whole: Tensor


class NGramMemory(nn.Module):
    """Vectors of the n-grams that end at each position."""

    gain = 5.0  # of a table's rows: each is read seldom, and so learns as if at five times the learning rate
    dropout = 0.0  # the share of documents that are trained on without
    folds: Tensor | None = None  # float[folds, rows, width]; what documents of a fold read beside in training
    fold_share = 0.5  # of the documents that do

    def __init__(self, config: GeneConfig) -> None:
        super().__init__()
        self._letters, self._codons = config.ngram_letters or [], config.ngram_codons
        self._complements = config.ngram_complements or [[] for _ in self._letters]
        self._size = 1  # row 0 is of no n-gram
        self._tables = self._lay_out(config.ngram_orders or [], config.ngram_buckets)
        self.first_placed = self._size
        for kind, (order, places) in enumerate(config.ngram_places or []):
            self._tables += [self._add(kind, order, config.ngram_buckets, places)]
        self.first_shared = self._size
        self._shared = self._lay_out(config.ngram_shared or [], config.ngram_shared_buckets)
        in_codons = sum(table.alphabet == 1 for table in self._shared) if self._codons else 0
        self._num_columns = len(self._tables) + len(self._shared) + 2 * in_codons
        self.table = nn.Parameter(torch.zeros(self._size, config.hidden_size))  # nothing is remembered yet

    def _lay_out(self, orders: list[list[int]], most_rows: int) -> list[_Table]:
        return [self._add(kind, order, most_rows) for kind, lengths in enumerate(orders) for order in lengths]

    def _add(self, kind: int, order: int, most_rows: int, places: int = 0) -> _Table:
        base = len(self._letters[kind])
        added = _Table(kind, order, base, min(base**order, most_rows), self._size, places)
        self._size += added.rows * max(places, 1)
        return added

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
        if self.training:
            documents = torch.zeros_like(found[..., 0]) if places is None else (places == 0).cumsum(dim=1)
            if self.folds is not None:
                own = found + (self.fold(ids[:, context:], documents, len(self.folds)) * len(self.table)).unsqueeze(-1)
                beside = F.embedding_bag(own.flatten(0, 1), self.folds.flatten(0, 1), mode="sum").view_as(remembered)
                remembered = remembered + self.gain * beside * _draw(documents, self.fold_share)
            remembered = remembered * _draw(documents, 1 - self.dropout)
        return remembered

    def find(self, ids: Tensor, context: int = 0, places: Tensor | None = None) -> Tensor:
        """The rows of the table for each n-gram, int64[rows, positions - context, columns]; 0 where none ends.

        What is given is what `forward` is given.
        """
        if context:
            is_letter = torch.isin(ids, torch.tensor([*chain(*self._letters)], device=ids.device))
            if not is_letter[:, context:].any():
                return ids.new_zeros(len(ids), ids.shape[1] - context, self._num_columns)
            # A cache is wide enough for the longest text, and what was before the first letter ends no n-gram.
            first = min(int(is_letter.any(dim=0).int().argmax()), context)
            ids, context = ids[:, first:], context - first
        numbers = [self._number(ids, letters) for letters in self._letters]
        runs = [self._run(number) for number in numbers]
        begins = torch.zeros_like(ids, dtype=torch.bool)  # documents
        if places is not None:
            begins[:, context:] = places == 0
            within = F.pad(places + 1, (context, 0), value=ids.shape[1])
            runs = [torch.minimum(run, within) for run in runs]
        columns = []
        for table in self._tables:
            number, run = numbers[table.alphabet], runs[table.alphabet]
            row, whole = _row(_value(number, table.order, table.base), table), run >= table.order
            if table.places:
                place = run - table.order
                row, whole = row + place * table.rows, whole & (place < table.places)
            columns.append(torch.where(whole, row, 0))
        for table in self._shared:
            spellings = self._spell(table, numbers, runs)
            shared = _in_earlier_contigs(spellings, begins, torch.stack(numbers).amax(dim=0) >= 0)
            for spelled, seen in zip(spellings, shared, strict=True):
                columns.append(torch.where(seen, _row(spelled.number, table), 0))
        return torch.stack(columns, dim=-1)[:, context:]

    def fold(self, ids: Tensor, documents: Tensor, folds: int) -> Tensor:
        """Which of so many folds each document is in: its letters decide, the same on either strand.

        Args:
            ids: int64[rows, positions].
            documents: The number of the document that each position is in, as many or fewer, int64[rows, positions].
            folds: 1 or more.

        Returns:
            For each position the fold of its document, int64[rows, positions].
        """
        values = torch.zeros_like(ids)
        for letters, complement in zip(self._letters, self._complements, strict=True):
            number = self._number(ids, letters)
            values += 1 + (torch.minimum(number, _look_up(complement, number)) if complement else number)
        sums = torch.zeros(len(values), values.shape[1] + 1, dtype=values.dtype, device=values.device)
        return (sums.scatter_add(1, documents, values) % folds).gather(1, documents)

    def _spell(self, table: _Table, numbers: list[Tensor], runs: list[Tensor]) -> list[_Spelled]:
        """The n-grams of a table as letters spell them, and as codons do, on one strand and on the other."""
        number, complement = numbers[table.alphabet], self._complements[table.alphabet]
        value = _value(number, table.order, table.base)
        if complement:
            value = torch.minimum(value, _value(_look_up(complement, number), table.order, table.base, back=True))
        found = [_Spelled(value, runs[table.alphabet] >= table.order)]
        if self._codons and table.alphabet == 1:
            first, base = numbers[0], len(self._letters[0])
            for strand, back in ((first, False), (_look_up(self._complements[0], first), True)):
                residues = _look_up(self._codons, _value(strand, 3, base, back=back))
                stops = _value((residues < 0).long(), table.order, 2, step=3)
                value = _value(residues, table.order, table.base, step=3, back=back)
                found.append(_Spelled(value, (runs[0] >= 3 * table.order) & (stops == 0)))
        return found

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


def _draw(documents: Tensor, share: float) -> Tensor:
    """Such a share of the documents, bool[rows, positions, 1].

    Args:
        documents: The number of the document that each position is in, int64[rows, positions].
        share: 0 to 1.
    """
    drawn = torch.rand(len(documents), documents.shape[1] + 1, device=documents.device) < share
    return drawn.gather(1, documents).unsqueeze(-1)


def _look_up(values: list[int], places: Tensor) -> Tensor:
    return torch.tensor(values, device=places.device)[places]


def _value(number: Tensor, order: int, base: int, *, step: int = 1, back: bool = False) -> Tensor:
    """The number of the n-gram of letters `step` apart that ends at each position, read from there if `back`."""
    value = torch.zeros_like(number)
    for place in range(order):
        shifted = F.pad(number, (place * step, 0))[:, : number.shape[1]]
        value = value + shifted * base ** (order - 1 - place if back else place)
    return value


def _row(value: Tensor, table: _Table) -> Tensor:
    """The row of each n-gram."""
    if table.base**table.order > table.rows:
        value = value * _MIX % 2**32 % table.rows
    return value + table.first


def _in_earlier_contigs(spellings: list[_Spelled], begins: Tensor, is_letter: Tensor) -> tuple[Tensor, ...]:
    """For each spelling, whether an earlier contig of the document has the same n-gram, bool[rows, positions].

    Args:
        spellings: Of n-grams of one length.
        begins: Where documents begin, bool[rows, positions].
        is_letter: bool[rows, positions].
    """
    one_before, two_before = (F.pad(is_letter, (gap, 0))[:, : is_letter.shape[1]] for gap in (1, 2))
    contig = (is_letter & (begins | ~(one_before | two_before))).cumsum(dim=1)
    # One number for document, n-gram and contig: sorted, the first contig that has an n-gram leads all that have it.
    last = 2**_CONTIG_BITS - 1  # and what comes after counts as it
    key = (begins.cumsum(dim=1) << _NGRAM_BITS + _CONTIG_BITS) + contig.clamp(max=last)
    whole = torch.cat([spelled.whole for spelled in spellings], dim=1)
    keys = torch.cat([key + (spelled.number << _CONTIG_BITS) for spelled in spellings], dim=1).where(whole, -1)
    keys, order = keys.sort(dim=1)
    leads = (keys >> _CONTIG_BITS).diff(dim=1, prepend=torch.full_like(keys[:, :1], -2)) != 0
    first = keys.where(leads, -1).cummax(dim=1).values
    later = (keys & last) > (first & last)
    found: tuple[Tensor, ...] = (torch.zeros_like(whole).scatter(1, order, later) & whole).chunk(len(spellings), dim=1)
    return found


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
