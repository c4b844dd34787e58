import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import SequenceError, SettingsError
from llama_gene.sequences import kmers
from llama_gene.sequences.alphabet import ALPHABETS, DNA, PROTEIN, reverse_complement
from llama_gene.sequences.kmers import KmerLookup, canonical_kmer_codes, kmer_codes, kmers_of_each


@pytest.mark.parametrize(("k", "alphabet", "limit"), [(0, DNA, 32), (33, DNA, 32), (15, PROTEIN, 14)])
def test_invalid_k_raises(k, alphabet, limit):
    with pytest.raises(SettingsError, match=f"k = {k} .*\\s+take k from 1 to {limit}"):
        kmer_codes("ACGT", k, alphabet)


def test_foreign_letters_raise():
    with pytest.raises(SequenceError, match="ß"):
        kmer_codes("ACßG", 2, DNA)


def test_literal():
    assert kmer_codes("ACGNAA", 2, DNA).tolist() == [1, 6, 0]
    assert kmer_codes("T" * 32, 32, DNA).tolist() == [2**64 - 1]
    assert kmer_codes("Y" * 14, 14, PROTEIN).tolist() == [20**14 - 1]
    assert kmer_codes("ACG", 4, DNA).tolist() == []
    assert kmer_codes("", 1, DNA).dtype == np.uint64


def naive(sequence, k, letters):
    windows = [sequence[start : start + k] for start in range(len(sequence) - k + 1)]
    whole = [window for window in windows if set(window) <= set(letters)]
    return [sum(letters.index(letter) * len(letters) ** (k - 1 - i) for i, letter in enumerate(w)) for w in whole]


@given(st.data(), st.sampled_from(["dna", "protein"]), st.integers(1, 14), st.integers(1, 9))
def test_codes_are_those_of_a_plain_loop(data, kind, k, block):
    alphabet = ALPHABETS[kind]
    sequence = data.draw(st.text(alphabet=alphabet.letters + alphabet.unknown, max_size=40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmers, "_BLOCK", block)
        assert kmer_codes(sequence, k, alphabet).tolist() == naive(sequence, k, alphabet.letters)


@given(st.text(alphabet="ACGTN", max_size=60), st.integers(1, 32))
def test_either_strand_has_the_same_canonical_codes(dna, k):
    codes = canonical_kmer_codes(dna, k)
    assert codes.tolist() == canonical_kmer_codes(reverse_complement(dna), k)[::-1].tolist()
    both = zip(kmer_codes(dna, k, DNA), kmer_codes(reverse_complement(dna), k, DNA)[::-1], strict=True)
    assert codes.tolist() == [min(pair) for pair in both]


@given(st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 5))
def test_kmers_of_each_are_those_of_each(sequences, k):
    owners, codes = kmers_of_each(sequences, k, DNA)
    for number, sequence in enumerate(sequences):
        assert codes[owners == number].tolist() == canonical_kmer_codes(sequence, k).tolist()
    assert sorted(owners) == owners.tolist()


CODES = st.integers(0, 2**64 - 1) | st.integers(0, 20)


@given(st.sets(CODES), st.lists(CODES))
def test_a_lookup_finds_what_is_there(known, asked):
    table, codes = np.array(sorted(known), dtype=np.uint64), np.array(asked, dtype=np.uint64)
    places, ranks = KmerLookup(table).find(codes)
    assert places.tolist() == [place for place, code in enumerate(asked) if code in known]
    assert table[ranks].tolist() == codes[places].tolist()
