import json
import random

import pytest

from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.evaluation.answers import read_answers, read_training_answers, right_by_reference, score_answers
from llama_gene.evaluation.layout import by_lenient_rule
from llama_gene.evaluation.questions import task_of_answers
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.rows import load_rows

PROMOTER = "Is it a promoter? The result will be one of the following: Non-promoter, promoter."
CONFORM = "Does it conform? The result will be one of the following: Not Conform, Conform."


def dna(seed, length=40):
    return "".join(random.Random(seed).choices("ACGT", k=length))


def rows_of(question, pairs, first=0):
    return [
        {"instruction": question, "input": dna(first + number), "output": output, "model_response": response}
        for number, (output, response) in enumerate(pairs)
    ]


def written(folder, rows, name="answers.json"):
    path = folder / name
    path.write_text(json.dumps(rows))
    return path


def scored(folder, rows, train=None):
    return [score_answers(found, train)[0] for found in read_answers(written(folder, rows))]


def test_a_label_inside_another_is_right_by_the_strict_rule_alone(tmp_path):
    # Fails where the strict rule is the reference's: it takes "Not Conform" for "Conform".
    pairs = [
        ("Conform", "Not Conform"),
        ("Not Conform", "Not Conform"),
        ("Conform", "Conform"),
        ("Not Conform", "Conform"),
    ]
    (result,) = scored(tmp_path, rows_of(CONFORM, pairs))
    assert result.labels == ("Not Conform", "Conform")
    assert result.confusion == ((1, 1), (1, 1))
    assert result.scores["accuracy"].value == 0.5
    assert result.lenient.accuracy.value == 0.75
    assert (result.lenient.num_more, result.lenient.num_fewer) == (1, 0)
    assert "0.750 [" in by_lenient_rule(result)
    assert "the reference's substring rule" in by_lenient_rule(result)
    assert "differ on 1 of 4 rows" in by_lenient_rule(result)


@pytest.mark.parametrize(
    ("output", "response", "by_reference", "strictly"),
    [
        ("promoter", "promoter", True, True),
        ("promoter", " Promoter.\n### Instruction:", False, True),
        ("promoter", "Non-promoter", False, False),
        ("promoter", "promoter, Non-promoter", False, False),
        ("Non-promoter", "promoter, Non-promoter", True, False),
        ("promoter", "a promoter or not", True, False),
        ("promoter", "", False, False),
    ],
)
def test_the_two_rules(output, response, by_reference, strictly, tmp_path):
    assert right_by_reference(output, response) is by_reference
    (result,) = scored(tmp_path, rows_of(PROMOTER, [(output, response)]))
    assert result.scores["accuracy"].value == float(strictly)
    assert (result.lenient.num_more, result.lenient.num_fewer) == (
        int(by_reference and not strictly),
        int(strictly and not by_reference),
    )


def test_each_instruction_is_a_task(tmp_path):
    first = rows_of(PROMOTER, [("promoter", "promoter")] * 3 + [("Non-promoter", "who knows")])
    second = rows_of("How  stable?", [(f"{number / 10:.1f}", f"{number / 10 + 0.1:.1f}") for number in range(30)])
    third = rows_of("What does it do?", [("binds zinc", "binds zinc"), ("cuts DNA", "binds"), ("folds RNA", "")])
    bound, strong, told = scored(tmp_path, [*first, *second, *third])
    assert (bound.name, bound.kind, bound.row, bound.n_test) == (
        "is_it_a_promoter",
        "classification",
        "classification DNA",
        4,
    )
    assert bound.confusion == ((0, 0), (0, 3))
    assert "1 answers are no label" in bound.note
    assert bound.baselines["majority"]["accuracy"].value == 0.75
    assert (strong.kind, strong.question, strong.n_test) == ("regression", "How stable?", 30)
    assert strong.scores["spearman"].value == pytest.approx(1)
    assert strong.scores["mae"].value == pytest.approx(0.1)
    assert (told.kind, told.lenient) == ("text", None)
    assert told.scores["exact_match"].value == pytest.approx(1 / 3)


def test_equal_names_stay_apart(tmp_path):
    one, two = (
        rows_of("Is it open? Say a, or b.", [("a", "a"), ("b", "b")] * 2),
        rows_of("Is it open? Now.", [("a", "b"), ("b", "b")] * 2),
    )
    assert [row.id for found in read_answers(written(tmp_path, one)) for row in found.test.examples] == [
        "row1", "row2", "row3", "row4",
    ]  # fmt: skip
    assert [result.name for result in scored(tmp_path, [*one, *two])] == ["is_it_open", "is_it_open_2"]


def test_one_class_only(tmp_path):
    (result,) = scored(tmp_path, rows_of("Is it?", [("yes", "yes"), ("yes", "no")]))
    assert result.scores["accuracy"].value == 0.5
    assert result.scores["mcc"].value == 0
    assert "All rows have one answer, 'yes'" in result.note


def test_sequences_of_any_letters_and_in_tags(tmp_path):
    rows = rows_of(PROMOTER, [("promoter", "promoter")] * 3)
    rows[0]["input"], rows[1]["input"] = "A" * 30, "<dna>ACG</dna>"
    (found,) = read_answers(written(tmp_path, rows))
    assert [example.sequences for example in found.test.examples] == [("A" * 30,), ("ACG",), (dna(2),)]
    rows[2]["instruction"], rows[2]["input"] = f"Is {dna(2)} a promoter?", None
    assert [one.task.question for one in read_answers(written(tmp_path, rows))] == [PROMOTER, "Is <dna> a promoter?"]


def test_a_built_in_task_is_known_by_its_question(tmp_path):
    task = load_task("splice_reconstructed")
    outputs = ["Donor", "acceptor", "neither"]
    assert task_of_answers(f"{task.question} ", ["dna"], outputs) is not task
    assert task_of_answers(task.question, ["dna"], outputs).name == task.name
    assert task_of_answers(task.question, ["protein"], outputs).name != task.name
    assert task_of_answers(task.question, ["dna"], [*outputs, "both"]).name != task.name


def made_of(letters, seed):
    return "".join(random.Random(seed).choices(letters, k=60))


def test_baselines_on_training_rows_and_what_leaked(tmp_path):
    sides = [("promoter", "AT"), ("Non-promoter", "CG")] * 30
    rows = rows_of(PROMOTER, [(output, "promoter") for output, _ in sides])
    train = [
        {"instruction": PROMOTER, "input": made_of(letters, number), "output": output}
        for number, (output, letters) in enumerate(sides)
    ]
    for number, (row, (_, letters)) in enumerate(zip(rows, sides, strict=True)):
        row["input"] = made_of(letters, 1000 + number)
    train[0]["input"] = rows[0]["input"]
    (found,) = read_answers(written(tmp_path, rows))
    training = read_training_answers(written(tmp_path, train, "train.json"), found.task)
    result, _ = score_answers(found, training, cache=tmp_path / "cache")
    assert result.baselines["k-mer"]["accuracy"].value == 1
    assert result.baselines["majority"]["accuracy"].value == 0.5
    assert (result.n_train, result.leaked.counts) == (60, {"exact": 1})
    assert len(list((tmp_path / "cache").iterdir())) == 1
    more = read_training_answers(written(tmp_path, [*train, train[0] | {"output": "maybe"}], "more.json"), found.task)
    assert (len(more.examples), [reject.reason for reject in more.rejects]) == (
        60,
        ["row61: 'maybe' is no answer of " + repr(found.task.name)],
    )
    other = [row | {"instruction": "Another?"} for row in train]
    assert read_training_answers(written(tmp_path, other, "other.json"), found.task) is None
    with pytest.raises(LlamaGeneError, match="these are the training rows"):
        score_answers(found, read_training_answers(tmp_path / "answers.json", found.task))


def test_a_table_of_a_built_in_task(tmp_path):
    task = load_task("prom_core_all")
    rows = rows_of(task.question, [("yes", "yes"), ("no", "yes")] * 5)
    (found,) = read_answers(written(tmp_path, rows))
    assert found.task == task
    table = "".join(f"{dna(100 + number)},{number % 2}\n" for number in range(10))
    (tmp_path / "train.csv").write_text(f"sequence,label\n{table}")
    result, _ = score_answers(found, load_rows(task, tmp_path / "train.csv"))
    assert {"majority", "k-mer", "k-mer + position"} <= set(result.baselines)


ROW = {"instruction": PROMOTER, "input": dna(1), "output": "promoter", "model_response": "promoter"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("[]", "no answers in it"),
        ("hello", "neither a JSON array"),
        ('[{"instruction": ', "not valid JSON"),
        ("[1]", "stands where an object should"),
        (json.dumps({key: ROW[key] for key in ROW if key != "model_response"}), ":1: no 'model_response'"),
        (json.dumps({key: ROW[key] for key in ROW if key != "output"}), ":1: no 'output'"),
        (f'{json.dumps(ROW)}\n{json.dumps(ROW | {"model_response": None})}', ":2: 'model_response' is NoneType"),
        (json.dumps(ROW | {"output": " "}), "'output' is empty"),
        (json.dumps(ROW | {"input": "not a sequence"}), ":1: no sequence was found"),
        (json.dumps([ROW | {"instruction": f"{number}?"} for number in range(201)]), "more than 200 different"),
    ],
)  # fmt: skip
def test_files_that_do_not_hold(text, said, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"bad\.json") as failed:
        read_answers(path)
    assert said in str(failed.value)
