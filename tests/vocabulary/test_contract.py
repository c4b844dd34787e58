"""The contract of an extended tokenizer, as an algebra, on bases of every shape."""

import lzma
from itertools import islice
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.tokenizer import Span, render
from llama_gene.vocabulary.extend import _PROBES

from .conftest import ENGLISH, World, simulate

TAGS = ("<dna>", "</dna>", "<protein>", "</protein>")
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

fragments = st.sampled_from(
    [*ENGLISH, "ACGT", "acgtu", "  ", "\n", "\t", "▁", "x", "<", ">", "</", "dna>", "<dn", "\u0338"]
)
any_text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=30)
specials = st.sampled_from(["<s>", "</s>", "<|endoftext|>", "<|end_of_text|>", "<unk>"])
texts = st.lists(st.one_of(fragments, any_text), max_size=6).map("".join)
wild_texts = st.lists(
    st.one_of(fragments, any_text, specials, st.sampled_from([*TAGS, "\ue000", "\ue01a"])), max_size=8
).map("".join)
kinds = st.sampled_from(list(ALPHABETS))
letters = st.text("ACGTacgtuUNRYKMXBZJOWDEFHILPQSV \n\t", max_size=60)
spans = st.builds(Span, kinds, st.one_of(letters, st.text("ACGT-*<dna>/ \u2028é", max_size=12)))


def without_reserved(world: World, text: str) -> bool:
    block = world.genes._layout.block.start
    return not any(tag in text for tag in TAGS) and not any(block <= ord(c) < block + 64 for c in text)


@few
@given(text=texts)
def test_base_ids_and_decoding_are_kept(world: World, text: str) -> None:
    assume(without_reserved(world, text))
    ids = world.base.encode(text, add_special_tokens=False).ids
    assert world.genes.encode(text) == ids
    assert world.genes._full.encode(text, add_special_tokens=False).ids == ids
    assert world.genes.decode(ids) == world.base.decode(ids, skip_special_tokens=False)


@few
@given(kind=kinds, data=st.data())
def test_ids_in_a_span_are_its_own_bpe(world: World, kind: Kind, data: st.DataObject) -> None:
    motifs = simulate(kind, 3, 24)
    sequence = data.draw(st.lists(st.one_of(st.sampled_from(motifs), letters), max_size=4).map("".join))
    spelling = {piece: index for index, piece in world.genes.spellings().items() if world.genes.token_kinds()[index]}
    vocabulary = world.vocabularies[kind]
    first = world.genes.open_id(kind) + 2
    ids = [first + vocabulary.pieces.index(piece) for piece in vocabulary.encode(sequence)]
    assert set(vocabulary.pieces) <= set(spelling)
    assert world.genes.encode_spans(kind, [sequence]) == [ids]
    tagged = [world.genes.open_id(kind), *ids, world.genes.close_id(kind)]
    assert world.genes.encode(f"<{kind}>{sequence}</{kind}>") == tagged
    assert world.genes.decode(tagged) == f"<{kind}>{ALPHABETS[kind].canonical(sequence)}</{kind}>"


@few
@given(text=wild_texts, more=wild_texts, one=spans, two=spans)
def test_parts_are_their_rendered_text(world: World, text: str, more: str, one: Span, two: Span) -> None:
    for parts in ([text, one, more, two], [one, text, more], [text, one, two, more], [text]):
        whole = world.genes._full.encode(render(parts), add_special_tokens=False).ids
        assert world.genes.encode_parts(parts) == whole
        assert world.genes.encode(render(parts)) == whole


@few
@given(text=any_text, more=any_text, span=st.builds(Span, kinds, letters))
def test_decoding_gives_back_the_canonical_text(world: World, text: str, more: str, span: Span) -> None:
    if world.name in {"stories", "always", "stripped"}:
        pytest.skip("loses spaces at the ends by itself")
    assume(without_reserved(world, text + more) and "▁" not in text + more)
    canonical = Span(span.kind, ALPHABETS[span.kind].canonical(span.sequence))
    assert world.genes.decode(world.genes.encode_parts([text, span, more])) == render([text, canonical, more])


def test_every_token_of_the_base_is_in_its_place(world: World) -> None:
    genes = world.genes
    vocab = genes._full.get_vocab()
    assert all(vocab[token] == index for token, index in world.base.get_vocab().items())
    assert sorted(vocab.values()) == list(range(genes.num_tokens))
    assert genes.pad_id != genes.eos_id
    assert genes.kinds == ("dna", "protein")


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("<dna>ACGT</dna>", "ACGT"),
        ("<dna>\nACGTACGT\nAC GT\n</dna>", "ACGTACGTACGT"),
        ("<dna>acgu</dna>", "ACGT"),
        ("<dna>ACGT", "ACGT"),
        ("<dna>ACG and more", "ACG"),
        ("the <dna> tag and a cat", ""),
        ("the <dna> tag and a </protein> cat", ""),
        ("<dna> AC <dna>GT</dna>", "GT"),
        ("<dna><protein>AC</dna></protein>", "AC"),
        ("<dna>AC-GT</dna>", "AC"),
        ("<DNA>ACGT</DNA>", ""),
        ("ACGT", ""),
    ],
)
def test_which_letters_are_taken_for_a_sequence(world: World, text: str, mapped: str) -> None:
    kinds, spellings = world.genes.token_kinds(), world.genes.spellings()
    assert "".join(spellings[index] for index in world.genes.encode(text) if kinds[index]) == mapped


def test_reserved_characters_in_a_text_cannot_pass_for_letters(world: World) -> None:
    start = world.genes._layout.block.start
    ids = world.genes.encode(f"a{chr(start)}b <dna>A{chr(start + 1)}</dna>")
    assert [world.genes.spellings()[index] for index in ids if world.genes.token_kinds()[index]] == ["A"]


def test_real_lines_keep_their_ids(world: World, shared_data: Path) -> None:
    with lzma.open(shared_data / "corpus" / "english" / "pubmed_sentences.txt.xz", "rt", encoding="utf-8") as lines:
        for line in islice(lines, 300):
            ids = world.base.encode(line, add_special_tokens=False).ids
            assert world.genes._full.encode(line, add_special_tokens=False).ids == ids


@few
@given(text=texts)
def test_a_bare_model_gives_the_ids_of_sentencepiece(world: World, text: str) -> None:
    if not (world.folder / "tokenizer.model").is_file() or (world.folder / "tokenizer.json").is_file():
        pytest.skip("not a bare SentencePiece model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(world.folder / "tokenizer.model"))
    assume(without_reserved(world, text) and "\0" not in text)
    assert world.genes.encode(text) == processor.encode(text)


def test_probes_hold_no_tag() -> None:
    assert not any(tag in probe for probe in _PROBES for tag in TAGS)
