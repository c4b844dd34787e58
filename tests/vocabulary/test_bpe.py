"""The native core against Hugging Face `tokenizers`: the same merges, ties included, and the same ids."""

import json
import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers

from llama_gene.errors import SequenceError, TokenizerError
from llama_gene.sequences.alphabet import ALPHABETS, Kind, reverse_complement
from llama_gene.sequences.read import read_records
from llama_gene.vocabulary.bpe import PieceEncoder, PieceLearner
from llama_gene.vocabulary.normalizer import LETTERS

from .conftest import simulate

Pairs = list[tuple[str, str]]


def learn(sequences: list[str], kind: Kind, num_merges: int, *, num_threads: int = 1, min_count: int = 2) -> Pairs:
    learner = PieceLearner(kind, num_threads=num_threads)
    for sequence in sequences:
        learner.add(sequence)
    return learner.learn(num_merges, min_count=min_count)


def oracle_merges(sequences: list[str], kind: Kind, num_merges: int, *, min_count: int = 2) -> Pairs:
    letters = ALPHABETS[kind].letters
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + num_merges,
        initial_alphabet=list(letters),
        min_frequency=min_count,
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(sequences, trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def oracle_ids(merges: Pairs, sequences: list[str]) -> list[list[int]]:
    pieces = [*LETTERS, *(left + right for left, right in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=merges))
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(sequences, add_special_tokens=False)]


def encode(merges: Pairs, sequences: list[str], kind: Kind = "dna", num_threads: int = 2) -> list[list[int]]:
    return [ids.tolist() for ids in PieceEncoder(kind, merges).encode_batch(sequences, num_threads=num_threads)]


_BASES = st.text("ACGT", min_size=1, max_size=60)
_REPEATS = st.builds(lambda motif, times: motif * times, st.text("ACGT", min_size=1, max_size=7), st.integers(1, 60))
_PALINDROMES = _BASES.map(lambda half: half + reverse_complement(half))
_MIRRORS = _BASES.map(lambda half: half + half[::-1])
_STRESS = st.one_of(
    st.lists(_BASES, min_size=1, max_size=8),
    st.lists(_REPEATS, min_size=1, max_size=4),
    st.lists(st.one_of(_PALINDROMES, _MIRRORS), min_size=1, max_size=5),
    st.lists(st.text("ACGT", min_size=1, max_size=3), min_size=1, max_size=80),  # many tiny records
    st.text("AC", min_size=100, max_size=600).map(lambda record: [record]),  # one record
    st.integers(1, 700).map(lambda length: ["A" * length]),
)


@settings(max_examples=250, deadline=None)
@given(
    sequences=_STRESS,
    num_merges=st.sampled_from([1, 3, 20, 300]),
    min_count=st.integers(1, 3),
    num_threads=st.integers(1, 3),
)
@example(["A" * 1000], 300, 1, 2)
@example(["ACGT" * 300, "CGTA" * 300], 300, 1, 2)
def test_merges_and_ids_are_those_of_tokenizers(
    sequences: list[str], num_merges: int, min_count: int, num_threads: int
) -> None:
    merges = learn(sequences, "dna", num_merges, min_count=min_count, num_threads=num_threads)
    assert merges == oracle_merges(sequences, "dna", num_merges, min_count=min_count)
    assert encode(merges, sequences, num_threads=num_threads) == oracle_ids(merges, sequences)


@pytest.mark.parametrize("kind", ["dna", "protein"])
def test_both_phases_of_the_learner_are_crossed(kind: Kind) -> None:
    sequences = simulate(kind, 60, 700)
    merges = learn(sequences, kind, 3000)
    assert len(merges) > 600
    assert merges == oracle_merges(sequences, kind, 3000)
    assert learn(sequences, kind, 3000, num_threads=3) == merges
    assert encode(merges, sequences, kind) == oracle_ids(merges, sequences)


@settings(max_examples=60, deadline=None)
@given(sequences=_STRESS, text=st.text("ACGTNRXZ", max_size=200))
def test_any_prefix_encodes_any_text(sequences: list[str], text: str) -> None:
    merges = learn(sequences, "dna", 40, min_count=1)
    for size in {0, len(merges) // 2, len(merges)}:
        assert encode(merges[:size], [text]) == oracle_ids(merges[:size], [text])


@settings(max_examples=60, deadline=None)
@given(sequences=_STRESS)
def test_every_learned_piece_encodes_to_itself(sequences: list[str]) -> None:
    merges = learn(sequences, "dna", 400, min_count=1)
    pieces = [left + right for left, right in merges]
    assert encode(merges, pieces) == [[len(LETTERS) + place] for place in range(len(pieces))]


@settings(max_examples=120, deadline=None)
@given(sequences=_STRESS, num_merges=st.integers(1, 300))
@example(["A" * 500 + "T" * 3], 30)
def test_pieces_in_twos_are_closed_under_reverse_complement(sequences: list[str], num_merges: int) -> None:
    learner = PieceLearner("dna", both_strands=True)
    for sequence in sequences:
        learner.add(sequence)
    merges = learner.learn(num_merges, min_count=1)
    assert len(merges) <= num_merges
    pieces = {left + right for left, right in merges}
    assert {reverse_complement(piece) for piece in pieces} == pieces
    both = [*sequences, *map(reverse_complement, sequences)]
    assert encode(merges, both) == oracle_ids(merges, both)


def test_one_merge_of_a_two_is_not_learned() -> None:
    learner = PieceLearner("dna", both_strands=True)
    learner.add("AAAAAAAA")
    assert learner.learn(1) == []


def test_protein_has_one_strand() -> None:
    with pytest.raises(TokenizerError, match="protein has one strand"):
        PieceLearner("protein", both_strands=True)


def test_a_long_record_is_encoded_in_parts_to_the_same_ids() -> None:
    # Over 256 KB a record is cut into parts; one with a short period gives them no place to meet.
    sequences = ["".join(simulate("dna", 40, 20_000)), "ACG" * 300_000, "A" * 700_001, "ACGTTGCAAC" * 70_000]
    merges = learn([sequences[0][:200_000], "ACG" * 500, "A" * 900, "ACGTTGCAAC" * 90], "dna", 1500)
    assert encode(merges, sequences) == oracle_ids(merges, sequences)
    # White space is skipped, whatever part it is in.
    wrapped = "\n".join(sequences[0][at : at + 70] for at in range(0, len(sequences[0]), 70))
    assert encode(merges, [wrapped]) == encode(merges, sequences[:1])


def test_groups_of_sequences_keep_their_order() -> None:
    sequences = [sequence[: 7 * place % 300] for place, sequence in enumerate(simulate("dna", 900, 300))]
    merges = learn(sequences, "dna", 100)
    assert encode(merges, sequences, num_threads=3) == oracle_ids(merges, sequences)
    assert encode(merges, ["", " \n", "A"]) == [[], [], [0]]
    assert encode(merges, []) == []


def test_ids_are_shifted_and_letters_without_merges_stay() -> None:
    encoder = PieceEncoder("protein", [("M", "K")], first_id=1000)
    assert encoder.encode("mk*"[:2] + "UX").tolist() == [1026, 1020, 1023]
    assert PieceEncoder("dna", []).encode("acgu").tolist() == [0, 2, 6, 19]


@pytest.mark.parametrize("sequence", ["AC-GT", "ACGé", "AC\x00", "AC\u2028G1"])
def test_what_is_no_letter_is_refused_by_its_place(sequence: str) -> None:
    with pytest.raises(SequenceError, match="is not a letter"):
        PieceEncoder("dna", []).encode_batch(["ACGT", sequence])


def test_unicode_white_space_is_skipped() -> None:
    assert PieceEncoder("dna", []).encode("A\u2028C\u3000").tolist() == [0, 2]


def test_non_ascii_ends_a_run() -> None:
    assert learn(["ACé", "ACACé", "GTN", "GT"], "dna", 9) == [("A", "C"), ("G", "T")]


def test_too_many_pieces_are_refused() -> None:
    letters = [(a, b) for a in LETTERS for b in LETTERS]
    merges = letters + [(a + b, c) for a, b in letters for c in LETTERS] * 4
    with pytest.raises(TokenizerError, match="exists already"):
        PieceEncoder("protein", merges)


def test_learning_is_interrupted_by_ctrl_c() -> None:
    learner = PieceLearner("dna")
    for sequence in simulate("dna", 400, 20_000):
        learner.add(sequence)
    # From another thread, so that it is the learner that has to look for it.
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        learner.learn(60_000)


def test_progress_never_falls() -> None:
    learner = PieceLearner("dna", num_threads=1)
    for sequence in simulate("dna", 200, 20_000):
        learner.add(sequence)
    seen: list[int] = []
    learner.learn(5000, progress=seen.append)
    assert all(before <= after for before, after in pairwise(seen))


def _windows(path: Path, kind: Kind, length: int) -> list[str]:
    return [
        record.sequence[start : start + length]
        for record in read_records(path, kind)
        for start in range(0, len(record.sequence), length)
    ]


@pytest.mark.parametrize("kind", ["dna", "protein"])
def test_real_merges_are_those_of_tokenizers(kind: Kind, shared_data: Path) -> None:
    names = {"dna": "dna/s_cerevisiae_chrI.fa.xz", "protein": "protein/swissprot_sample.fa.xz"}
    sequences = [
        run
        for window in _windows(shared_data / "corpus" / names[kind], kind, 512)[:1500]
        for _, run in ALPHABETS[kind].pure_runs(window)
    ]
    merges = learn(sequences, kind, 4000, num_threads=2)
    assert merges == oracle_merges(sequences, kind, 4000)
    assert encode(merges, sequences, kind) == oracle_ids(merges, sequences)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dna", "protein"])
def test_megabytes_of_real_merges_are_those_of_tokenizers(kind: Kind, shared_data: Path) -> None:
    """30,000 pieces of 25 MB of human and mouse DNA, and of all protein; minutes, nearly all of them the oracle's."""
    names = {
        "dna": ["dna/human_hg38_chr1_windows.fa.xz", "dna/mouse_mm10_windows.fa.xz"],
        "protein": ["protein/swissprot_sample.fa.xz", "protein/uniref90_enzymes_sample.fa.xz"],
    }
    sequences = [
        run
        for name in names[kind]
        for window in _windows(shared_data / "corpus" / name, kind, 4096)
        for _, run in ALPHABETS[kind].pure_runs(window)
    ]
    merges = learn(sequences, kind, 30_000, num_threads=2)
    assert len(merges) == 30_000
    assert merges == oracle_merges(sequences, kind, 30_000)
    some = sequences[::10]
    assert encode(merges, some, kind) == oracle_ids(merges, some)


@pytest.mark.slow
def test_a_whole_chromosome_as_one_record_has_the_ids_of_tokenizers(shared_data: Path) -> None:
    """tokenizers#1313: without white space all of a sequence is one word, in which a plain BPE loses itself."""
    (record,) = read_records(shared_data / "corpus" / "dna" / "ecoli_k12_mg1655.fa.xz", "dna")
    merges = learn([record.sequence], "dna", 30_000, num_threads=2)
    assert encode(merges, [record.sequence]) == oracle_ids(merges, [record.sequence])
