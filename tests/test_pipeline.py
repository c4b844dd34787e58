"""A run of a recipe from end to end: what it leaves, what it does not do twice, and what changes it."""

import fcntl
import json
import os
from pathlib import Path

import pytest

import tiny
from llama_gene.config import load_recipe
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError, TaskError
from llama_gene.pipeline import Run

AFTER_PRETRAINING = ["finetune", "evaluate"]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A finished run of one's own."""
    return tiny.copy_run(tiny_run, tmp_path / "run")


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def scores(run: Path) -> dict[str, object]:
    report = json.loads((run / "report" / "report.json").read_text())
    return {result["name"]: result["scores"] for result in report["results"]}


def test_a_run_ends_with_a_report_and_a_model(tiny_run: Path) -> None:
    report = json.loads((tiny_run / "report" / "report.json").read_text())
    assert [result["name"] for result in report["results"]] == list(tiny.TASKS)
    assert report["simulated"] is True
    for result in report["results"]:
        assert result["n_test"] == 20
        assert result["baselines"]
        assert result["best_possible"] is not None
    page = (tiny_run / "report" / "report.html").read_text()
    assert "simulated" in page.casefold()
    assert all(name in (tiny_run / "report" / "report.md").read_text() for name in tiny.TASKS)
    model = {path.name for path in (tiny_run / "model").iterdir()}
    assert model >= {"config.json", "llama_gene.json", "model.safetensors", "tasks", "tokenizer.json"}
    assert tiny.drafts_in(tiny_run) == []
    assert list((tiny_run / "work").iterdir()) == []


def test_the_model_is_one_that_stock_transformers_loads(tiny_run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_run / "model")
    tokenizer = AutoTokenizer.from_pretrained(tiny_run / "model")
    ids = tokenizer("<dna>ACGT</dna>", return_tensors="pt")["input_ids"]
    assert model(ids).logits.shape[-1] >= len(tokenizer)


def test_a_second_run_does_nothing(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    said: list[str] = []
    recipe = tiny.write_recipe(run.parent)
    Run(load_recipe(recipe, [f"output={run}"])).execute(said.append)
    assert len(said) == len(tiny.STAGES)
    assert all("done before" in line for line in said)
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    after.pop(run / "recipe.json")
    before.pop(run / "recipe.json")
    assert after == before


@pytest.mark.slow  # runs that are killed, and end in the same bytes, say as much in test_pipeline_kill.py
def test_one_seed_gives_one_model(tiny_run: Path, tmp_path: Path) -> None:
    done = tiny.llama_gene("finetune", tiny.write_recipe(tmp_path), f"output={tmp_path / 'other'}")
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "other") == weights(tiny_run)
    assert not (tmp_path / "other" / "report").exists()


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("evaluation.baselines=false", ["evaluate"]),
        ("finetune.learning_rate=0.01", AFTER_PRETRAINING),
        ("pretrain.learning_rate=0.01", ["pretrain", *AFTER_PRETRAINING]),
        ("corpus.window=150", ["corpus", "pretrain", *AFTER_PRETRAINING]),
        ("model.text_vocabulary=320", ["model", "corpus", "pretrain", *AFTER_PRETRAINING]),
    ],
)
def test_a_changed_setting_reruns_what_stands_on_it(override: str, again: list[str], run: Path) -> None:
    recipe = load_recipe(tiny.write_recipe(run.parent), [f"output={run}", override])
    assert [stage.name for stage, done in Run(recipe).plan() if not done] == again


def test_a_changed_setting_changes_the_result(run: Path, tiny_run: Path) -> None:
    assert tiny.go_on(run, "finetune.learning_rate=0.01") == AFTER_PRETRAINING
    assert weights(run) != weights(tiny_run)
    assert tiny.go_on(run) == AFTER_PRETRAINING
    assert scores(run) == scores(tiny_run)


def test_a_removed_output_is_made_again(run: Path, tiny_run: Path) -> None:
    for path in (run / "vocabulary").rglob("*.json"):
        path.unlink()
    for folder in ("dna", "protein", ""):
        (run / "vocabulary" / folder).rmdir()
    assert tiny.go_on(run) == ["vocabulary"]
    assert tiny.files_of(run / "vocabulary") == tiny.files_of(tiny_run / "vocabulary")


def test_until_stops_after_a_stage(tmp_path: Path) -> None:
    assert tiny.go_on(tmp_path / "run", until="vocabulary") == ["simulate", "vocabulary"]
    assert not (tmp_path / "run" / "base").exists()
    with pytest.raises(SettingsError, match=r"no stage 'distil'\n.*its stages: simulate, vocabulary"):
        tiny.go_on(tmp_path / "run", until="distil")


def test_a_dry_run_writes_nothing(tmp_path: Path, run: Path) -> None:
    recipe = tiny.write_recipe(tmp_path)
    plan = list(Run(load_recipe(recipe, [f"output={tmp_path / 'new'}"])).plan())
    assert [(stage.name, done) for stage, done in plan] == [(name, False) for name in tiny.STAGES]
    assert not (tmp_path / "new").exists()
    # Of an old run, too, whose input files must be hashed to know what is done.
    before = tiny.files_of(run)
    assert all(done for _, done in Run(load_recipe(recipe, [f"output={run}"])).plan())
    assert tiny.files_of(run) == before


def test_a_second_process_in_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(LlamaGeneError, match=r"another process is running in this folder\n.*output=FOLDER"):
            tiny.go_on(folder)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_what_a_killed_run_was_writing_is_removed_at_any_depth(run: Path) -> None:
    for place in ("", "corpus/parts", "work/evaluate/0123"):
        (run / place / ".7.part.folder" / ".7.part.inner").mkdir(parents=True)
        (run / place / ".7.part.file.json").write_text("{")
    tiny.go_on(run)
    assert tiny.drafts_in(run) == []


def test_low_rank_adaptation_leaves_an_adapter_and_a_merged_model(run: Path, tiny_run: Path) -> None:
    overrides = ["pretrain.lora.rank=2", "finetune.lora.rank=2", "finetune.train=lora"]
    assert tiny.go_on(run, *overrides) == ["pretrain", *AFTER_PRETRAINING]
    for name in ("pretrained-adapter", "model-adapter"):
        assert (run / name / "adapter_config.json").exists()
        assert (run / name / "adapter_model.safetensors").exists()
    record = json.loads((run / "model" / "llama_gene.json").read_text())
    assert record["finetune"]["trainable_parameters"] < 0.2 * record["finetune"]["parameters"]
    # Merged: as many tensors as the model that trained whole, and no trace of PEFT in their names.
    from safetensors import safe_open

    names = []
    for folder in (run, tiny_run):
        with safe_open(folder / "model" / "model.safetensors", "np") as tensors:
            names.append(sorted(tensors.keys()))
    assert names[0] == names[1]
    assert scores(run).keys() == set(tiny.TASKS)


def test_a_run_on_a_real_base(run: Path, stories: Path) -> None:
    """stories260K: a LLaMA as it was published, with a SentencePiece tokenizer."""
    redone = tiny.go_on(run, f'model.base="{stories}"', "finetune.epochs=0.3")
    assert redone == ["model", "corpus", "pretrain", *AFTER_PRETRAINING]
    assert scores(run).keys() == set(tiny.TASKS)
    record = json.loads((run / "model" / "llama_gene.json").read_text())
    assert record["base"] == str(stories)


def test_pieces_of_the_path_may_be_left_out(run: Path) -> None:
    recipe = tiny.RECIPE.replace(
        "[pretrain]\ntokens = 6000\nblock_size = 128\nbatch_size = 4\ncheckpoint_every = 4", ""
    )
    assert tiny.go_on(run, recipe=recipe, until="finetune") == ["finetune"]
    record = json.loads((run / "model" / "llama_gene.json").read_text())
    assert "pretrain" not in record


# On files of one's own.

MINE = """
name = "mine"
[vocabulary.dna]
size = 4
files = ["genome.fa"]
[model]
base = "scratch"
size = "nano"
text_vocabulary = 300
context = 128
[corpus]
[[corpus.source]]
name = "words"
kind = "text"
files = ["words.txt"]
[tasks]
use = ["mine.toml"]
[finetune]
block_size = 64
batch_size = 2
"""
TASK = """
name = "mine"
kind = "classification"
row = "classification DNA"
title = "Mine"
question = "Is it mine?"
layout = "gue"
data = "."
metric = "accuracy"
[[inputs]]
role = "sequence"
kind = "dna"
column = "sequence"
[labels]
0 = "no"
1 = "yes"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with data of one's own; `mine/run` is for the run."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "genome.fa").write_text(">chr1\n" + "ACGTTGCA" * 50 + "\n")
    (root / "words.txt").write_text("The gene is mine.\nThe protein is yours.\n" * 20)
    # Longer ones in dev: a model is not scored on the very rows that it was tuned on.
    for split, num in (("train", 5), ("dev", 6)):
        rows = [f"{'ACGT' * num if label else 'TTGA' * num},{label}" for label in (0, 1) * 6]
        (root / f"{split}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    (root / "mine.toml").write_text(TASK)
    return root


def on_mine(mine: Path, *overrides: str) -> list[str]:
    return tiny.go_on(mine / "run", f"data.root={mine}", *overrides, recipe=MINE)


def plan_of(mine: Path) -> list[str]:
    recipe = load_recipe(tiny.write_recipe(mine.parent, MINE), [f"output={mine / 'run'}", f"data.root={mine}"])
    return [stage.name for stage, done in Run(recipe).plan() if not done]


def test_a_changed_input_file_reruns_what_reads_it(mine: Path) -> None:
    assert on_mine(mine) == ["vocabulary", "model", *AFTER_PRETRAINING]
    assert plan_of(mine) == []

    os.utime(mine / "train.csv")  # touched, but the same
    before = tiny.files_of(mine / "run")
    assert plan_of(mine) == []
    assert tiny.files_of(mine / "run") == before

    dev, train = mine / "dev.csv", mine / "train.csv"
    dev.write_text(dev.read_text().replace("TTGA", "TTGC"))
    assert plan_of(mine) == AFTER_PRETRAINING  # its loss is measured while tuning
    train.write_text(train.read_text().replace("TTGA", "TTGC"))
    assert plan_of(mine) == AFTER_PRETRAINING
    # The English of a model from scratch is learned from the questions, too.
    (mine / "mine.toml").write_text(TASK.replace("Is it mine?", "Is it really mine?"))
    assert plan_of(mine) == ["model", *AFTER_PRETRAINING]
    (mine / "genome.fa").write_text(">chr1\nACGT\n")
    assert plan_of(mine) == ["vocabulary", "model", *AFTER_PRETRAINING]


def test_rows_that_do_not_hold_stand_in_the_report(mine: Path) -> None:
    with (mine / "dev.csv").open("a") as table:
        table.write("ACGT,7\nAC-GT,1\n")
    on_mine(mine)
    (result,) = json.loads((mine / "run" / "report" / "report.json").read_text())["results"]
    assert result["n_test"] == 12
    assert "2 rows set aside, the first:" in result["note"]
    assert "dev.csv:14: unknown label '7'" in result["note"]


def test_missing_data_is_an_error_with_a_way_out(mine: Path) -> None:
    (mine / "train.csv").unlink()
    with pytest.raises(FormatError, match=r"task 'mine' has no train rows\n.*data.root=FOLDER"):
        on_mine(mine)
    (mine / "mine.toml").unlink()
    with pytest.raises(TaskError, match="no such task file"):
        on_mine(mine)
    (mine / "genome.fa").unlink()
    with pytest.raises(SettingsError, match=r"no file matches 'genome.fa' under .*\n.*data.root=FOLDER"):
        on_mine(mine)
