from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from llama_gene.evaluation.explained import ExplainedSequence, choose_rows, explain_rows
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.evaluation.report import to_html
from llama_gene.evaluation.result import Report, TaskResult
from llama_gene.inference.engine import Engine
from llama_gene.metrics import Score
from nano import CONFORM, FLAGS, examples


def outcomes(kind, truth, guess, probability=None):
    nothing = np.full(len(truth), np.nan)
    zeros = np.zeros(len(truth), int)
    ids = [f"row{number}" for number in range(len(truth))]
    return Outcomes(kind, ids, truth, guess, nothing if probability is None else np.array(probability), zeros, zeros)


def test_the_surest_right_and_the_worst_wrong_in_turn():
    rows = outcomes("classification", list("aabbb"), list("abbab"), [0.6, 0.9, 0.8, 0.7, 0.99])
    assert choose_rows(rows, 1) == [(4, True)]
    assert choose_rows(rows, 4) == [(4, True), (1, False), (2, True), (3, False)]
    assert choose_rows(rows, 9) == [(4, True), (1, False), (2, True), (3, False), (0, True)]
    # Where nothing is wrong, the next of the right ones come.
    right = outcomes("classification", list("aaa"), list("aaa"), [0.5, 0.7, 0.6])
    assert choose_rows(right, 2) == [(1, True), (2, True)]


def test_the_nearest_number_and_the_one_farthest_off():
    rows = outcomes("regression", ["1.0", "2.0", "3.0", "4.0"], ["1.5", "2.1", "9.0", "4.0"])
    assert choose_rows(rows, 3) == [(3, True), (2, False), (1, True)]


def test_a_number_for_each_letter():
    values = {"role": "a", "kind": "dna", "length": 9, "first": 0, "letters": "AC", "gradients": (1.0, 2.0)}
    for wrong in [(1.0,), (1.0, float("nan"))]:
        with pytest.raises(ValidationError, match="each letter needs a finite number"):
            ExplainedSequence(**values, mutagenesis=wrong)


def test_a_report_shows_the_letters(tuned_folder: Path):
    engine, rows = Engine.load(tuned_folder), examples(CONFORM, 4)
    guess = [one.answer for one in engine.predict(CONFORM, rows)]
    answered = outcomes("classification", [row.answer for row in rows], guess, [0.5, 0.6, 0.7, 0.8])
    explained = explain_rows(engine, CONFORM, rows, answered, 2, batch_tokens=4096)
    assert [one.id for one in explained] == [rows[row].id for row, _ in choose_rows(answered, 2)]
    assert all((one.answer == one.truth) == one.is_right for one in explained)
    score = Score(value=0.5, low=0.4, high=0.6, n=4)
    result = TaskResult(
        name="conform", row="classification DNA", kind="classification", question="<Q>", n_train=1,
        n_train_available=1, n_test=4, split="dev", data_hash="d", prompt_hash="p", metric="mcc", scores={"mcc": score},
        explained=explained,
    )  # fmt: skip
    report = Report(title="a", results=(result,))
    assert Report.from_json(report.to_json()) == report
    html = to_html(report)
    assert html.count('class="logo"') == 4
    assert "Which letters decided" in html
    # Sets of labels are written, not scored.
    assert explain_rows(engine, FLAGS, examples(FLAGS, 2), answered, 2, batch_tokens=4096) == ()
