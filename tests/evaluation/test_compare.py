import hashlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene import metrics
from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.evaluation import compare as comparing
from llama_gene.evaluation import comparison as pages
from llama_gene.evaluation import outcomes as kept
from llama_gene.evaluation import report as reports
from llama_gene.evaluation.detail import score_by_length, shortened, worst_answers
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.evaluation.result import Report, TaskResult
from llama_gene.evaluation.stored import StoredReport
from llama_gene.metrics import Score
from llama_gene.tasks.task import Example

TRUTH = ["no", "yes"] * 30


def outcomes(guess=TRUTH, truth=TRUTH, kind="classification", ids=None):
    n = len(truth)
    ids = ids or [f"row{number}" for number in range(n)]
    return Outcomes(kind, ids, truth, guess, np.full(n, 0.75), np.arange(n), np.zeros(n, int))


def with_errors(*wrong):
    """The truth, with the rows `wrong` answered wrongly."""
    return [({"no": "yes", "yes": "no"}[name] if row in wrong else name) for row, name in enumerate(TRUTH)]


def stored(folder, answered, title=None, **changes):
    """A report of one task on disk."""
    scores = {name: answered.statistic(name).score() for name in ("mcc", "accuracy")}
    fields = {
        "name": "prom", "row": "classification DNA", "kind": "classification", "question": "?", "n_train": 1,
        "n_train_available": 1, "n_test": len(answered.ids), "split": "dev", "data_hash": "d" * 64, "prompt_hash": "p",
        "metric": "mcc", "scores": scores, "labels": ("no", "yes"), "rows": answered.kept,
    }  # fmt: skip
    result = TaskResult(**fields | changes)
    reports.write(Report(title=title or folder.name, results=(result,)), folder, {"prom": answered.to_tsv()})
    return StoredReport.read(folder)


def compared(*found, average=False):
    return comparing.compare(comparing.models_of(found, average=average), created="", version="0.1.0")


def test_paired_literally(tmp_path):
    a = stored(tmp_path / "a", outcomes(with_errors(*range(10))))
    b = stored(tmp_path / "b", outcomes(with_errors(0, 59)))
    found = compared(a, b)
    (task,), (first, second) = found.tasks, found.tasks[0].contrasts
    assert found.models == ("a", "b")
    assert first.difference is None
    # 50 and 58 of 60 rows right, evenly over both labels: MCC is twice the accuracy, less 1.
    assert second.difference.value == pytest.approx(2 * 8 / 60)
    assert second.other_differences["accuracy"].value == pytest.approx(8 / 60)
    assert (second.only_first, second.only_this) == (1, 9)
    assert second.p == pytest.approx(2 * (1 + 10) / 2**10)
    assert task.verdict(second) == "better"
    assert compared(b, a).tasks[0].verdict(compared(b, a).tasks[0].contrasts[1]) == "worse"


def test_a_model_against_its_like(tmp_path):
    rows = outcomes(with_errors(1, 2))
    found = compared(stored(tmp_path / "a", rows), stored(tmp_path / "b", rows)).tasks[0]
    assert found.contrasts[1].difference == Score(0.0, 0.0, 0.0, 60)
    assert found.verdict(found.contrasts[1]) == "within error"


@pytest.mark.parametrize(
    ("changes", "why_not"),
    [
        ({"data_hash": "e" * 64}, "other test file"),
        ({"metric": "accuracy"}, "other main metric"),
        ({"rows": None}, "without its predictions"),
        ({"name": "other"}, "not evaluated"),
    ],
)
def test_not_compared(changes, why_not, tmp_path):
    a, c = stored(tmp_path / "a", outcomes()), stored(tmp_path / "c", outcomes())
    b = stored(tmp_path / "b", outcomes(with_errors(1)), **changes)
    task = compared(a, b, c).tasks[0]
    assert why_not in task.contrasts[1].why_not
    assert (task.contrasts[1].difference, task.verdict(task.contrasts[1])) == (None, "")
    assert task.contrasts[2].difference is not None


def test_other_rows_of_one_file_are_not_compared(tmp_path):
    a = stored(tmp_path / "a", outcomes())
    b = stored(tmp_path / "b", outcomes(ids=[f"row{number + 1}" for number in range(60)]))
    assert compared(a, b).tasks[0].contrasts[1].why_not == "other rows of the test file"


def test_a_report_copied_without_its_predictions(tmp_path):
    a, b = (stored(tmp_path / name, outcomes()) for name in "ab")
    (tmp_path / "b" / "predictions" / "prom.tsv").unlink()
    assert "without its predictions" in compared(a, b).tasks[0].contrasts[1].why_not


def test_changed_predictions(tmp_path):
    a, b = (stored(tmp_path / name, outcomes()) for name in "ab")
    path = tmp_path / "b" / "predictions" / "prom.tsv"
    path.write_text(path.read_text().replace("yes", "no"))
    with pytest.raises(FormatError, match="not the file that was written with the report"):
        compared(a, b)


def test_nothing_to_compare(tmp_path):
    a, b = stored(tmp_path / "a", outcomes()), stored(tmp_path / "b", outcomes(), name="other")
    for found, problem in [((a,), "one report"), ((a, a), "given twice"), ((a, b), "no task stands in two")]:
        with pytest.raises(LlamaGeneError, match=problem):
            compared(*found)


def test_seeds_are_averaged(tmp_path):
    seeds = [stored(tmp_path / f"a{n}", outcomes(with_errors(*range(n))), title="a") for n in (10, 20)]
    other = stored(tmp_path / "b", outcomes(with_errors(*range(6))), title="b")
    found = compared(*seeds, other, average=True)
    first, second = found.tasks[0].contrasts
    assert found.models == ("a", "b")
    # MCC 2/3 and 1/3.
    assert (first.num_seeds, first.score.value) == (2, pytest.approx(0.5))
    assert first.spread == pytest.approx(np.std([1 / 3, 2 / 3], ddof=1))
    assert (second.spread, second.p) == (None, None)
    assert second.difference.value == pytest.approx(0.3)
    alone = compared(*seeds, average=True)
    assert [one.score for one in alone.tasks[0].contrasts] == [first.score]
    assert len(compared(*seeds, other).models) == 3


def test_seeds_on_other_rows_are_not_averaged(tmp_path):
    a = stored(tmp_path / "a", outcomes(), title="a")
    b = stored(tmp_path / "b", outcomes(), title="a", data_hash="e" * 64)
    (contrast,) = compared(a, b, average=True).tasks[0].contrasts
    assert (contrast.score, contrast.why_not[:15]) == (None, "other test file")


def test_lower_is_better_for_errors():
    contrast = comparing.Contrast(model="b", num_seeds=1, score=None, difference=Score(-0.2, -0.3, -0.1, 9))
    for metric, verdict in [("mae", "better"), ("spearman", "worse")]:
        task = comparing.TaskComparison(name="t", row="r", metric=metric, n=9, contrasts=(contrast,))
        assert task.verdict(contrast) == verdict


def test_page_and_terminal(tmp_path):
    from rich.console import Console

    a = stored(tmp_path / "a", outcomes(with_errors(*range(10))), title="<b>first")
    b = stored(tmp_path / "b", outcomes(with_errors(0, 59)))
    found = compared(a, b)
    pages.write(found, tmp_path / "out")
    html = (tmp_path / "out" / "comparison.html").read_text()
    for text in ("&lt;b&gt;first", "+0.267", "0.021", "1 : 9", "▲ better", 'href="#task-prom"', 'id="task-prom"'):
        assert text in html
    assert "http" not in html
    assert comparing.Comparison.model_validate_json((tmp_path / "out" / "comparison.json").read_text()) == found
    console = Console(file=io.StringIO(), width=120)
    console.print(pages.to_terminal(found))
    text = console.file.getvalue()
    for part in ("+0.267", "0.021", "better", "b against <b>first: better on 1 of 1 tasks"):
        assert part in text


# The rows beside a report.

CELLS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, st.floats(0, 1) | st.just(math.nan)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_rows_survive_the_file(tmp_path_factory, rows):
    ids, truth, guess, probability = zip(*rows, strict=True)
    n = len(rows)
    made = Outcomes("text", ids, truth, guess, np.array(probability), np.arange(n), np.ones(n, int))
    path = tmp_path_factory.mktemp("rows") / "t.tsv"
    path.write_text(made.to_tsv(), encoding="utf-8", newline="")
    again = Outcomes.read(path, "text", made.kept)
    assert [text.split() for text in (*again.ids, *again.guess)] == [text.split() for text in (*ids, *guess)]
    assert again.probability == pytest.approx(np.array(probability), rel=1e-5, nan_ok=True)
    assert again.to_tsv() == made.to_tsv()


def test_rows_are_bounded(monkeypatch):
    monkeypatch.setattr(kept, "MAX_ROWS", 25)
    assert outcomes().kept.n == 20
    assert outcomes().to_tsv().splitlines()[2].startswith("row3\t")


HEAD = "id\ttruth\tguess\tprobability\tlength\tcut\n"


@pytest.mark.parametrize(
    "text", ["", "id\n", HEAD, *(f"{HEAD}a\tb\tc\t{cells}\n" for cells in ("x\t1\t2", "2\t1\t2", "\t1"))]
)
def test_no_rows(text, tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text(text)
    said = kept.KeptRows(sha256=hashlib.sha256(text.encode()).hexdigest(), n=1)
    with pytest.raises(FormatError, match="not a table of predictions"):
        Outcomes.read(path, "classification", said)


def test_the_metrics_of_rows():
    rows = outcomes(with_errors(0, 1, 2))
    assert (
        rows.statistic("mcc").value == metrics.mcc(*([name == "yes" for name in x] for x in (TRUTH, rows.guess))).value
    )
    assert rows.statistic("auroc", ("no", "yes")).value == pytest.approx(57 / 60, abs=0.02)
    assert rows.statistic("ece").value == pytest.approx(57 / 60 - 0.75)
    assert rows.statistic("auroc", ("a", "b", "c")) is None
    sets = outcomes(["a", "b, x"], ["a, b", "none"], "multilabel")
    assert sets.statistic("micro_f1", ("a", "b")).value == 0.5
    assert outcomes(["1.5", "2"], ["1", "2"], "regression").statistic("mae").value == 0.25
    assert outcomes(["a b", "c"], ["a  b", "d"], "text").statistic("exact_match").value == 0.5


# Where a model errs.


def test_the_worst_answers():
    rows = replace(outcomes(with_errors(3, 5, 7)), probability=np.linspace(0.5, 1, 60))
    examples = [Example(f"row{number}", ("A" * 200,)) for number in range(60)]
    found = worst_answers(rows, examples)
    assert [answer.id for answer in found] == ["row7", "row5", "row3"]
    assert (found[0].guess, found[0].lengths) == ("no", (200,))
    assert found[0].sequences == ("A" * 60 + "…" + "A" * 60,)
    assert worst_answers(outcomes(), examples) == ()
    numbers = outcomes(["1", "5", "3"], ["1", "2", "4"], "regression")
    assert [answer.id for answer in worst_answers(numbers, examples)] == ["row1", "row2"]
    names = outcomes(["a", "a, b", "none"], ["a", "c", "a"], "multilabel")
    assert [answer.id for answer in worst_answers(names, examples)] == ["row1", "row2"]
    texts = outcomes(["a b", "c", "a"], ["a b", "d", "a b c"], "text")
    assert [answer.id for answer in worst_answers(texts, examples)] == ["row1", "row2"]
    assert shortened("ACGT" * 30) == "ACGT" * 30


def test_scores_by_length():
    rows = outcomes(with_errors(*range(15)))
    truth, guess = (np.array([name == "yes" for name in names], int) for names in (rows.truth, rows.guess))
    short, long = score_by_length(rows, "accuracy", truth, guess)
    assert (short.shortest, short.longest, short.score.value) == (0, 29, 0.5)
    assert (long.shortest, long.longest, long.score) == (30, 59, Score(1.0, 1.0, 1.0, 30))
    assert score_by_length(replace(rows, lengths=np.full(60, 70)), "accuracy", truth, guess) == ()
    assert score_by_length(outcomes(TRUTH[:9], TRUTH[:9]), "accuracy", truth[:9], guess[:9]) == ()
    mostly = np.where(np.arange(60) < 50, 40, np.arange(60))
    found = score_by_length(replace(rows, lengths=mostly), "accuracy", truth, guess)
    assert [(one.shortest, one.longest, one.score.n) for one in found] == [(40, 40, 50), (50, 59, 10)]
