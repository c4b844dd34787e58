import math
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import TaskError
from llama_gene.tasks.convert import find_split, read_examples
from llama_gene.tasks.registry import builtin_names, load_task, save_task

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("LLAMA_GENE_DATA", ROOT.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (DATA / "tasks").is_dir(), reason=f"no real data at {DATA}; set LLAMA_GENE_DATA to the folder that holds tasks/"
)

DEFINITION = """
name = "tata"
kind = "classification"
row = "classification DNA"
title = "TATA box"
question = "Is there a TATA box?"
layout = "table"
data = "."
metric = "mcc"
inputs = [{ role = "sequence", kind = "dna", column = "dna" }]
labels = { 0 = "no", 1 = "yes" }
"""


def write(folder, text):
    path = folder / "tata.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("metric", "metirc"), "tata.toml: 'metric' is missing; unknown key 'metirc'\n  did you mean 'metric'?"),
        (('column = "dna"', 'colunm = "dna"'), "unknown key 'inputs.0.colunm'\n  did you mean 'column'?"),
        (('"mcc"', '"f1"'), "tata.toml: metric: Input should be 'mcc', 'accuracy'"),
        (('1 = "yes"', '1 = "no"'), "tata.toml: labels: '0' and '1' have the same name 'no'"),
        (('"classification"', '"regression"'), "tata.toml: labels has no meaning for regression"),
        (('"tata"', "tata"), "tata.toml: not valid TOML: .*line 2"),
    ],
)
def test_a_broken_file_is_named_with_its_key(tmp_path, change, message):
    with pytest.raises(TaskError, match=message) as caught:
        load_task(write(tmp_path, DEFINITION.replace(*change)))
    assert len(str(caught.value).splitlines()) <= 2


def test_unknown_names_get_the_nearest():
    with pytest.raises(TaskError, match=r"no task 'splice_reconstructd'\n  did you mean splice_reconstructed"):
        load_task("splice_reconstructd")
    with pytest.raises(TaskError, match="built-in tasks: EMP_H3, "):
        load_task("qqqq")
    with pytest.raises(TaskError, match=r"missing\.toml: no such task file"):
        load_task("folder/missing.toml")


def test_a_file_of_ones_own_finds_the_tables_beside_it(tmp_path):
    task = load_task(write(tmp_path, DEFINITION))
    assert task.data == str(tmp_path.resolve())
    (tmp_path / "dev.tsv").write_text("dna\tlabel\nacgu\t1\n")
    path = find_split(task, "nowhere", "dev")
    assert path == tmp_path.resolve() / "dev.tsv"
    assert [(row.sequences, row.answer) for row in read_examples(task, path)] == [(("ACGT",), "yes")]


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_definitions_round_trip(tmp_path, name):
    task = load_task(name)
    assert task.name == name
    save_task(task, tmp_path / "copy.toml")
    assert load_task(tmp_path / "copy.toml") == task
    save_task(load_task(tmp_path / "copy.toml"), tmp_path / "again.toml")
    assert (tmp_path / "again.toml").read_bytes() == (tmp_path / "copy.toml").read_bytes()


@settings(max_examples=50)
@given(
    title=st.from_regex(r"\S([^\r\n]*\S)?", fullmatch=True).filter(lambda text: text.isprintable() or "\x7f" in text),
    labels=st.dictionaries(st.text(max_size=5), st.sampled_from(["a", "b c", 'd"', "é\\", "\x7f"]), min_size=1),
    best=st.floats(0, 1),
)
def test_any_definition_round_trips(tmp_path_factory, title, labels, best):
    labels = {cell: f"{name}{place}" for place, (cell, name) in enumerate({**labels, "x": "y"}.items())}
    base = load_task("prom_core_all")
    if len(labels) < 2:
        labels["z"] = "z"
    values = {**base.model_dump(), "title": title, "labels": labels}
    task = type(base)(**values).model_copy(update={"best_possible": best, "best_possible_metric": "mcc"})
    path = tmp_path_factory.mktemp("tasks") / "t.toml"
    save_task(task, path)
    loaded = load_task(path)
    assert loaded == task
    assert list(loaded.labels.items()) == list(labels.items())


def test_questions_tell_the_tasks_apart():
    tasks = [load_task(name) for name in builtin_names()]
    assert len(tasks) == 33
    assert len({task.question for task in tasks}) == len(tasks)
    assert max(len(task.question.split()) for task in tasks) <= 7
    # All of the paper's rows are there.
    assert len({task.row for task in tasks}) == 11


def test_scoring_every_number_stays_cheap():
    numbers = [len(load_task(name).candidates) for name in builtin_names() if load_task(name).kind == "regression"]
    assert sorted(numbers) == [11, 36, 65]


@needs_data
def test_every_folder_has_a_task():
    folders = {path.parent.relative_to(DATA / "tasks").as_posix() for path in (DATA / "tasks").rglob("dev.csv.xz")}
    assert folders == {load_task(name).data for name in builtin_names()}


@needs_data
@pytest.mark.parametrize("name", builtin_names())
def test_real_rows_are_read(name):
    task = load_task(name)
    rows = list(islice(read_examples(task, find_split(task, DATA, "dev")), 40))
    assert len(rows) == 40
    for row in rows:
        assert len(row.sequences) == len(task.inputs)
        if task.candidates:
            assert row.answer in task.candidates
        assert (row.value is not None and math.isfinite(row.value)) == (task.kind == "regression")


@needs_data
def test_splice_labels_mean_what_the_letters_say():
    task = load_task("splice_reconstructed")
    rows = list(read_examples(task, find_split(task, DATA, "dev")))
    acceptors = [row.sequences[0][198:200] for row in rows if row.answer == "acceptor"]
    donors = [row.sequences[0][200:202] for row in rows if row.answer == "donor"]
    neither = [row.sequences[0][198:202] for row in rows if row.answer == "neither"]
    assert set(acceptors) == {"AG"}
    assert donors.count("GT") / len(donors) > 0.97
    assert sum(letters.startswith("AG") or letters.endswith("GT") for letters in neither) / len(neither) < 0.6
