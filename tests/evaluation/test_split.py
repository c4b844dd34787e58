import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from llama_gene.cli import app
from llama_gene.config import LeakageSettings
from llama_gene.errors import FormatError, SettingsError, TaskError
from llama_gene.evaluation.leakage import containment, find_leaks
from llama_gene.evaluation.leakage.clusters import cluster_rows
from llama_gene.evaluation.leakage.split import assign
from llama_gene.tasks.task import Example

SMALL = LeakageSettings(dna_k=3, protein_k=2)


def rows(*made):
    return [Example(f"r{i}", (s,) if isinstance(s, str) else tuple(s)) for i, s in enumerate(made)]


def components(num, edges):
    """The least number in the component of each, by going over the edges until nothing changes."""
    found = list(range(num))
    while any(found[a] != found[b] for a, b in edges):
        for a, b in edges:
            found[a] = found[b] = min(found[a], found[b])
    return found


def same_groups(some, others):
    return len(set(zip(some, others, strict=True))) == len(set(some)) == len(set(others))


@given(st.data(), st.lists(st.sampled_from(["dna", "protein"]), min_size=1, max_size=2))
@settings(max_examples=100, deadline=None)
def test_clusters_are_the_components_of_the_rule(data, kinds):
    text = {"dna": st.text("ACN", min_size=1, max_size=10), "protein": st.text("MKWX", min_size=1, max_size=10)}
    made = rows(*data.draw(st.lists(st.tuples(*(text[kind] for kind in kinds)), min_size=1, max_size=10)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containment, "_CHUNK", data.draw(st.integers(1, 40)))
        clusters = cluster_rows(made, kinds, SMALL)
    parts = [(kind, place) for place, kind in enumerate(kinds)]

    def hold(a, b):
        single = [Example("", (one,)) for one in (a[1], b[1])]
        return a[0] == b[0] and bool(find_leaks(single[:1], single[1:], [a[0]], SMALL).leaks)

    nodes = [[(kind, row.sequences[place]) for kind, place in parts] for row in made]
    edges = [
        (i, j)
        for i, mine in enumerate(nodes)
        for j, theirs in enumerate(nodes)
        if any(hold(a, b) for a in mine for b in theirs)
    ]
    assert same_groups(clusters.tolist(), components(len(made), edges))


def test_a_partner_ties_rows_together():
    made = rows(("MKVLAA", "WWFFYY"), ("GGHHII", "WWFFYF"), ("GGHHII", "PPQQRR"), ("CCDDEE", "TTSSNN"))
    assert cluster_rows(made, ["protein", "protein"], SMALL).tolist() == [0, 0, 0, 1]


@given(st.lists(st.integers(0, 30), min_size=40, max_size=200), st.integers(0, 5))
def test_clusters_stay_whole(clusters, seed):
    numbers = np.unique(clusters, return_inverse=True)[1]
    sides = assign(numbers, None, [0.8, 0.1, 0.1], seed)
    assert len(set(zip(numbers.tolist(), sides.tolist(), strict=True))) == numbers.max() + 1
    for side in (1, 2):
        assert (sides == side).sum() <= np.ceil(0.1 * len(clusters))


def test_sizes_and_labels_come_near():
    rng = random.Random(0)
    clusters = np.repeat(np.arange(2000), [rng.choice([1, 1, 1, 2, 5]) for _ in range(2000)])
    labels = [rng.choices("abc", [80, 15, 5])[0] for _ in clusters]
    sides = assign(clusters, labels, [0.8, 0.1, 0.1], seed=1)
    whole = Counter(labels)
    for side, share in enumerate((0.8, 0.1, 0.1)):
        mine = Counter(label for label, one in zip(labels, sides, strict=True) if one == side)
        assert mine.total() == pytest.approx(share * len(labels), abs=2)
        for label in "abc":
            assert mine[label] == pytest.approx(share * whole[label], abs=0.1 * share * whole[label])
    assert (assign(clusters, labels, [0.8, 0.1, 0.1], seed=1) == sides).all()
    assert (assign(clusters, labels, [0.8, 0.1, 0.1], seed=2) != sides).any()


# ---- the command ----


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def families(num=60):
    """Rows in threes: a sequence, nearly the same, and its end; a label of each family."""
    rng = random.Random(5)
    made = []
    for number in range(num):
        text = "".join(rng.choices("ACGT", k=80))
        made += [(one, number % 2) for one in (text, text[:60] + "ACGTACGT", text[20:])]
    rng.shuffle(made)
    return made


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "all.tsv"
    lines = (f'{sequence}\t{label}\t"a ""note""\tin two\nlines"\n' for sequence, label in families())
    path.write_text("sequence\tlabel\tnote\n" + "".join(lines) + "AC?T\t1\t\nACGT\t1\n")
    return path


def test_a_table_becomes_three(table, tmp_path):
    out = tmp_path / "out"
    done = call("split", table, "--kind", "dna", "--output", out, "--dev", "0.2", "--test", "0.1", "--threshold", "0.6")
    assert done.exit_code == 0, done.output
    assert "181 rows, 1 set aside" in done.output
    assert "61 clusters; the largest has 3 rows" in done.output
    assert "leakage of train into dev: 0 of " in done.output
    assert "leakage of train and dev into test: 0 of " in done.output
    texts = {side: (out / f"{side}.tsv").read_text() for side in ("train", "dev", "test")}
    assert all(text.startswith("sequence\tlabel\tnote\n") for text in texts.values())
    # Every row of the table stands in one of them as it was.
    for sequence, label in families():
        row = f'{sequence}\t{label}\t"a ""note""\tin two\nlines"\n'
        assert sum(row in text for text in texts.values()) == 1
    assert texts["dev"].count("\n") - 1 == pytest.approx(2 * 36, abs=6)


def test_lines_of_json_stay_as_they_are(tmp_path):
    path = tmp_path / "all.jsonl"
    lines = [json.dumps({"seq": sequence, "label": label, "n": 1e-05}) for sequence, label in families()]
    path.write_text("\n".join(["", *lines, "broken"]))
    done = call("split", path, "--column", "seq:dna", "--output", tmp_path, "--dev", "0")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "dev.jsonl").exists()
    written = [line for side in ("train", "test") for line in (tmp_path / f"{side}.jsonl").read_text().splitlines()]
    assert sorted(written) == sorted(lines)


def test_what_is_there_stays(table, tmp_path):
    words = ("split", table, "--kind", "dna", "--output", tmp_path)
    (tmp_path / "dev.tsv").write_text("mine")
    done = call(*words)
    assert isinstance(done.exception, SettingsError)
    assert "--force" in str(done.exception)
    assert (tmp_path / "dev.tsv").read_text() == "mine"
    assert not (tmp_path / "train.tsv").exists()
    assert call(*words, "--force").exit_code == 0
    assert (tmp_path / "dev.tsv").read_text() != "mine"


def test_rows_that_all_hang_together(tmp_path):
    path = tmp_path / "all.csv"
    hub = "MKVLAAGWTE"
    lines = [f"{hub},{''.join(random.Random(i).choices('DFHIKN', k=30))},1\n" for i in range(20)]
    path.write_text("a,b,label\n" + "".join(lines))
    done = call("split", path, "--column", "a:protein", "--column", "b:protein", "--output", tmp_path / "out")
    assert isinstance(done.exception, TaskError)
    for text in ("no cluster fits into dev: the largest holds 20 of 20 rows", "one --column alone"):
        assert text in str(done.exception)
    assert not (tmp_path / "out").exists()
    done = call("split", path, "--column", "b:protein", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("shares", [("--dev", "0.9"), ("--dev", "0", "--test", "0"), ("--test", "-1")])
def test_shares_that_leave_nothing(table, tmp_path, shares):
    done = call("split", table, "--kind", "dna", "--output", tmp_path / "out", *shares)
    assert isinstance(done.exception, SettingsError)
    assert not (tmp_path / "out").exists()


def test_no_table(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nACGT\n")
    done = call("split", tmp_path / "a.fa", "--kind", "dna", "--output", tmp_path / "out")
    assert isinstance(done.exception, FormatError)
    assert not (tmp_path / "out").exists()
