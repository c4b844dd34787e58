import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.evaluation.baselines import fit_predict
from llama_gene.evaluation.features import LETTERS, KmerTable


def random_dna(generator, length):
    return "".join(generator.choice(list("ACGT"), size=length))


def test_counts_literally():
    counts = KmerTable(["ACAC", "NAN", "AC"], "dna", max_k=2).counts().toarray().astype(int)
    assert counts.shape == (3, 4 + 16)
    assert counts[:, :4].tolist() == [[2, 2, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    # 2-mers: AA AC AG AT CA ...
    assert counts[:, 4:9].tolist() == [[0, 2, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]


def test_places_literally():
    table = KmerTable(["AC", "GGT"], "dna", max_k=1)
    assert table.at_places(2, 1).toarray().astype(int).tolist() == [[1, 0, 0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0, 1, 0]]
    from_end = table.at_places(1, 1, from_end=True).toarray().astype(int)
    assert from_end.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert table.in_bins(2, 1).toarray().astype(int)[1].tolist() == [0, 0, 2, 0, 0, 0, 0, 1]


@given(st.lists(st.text("ACGTN", min_size=1, max_size=12), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_counts_equal_a_plain_count(sequences):
    counts = KmerTable(sequences, "dna", max_k=3).counts().toarray()
    for sequence, row in zip(sequences, counts, strict=True):
        expected = np.zeros(4 + 16 + 64)
        for k, start in ((1, 0), (2, 4), (3, 20)):
            for i in range(len(sequence) - k + 1):
                if "N" not in sequence[i : i + k]:
                    number = sum(LETTERS["dna"].index(c) * 4 ** (k - 1 - j) for j, c in enumerate(sequence[i : i + k]))
                    expected[start + number] += 1
        assert row.tolist() == expected.tolist()


def test_composition_needs_k_mers_and_a_place_needs_positions():
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 2
    composed = [
        ("".join(generator.choice(list("ACGT"), size=40, p=[0.2, 0.3, 0.3, 0.2] if y else None)),) for y in labels
    ]
    found = fit_predict("classification", ["dna"], composed[:300], labels[:300], composed[300:])
    assert (found["majority"] == 0).all()
    assert (found["k-mer"] == labels[300:]).mean() > 0.6
    # The same letters in all rows; only where the pair stands tells them apart.
    placed = [("A" * 10 + ("GC" if y else "AA") + "A" * 10 + ("AA" if y else "GC") + "A" * 10,) for y in labels]
    found = fit_predict("classification", ["dna"], placed[:300], labels[:300], placed[300:])
    assert (found["k-mer"] == labels[300:]).mean() < 0.7
    assert (found["k-mer + position"] == labels[300:]).all()


def test_two_inputs_of_different_kinds_and_lengths():
    rows = [("ACGT" * (1 + i % 3), "MK" if i % 2 else "WWF") for i in range(40)]
    labels = np.arange(40) % 2
    found = fit_predict("classification", ["dna", "protein"], rows, labels, rows)
    assert (found["k-mer"] == labels).all()
    assert (found["k-mer + position"] == labels).all()


def test_regression():
    generator = np.random.default_rng(1)
    rows = [(random_dna(generator, 60),) for _ in range(300)]
    values = np.array([row[0].count("G") / 60 for row in rows])
    found = fit_predict("regression", ["dna"], rows[:250], values[:250], rows[250:])
    assert found["mean"].tolist() == [values[:250].mean()] * 50
    for name in ("k-mer", "k-mer + position"):
        assert np.corrcoef(found[name], values[250:])[0, 1] > 0.9


def test_one_class_only():
    found = fit_predict("classification", ["dna"], [("ACG",), ("CCG",)], [2, 2], [("TTT",)] * 3)
    assert {name: guess.tolist() for name, guess in found.items()} == {
        "majority": [2, 2, 2],
        "k-mer": [2, 2, 2],
        "k-mer + position": [2, 2, 2],
    }


def test_text_and_multilabel_take_the_nearest_row():
    rows = [("MKVLAAG",), ("WWFFYYW",), ("MKVLAAC",)]
    texts = ["a kinase", "a ligase", "a kinase"]
    found = fit_predict("text", ["protein"], rows, texts, [("WFFYY",), ("KVLAA",)])
    assert found["majority"].tolist() == ["a kinase", "a kinase"]
    assert found["nearest"].tolist() == ["a ligase", "a kinase"]
    sets = np.array([[True, False], [False, True], [True, False]])
    found = fit_predict("multilabel", ["protein"], rows, sets, [("WFFYY",)])
    assert found["majority"].tolist() == [[True, False]]
    assert found["nearest"].tolist() == [[False, True]]


def test_odd_rows_do_not_break_it():
    # Shorter than every k, other letters only, and longer than any training row.
    test = [("A",), ("NNNN",), ("ACGT" * 50,)]
    found = fit_predict("classification", ["dna"], [("ACGTAC",), ("GGGTTT",)] * 3, [0, 1] * 3, test)
    assert all(len(guess) == 3 for guess in found.values())
    assert fit_predict("classification", ["dna"], [("A",)], [0], [])["majority"].tolist() == []


def test_says_the_same_twice():
    generator = np.random.default_rng(2)
    rows = [(random_dna(generator, int(generator.integers(20, 40))),) for _ in range(60)]
    labels = generator.integers(3, size=60)
    first, second = (fit_predict("classification", ["dna"], rows, labels, rows) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize(
    ("train", "targets", "test"), [([], [], []), ([("A",)], [0, 1], []), ([("A",)], [0], [("A", "C")])]
)
def test_refuses(train, targets, test):
    with pytest.raises(ValueError):
        fit_predict("classification", ["dna"], train, targets, test)
