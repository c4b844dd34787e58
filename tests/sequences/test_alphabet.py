import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import SequenceError, SettingsError
from llama_gene.sequences.alphabet import ALPHABETS, DNA, PROTEIN, complement, reverse_complement, translate

codes = st.text(alphabet="ACGTRYSWKMBDHVN", max_size=60)


@pytest.mark.parametrize("policy", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACGT--.E5", r"5 letters outside the DNA alphabet: '-' \(2\), '\.' \(1\), 'E' \(1\), '5' \(1\)"),
        ("ACGX", r"1 letter outside the DNA alphabet: 'X' \(1\)"),
        ("ACßGT", r"'ß' \(1\)"),
        ("AC\ud800", r"'\\ud800' \(1\)"),
        ("", "the sequence is empty"),
        (" \n\t", "the sequence is empty"),
    ],
)
def test_refused_dna_says_which_letters_and_the_way_out(text, message, policy):
    with pytest.raises(SequenceError, match=message):
        DNA.clean(text, policy)


def test_refused_protein():
    with pytest.raises(SequenceError, match=r"'\*' \(1\)[^$]*mask"):
        PROTEIN.clean("MK*V*")
    with pytest.raises(SequenceError, match="is this protein"):
        DNA.clean("MKVLE")
    with pytest.raises(SequenceError, match="empty"):
        PROTEIN.clean("*")


def test_nothing_left_after_dropping_and_unknown_policy():
    with pytest.raises(SequenceError, match="no letter of the sequence is left"):
        DNA.clean("--..", "drop")
    with pytest.raises(SettingsError, match="unknown policy 'ignore'"):
        DNA.clean("ACGT", "ignore")


@pytest.mark.parametrize("dna", ["ACGX", "acgt", "AC GT"])
def test_only_canonical_dna_has_a_complement(dna):
    with pytest.raises(SequenceError, match="canonical"):
        complement(dna)


@pytest.mark.parametrize(
    ("alphabet", "text", "expected"),
    [
        (DNA, "acgu\r\n UryN", "ACGTTRYN"),
        (DNA, "AC\u00a0GT\u2003A", "ACGTA"),
        (DNA, "ACGT*", "ACGT*"),
        (PROTEIN, "mku*\n", "MKU"),
        (PROTEIN, "m*k**", "M*K"),
    ],
)
def test_canonical(alphabet, text, expected):
    assert alphabet.canonical(text) == expected


def test_policies():
    assert DNA.clean("ac-g.t5e", "drop") == "ACGT"
    assert DNA.clean("ac-g.t5e", "mask") == "ACNGNTNN"
    assert PROTEIN.clean("mk*-v*", "mask") == "MKXXV"
    assert PROTEIN.clean("MKUOBZJX") == "MKUOBZJX"


def test_a_sequence_longer_than_one_window_is_checked_to_its_end():
    text = "ACGT" * 300_000
    assert DNA.clean(text) is text
    with pytest.raises(SequenceError, match=r"1 letter outside.*'E' \(1\)"):
        DNA.clean(text + "e")


def test_pure_runs_literal():
    assert list(DNA.pure_runs("NNACGNTTNA", 2)) == [(2, "ACG"), (6, "TT")]
    assert list(PROTEIN.pure_runs("MKXUV", 1)) == [(0, "MK"), (4, "V")]
    with pytest.raises(SettingsError):
        list(DNA.pure_runs("ACGT", 0))


def test_strands_and_translation_literal():
    assert complement("ACGTRYSWKMBDHVN") == "TGCAYRSWMKVHDBN"
    assert reverse_complement("AACGR") == "YCGTT"
    assert translate("ATGGCNTGACC") == "MX*"
    assert translate("AT") == ""


def test_there_are_two_alphabets_also_after_pickling():
    assert all(pickle.loads(pickle.dumps(alphabet)) is alphabet for alphabet in ALPHABETS.values())  # noqa: S301


@given(codes)
def test_reverse_complement_is_an_involution(dna):
    assert reverse_complement(reverse_complement(dna)) == dna


@given(codes)
def test_the_complement_of_a_code_means_the_complements(dna):
    meanings = {letter: letter for letter in DNA.letters} | dict(DNA.ambiguity)
    for letter, other in zip(dna, complement(dna), strict=True):
        assert set(meanings[other]) == set(complement(meanings[letter]))


@given(st.text(), st.sampled_from([DNA, PROTEIN]))
def test_canonical_is_idempotent(text, alphabet):
    once = alphabet.canonical(text)
    assert alphabet.canonical(once) == once


@given(
    st.text(alphabet="ACGTNacgtu -.E*ß", max_size=40),
    st.sampled_from([DNA, PROTEIN]),
    st.sampled_from(["drop", "mask"]),
)
def test_cleaned_text_is_clean(text, alphabet, policy):
    try:
        sequence = alphabet.clean(text, policy)
    except SequenceError:
        return
    assert alphabet.clean(sequence, "refuse") == sequence == alphabet.canonical(sequence)


@given(codes, st.integers(1, 5))
def test_pure_runs_are_the_maximal_runs(dna, min_length):
    runs = list(DNA.pure_runs(dna, 1))
    covered = {start + offset for start, run in runs for offset in range(len(run))}
    assert covered == {index for index, letter in enumerate(dna) if letter in DNA.letters}
    for start, run in runs:
        assert dna[start : start + len(run)] == run
        assert start - 1 not in covered
        assert start + len(run) not in covered
    assert list(DNA.pure_runs(dna, min_length)) == [(start, run) for start, run in runs if len(run) >= min_length]
