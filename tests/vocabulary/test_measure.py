"""What a vocabulary is worth, in tiny worlds with numbers worked out by hand."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError, TokenizerError
from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.vocabulary.changes import Agreement, agreement, spelled
from llama_gene.vocabulary.held_out import LINE_LETTERS, STRETCH_LETTERS, SequenceSample, draw_lines, draw_sequences
from llama_gene.vocabulary.measure import LONGEST_BIN, Encoded, curve_sizes
from llama_gene.vocabulary.train import SequenceVocabulary, train

from .conftest import simulate

AC = SequenceVocabulary("dna", (("A", "C"),))
LETTERS = SequenceVocabulary("dna", ())
dna = st.lists(st.text("ACGT", min_size=1, max_size=60), min_size=1, max_size=5)


class Upside:
    """Pieces of a table that knows other tokens, too, with SentencePiece's space before a line."""

    kind = "dna"
    pieces = ("<s>", "▁", "A", "C", "G", "T", "AC", "MK", "▁AC")

    def encode_batch(self, sequences):
        known = {"ACAC": [8, 6], "ACG": [8, 4], "CGT": [1, 3, 4, 5], "GT": [1, 4, 5]}
        return [np.array(known[sequence], dtype=np.int32) for sequence in sequences]


@pytest.fixture(scope="module")
def learned():
    return train(simulate("dna", 40, 400), "dna", 90)


def sample_of(fit, score, kind="dna"):
    return SequenceSample(kind, tuple(fit), tuple(score))


def test_a_world_by_hand():
    measure = Encoded.of(AC, sample_of(["ACACG"], ["ACT"])).measure()
    assert (measure.size, measure.num_letters, measure.num_tokens) == (5, 8, 5)
    assert measure.letters_per_token == 8 / 5
    # The fitted half is AC AC G: 3 tokens of 2 types; of 5 pieces AC has (2 + 2/5) / 5 and T (0 + 2/5) / 5.
    assert measure.unigram_bits == pytest.approx(-(math.log2(2.4 / 5) + math.log2(0.4 / 5)) / 3)
    usage = measure.usage
    assert usage.num_pieces == 5
    assert usage.unused == ("A", "C")
    assert usage.num_unused == 2
    assert usage.frequent == (("AC", 3 / 5), ("G", 1 / 5), ("T", 1 / 5))
    assert usage.longest == ("AC", "G", "T")
    assert usage.lengths == (4, 1, *[0] * (LONGEST_BIN - 2))
    assert usage.lengths_used == (2, 3, *[0] * (LONGEST_BIN - 2))
    assert usage.ranks == ((1, 3), (2, 1), (3, 1))


def test_strands_by_hand():
    # A, AC T, G G: only AC has no reverse complement here. The other strand of ACT is A G T, of GG it is C C.
    strands = Encoded.of(AC, sample_of(["A"], ["ACT", "GG"])).measure().strands
    assert strands.closed_pieces == 0
    assert strands.closed_tokens == pytest.approx(4 / 5)
    assert strands.num_lines == 2
    assert strands.mirrored_lines == 1 / 2
    assert strands.mirrored_tokens == pytest.approx(3 / 4)
    closed = SequenceVocabulary("dna", (("A", "C"), ("G", "T"), ("A", "T")))
    assert Encoded.of(closed, sample_of(["A"], ["ACT"])).measure().strands.closed_pieces == 1


def test_letters_are_their_own_mirror_image():
    strands = Encoded.of(LETTERS, sample_of(["ACGT"], ["ACGTTGCA"])).measure().strands
    assert math.isnan(strands.closed_pieces)
    assert (strands.closed_tokens, strands.mirrored_lines, strands.mirrored_tokens) == (1, 1, 1)


def test_protein_has_one_strand():
    measure = Encoded.of(SequenceVocabulary("protein", ()), sample_of(["MKV"], ["VKM"], "protein")).measure()
    assert measure.strands is None
    assert measure.size == 20


@pytest.mark.parametrize(
    ("kind", "letters", "bits"), [("dna", "ACGT", 2.0), ("protein", "ACDEFGHIKLMNPQRSTVWY", 4.3219)]
)
def test_random_letters_are_worth_what_they_are(kind, letters, bits):
    rng = random.Random(5)
    halves = ["".join(rng.choices(letters, k=100_000)) for _ in range(2)]
    sample = sample_of(halves[:1], halves[1:], kind)
    measure = Encoded.of(SequenceVocabulary(kind, ()), sample).measure()
    assert measure.unigram_bits == pytest.approx(bits, abs=0.001)
    assert measure.bigram_bits == pytest.approx(bits, abs=0.004)
    assert sample.letter_bits[:2] == pytest.approx([bits, bits], abs=0.004)


def test_bigrams_of_letters_are_letters_of_order_one():
    rng = random.Random(6)
    words = ["".join(rng.choices(["ACG", "TTT", "GAC"], k=20_000)) for _ in range(2)]
    sample = sample_of(words[:1], words[1:])
    measure = Encoded.of(LETTERS, sample).measure()
    assert measure.unigram_bits == pytest.approx(sample.letter_bits[0], abs=0.001)
    assert measure.bigram_bits == pytest.approx(sample.letter_bits[1], abs=0.001)


@given(dna, st.integers(4, 90))
@settings(max_examples=40, deadline=None)
def test_prefixes_are_read_off_the_whole(learned, sequences, size):
    encoded = Encoded.of(learned, sample_of(sequences, sequences)).prefix(size)
    direct = Encoded.of(learned.prefix(size), sample_of(sequences, sequences))
    for name in ("fit", "score", "lines", "mirrored"):
        ours, theirs = getattr(encoded, name), getattr(direct, name)
        assert ours.ids.tolist() == theirs.ids.tolist()
        assert ours.starts.tolist() == theirs.starts.tolist()
    assert encoded.measure() == direct.measure() or size == 4  # NaN of a vocabulary of letters


@given(dna, dna)
@settings(max_examples=40, deadline=None)
def test_counts_add_up(learned, fit, score):
    encoded = Encoded.of(learned, sample_of(fit, score))
    measure = encoded.measure()
    assert measure.num_letters == sum(map(len, fit)) + sum(map(len, score))
    assert int(encoded.counts @ encoded.lengths) == measure.num_letters
    assert sum(measure.usage.lengths) == measure.usage.num_pieces == measure.size == learned.size
    assert sum(measure.usage.lengths_used) == measure.num_tokens
    assert measure.usage.ranks[0][1] == encoded.counts.max()
    mirror = Encoded.of(learned, sample_of(fit, [reverse_complement(sequence) for sequence in score]))
    assert 0 <= measure.strands.mirrored_tokens <= 1
    assert mirror.measure().strands.mirrored_lines == measure.strands.mirrored_lines


def test_the_curve_ends_in_the_measure(learned):
    encoded = Encoded.of(learned, sample_of(simulate("dna", 5, 400, 1), simulate("dna", 5, 400, 2)))
    curve, measure = encoded.curve(), encoded.measure()
    assert [point.size for point in curve] == [4, 8, 16, 32, 64, 90] == curve_sizes(learned)
    assert curve[0].letters_per_token == 1
    last = curve[-1]
    assert (last.unigram_bits, last.bigram_bits) == (measure.unigram_bits, measure.bigram_bits)
    assert last.letters_per_token == measure.letters_per_token
    assert curve_sizes(LETTERS) == [4]
    with pytest.raises(TokenizerError, match="that has 90"):
        encoded.prefix(91)


def test_a_table_of_other_languages():
    encoded = Encoded.of(Upside(), sample_of(["ACAC"], ["ACG"]), frozenset({"A", "C", "G", "T", "AC"}))
    assert encoded.lengths.tolist() == [0, 0, 1, 1, 1, 1, 2, 0, 2]
    assert encoded.counts.tolist() == [0, 0, 0, 0, 1, 0, 1, 0, 2]
    measure = encoded.measure()
    assert (measure.size, measure.num_tokens) == (5, 4)
    # Six tokens and the bare space can stand in DNA. Fitted on two tokens of two types, ▁AC has (1 + 2/7) / 4 and G
    # has (0 + 2/7) / 4.
    assert measure.unigram_bits == pytest.approx(-(math.log2(9 / 28) + math.log2(2 / 28)) / 3)
    assert measure.usage.num_unused == 3
    assert measure.usage.frequent[0] == ("▁AC", 0.5)


def test_agreement_is_about_pieces():
    own = SequenceVocabulary("dna", (("A", "C"), ("AC", "G")))
    lines = ["ACAC", "ACG", "GT"]
    assert spelled(Upside(), lines) == [["AC", "AC"], ["AC", "G"], ["G", "T"]]
    found = agreement(spelled(Upside(), lines), spelled(own, lines))
    assert found == Agreement(num_lines=3, num_kept=2, num_tokens=6, num_own=5)
    assert found.extra_tokens == pytest.approx(0.2)


# the text


def write_fasta(path, sequences):
    path.write_text("".join(f">r{number}\n{sequence}\n" for number, sequence in enumerate(sequences)))
    return path


def test_records_go_to_the_halves_in_turn(tmp_path):
    path = write_fasta(tmp_path / "a.fa", ["ACGTA", "CCNNGG", "ACGTA", "TTT", "AC-T"])
    sample = draw_sequences([path], "dna", 1000)
    assert sample.fit == ("ACGTA", "TTT")
    assert sample.score == ("CC", "GG")
    assert (sample.num_other, sample.num_repeated, sample.num_letters) == (2, 5, 12)
    assert [reject.where.rpartition("/")[2] for reject in sample.rejects] == ["a.fa:9"]


def test_one_long_record_is_in_both_halves(tmp_path):
    text = simulate("dna", 1, 100_000)[0]
    sample = draw_sequences([write_fasta(tmp_path / "a.fa", [text])], "dna", 10**6)
    assert "".join(run for pair in zip(sample.fit, sample.score, strict=False) for run in pair) in text
    assert sample.num_letters == len(text)
    assert {len(run) for run in sample.fit} <= {STRETCH_LETTERS, len(text) % STRETCH_LETTERS}


def test_a_file_that_repeats_another_is_used_once(tmp_path):
    text = simulate("dna", 1, 100_000)[0]
    twice = [write_fasta(tmp_path / name, [text]) for name in ("a.fa", "b.fa")]
    once, both = (draw_sequences(paths, "dna", 10**6) for paths in (twice[:1], twice))
    assert (both.fit, both.score) == (once.fit, once.score)
    assert both.num_repeated == len(text)


def test_long_records_are_drawn_from_evenly(tmp_path):
    text = simulate("dna", 1, 400_000)[0]
    sample = draw_sequences([write_fasta(tmp_path / "a.fa", [text])], "dna", 80_000)
    assert 70_000 < sample.num_letters < 90_000
    places = [text.index(run) for run in (*sample.fit, *sample.score)]
    assert len(set(places)) == len(places)
    assert max(places) > 0.9 * len(text)
    assert set(map(len, sample.lines)) <= set(range(1, LINE_LETTERS + 1))
    assert "".join(sample.lines) == "".join(sample.score)


@pytest.mark.parametrize(
    ("kind", "sequences", "message"),
    [
        ("dna", ["ACGT"], "too little dna"),
        ("dna", ["NNNN", "NNN"], "too little dna"),
        ("dna", ["MKVL", "MEEP", "ACGT"], "most records are not dna; the first, .*a.fa:1: "),
        ("protein", ["ACGTTGCA" * 9, "ACGATT" * 9], "this is DNA"),
    ],
)
def test_text_that_cannot_be_measured_on(tmp_path, kind, sequences, message):
    with pytest.raises(FormatError, match=message):
        draw_sequences([write_fasta(tmp_path / "a.fa", sequences)], kind, 1000)


def test_lines_of_english(tmp_path):
    long, short = tmp_path / "long.txt", tmp_path / "short.jsonl"
    long.write_text("".join(f"line number {number:04}\n" for number in range(1000)))
    short.write_text('{"text": "one\\n\\ntwo"}\n')
    assert draw_lines([short], 100) == ["one", "two"]
    drawn = draw_lines([long, short], 1600)
    assert 60 < len(drawn) < 140
    assert drawn[-2] > "line number 0900"
    with pytest.raises(FormatError, match="a FASTA file, not English"):
        draw_lines([write_fasta(tmp_path / "a.fa", ["ACGT"])], 100)
