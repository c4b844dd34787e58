import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llama_gene.cli import app
from llama_gene.errors import FormatError, TaskError
from llama_gene.evaluation.evaluate import evaluate_task
from llama_gene.inference.engine import Engine
from llama_gene.tasks.export import export_to_harness
from llama_gene.tasks.rows import load_rows
from llama_gene.tasks.task import Example
from nano import CONFORM, FLAGS, PAIR, STRENGTH, examples


def exported(task, rows, folder, **options):
    """The settings as a reader of YAML finds them, and the documents."""
    yaml = pytest.importorskip("yaml")
    name, num = export_to_harness(task, rows, folder, **options)
    documents = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    assert len(documents) == num
    return yaml.safe_load((folder / f"{name}.yaml").read_text()), documents


def test_labels_become_choices(tmp_path):
    settings, (document,) = exported(PAIR, [Example("r1", ("ACGT", "MKV"), "yes")], tmp_path)
    prompt = "Does A code for B?\nA:<dna>ACGT</dna>\nB:<protein>MKV</protein>\nAnswer:"
    assert document == {"id": "r1", "prompt": prompt, "answer": 1}
    assert settings["task"] == "llama_gene_pair"
    assert settings["output_type"] == "multiple_choice"
    assert settings["doc_to_choice"] == [" no", " yes"]
    assert settings["target_delimiter"] == ""
    assert settings["dataset_kwargs"] == {"data_files": {"test": "llama_gene_pair.jsonl"}}
    # Nothing in it runs code.
    assert "!function" not in (tmp_path / "llama_gene_pair.yaml").read_text()
    _, (bare,) = exported(PAIR, [Example("r1", ("ACGT", "MKV"), "yes")], tmp_path, bare=True)
    assert bare["prompt"] == "Does A code for B?\nA:ACGT\nB:MKV\nAnswer:"


@pytest.mark.parametrize(("task", "right"), [(STRENGTH, " 0.4"), (FLAGS, " leaf, root")])
def test_other_answers_are_written(task, right, tmp_path):
    value = 0.4 if task is STRENGTH else None
    settings, (document,) = exported(task, [Example("r1", ("ACGT",), right.strip(), value)], tmp_path)
    assert (settings["output_type"], document["answer"]) == ("generate_until", right)
    assert settings["generation_kwargs"]["until"] == ["\n"]


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(FormatError, match="no row is left"):
        export_to_harness(PAIR, [], tmp_path)
    with pytest.raises(TaskError, match="row 'r1' has no answer"):
        export_to_harness(PAIR, [Example("r1", ("ACGT", "MKV"))], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path):
    (tmp_path / "dev.csv").write_text("sequence,label\nACGT,1\nTTTT,0\nAC!T,1\n")
    done = CliRunner().invoke(
        app, ["tasks", "export", "tf_0", str(tmp_path / "dev.csv"), "--to", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "2 rows, 1 set aside" in done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "llama_gene_tf_0.jsonl",
        "llama_gene_tf_0.yaml",
    ]


def table_of(task, rows, path):
    """The rows as a table of the task's layout."""
    kinds = {"dna": "gene", "protein": "prot"}
    cells = {name: cell for cell, name in task.labels.items()}
    head = "seq_id_a,seq_id_b,seq_type_a,seq_type_b,seq_a,seq_b,label"
    lines = [
        ",".join([row.id, row.id, *(kinds[part.kind] for part in task.inputs), *row.sequences, cells[row.answer]])
        for row in rows
    ]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


@pytest.mark.slow
def test_the_harness_finds_the_accuracy_that_we_find(tuned_folder: Path, tmp_path: Path, monkeypatch) -> None:
    lm_eval = pytest.importorskip("lm_eval", reason="pip install llama-gene[harness]")
    from lm_eval.tasks import TaskManager

    rows = load_rows(PAIR, table_of(PAIR, examples(PAIR, 60), tmp_path / "dev.csv"))
    result, outcomes = evaluate_task(Engine.load(tuned_folder), PAIR, rows, None, split="dev", batch_tokens=2000)
    name, _ = export_to_harness(PAIR, rows, tmp_path / "harness")
    monkeypatch.chdir(tmp_path / "harness")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tuned_folder), "dtype": "float32", "device": "cpu"},
        tasks=[name],
        task_manager=TaskManager(include_path=".", include_defaults=False),
        batch_size=8,
        log_samples=True,
        bootstrap_iters=0,
    )
    assert found["results"][name]["acc,none"] == pytest.approx(result.scores["accuracy"].value)
    # The same answer to every row, not only as many right ones.
    by_id = {sample["doc"]["id"]: sample["acc"] for sample in found["samples"][name]}
    assert by_id == {one: float(right) for one, right in zip(outcomes.ids, outcomes.right, strict=True)}
    assert 0 < result.scores["accuracy"].value < 1


def test_labels_that_begin_with_another_are_told(tmp_path):
    from llama_gene.tasks.registry import save_task

    save_task(CONFORM, tmp_path / "conform.toml")
    (tmp_path / "dev.csv").write_text("sequence,label\nACGT,1\n")
    words = [
        "tasks",
        "export",
        str(tmp_path / "conform.toml"),
        str(tmp_path / "dev.csv"),
        "--to",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(app, words)
    assert "'Conform not' with 'Conform'" in done.stderr
