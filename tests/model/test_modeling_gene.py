"""The memory of n-grams: which rows it reads, that caches and packing change nothing, and that it starts empty."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import DynamicCache

from llama_gene.config import ModelSettings
from llama_gene.errors import ModelError, SettingsError
from llama_gene.model.base import load_model, new_model, with_memory
from llama_gene.model.convolution import document_inputs, keep_documents_apart
from llama_gene.model.create import extend_base
from llama_gene.model.head import hidden_states
from llama_gene.model.modeling_gene import GeneConfig, NGramMemory
from llama_gene.sequences import Kind
from llama_gene.training.loss import packed_loss
from nano import awake

DNA, PROTEIN = [10, 11, 12, 13], list(range(20, 40))
TEXT, OTHER_LETTER = 5, 14


def make(size: str = "gene-nano") -> Any:
    """A model that remembers something."""
    letters: dict[Kind, list[int]] = {"dna": DNA, "protein": PROTEIN}
    return awake(new_model(size, 48, 64, {"eos_token_id": 0, "pad_token_id": 1}, letters, seed=3)).eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return make()


def memory(orders: list[list[int]], buckets: int = 16_384) -> NGramMemory:
    shape = {"hidden_size": 2, "num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]}
    return NGramMemory(GeneConfig(ngram_letters=[DNA, [20, 21]], ngram_orders=orders, ngram_buckets=buckets, **shape))


def test_each_n_gram_has_the_row_of_its_number() -> None:
    # Two letters of DNA: rows 1 to 16, the first letter counting four times; one of protein: rows 17 and 18.
    found = memory([[2], [1]]).find(torch.tensor([[TEXT, 10, 11, 13, OTHER_LETTER, 13, 13, 21, 20, TEXT]]))
    assert found[0, :, 0].tolist() == [0, 0, 1 + 4 * 0 + 1, 1 + 4 * 1 + 3, 0, 0, 1 + 4 * 3 + 3, 0, 0, 0]
    assert found[0, :, 1].tolist() == [0, 0, 0, 0, 0, 0, 0, 18, 17, 0]


def test_where_there_are_more_n_grams_than_rows_some_share_one() -> None:
    few = memory([[6], []], buckets=7)
    assert few.table.shape == (8, 2)
    found = few.find(torch.randint(10, 14, (1, 500), generator=torch.Generator().manual_seed(1)))
    assert set(found[0, 5:, 0].tolist()) == set(range(1, 8))


def test_vectors_of_all_orders_are_summed_five_times_as_large() -> None:
    table = memory([[1, 2], []])
    with torch.no_grad():
        table.table[:] = torch.arange(21)[:, None] * torch.tensor([1.0, -1.0])
    remembered = table(torch.tensor([[10, 13]]))
    assert remembered.tolist() == [[[5.0, -5.0], [60.0, -60.0]]]  # A; then T, and AT in row 8


@settings(deadline=None, max_examples=20)
@given(
    ids=st.lists(st.sampled_from([TEXT, OTHER_LETTER, *DNA, 20, 21]), min_size=2, max_size=24),
    cuts=st.sets(st.integers(1, 23)),
)
def test_what_is_read_in_parts_is_what_is_read_at_once(model: Any, ids: list[int], cuts: set[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]
    cache, whole = DynamicCache(config=model.config), torch.tensor([ids, ids[::-1]])
    with torch.inference_mode():
        wanted = model(input_ids=whole).logits
        parts = [
            model(input_ids=whole[:, start:stop], past_key_values=cache, use_cache=True).logits
            for start, stop in itertools.pairwise(places)
        ]
    assert torch.allclose(torch.cat(parts, dim=1), wanted, atol=1e-4)


def test_a_cache_that_the_model_makes_itself_remembers_too(model: Any) -> None:
    ids = torch.tensor([[TEXT, *DNA, *DNA]])
    with torch.inference_mode():
        first = model(input_ids=ids[:, :6])
        rest = model(input_ids=ids[:, 6:], past_key_values=first.past_key_values)
        wanted = model(input_ids=ids).logits[:, 6:]
    assert torch.allclose(rest.logits, wanted, atol=1e-4)


def test_nothing_to_read_is_nothing_remembered(model: Any) -> None:
    assert model.get_decoder().embed(torch.zeros(1, 0, dtype=torch.long)).shape == (1, 0, 128)


def test_packing_contamination_of_trl_1230() -> None:
    packed = make()
    keep_documents_apart(packed)
    ids = torch.tensor([[10, 11, 12, 13, 10, 11, 12, 13, 13, 12]])
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]])  # the second document begins in the middle of DNA
    with torch.inference_mode():
        together = hidden_states(packed, input_ids=ids, position_ids=positions, **document_inputs(packed, positions))
        alone = torch.cat([hidden_states(packed, input_ids=part) for part in ids.split(5, dim=1)], dim=1)
    assert torch.allclose(together, alone, atol=1e-4)


def test_only_rows_that_were_read_are_trained() -> None:
    trained = make()
    ids = torch.tensor([[TEXT, 10, 11, 12, 13, TEXT]])
    labels = torch.tensor([[-100, -100, -100, -100, -100, 7]])
    batch = {"input_ids": ids, "labels": labels, "position_ids": torch.arange(6)[None]}
    packed_loss(trained, batch).backward()  # type: ignore[no-untyped-call]
    table = trained.get_decoder().ngrams
    touched = table.table.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert touched == [int(table.find(ids)[0, 4, 0])]  # one DNA 4-mer, and nothing longer


def test_a_hybrid_with_an_empty_memory_answers_as_before(tmp_path: Path) -> None:
    hybrid = new_model("hybrid-nano", 48, 64, {"eos_token_id": 0, "pad_token_id": 1}, seed=3).eval()
    grown = with_memory(hybrid, {"dna": DNA}).eval()
    ids = torch.tensor([[TEXT, *DNA, *DNA, TEXT]])
    with torch.inference_mode():
        assert grown(input_ids=ids).logits.equal(hybrid(input_ids=ids).logits)
    assert grown.lm_head.weight is grown.get_decoder().embed_tokens.weight
    grown.save_pretrained(tmp_path)
    with torch.inference_mode():
        assert load_model(tmp_path).eval()(input_ids=ids).logits.equal(hybrid(input_ids=ids).logits)


def test_at_first_only_attention_writes() -> None:
    model = new_model("gene-mini", 48, 64, {"eos_token_id": 0, "pad_token_id": 1}, {"dna": DNA}, seed=3).eval()
    seen = model(input_ids=torch.tensor([[TEXT, *DNA, TEXT]]), output_hidden_states=True).hidden_states
    assert seen[0].equal(seen[1])
    assert seen[0].equal(seen[2])
    assert not seen[2].equal(seen[3])


def test_what_cannot_remember_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a llama cannot be given a memory of n-grams\n  take a base of short conv"):
        with_memory(new_model("nano", 48, 64, {}, seed=1), {"dna": DNA})
    with pytest.raises(SettingsError, match=r"spelled by letters\n  set vocabulary.dna.size = 4"):
        new_model("gene-nano", 48, 64, {}, seed=1)
    with pytest.raises(
        ValidationError, match='remember is for a base that was trained; from scratch take size = "gene-m'
    ):
        ModelSettings(remember=True)
    with pytest.raises(SettingsError, match=r"is to learn new pieces\n  leave out \[vocabulary\]"):
        extend_base(ModelSettings(base="x", remember=True), [], tmp_path, seed=1)
