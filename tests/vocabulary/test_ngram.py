import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.vocabulary.ngram import Bigram, Letters, Tokens, Unigram, letter_bits

NUM_PIECES = 5
texts = st.lists(st.lists(st.integers(0, NUM_PIECES - 1), min_size=1, max_size=8), max_size=6)
dna = st.lists(st.text("ACGT", min_size=1, max_size=30), max_size=5)


def tokens(sequences):
    return Tokens.join([np.array(ids, dtype=np.int32) for ids in sequences])


def test_tokens_know_what_stands_before_them():
    joined = tokens([[1, 2], [3], [4, 0, 1]])
    assert joined.starts.tolist() == [0, 2, 3]
    assert joined.previous(9).tolist() == [9, 1, 9, 9, 4, 0]
    assert tokens([]).num_tokens == 0


def test_a_unigram_by_hand():
    # 3 tokens of 2 types; the weight 2 of the types is spread over 4 pieces: (2 + .5) / 5, (1 + .5) / 5, .5 / 5 twice.
    model = Unigram(np.array([0, 0, 1]), 4)
    assert model.probabilities == pytest.approx([0.5, 0.3, 0.1, 0.1])
    assert model.bits(np.array([0, 1, 3])) == pytest.approx(1 - math.log2(0.3) - math.log2(0.1))


def test_a_bigram_by_hand():
    # Pairs: start 0, 0 1, 1 0, 0 1 -> (start,0), (0,1) twice, (1,0). Once: 2, twice: 1, so the discount is 3 / 6. Each
    # of 0 and 1 stands after: 0 after two, 1 after one; smoothed over 2 pieces: (2 + 1) / 5, (1 + 1) / 5.
    model = Bigram(tokens([[0, 1, 0, 1]]), 2)
    after = lambda previous: model.probability(np.full(2, previous), np.arange(2))  # noqa: E731
    assert after(0) == pytest.approx([0.5 / 2 * 3 / 5, (2 - 0.5) / 2 + 0.5 / 2 * 2 / 5])
    assert after(1) == pytest.approx([0.5 + 0.5 * 3 / 5, 0.5 * 2 / 5])
    assert model.bits(tokens([[0]])) == pytest.approx(-math.log2(0.5 + 0.5 * 3 / 5))


@given(texts)
@settings(max_examples=100, deadline=None)
def test_probabilities_sum_to_one(sequences):
    text = tokens(sequences)
    assert Unigram(text.ids, NUM_PIECES).probabilities.sum() == pytest.approx(1)
    model = Bigram(text, NUM_PIECES)
    for previous in range(NUM_PIECES + 1):
        probabilities = model.probability(np.full(NUM_PIECES, previous), np.arange(NUM_PIECES))
        assert probabilities.min() > 0
        assert probabilities.sum() == pytest.approx(1)


@given(texts, texts)
@settings(max_examples=50, deadline=None)
def test_a_text_costs_what_its_tokens_cost(fit, score):
    text, model = tokens(score), Bigram(tokens(fit), NUM_PIECES)
    by_token = model.probability(text.previous(NUM_PIECES), text.ids)
    assert model.bits(text) == pytest.approx(-np.log2(by_token).sum())


def test_letters_by_hand():
    # Order 0 of ACAC: A and C twice, two types spread over four letters: 2.5 / 6 and .5 / 6 for G.
    # Order 1, C after A (twice) with one type: (2 + order 0) / 3; A after C (once): (1 + order 0) / 2.
    zero, one, *_ = letter_bits(Letters("dna", ["ACAC"]), Letters("dna", ["ACA", "G"]))
    p = 2.5 / 6
    assert zero == pytest.approx(-(3 * math.log2(p) + math.log2(0.5 / 6)) / 4)
    assert one == pytest.approx(
        -(math.log2(p) + math.log2((2 + p) / 3) + math.log2((1 + p) / 2) + math.log2(0.5 / 6)) / 4
    )


@given(dna, dna)
@settings(max_examples=50, deadline=None)
def test_every_order_gives_every_text_finite_bits(fit, score):
    bits = letter_bits(Letters("dna", fit), Letters("dna", score))
    assert len(bits) == 9
    assert all(math.isfinite(value) for value in bits) == bool(score)
    if not fit and score:
        assert bits == pytest.approx([2.0] * 9)


def test_orders_end_where_the_table_gets_too_large():
    assert len(letter_bits(Letters("protein", ["MKV"]), Letters("protein", ["MKV"]))) == 5


@given(st.text("ACGT", min_size=1, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_orders_agree_with_counting_one_by_one(context, seed):
    rng = np.random.default_rng(seed)
    fit = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(3)]
    letter = "ACGT"[seed % 4]
    expected = _by_counting(fit, context, letter)
    # The last letter of `context + letter` is all that differs between these two.
    whole = letter_bits(Letters("dna", fit), Letters("dna", [context + letter]))[len(context)] * (len(context) + 1)
    before = letter_bits(Letters("dna", fit), Letters("dna", [context]))[len(context)] * len(context)
    assert 2 ** (before - whole) == pytest.approx(expected)


def _by_counting(fit, context, letter):
    lower = _by_counting(fit, context[1:], letter) if context else 0.25
    places = [(text, i) for text in fit for i in range(len(context), len(text)) if text[:i].endswith(context)]
    followers = [text[i] for text, i in places]
    types = max(len(set(followers)), 1)
    return (followers.count(letter) + types * lower) / (len(followers) + types)
