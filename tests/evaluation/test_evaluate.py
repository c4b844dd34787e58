from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llama_gene.errors import LlamaGeneError, ModelError
from llama_gene.evaluation.evaluate import evaluate_task
from llama_gene.evaluation.layout import leaks
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.inference.predictor import Prediction
from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.tasks.rows import load_rows
from llama_gene.tasks.task import Input, Task
from llama_gene.tasks.template import prompt_hash

TASK = Task(
    name="promoter", kind="classification", row="classification DNA", title="promoters", question="Is it a promoter?",
    inputs=(Input(role="sequence", kind="dna", column="sequence"),), layout="gue", data="promoter", metric="mcc",
    labels={"0": "no", "1": "yes"},
)  # fmt: skip
STRENGTH = Task(
    name="strength", kind="regression", row="regression DNA", title="strength", question="How strong is it?",
    inputs=(Input(role="sequence", kind="dna", column="sequence"),), layout="gue", data="strength", metric="spearman",
    decimals=1, minimum=0, maximum=9,
)  # fmt: skip


def rows_of(task, folder, labels):
    """A table of sequences that get longer from row to row."""
    table = folder / "dev.csv"
    lines = [f"{'ACGT' * (number + 1)},{label}" for number, label in enumerate(labels)]
    table.write_text("\n".join(["sequence,label", *lines]) + "\n")
    return load_rows(task, table)


def scored(task, rows, answers, train=None, **options):
    """Score answers as if a model gave them: the probability of yes, or a value."""

    def predict(task, examples, *, batch_tokens, on_done, kind):
        for example, answer in zip(examples, answers, strict=True):
            if task.kind == "regression":
                yield Prediction(example.id, f"{answer:.3f}", answer, (answer,), 0)
            else:
                yield Prediction(example.id, "yes" if answer > 0.5 else "no", None, (1 - answer, answer), 0)

    engine = SimpleNamespace(predict=predict, record={}, folder=Path("model"), prompt_hash=prompt_hash)
    return evaluate_task(engine, task, rows, train, split="dev", batch_tokens=1, **options)


def test_labels(tmp_path):
    answers = np.tile([0.1, 0.9, 0.8, 0.6], 20)
    result, outcomes = scored(TASK, rows_of(TASK, tmp_path, [0, 1, 0, 1] * 20), answers)
    assert result.scores["accuracy"].value == 0.75
    assert result.scores["auroc"].value == 0.75
    # One bin at 0.6, one at 0.8, and one at 0.9: right, wrong, right.
    assert result.scores["ece"].value == pytest.approx((20 * 0.4 + 20 * 0.8 + 40 * 0.1) / 80)
    assert result.confusion == ((20, 20), (0, 40))
    assert [one.score.n for one in result.by_length] == [40, 40]
    assert {(answer.guess, answer.probability) for answer in result.worst} == {("yes", 0.8)}
    assert result.rows.n == 80
    # The rows tell the same scores.
    path = tmp_path / "rows.tsv"
    path.write_text(outcomes.to_tsv())
    again = Outcomes.read(path, result.kind, result.rows)
    for name, score in result.scores.items():
        assert again.statistic(name, result.labels).value == pytest.approx(score.value)


def test_a_known_temperature(tmp_path):
    rows = rows_of(TASK, tmp_path, [0, 1] * 20)
    result, _ = scored(TASK, rows, [0.2, 0.8] * 20, temperature=(2.0, "800 rows of dev"))
    assert result.calibration.fitted_on == "800 rows of dev"
    assert result.calibration.curve_after[0].confidence == pytest.approx(2 / 3)


def test_numbers(tmp_path):
    values = [number / 10 for number in range(80)]
    result, _ = scored(STRENGTH, rows_of(STRENGTH, tmp_path, values), [value + 1 for value in values])
    assert result.scores["spearman"].value == pytest.approx(1)
    assert result.scores["mae"].value == pytest.approx(1)
    assert result.scores["r2"].value == pytest.approx(1 - 1 / np.var(values))
    assert result.calibration is None
    assert len(result.worst) == 8


@pytest.mark.parametrize(("task", "label"), [(TASK, 1), (STRENGTH, 3)])
def test_one_answer_only(task, label, tmp_path):
    result, _ = scored(task, rows_of(task, tmp_path, [label] * 4), [0.9, 0.8, 0.2, 0.7])
    assert f"All rows have one answer, {task.candidates[label * 10 if task is STRENGTH else label]!r}" in result.note


def test_answers_that_are_no_numbers(tmp_path):
    with pytest.raises(ModelError, match=r"model: the model answers NaN to 1 of 2 rows of 'promoter', first 'row3'"):
        scored(TASK, rows_of(TASK, tmp_path, [0, 1]), [0.5, float("nan")])


def table_of(path, sequences, labels):
    path.write_text("\n".join(["sequence,label", *map("{},{}".format, sequences, labels)]) + "\n")
    return load_rows(TASK, path)


def mutated(sequence, share, rng):
    """The sequence with exactly that share of its letters replaced by another one."""
    letters = list(sequence)
    for place in rng.choice(len(letters), round(share * len(letters)), replace=False):
        letters[place] = rng.choice([letter for letter in "ACGT" if letter != letters[place]])
    return "".join(letters)


def test_a_planted_leak_is_found_and_its_effect_is_told(tmp_path):
    """5 % of the rows are copies, 5 % reverse complements, 5 % have 3 % of their letters changed."""
    rng = np.random.default_rng(4)
    test, other = (["".join(row) for row in rng.choice(list("ACGT"), (num, 300))] for num in (100, 185))
    labels = [0, 1] * 50
    known = [*test[:5], *map(reverse_complement, test[5:10]), *(mutated(one, 0.03, rng) for one in test[10:15])]
    train = table_of(tmp_path / "train.csv", [*known, *other], [0, 1] * 100)
    rows = table_of(tmp_path / "dev.csv", test, labels)
    # Right on the rows that it has seen, and on half of the others.
    answers = [label if number < 15 else number % 4 < 2 for number, label in enumerate(labels)]
    result, _ = scored(TASK, rows, np.array(answers, float), train)
    assert result.leaked.counts == {"exact": 5, "reverse complement": 5, "shared k-mers": 5}
    assert result.leaked.clean.n == 85
    assert result.leaked.clean.value == pytest.approx(0, abs=0.05)
    assert result.score.value > result.leaked.clean.value + 0.1
    told = "15 of 100 rows (5 exact, 5 reverse complement, 5 shared k-mers); on the clean rest "
    assert leaks(result).startswith(told)


def test_the_rows_of_the_tuning_are_not_scored(tmp_path):
    rows = rows_of(TASK, tmp_path, [0, 1])
    # Other bytes, the same rows.
    again = table_of(tmp_path / "train.csv", ["ACGTACGT", "ACGT", "TTTT"], [1, 0, 1])
    with pytest.raises(LlamaGeneError, match=r"dev\.csv: these are the training rows.*, or some of them: .*train\.csv"):
        scored(TASK, rows, [0.1, 0.9], again)
    with pytest.raises(LlamaGeneError, match=r"dev\.csv: these are the training rows, .*\n  score rows"):
        scored(TASK, rows, [0.1, 0.9], rows)
