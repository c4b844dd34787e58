import json
import stat
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.evaluation import baselines
from llama_gene.evaluation.baselines import fit_predict
from llama_gene.evaluation.features import LETTERS, KmerTable
from llama_gene.evaluation.translation import coded_share
from llama_gene.sequences.alphabet import reverse_complement

# A program that takes the words of MMseqs2: each query hits the targets that begin with the same letter, by length.
STAND_IN = r"""
import sys
from pathlib import Path
command, queries, targets, hits, work, *options = sys.argv[1:]
assert command == "easy-search" and "query,target,bits" in options, sys.argv
read = lambda path: [part.split() for part in Path(path).read_text().split(">")[1:]]
if any(sequence == "CRASH" for _, sequence in read(queries)):
    sys.exit("it has crashed")
Path(hits).write_text("".join(
    f"{q}\t{t}\t{len(target)}\n" for q, query in read(queries) for t, target in read(targets) if query[0] == target[0]
))
"""


@pytest.fixture(autouse=True)
def without_mmseqs(monkeypatch):
    """What is installed here does not decide what is tested."""
    monkeypatch.setattr(baselines, "find_mmseqs", lambda: None)


@pytest.fixture
def mmseqs(tmp_path, monkeypatch):
    program = tmp_path / "mmseqs"
    program.write_text(f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(baselines, "find_mmseqs", lambda: str(program))


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
        name: [2, 2, 2] for name in ("majority", "k-mer", "k-mer + position", "nearest")
    }


def test_the_nearest_row_answers_for_labels_and_numbers_too():
    rows, test = [("ACACACGG",), ("GTTGTTGT",), ("ACACACTT",)], [("GTTGTTCC",), ("ACACAC",)]
    assert fit_predict("classification", ["dna"], rows, [1, 0, 1], test)["nearest"].tolist() == [0, 1]
    assert fit_predict("regression", ["dna"], rows, [0.5, 2.0, 0.5], test)["nearest"].tolist() == [2.0, 0.5]


CODING = "ATGAAAGTTCTGGCTGGTTGGACCGAAGATCATTTTTAT"
CODONS = {residue: CODING[3 * place :][:3] for place, residue in enumerate("MKVLAGWTEDHFY")}


def gene(protein, intron=""):
    half = len(protein) // 2 * 3
    coding = "".join(CODONS[residue] for residue in protein)
    return "CC" + coding[:half] + intron + coding[half:] + "TAACCCC"


def test_coded_share_literally():
    protein = "MKVLAGWTEDHF"
    assert coded_share(gene(protein), protein) == 1
    assert coded_share(reverse_complement(gene(protein)), protein) == 1
    # The intron parts four of the eight 5-mers.
    assert coded_share(gene(protein, intron="GTAAGTCCCCCAG"), protein) == 0.5
    assert coded_share(gene(protein), "WWWWWWW") == 0
    assert coded_share(gene(protein), "MKVL") == 0


@given(st.text("MKVLAGWTEDHFY", min_size=5, max_size=30), st.text("ACGT", max_size=20), st.text("ACGT", max_size=20))
@settings(max_examples=50, deadline=None)
def test_what_is_coded_anywhere_is_found_on_either_strand(protein, before, after):
    dna = before + gene(protein) + after
    assert coded_share(dna, protein) == coded_share(reverse_complement(dna), protein) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_the_translation_rule_tells_genes_from_others(order):
    generator = np.random.default_rng(4)
    proteins = ["".join(generator.choice(list(CODONS), size=30)) for _ in range(40)]
    labels = np.arange(40) % 3 == 0
    rows = [
        (gene(protein, "GTAAGTACCAG"), protein if label else proteins[number - 1])[::order]
        for number, (protein, label) in enumerate(zip(proteins, labels, strict=True))
    ]
    kinds = ["dna", "protein"][::order]
    found = fit_predict("classification", kinds, rows[:25], labels[:25], rows[25:])
    assert (found["translation"] == labels[25:]).all()
    assert "translation" not in fit_predict("classification", ["dna"], [("ACG",)], [0], [("ACG",)])


def test_the_best_alignment_answers(mmseqs):
    rows, test = [("MK",), ("WW",), ("MKVL",), ("MWFY",)], [("MA",), ("WA",), ("GG",)]
    found = fit_predict("classification", ["protein"], rows, [1, 2, 3, 1], test)
    # Of the two longest the first; and what has no hit gets the most frequent answer.
    assert found["MMseqs2"].tolist() == [3, 2, 1]
    pairs, labels = [("MKK", "WA"), ("MK", "GAAA"), ("MKK", "GA")], ["a", "b", "c"]
    # Bits of both partners are added: 3 + 0, 2 + 4, 3 + 2.
    found = fit_predict("text", ["protein", "protein"], pairs, labels, [("MKK", "GG")])
    assert found["MMseqs2"].tolist() == ["b"]
    with pytest.raises(LlamaGeneError, match="MMseqs2 failed: it has crashed"):
        fit_predict("classification", ["protein"], rows, [1, 2, 3, 1], [("CRASH",)])


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("classification", [0, 1, 1]),
        ("regression", [0.1, 1 / 3, 2e-9]),
        ("multilabel", [[True, False], [False, False], [True, True]]),
        ("text", ["ä kinase", "a ligase", "a ligase"]),
    ],
)
def test_the_cache_says_the_same(kind, targets, tmp_path, monkeypatch):
    rows, test = [("ACACACGG",), ("GTTGTTGT",), ("ACAGACTT",)], [("GTTGTTCC",), ("ACACAC",)]
    plain = fit_predict(kind, ["dna"], rows, targets, test)
    first = fit_predict(kind, ["dna"], rows, targets, test, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(baselines, "_fit_predict", None)  # nothing is made again
    again = fit_predict(kind, ["dna"], rows, targets, test, cache=tmp_path)
    for found in (first, again):
        assert list(found) == list(plain)
        for name, guess in found.items():
            assert guess.tolist() == plain[name].tolist()
            assert guess.dtype.kind == plain[name].dtype.kind
    assert json.loads(file.read_text()).keys() == {*plain, "of", "seal"}
    other = file.with_name(f"baselines-{'0' * 32}.json")
    other.write_text(file.read_text())
    monkeypatch.setattr(baselines, "hash_value", lambda _: "0" * 32)
    with pytest.raises(FormatError, match="the answers to other rows"):
        fit_predict(kind, ["dna"], rows, targets, test, cache=tmp_path)


@pytest.mark.parametrize("change", ["train", "targets", "test", "mmseqs"])
def test_the_cache_is_of_these_very_rows(change, tmp_path, request):
    values = {"train": [("ACAC",), ("GTTG",)], "targets": [0, 1], "test": [("GTTG",)]}
    fit_predict("classification", ["dna"], *values.values(), cache=tmp_path / "cache")
    other = {"train": [("GTTG",), ("ACAC",)], "targets": [1, 0], "test": [("GTTA",)]}
    if change == "mmseqs":
        request.getfixturevalue("mmseqs")
    else:
        values[change] = other[change]
    fit_predict("classification", ["dna"], *values.values(), cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


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
