import math
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError, TaskError
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
    with pytest.raises(TaskError, match="built-in tasks: CentralDogma, EMP_H3, "):
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
    assert len(tasks) == 56
    assert len({task.question for task in tasks}) == len(tasks)
    assert max(len(task.question.split()) for task in tasks) <= 7
    # All of the paper's rows are there.
    assert len({task.row for task in tasks}) == 11


GUE = {
    "EMP": "H3 H3K14ac H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K79me3 H3K9ac H4 H4ac",
    "mouse": "0 1 2 3 4",
    "prom": "prom_300_all prom_300_notata prom_300_tata prom_core_all prom_core_notata prom_core_tata",
    "splice": "reconstructed",
    "tf": "0 1 2 3 4",
    "virus": "covid",
}


def test_all_sets_of_gue_are_there():
    folders = {f"GUE/{family}/{name}" for family, names in GUE.items() for name in names.split()}
    assert len(folders) == 28
    tasks = {task.data: task for task in map(load_task, builtin_names())}
    assert folders == {place for place in tasks if place.startswith("GUE/")} - {"GUE/prom/LPD_prom_300"}
    classes = {place: len(tasks[place].labels) for place in folders}
    assert {classes.pop("GUE/splice/reconstructed"), classes.pop("GUE/virus/covid")} == {3, 9}
    assert set(classes.values()) == {2}


def test_all_ten_of_lucaone_are_there():
    found = {task.name: task for task in map(load_task, builtin_names()) if task.data.startswith("LucaOne/")}
    assert {name: "+".join(part.kind for part in task.inputs) for name, task in found.items()} == {
        "CentralDogma": "dna+protein",
        "GenusTax": "dna",
        "InfA": "dna+dna",
        "ncRNAFam": "dna",
        "ncRPI": "dna+protein",
        "PPI": "protein+protein",
        "ProtLoc": "protein",
        "ProtStab": "protein",
        "SpeciesTax": "dna",
        "SupKTax": "dna",
    }
    assert {task.kind for task in found.values()} == {"classification", "regression"}


def lucaone(root, labels, rows="p1,prot,MKV,0\n"):
    folder = root / "tasks" / "LucaOne" / "ProtLoc" / "protein" / "multi_class"
    (folder / "train").mkdir(parents=True)
    (folder / "label.txt").write_text(labels)
    (folder / "train" / "train.csv").write_text("seq_id,seq_type,seq,label\n" + rows)
    return folder


def test_label_names_come_from_the_file_beside_the_tables(tmp_path):
    lucaone(tmp_path, "label\nCytoplasm\nCell wall\n", "p1,prot,MKV,1\np2,prot,MKL,0\n")
    task = load_task("ProtLoc", tmp_path)
    assert task.labels == {"0": "Cytoplasm", "1": "Cell wall"}
    rows = read_examples(task, find_split(task, tmp_path, "train"))
    assert [row.answer for row in rows] == ["Cell wall", "Cytoplasm"]
    # What a model keeps has the names in it; their order is part of the hash, the place is not.
    save_task(task, tmp_path / "kept.toml")
    assert load_task(tmp_path / "kept.toml") == task
    (tmp_path / "other").mkdir()
    lucaone(tmp_path / "other", "label\nCell wall\nCytoplasm\n")
    other = load_task("ProtLoc", tmp_path / "other")
    assert other.definition_hash != task.definition_hash


def test_unread_label_names_are_never_made_up(tmp_path):
    task = load_task("ProtLoc")
    for use in (lambda: task.candidates, lambda: task.answer_of("0")):
        with pytest.raises(TaskError, match=r"label names from label.txt, beside its tables\n  say where .* data.root"):
            use()
    with pytest.raises(FormatError, match=r"protein/multi_class/label.txt: no such file"):
        load_task("ProtLoc", tmp_path)
    lucaone(tmp_path, "label\nCytoplasm\ncytoplasm\n")
    with pytest.raises(TaskError, match=r"label.txt: labels: '0' and '1' have the same name 'cytoplasm'"):
        load_task("ProtLoc", tmp_path)


def test_scoring_every_number_stays_cheap():
    numbers = [len(load_task(name).candidates) for name in builtin_names() if load_task(name).kind == "regression"]
    assert sorted(numbers) == [11, 36, 36, 65]


@needs_data
def test_every_folder_has_a_task():
    folders = {path.parent.relative_to(DATA / "tasks").as_posix() for path in (DATA / "tasks").rglob("dev.csv.xz")}
    assert folders <= {load_task(name).data for name in builtin_names()}


@needs_data
@pytest.mark.parametrize("name", [name for name in builtin_names() if (DATA / "tasks" / load_task(name).data).is_dir()])
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
