"""Learning pieces: literal merges in tiny worlds, and what bad input gets."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from llama_gene.errors import FormatError, SequenceError, TokenizerError
from llama_gene.vocabulary.train import SequenceVocabulary, train

from .conftest import simulate


@pytest.mark.parametrize(
    ("sequences", "size", "message"),
    [
        ([], 8, "no dna to learn from"),
        (["A", "C", "G"], 8, "no two unambiguous letters"),
        (["NNNN", "RYRY"], 8, "no two unambiguous letters"),
        (["AAAA", "AAANAA"], 8, "one letter only"),
    ],
)
def test_nothing_to_learn_from(sequences: list[str], size: int, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        train(sequences, "dna", size)


@pytest.mark.parametrize("size", [-1, 0, 3])
def test_a_size_below_the_alphabet_is_refused(size: int) -> None:
    with pytest.raises(TokenizerError, match=f"a vocabulary of {size} is below the 4 letters of dna"):
        train(["ACGT"], "dna", size)
    with pytest.raises(TokenizerError, match="below"):
        SequenceVocabulary("dna", ()).prefix(size)


def test_a_size_above_16_bits_is_refused() -> None:
    with pytest.raises(TokenizerError, match="64,978 are the most for dna"):
        train(["ACGT"], "dna", 70_000)


def test_letters_alone_need_no_data() -> None:
    assert train([], "dna", 4) == SequenceVocabulary("dna", ())
    assert train([], "protein", 20).size == 20


def test_too_few_pairs_give_a_smaller_vocabulary_that_says_so() -> None:
    vocabulary = train(["ACAC", "ACAC", "GTGT"], "dna", 1000)
    assert vocabulary.merges == (("A", "C"), ("G", "T"), ("AC", "AC"))
    assert vocabulary.size == 7


def test_no_piece_joins_two_records_or_crosses_an_ambiguity_code() -> None:
    vocabulary = train(["ACGT"] * 50 + ["ACGTNACGT"] * 50, "dna", 1000)
    assert max(map(len, vocabulary.pieces)) == 4


def test_training_is_deterministic_and_prefixes_are_shorter_trainings() -> None:
    sequences = simulate("protein", 40, 400)
    whole = train(sequences, "protein", 120)
    assert train(sequences, "protein", 120) == whole
    assert train(sequences, "protein", 60) == whole.prefix(60)
    assert whole.prefix(whole.size) == whole
    with pytest.raises(TokenizerError, match="121 pieces of a vocabulary that has 120"):
        whole.prefix(121)


@settings(max_examples=30, deadline=None)
@given(sequence=st.text("ACGTacgtuUNRY \n", max_size=80))
def test_pieces_are_the_sequence(sequence: str) -> None:
    vocabulary = train(["ACGTACGGTTA", "ACGTTTACG"], "dna", 9)
    assert "".join(vocabulary.encode(sequence)) == "".join(sequence.split()).upper().replace("U", "T")


def test_what_is_no_letter_is_named() -> None:
    vocabulary = SequenceVocabulary("protein", ())
    with pytest.raises(SequenceError, match=r"position 4 of a protein sequence of 5: '-' is not a letter"):
        vocabulary.encode("MK -V")


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ((("AC", "G"),), "no piece 'AC' before it"),
        ((("A", "C"), ("A", "C")), "merge 2, 'A' [+] 'C': the piece exists already"),
        ((("A", "c"),), "no piece 'c'"),
        ((("A", "C"), ("C", "G"), ("A", "CG")), "merge 3: it never happens"),
    ],
)
def test_impossible_merges_are_refused(merges: tuple[tuple[str, str], ...], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        SequenceVocabulary("dna", merges)


def test_saved_is_loaded_and_is_a_stock_tokenizer(tmp_path: Path) -> None:
    source = {"path": "ecoli.fa", "sha256": "12ab"}
    vocabulary = train(["ACGTACGT", "ACGG"], "dna", 7, sources=[source])
    vocabulary.save(tmp_path / "dna")
    loaded = SequenceVocabulary.load(tmp_path / "dna")
    assert loaded == vocabulary
    assert loaded.sources == (source,)
    assert json.loads((tmp_path / "dna" / "vocabulary.json").read_text())["size"] == 7
    stock = Tokenizer.from_file(str(tmp_path / "dna" / "tokenizer.json"))
    assert stock.encode("ACGTTACGA").tokens == vocabulary.encode("ACGTTACGA")


def test_a_folder_that_is_no_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        SequenceVocabulary.load(tmp_path / "absent")
    SequenceVocabulary("dna", (("A", "C"),)).save(tmp_path / "dna")
    (tmp_path / "dna" / "vocabulary.json").write_text('{"kind": "dna", "size": 9, "sources": []}')
    with pytest.raises(FormatError, match="5 pieces, announced 9"):
        SequenceVocabulary.load(tmp_path / "dna")
    (tmp_path / "dna" / "vocabulary.json").write_text("{}")
    with pytest.raises(FormatError, match="not a sequence vocabulary"):
        SequenceVocabulary.load(tmp_path / "dna")
