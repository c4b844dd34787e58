import io
import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError
from llama_gene.evaluation import layout
from llama_gene.evaluation import report as reports
from llama_gene.evaluation.calibration import THESE_ROWS, Calibration, CalibrationBin
from llama_gene.evaluation.detail import LengthBin, WrongAnswer
from llama_gene.evaluation.outcomes import KeptRows
from llama_gene.evaluation.result import Report, TaskResult
from llama_gene.evaluation.stored import StoredReport
from llama_gene.metrics import Score

NAN = math.nan


def score(value, error=0.02, n=100):
    return Score(value, value - error, value + error, n)


def task(name="prom", ours=0.8, baselines=None, **changes):
    rivals = {"majority": 0.5, "k-mer": 0.7} if baselines is None else baselines
    metric = changes.pop("metric", "accuracy")
    fields = {
        "name": name,
        "row": "classification DNA",
        "kind": "classification",
        "question": "Is it a promoter?",
        "n_train": 5000,
        "n_train_available": 41498,
        "n_test": 100,
        "split": "dev",
        "data_hash": "d" * 64,
        "prompt_hash": "p" * 64,
        "metric": metric,
        "scores": {metric: score(ours)},
        "baselines": {name: {metric: score(value)} for name, value in rivals.items()},
        "labels": ("no", "yes"),
        "confusion": ((40, 10), (10, 40)),
    }
    return TaskResult(**{**fields, **changes})


def report(*results, **changes):
    fields = {"title": "a run", "results": results, "created": "2026-07-23T10:00:00+00:00", "version": "0.1.0"}
    return Report(**{**fields, **changes})


def test_rows_that_nobody_knows_of_are_a_dash():
    unknown = reports.to_html(report(task(n_train=0, n_train_available=0)))
    assert '<td data-label="trained on">–</td>' in unknown
    assert "<dt>trained on</dt><dd>–</dd>" in unknown
    assert "<dt>trained on</dt><dd>5,000 of 41,498 rows</dd>" in reports.to_html(report(task()))
    assert "| 100 (dev) | – |" in reports.to_markdown(report(task(n_train=0, n_train_available=0)))


def test_numbers_are_shown_with_as_many_digits_as_help():
    wrong = WrongAnswer(
        id="r1", truth="7.1139999", guess="3.9155978540018084", probability=None, sequences=("ACGT",), lengths=(4,),
        num_cut=0,
    )  # fmt: skip
    changes = {"kind": "regression", "metric": "spearman", "labels": (), "confusion": None}
    assert "<b>3.916</b>, but it is <b>7.114</b>" in reports.to_html(report(task(worst=(wrong,), **changes)))


CLOSER = {
    "by_length": (
        LengthBin(shortest=20, longest=1200, score=score(0.7)),
        LengthBin(shortest=1201, longest=1201, score=score(NAN)),
    ),
    "calibration": Calibration(
        temperature=2.5,
        fitted_on=THESE_ROWS,
        before=score(0.2),
        after=score(0.05),
        curve_before=(
            CalibrationBin(confidence=0.9, accuracy=0.7, n=90),
            CalibrationBin(confidence=1.0, accuracy=0.8, n=10),
        ),
        curve_after=(CalibrationBin(confidence=0.7, accuracy=0.7, n=100),),
    ),
    "worst": (
        WrongAnswer(
            id="<r7>", truth="no", guess="yes", probability=0.987, sequences=("AC…GT",), lengths=(1500,), num_cut=12
        ),
    ),
    "rows": KeptRows(sha256="a" * 64, n=100),
}


@pytest.mark.parametrize(
    ("ours", "baselines", "verdict", "is_ahead"),
    [
        (0.80, {"k-mer": 0.70}, "above", True),
        (0.73, {"k-mer": 0.70}, "within error", True),
        (0.69, {"majority": 0.1, "k-mer": 0.70}, "within error", False),
        (0.60, {"majority": 0.1, "k-mer": 0.70}, "below", False),
        (0.60, {}, "no comparison", False),
        (0.60, {"k-mer": NAN}, "no comparison", False),
        (NAN, {"k-mer": 0.7}, "no comparison", False),
        (0.70, {"k-mer": 0.70}, "within error", False),
    ],
)
def test_verdict(ours, baselines, verdict, is_ahead):
    result = task(ours=ours, baselines=baselines)
    assert result.verdict == verdict
    assert result.is_ahead == is_ahead


def test_lower_is_better_for_errors():
    result = task(ours=0.2, baselines={"mean": 0.9, "k-mer": 0.5}, metric="mae")
    assert result.best_baseline == ("k-mer", score(0.5))
    assert result.verdict == "above"
    assert result.best_names == {"ours"}


def test_summary_counts():
    results = [task(ours=value, baselines={"k-mer": 0.7}) for value in (0.8, 0.71, 0.69, 0.6)]
    text = layout.summary(report(*results, task(baselines={})))
    assert text == (
        "On 2 of 4 tasks the model scores higher than its best baseline, on 2 it does not. Beyond the error bars it is "
        "above on 1, below on 1; on 2 the two cannot be told apart. On 1 more there is nothing to compare."
    )
    assert layout.summary(report(task(baselines={}))) == "There is no baseline to compare with."


def test_json_round_trip():
    whole = report(
        task(
            best_possible=0.9,
            best_possible_metric="accuracy",
            num_shortened=3,
            note="ä | b",
            **CLOSER | {"by_length": ()},
        ),
        task("reg", kind="regression", confusion=None, labels=(), scatter=((0.1, 0.3), (1e-9, -2.5))),
        simulated=True,
        model={"base": "scratch", "parameters": 812544, "merged": True, "dropout": 0.05, "adapter": None},
        notes=("capped",),
        curves={"pretrain": ({"step": 0, "loss": 5.5}, {"step": 10, "loss": 1.0 / 3})},
        bits_per_letter={"human": 1.943},
    )
    again = Report.from_json(whole.to_json())
    assert again == whole
    assert again.to_json() == whole.to_json()
    assert again.model["merged"] is True
    assert isinstance(again.model["parameters"], int)


@given(st.floats(), st.floats(allow_nan=False))
@settings(max_examples=50, deadline=None)
def test_json_keeps_every_float(value, other):
    whole = report(task(scores={"accuracy": Score(value, other, value, 3)}), curves={"a": ({"loss": value},)})
    text = whole.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    again = Report.from_json(text)
    # NaN is not equal to itself, so the written forms are compared.
    assert repr(again) == repr(whole)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"title": 3}', '{"format": 2, "title": "a", "results": [{}]}'])
def test_no_report(text):
    with pytest.raises(FormatError, match=r"r\.json: not a report"):
        Report.from_json(text, where="r.json")


@pytest.mark.parametrize("found", [None, 1, 3, "2"])
def test_a_report_of_another_format(found):
    values = json.loads(report(task()).to_json()) | {"version": "9.9"}
    values = values | {"format": found} if found is not None else {k: v for k, v in values.items() if k != "format"}
    with pytest.raises(FormatError, match=r"r\.json: a report of format .*, made by llama-gene '9\.9'"):
        Report.from_json(json.dumps(values), where="r.json")


@pytest.mark.parametrize("changes", [{"metric": "mcc"}, {"confusion": [[1]]}, {"labels": ["no", "yes", "maybe"]}])
def test_results_that_contradict_themselves(changes):
    values = json.loads(report(task()).to_json())
    values["results"][0] |= changes
    with pytest.raises(FormatError, match=r"r\.json: it was changed after it was written"):
        Report.from_json(json.dumps(values), where="r.json")
    del values["seal"]
    with pytest.raises(FormatError, match=r"r\.json: not a report \(results\.0"):
        Report.from_json(json.dumps(values), where="r.json")


def test_markdown_literally():
    best = task(ours=0.8, best_possible=0.9, best_possible_metric="accuracy")
    other = task("prot", 0.5, {"mean": 0.0, "k-mer": 0.51}, metric="spearman", kind="regression", n_train=41498)
    other = other.model_copy(update={"row": "regression protein", "confusion": None, "n_test_available": 400})
    text = reports.to_markdown(report(other, best, simulated=True))
    assert "> **The data of this report is simulated." in text
    lines = text.splitlines()
    assert lines[lines.index("## The paper's rows") + 4 :][:2] == [
        "| classification DNA | 1 | accuracy | 0.800 | 0.700 |",
        "| regression protein | 1 | Spearman | 0.500 | 0.510 |",
    ]
    assert lines[lines.index("## Every dataset") + 2 :][:4] == [
        "| task | test | trained on | metric | ours | majority, mean | k-mer | best possible | verdict |",
        "|---|---|---:|---|---:|---:|---:|---:|---|",
        "| prom | 100 (dev) | 5,000 of 41,498 | accuracy | **0.800 [0.780, 0.820]** | 0.500 | 0.700 | 0.900 | above |",
        "| prot | 100 of 400 (dev) | 41,498 | Spearman | 0.500 [0.480, 0.520] | 0.000 | **0.510** | – | within error |",
    ]


def test_markdown_cells_cannot_break_the_table():
    text = reports.to_markdown(report(task("a|b\n<img>")))
    assert "| a\\|b &lt;img> |" in text


def test_html_says_what_matters():
    made = report(
        task(question="Is <dna> it?", note="read me", num_shortened=7, best_possible=0.9, **CLOSER),
        task("reg", kind="regression", metric="spearman", confusion=None, scatter=((0.0, 1.0),)),
        simulated=True,
        model={"parameters": 812544, "merged": False},
        curves={"pretrain": ({"step": 0, "loss": 5.5, "lr": 0.1}, {"step": 1, "loss": NAN})},
        bits_per_letter={"human": 1.943},
        notes=("capped at 5,000",),
    )
    html = reports.to_html(made)
    for text in (
        *("Is &lt;dna&gt; it?", "read me", "7 of 100 rows", "best possible 0.900", "5,000 of 41,498", "812,544"),
        *("1.943", "capped at 5,000", "d" * 64, layout.SIMULATED, layout.summary(made), "2026-07-23 10:00 UTC"),
    ):
        assert text in html
    for text in (
        *(
            "Calibration: error 0.200, calibrated 0.050",
            "at temperature 2.50, fitted on these rows",
            "20–1,200",
            "1,201",
        ),
        *(
            "<b>yes</b> at 99 %, but it is <b>no</b>",
            "&lt;r7&gt; · 1,500 letters · 12 tokens cut",
            "<code>AC…GT</code>",
        ),
    ):
        assert text in html
    assert html.count("<svg") == 7
    assert not re.search(r'src=|url\(|@import|https?://|href="[^#]', html)
    assert layout.SIMULATED not in reports.to_html(report(task()))


def test_an_empty_report_is_a_page_too():
    assert "No task was scored." in reports.to_html(report())
    assert "No task was scored." in reports.to_markdown(report())


def test_write(tmp_path):
    made = report(task())
    reports.write(made, tmp_path / "out", {"prom": "rows"})
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert names == {"report.html", "report.json", "report.md", "predictions/prom.tsv"}
    for place in (tmp_path / "out" / "report.json", tmp_path / "out"):
        assert StoredReport.read(place).report == made
    with pytest.raises(FormatError, match="not the name of a task"):
        reports.write(made, tmp_path / "out", {"../prom": "rows"})


def test_terminal():
    from rich.console import Console

    console = Console(file=io.StringIO(), width=200)
    console.print(reports.to_terminal(report(task("[bold]prom"), simulated=True)))
    text = console.file.getvalue()
    assert "[bold]prom" in text
    assert "0.700" in text
    assert "k-mer" in text
    assert layout.SIMULATED in " ".join(text.split())
