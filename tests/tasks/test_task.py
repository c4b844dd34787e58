import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llama_gene.errors import TaskError
from llama_gene.tasks.task import Input, Task

DNA = Input(role="sequence", kind="dna", column="sequence")
CLASSES = {
    "name": "tata",
    "kind": "classification",
    "row": "classification DNA",
    "title": "TATA box",
    "question": "Is there a TATA box?",
    "inputs": (DNA,),
    "layout": "gue",
    "data": "tata",
    "metric": "mcc",
    "labels": {"0": "no", "1": "yes"},
}
NUMBERS = {
    **CLASSES,
    "kind": "regression",
    "row": "regression DNA",
    "metric": "spearman",
    "labels": {},
    "decimals": 1,
    "minimum": -0.3,
    "maximum": 0.2,
}
FLAGS = {**CLASSES, "kind": "multilabel", "metric": "micro_f1", "labels": {"1": "root", "0": "leaf"}}
TEXT = {**CLASSES, "kind": "text", "metric": "rouge_l", "labels": {}, "max_answer_tokens": 64}
PAIR = {
    **CLASSES,
    "row": "DNA+protein",
    "layout": "lucaone_pair",
    "inputs": (
        Input(role="gene", kind="dna", column="seq_a"),
        Input(role="protein", kind="protein", column="seq_b"),
    ),
}


@pytest.mark.parametrize(
    ("base", "change", "message"),
    [
        (CLASSES, {"name": "my task"}, "pattern"),
        (CLASSES, {"question": ""}, "pattern"),
        (CLASSES, {"question": "two\nlines"}, "pattern"),
        (CLASSES, {"inputs": ()}, "at least 1"),
        (CLASSES, {"labels": {"0": "no"}}, "1 entries"),
        (CLASSES, {"labels": {"0": "yes", "1": "Yes"}}, "'0' and '1' have the same name"),
        (CLASSES, {"decimals": 1}, "decimals has no meaning for classification"),
        (CLASSES, {"metric": "spearman"}, "use 'mcc' or 'accuracy' or 'macro_f1'"),
        (CLASSES, {"row": "classification protein"}, "does not fit one DNA input"),
        (CLASSES, {"row": "regression DNA"}, "does not fit kind 'classification'"),
        (CLASSES, {"best_possible": 0.9}, "come together"),
        (CLASSES, {"max_answer_tokens": 5}, "needed for text"),
        (CLASSES, {"inputs": (Input(role="x", kind="dna", column="seq"),)}, "layout 'gue' has the input columns"),
        (CLASSES, {"label_column": "class"}, "the label column 'label'"),
        (CLASSES, {"questoin": "?"}, "Extra inputs"),
        (NUMBERS, {"decimals": None}, "regression needs decimals, minimum and maximum"),
        (NUMBERS, {"minimum": 0.25}, "more than 1 decimals"),
        (NUMBERS, {"minimum": 5.0}, "has 0 answers"),
        (NUMBERS, {"maximum": 1000.0}, "2 to 2001"),
        (NUMBERS, {"maximum": math.inf}, "finite"),
        (NUMBERS, {"labels": {"0": "no", "1": "yes"}}, "labels has no meaning for regression"),
        (NUMBERS, {"labels_file": "label.txt"}, "labels_file has no meaning for regression"),
        (CLASSES, {"labels": {}, "labels_file": "../label.txt"}, "String should match pattern"),
        (FLAGS, {"labels": {"0": "leaf", "2": "root"}}, "positions 0 to 1"),
        (FLAGS, {"labels": {"0": "leaf, old"}}, "no comma"),
        (FLAGS, {"labels": {"0": "none"}}, "not be 'none'"),
        (TEXT, {"max_answer_tokens": None}, "needed for text"),
        (PAIR, {"row": "protein+protein"}, "they belong to 'DNA.protein'"),
        (PAIR, {"inputs": (*PAIR["inputs"], PAIR["inputs"][0])}, "a column of their own"),
    ],
)
def test_a_definition_that_does_not_hold_raises(base, change, message):
    with pytest.raises(ValidationError, match=message):
        Task(**{**base, **change})


def test_tasks_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Task(**CLASSES).name = "other"


@pytest.mark.parametrize(
    ("base", "cell", "message"),
    [
        (CLASSES, "maybe", "unknown label 'maybe'\n  known labels: 0 \\(no\\), 1 \\(yes\\)"),
        (CLASSES, "", "unknown label ''"),
        (NUMBERS, "high", "label 'high' is not a number"),
        (NUMBERS, "nan", "not a finite number"),
        (FLAGS, "1", "2 times 0 or 1"),
        (FLAGS, "1;2", "2 times 0 or 1"),
        (TEXT, "  ", "empty"),
    ],
)
def test_a_cell_that_is_no_label_raises(base, cell, message):
    with pytest.raises(TaskError, match=message):
        Task(**base).answer_of(cell)


@pytest.mark.parametrize(
    ("base", "cell", "answer"),
    [
        (CLASSES, " 1 ", ("yes", None)),
        (NUMBERS, "0.1499", ("0.1", 0.1499)),
        (NUMBERS, "-0.04", ("0.0", -0.04)),
        (NUMBERS, "9e9", ("0.2", 9e9)),
        (NUMBERS, "-1", ("-0.3", -1.0)),
        (FLAGS, "1;1", ("leaf, root", None)),
        (FLAGS, "0; 1", ("root", None)),
        (FLAGS, "0;0", ("none", None)),
        (TEXT, " It  binds\nzinc. ", ("It binds zinc.", None)),
    ],
)
def test_answers(base, cell, answer):
    assert Task(**base).answer_of(cell) == answer


def test_candidates():
    assert Task(**CLASSES).candidates == ("no", "yes")
    assert Task(**NUMBERS).candidates == ("-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2")
    assert Task(**FLAGS).candidates == ()
    assert Task(**FLAGS).label_names == ("leaf", "root")
    assert Task(**{**NUMBERS, "decimals": 0, "minimum": 0.0, "maximum": 9.0}).candidates == tuple("0123456789")


def test_clipped_values_are_told():
    task = Task(**NUMBERS)
    assert [task.is_clipped(value) for value in (-0.36, -0.34, 0.2, 0.24, 0.26)] == [True, False, False, False, True]


def test_numbers_belong_to_regression():
    with pytest.raises(TaskError, match="is no regression"):
        Task(**CLASSES).format_value(1.0)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_has_a_candidate_as_its_answer(value):
    task = Task(**NUMBERS)
    assert task.format_value(value) in task.candidates
    if not task.is_clipped(value):
        assert abs(float(task.format_value(value)) - value) <= 0.05 + 1e-9


def test_the_hash_is_of_what_a_model_learns():
    task = Task(**CLASSES)
    assert Task(**{**CLASSES, "data": "/elsewhere", "title": "Other"}).definition_hash == task.definition_hash
    assert Task(**{**CLASSES, "question": "TATA?"}).definition_hash != task.definition_hash
    assert Task(**{**CLASSES, "labels": {"1": "yes", "0": "no"}}).definition_hash != task.definition_hash
