"""The memory of n-grams: which rows it reads, that caches and packing change nothing, and that it starts empty."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from llama_gene.errors import SettingsError
from llama_gene.model.base import new_model, shape_config
from llama_gene.model.convolution import document_inputs, keep_documents_apart
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


def memory(orders: list[list[int]], **more: Any) -> NGramMemory:
    shape = {"hidden_size": 2, "num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]}
    return NGramMemory(GeneConfig(ngram_letters=[DNA, [20, 21]], ngram_orders=orders, **shape, **more))


def test_each_n_gram_has_the_row_of_its_number() -> None:
    # Two letters of DNA: rows 1 to 16, the first letter counting four times; one of protein: rows 17 and 18.
    found = memory([[2], [1]]).find(torch.tensor([[TEXT, 10, 11, 13, OTHER_LETTER, 13, 13, 21, 20, TEXT]]))
    assert found[0, :, 0].tolist() == [0, 0, 1 + 4 * 0 + 1, 1 + 4 * 1 + 3, 0, 0, 1 + 4 * 3 + 3, 0, 0, 0]
    assert found[0, :, 1].tolist() == [0, 0, 0, 0, 0, 0, 0, 18, 17, 0]


def test_where_there_are_more_n_grams_than_rows_some_share_one() -> None:
    few = memory([[6], []], ngram_buckets=7)
    assert few.table.shape == (8, 2)
    found = few.find(torch.randint(10, 14, (1, 500), generator=torch.Generator().manual_seed(1)))
    assert set(found[0, 5:, 0].tolist()) == set(range(1, 8))


def test_an_n_gram_at_its_place_has_a_row_of_its_own() -> None:
    # Two letters of DNA at three places: rows 1 to 48, sixteen a place; one of protein at two places: 49 to 52.
    by_place = memory([[], []], ngram_places=[[2, 3], [1, 2]])
    assert by_place.first_placed == 1
    assert by_place.table.shape == (53, 2)
    found = by_place.find(torch.tensor([[TEXT, 10, 11, 13, 10, 10, TEXT, 10, 10, 21, 20, 21]]))
    assert found[0, :, 0].tolist() == [0, 0, 1 + 1, 17 + 7, 33 + 12, 0, 0, 0, 1, 0, 0, 0]
    assert found[0, :, 1].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 51, 0]


def spell(text: str) -> list[int]:
    """The ids of letters; a dash is no letter."""
    ids = dict(zip("ACGT", DNA, strict=True)) | dict(zip("kmz", (20, 21, 22), strict=True)) | {"-": TEXT}
    return [ids[letter] for letter in text]


CODONS = [{"AAA": 0, "ATG": 1, "TAA": -1}.get("".join(codon), 2) for codon in itertools.product("ACGT", repeat=3)]


def sharing(dna: list[int], protein: list[int]) -> NGramMemory:
    shape = {"hidden_size": 2, "num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]}
    letters = {"ngram_letters": [DNA, [20, 21, 22]], "ngram_complements": [[3, 2, 1, 0], []], "ngram_codons": CODONS}
    return NGramMemory(GeneConfig(**letters, ngram_shared=[dna, protein], **shape))


def shared(memory: NGramMemory, text: str, places: list[int] | None = None) -> str:
    """Marks what ends an n-gram that an earlier contig has."""
    found = memory.find(torch.tensor([spell(text)]), 0, None if places is None else torch.tensor([places]))
    return "".join("^" if any(row) else "." for row in found[0].tolist())


def test_an_n_gram_that_an_earlier_contig_has_is_known_on_either_strand() -> None:
    table = sharing([3], [])
    told = shared(table, "--ACGTT--ACG--CGT--GGGACGGG-ACG-")
    assert told == "...........^....^.......^.....^."
    # The same on both strands, and so in one row; another n-gram has another.
    both = table.find(torch.tensor([spell("-AAC--AAC--GTT--AACC--ACC--")]))[0, :, 0].tolist()
    assert len({both[8], both[13], both[18]} - {0}) == 1
    assert both[24] not in {0, both[8]}


def test_contigs_lie_two_ids_apart_and_share_nothing_with_themselves() -> None:
    assert shared(sharing([2], []), "-ACAC-ACAC-") == "." * 11
    assert shared(sharing([2], []), "-ACAC--ACAC-") == "........^^^."


def test_other_documents_share_nothing() -> None:
    text, table = "-ACA--ACA-" * 2, sharing([3], [])
    assert shared(table, text) == "........^." + "...^....^."
    assert shared(table, text, [*range(10), *range(10)]) == "........^." * 2


def test_a_protein_shares_what_a_gene_spells_in_codons() -> None:
    table = sharing([], [2])
    assert shared(table, "--ATGAAA--mkz--km--") == "...........^......."
    assert shared(table, "--mk--CCATGAAACC--") == ".............^...."  # whichever comes first
    assert shared(table, "--TTTCAT--mk--km--") == "...........^......"  # the other strand
    assert shared(table, "--ATGTAAAAA--mk--") == "................."  # a stop lies between
    assert shared(table, "--ATGCAAA--mk--") == "..............."  # another frame


@given(text=st.text("ACGTmk-", min_size=2, max_size=30), cut=st.integers(1, 29))
def test_what_is_shared_is_found_through_a_cache_as_well(text: str, cut: int) -> None:
    table, whole = sharing([2], [1]), torch.tensor([spell(text)])
    seen = torch.cat([torch.full((1, 40), -1), whole], dim=1)
    assert table.find(seen, 40 + min(cut, len(text))).equal(table.find(whole)[:, cut:])


@given(text=st.text("ACGT-mkz", min_size=1, max_size=40), other=st.text("ACGT-", max_size=20))
def test_a_document_is_in_one_fold_whatever_is_beside_it_and_whichever_strand(text: str, other: str) -> None:
    table, ids = sharing([2], [1]), spell(text)
    fold = table.fold(torch.tensor([ids]), torch.zeros(1, len(ids), dtype=torch.long), 5)[0].tolist()
    assert len(set(fold)) == 1
    reverse = [{10: 13, 11: 12, 12: 11, 13: 10}.get(one, one) for one in reversed(ids)]
    documents = torch.tensor([[0] * len(other) + [1] * len(ids)])
    assert table.fold(torch.tensor([spell(other) + reverse]), documents, 5)[0, len(other) :].tolist() == fold


def test_while_trained_on_a_fold_reads_its_own_table_beside() -> None:
    table = memory([[1], []])
    with torch.no_grad():
        table.table[:] = 1.0
    table.folds = torch.stack([torch.full_like(table.table, 10.0 * fold) for fold in range(3)]).detach()
    table.fold_share = 1.0
    ids = torch.tensor([[10, 10, 10, 12]])  # A counts 1 and G 3: folds 2 and 1
    places = torch.tensor([[0, 1, 0, 1]])
    assert table.train()(ids, 0, places)[0, :, 0].tolist() == [5.0 * 21, 5.0 * 21, 5.0 * 11, 5.0 * 11]
    assert table.eval()(ids, 0, places)[0, :, 0].tolist() == [5.0] * 4


def test_a_new_model_knows_the_genetic_code_whichever_alphabet_it_was_told_of_first() -> None:
    letters: dict[Kind, list[int]] = {"dna": DNA, "protein": PROTEIN}
    config = shape_config("gene-nano", 48, 64, letters)
    codons = map("".join, itertools.product("ACGT", repeat=3))
    residues = dict(zip(codons, config["ngram_codons"], strict=True))
    assert [residues[codon] for codon in ("GCA", "ATG", "TGG", "TAC", "TAA")] == [0, 10, 18, 19, -1]  # A, M, W, Y, stop
    assert config["ngram_complements"] == [[3, 2, 1, 0], []]
    assert shape_config("gene-nano", 48, 64, dict(reversed(letters.items()))) == config
    assert "ngram_codons" not in shape_config("gene-nano", 48, 64, {"dna": DNA})


@given(
    ids=st.lists(st.sampled_from([TEXT, *DNA, 20, 21]), min_size=12, max_size=24),
    cut=st.integers(1, 11),
    starts=st.sets(st.integers(1, 23)),
)
def test_no_more_is_looked_back_to_than_it_says(ids: list[int], cut: int, starts: set[int]) -> None:
    table = memory([[1, 3], [2]], ngram_places=[[2, 4], [1, 2]])
    context = GeneConfig(ngram_orders=[[1, 3], [2]], ngram_places=[[2, 4], [1, 2]]).ngram_context
    assert context == 5
    whole = torch.tensor([ids])
    seen = torch.cat([torch.full((1, context), -1), whole], dim=1)[:, cut:]
    assert table.find(seen, context).equal(table.find(whole)[:, cut:])
    # And what stands in documents of their own is as if it stood alone.
    bounds = [0, *sorted(start for start in starts if start < len(ids)), len(ids)]
    places = torch.cat([torch.arange(stop - start) for start, stop in itertools.pairwise(bounds)])[None]
    alone = [table.find(whole[:, start:stop]) for start, stop in itertools.pairwise(bounds)]
    assert table.find(whole, 0, places).equal(torch.cat(alone, dim=1))


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
    assert touched == sorted(set(table.find(ids).flatten().tolist()) - {0})
    assert len(touched) == 4  # one DNA 4-mer, and three pairs of letters at their places


def test_some_documents_are_trained_on_without_a_memory() -> None:
    table = memory([[1], []])
    torch.nn.init.ones_(table.table)
    table.dropout = 0.5
    ids = torch.full((40, 6), 10)
    places = torch.tensor([0, 1, 2, 0, 1, 2]).expand(40, 6)
    whole = table.eval()(ids, 0, places)
    seen = table.train()(ids, 0, places)[..., 0].view(40, 2, 3)
    assert seen.amin(dim=2).equal(seen.amax(dim=2))  # all of a document, or nothing
    assert set(seen.flatten().tolist()) == {0.0, 5.0}
    assert not seen[:, 0].equal(seen[:, 1])
    assert set(whole.flatten().tolist()) == {5.0}


def test_at_first_the_mean_of_what_is_remembered_is_handed_on() -> None:
    model = new_model("gene-mini", 48, 64, {"eos_token_id": 0, "pad_token_id": 1}, {"dna": DNA}, seed=3).eval()
    table, ids = model.get_decoder().ngrams, torch.tensor([[TEXT, *DNA * 5, TEXT]])
    handed_on: list[torch.Tensor] = []
    model.get_decoder().layers[-1].register_forward_hook(lambda *told: handed_on.append(told[-1][0, -1]))
    with torch.inference_mode():
        model(input_ids=ids)
        table.table.normal_(generator=torch.Generator().manual_seed(1))
        model(input_ids=ids)
        mean = table(ids)[0].mean(dim=0)
    assert torch.nn.functional.cosine_similarity(handed_on[1] - handed_on[0], mean, dim=0) > 0.9


def test_at_first_only_attention_writes() -> None:
    model = new_model("gene-mini", 48, 64, {"eos_token_id": 0, "pad_token_id": 1}, {"dna": DNA}, seed=3).eval()
    seen = model(input_ids=torch.tensor([[TEXT, *DNA, TEXT]]), output_hidden_states=True).hidden_states
    assert seen[0].equal(seen[1])
    assert seen[0].equal(seen[2])
    assert not seen[2].equal(seen[3])


def test_a_memory_needs_letters() -> None:
    with pytest.raises(SettingsError, match=r"spelled by letters\n  set vocabulary.dna.size = 4"):
        new_model("gene-nano", 48, 64, {}, seed=1)
