from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.files import hash_file
from llama_gene.sequences.alphabet import DNA, PROTEIN, reverse_complement, translate
from llama_gene.sequences.read import read_records
from llama_gene.simulate import simulate
from llama_gene.simulate.dna import Promoter, PromoterStrength, Splice
from llama_gene.simulate.english import documents
from llama_gene.simulate.genome import genes
from llama_gene.simulate.motif import BASES, decode, draw, encode, site
from llama_gene.simulate.protein import CentralDogma, SignalPeptide, gene_of
from llama_gene.simulate.write import SIMULATIONS, spearman
from llama_gene.tasks.convert import find_split, read_examples
from llama_gene.tasks.registry import builtin_names, load_task

SMALL = {"num_train": 40, "num_dev": 20, "num_test": 20, "num_genes": 8, "num_documents": 30}
CLASSES = [Promoter(), Splice(), SignalPeptide()]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate(folder, seed=1, **SMALL)
    return folder


def hashes(folder):
    return {path.relative_to(folder): hash_file(path) for path in folder.rglob("*") if path.is_file()}


def test_bad_arguments_raise(tmp_path):
    with pytest.raises(SettingsError, match="num_dev is 0"):
        simulate(tmp_path / "x", num_dev=0)
    with pytest.raises(SettingsError, match="seed is -1"):
        simulate(tmp_path / "x", seed=-1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_someone_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(LlamaGeneError, match="something else here"):
        simulate(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_seed_decides_every_byte(root, tmp_path):
    first = hashes(root)
    simulate(tmp_path / "again", seed=1, **SMALL)
    assert hashes(tmp_path / "again") == first
    # In place, over a folder of ours; other sizes leave the other files alone, another seed does not.
    simulate(tmp_path / "again", seed=1, **{**SMALL, "num_train": 50})
    changed = {path for path, value in hashes(tmp_path / "again").items() if value != first[path]}
    assert {path.name for path in changed} == {"train.csv", "simulated.json"}
    simulate(tmp_path / "again", seed=2, **SMALL)
    same = {path for path, value in hashes(tmp_path / "again").items() if value == first[path]}
    assert {path.name for path in same} <= {"task.toml"}


@pytest.mark.parametrize("simulation", SIMULATIONS, ids=lambda simulation: simulation.name)
def test_the_tasks_can_be_loaded_and_read(root, simulation):
    task = load_task(root / "tasks" / simulation.name / "task.toml")
    assert task.name == simulation.name
    assert task.best_possible_metric == task.metric
    for split, num in (("train", 40), ("dev", 20), ("test", 20)):
        rows = list(read_examples(task, find_split(task, root, split)))
        assert len(rows) == num
        assert len({row.answer for row in rows}) > 1


def test_questions_differ_from_the_built_in_ones():
    questions = [simulation.question for simulation in SIMULATIONS]
    built_in = [load_task(name).question for name in builtin_names()]
    assert len({*questions, *built_in}) == len(questions) + len(built_in)


def test_the_corpus(root):
    chromosomes = list(read_records(root / "corpus" / "dna" / "genome.fa", "dna"))
    proteins = list(read_records(root / "corpus" / "protein" / "proteins.fa", "protein"))
    assert len(chromosomes) == 3
    assert len(proteins) == 8
    both = [text for record in chromosomes for text in (record.sequence, reverse_complement(record.sequence))]
    frames = [translate(text[frame:]) for text in both for frame in range(3)]
    short = [record.sequence for record in proteins if len(record.sequence) <= 30]
    # A gene without introns stands in the genome as it is.
    assert short
    assert all(any(f"{protein}*" in frame for frame in frames) for protein in short)
    assert len((root / "corpus" / "english" / "biology.txt").read_text().splitlines()) == 30


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: type(model).__name__)
def test_the_posterior_is_right_as_often_as_it_says(model):
    num = 4000
    sequences, labels = model.draw(np.random.default_rng(5), num)
    posterior = model.posterior(sequences)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    best = posterior.max(axis=1)
    accuracy = (posterior.argmax(axis=1) == labels).mean()
    assert 0.9 < best.mean() < 0.98
    assert abs(accuracy - best.mean()) < 4 * sqrt(0.25 * 0.4 / num)
    # Calibrated in the doubtful rows too, where a mistake in the likelihood would show.
    doubtful = (posterior[:, 1] > 0.2) & (posterior[:, 1] < 0.8)
    error = posterior[doubtful, 1].mean() - (labels[doubtful] == 1).mean()
    assert abs(error) < 4 * 0.5 / sqrt(doubtful.sum())


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: type(model).__name__)
def test_the_written_best_score_is_that_of_a_large_sample(root, model):
    simulation = next(one for one in SIMULATIONS if type(one.model) is type(model))
    sequences, labels = model.draw(np.random.default_rng(9), 20_000)
    written = load_task(root / "tasks" / simulation.name / "task.toml").best_possible
    assert written == pytest.approx(simulation.score(sequences, labels), abs=0.01)


def test_base_counts_do_not_tell_promoters():
    sequences, labels = Promoter().draw(np.random.default_rng(0), 20_000)
    codes = encode([row[0] for row in sequences], BASES)
    counts = [
        np.bincount(codes[labels == label].ravel(), minlength=4) / codes[labels == label].size for label in (0, 1)
    ]
    np.testing.assert_allclose(counts[0], counts[1], atol=0.003)


def test_splice_sites_keep_the_rule():
    model = Splice()
    sequences, labels = model.draw(np.random.default_rng(0), 600)
    centres = Counter(
        (model.names[label], row[0][28:30] == "AG", row[0][30:32] == "GT")
        for row, label in zip(sequences, labels, strict=True)
    )
    assert not any(name == "acceptor" and not ag for name, ag, _ in centres)
    assert not any(name == "donor" and not gt for name, _, gt in centres)
    assert not any(name == "neither" and not ag and not gt for name, ag, gt in centres)


def test_strength_is_what_its_elements_add_up_to():
    model = PromoterStrength()
    sequences, values = model.draw(np.random.default_rng(3), 20_000)
    expected = model.expected(sequences)
    assert values.mean() == pytest.approx(4.5, abs=0.1)
    assert (values - expected).std() == pytest.approx(0.7, abs=0.02)
    assert spearman(expected, values) == pytest.approx(0.944, abs=0.01)


def test_genes_and_their_proteins():
    model = CentralDogma()
    rows, labels = model.draw(np.random.default_rng(0), 300)
    assert (model.posterior(rows).argmax(axis=1) == labels).all()
    assert {15 <= len(protein) <= 30 for _, protein in rows} == {True}
    composition = sum(sorted(a) == sorted(b) for a, b in zip(*_own_and_other(model), strict=True))
    assert 20 < composition < 80  # about a quarter of the others is the own protein shuffled


def _own_and_other(model):
    rng = np.random.default_rng(1)
    own = [model._protein(rng) for _ in range(200)]
    return own, [model._other(rng, protein) for protein in own]


@settings(max_examples=30, deadline=None)
@given(st.text(PROTEIN.letters, min_size=1, max_size=40), st.integers(0, 1000))
def test_a_gene_codes_for_its_protein(protein, seed):
    assert translate(gene_of(np.random.default_rng(seed), protein)) == protein + "*"


def test_long_genes_have_introns_by_the_rule():
    for gene in genes(np.random.default_rng(0), 20):
        assert DNA.clean(gene.dna) == gene.dna
        frames = [translate(gene.dna[frame:]) for frame in range(3)]
        assert any(f"{gene.protein}*" in frame for frame in frames) == (len(gene.protein) < 40)


@given(st.text(BASES, min_size=1))
def test_codes_and_letters(sequence):
    assert decode(encode([sequence], BASES), BASES) == [sequence]


def test_drawing_follows_the_matrix():
    matrix = site("AYN", [1.0, 0.8, 0.0])
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    codes = draw(np.random.default_rng(0), matrix, 20_000)
    for position, row in enumerate(matrix):
        np.testing.assert_allclose(np.bincount(codes[:, position], minlength=4) / 20_000, row, atol=0.015)


def test_documents_vary():
    lines = documents(np.random.default_rng(0), 500)
    assert len(set(lines)) > 450
    assert not any("{" in line or "\n" in line for line in lines)
    assert all(line[0].isupper() and line.endswith(".") for line in lines)
