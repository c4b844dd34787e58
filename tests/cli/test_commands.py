"""Every command does what its help says, with a model of seconds."""

import csv
import gzip
import io
import json
import shutil
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

import tiny
from llama_gene.tasks.registry import builtin_names
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.train import SequenceVocabulary

from .conftest import Cli, Outcome


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def fasta(sequences: list[str]) -> str:
    return "".join(f">s{number} some words\n{sequence}\n" for number, sequence in enumerate(sequences))


def ok(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome
    return outcome.out


# vocabulary, model


def test_vocabulary_train_and_extend(cli: Cli, tiny_run: Path, stories: Path, tmp_path: Path) -> None:
    proteins = tiny_run / "data" / "corpus" / "protein" / "proteins.fa"
    genome = tiny_run / "data" / "corpus" / "dna" / "genome.fa"
    for kind, file, size in (("dna", genome, 10), ("protein", proteins, 24)):
        out = ok(cli("vocabulary", "train", file, "--kind", kind, "--size", size, "--output", tmp_path / kind))
        assert f"{size} pieces of {kind}" in out
        assert SequenceVocabulary.load(tmp_path / kind).size == size
    folders = ("--dna", tmp_path / "dna", "--protein", tmp_path / "protein")
    out = ok(cli("vocabulary", "extend", "--base", stories, *folders, "--output", tmp_path / "typed"))
    assert "512 of them the base's" in out
    assert GeneTokenizer.load(tmp_path / "typed").kinds == ("dna", "protein")


def test_vocabulary_train_reports_what_it_set_aside(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\n" + "ACGTTGCA" * 10 + "\n>b\nAC-GT\n")
    out = cli("vocabulary", "train", tmp_path / "a.fa", "--kind", "dna", "--size", 6, "--output", tmp_path / "out")
    assert out.code == 0
    assert "1 records set aside; the first:" in out.err
    assert "a.fa:3" in out.err


def test_model_extend_makes_a_folder_to_tune(cli: Cli, stories: Path, dna_vocabulary: Path, tmp_path: Path) -> None:
    ok(cli("model", "extend", "--base", stories, "--dna", dna_vocabulary, "--output", tmp_path / "grown"))
    from llama_gene.model.folder import load_folder

    model, tokenizer, record = load_folder(tmp_path / "grown")
    assert tokenizer.kinds == ("dna",)
    assert model.get_input_embeddings().weight.shape[0] >= tokenizer.num_tokens
    assert record["base"] == str(stories)


def test_model_merge_gives_the_model_of_the_run(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    tiny.go_on(run, "finetune.lora.rank=2", until="finetune")
    ok(cli("model", "merge", run / "pretrained", run / "model-adapter", "--output", tmp_path / "merged"))
    name = "model.safetensors"
    assert (tmp_path / "merged" / name).read_bytes() == (run / "model" / name).read_bytes()


# run, corpus, tasks


def test_corpus_build_and_show(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    recipe = tiny.write_recipe(tmp_path)
    built = cli("corpus", "build", recipe, f"output={run}")
    assert "[4/7] corpus: done before" in built.err
    shown = ok(cli("corpus", "show", run / "corpus"))
    assert ok(built).replace(str(run), "") == shown.replace(str(run), "")
    words = " ".join(shown.split())
    for source in ("genome (dna), weight 2", "proteins (protein), weight 1", "english (text), weight 1"):
        assert source in words
    assert "documents" in words
    assert "held out" in words
    assert "set aside" in words


def test_run_shows_the_results_and_what_to_do_with_them(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    outcome = cli("run", tiny.write_recipe(tmp_path), f"output={run}")
    out = ok(outcome)
    assert outcome.err.count("done before, and nothing has changed") == 7
    assert f"{run}/report/report.html" in out
    assert f"llama-gene predict FILE --task sim_promoter --model {run}/model" in out


@pytest.mark.parametrize("command", ["run", "quickstart"])
def test_a_dry_run_prints_the_plan_and_writes_nothing(command: str, cli: Cli, tmp_path: Path) -> None:
    words = ["run", tiny.write_recipe(tmp_path)] if command == "run" else ["quickstart"]
    before = list(tmp_path.iterdir())
    out = ok(cli(*words, f"output={tmp_path / 'new'}", "--dry-run"))
    assert [line.split()[0] for line in out.splitlines()[1 : 1 + len(tiny.STAGES)]] == list(tiny.STAGES)
    assert out.count("to do") == 7
    assert str(tmp_path / "new" / "report") in out
    assert list(tmp_path.iterdir()) == before


def test_tasks_list_names_them_all(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = ok(cli("tasks", "list"))
    assert [name for name in builtin_names() if name not in out] == []


@pytest.mark.parametrize("name", builtin_names())
def test_tasks_show_shows_a_prompt(name: str, cli: Cli) -> None:
    out = ok(cli("tasks", "show", name))
    assert out.startswith(f"{name}: ")
    assert "<dna>ACGTACGT</dna>" in out or "<protein>MKTAYIAK</protein>" in out


def test_tasks_check_counts_and_lists(
    cli: Cli, tiny_run: Path, dev: Callable[[str], Path], refused: Callable[..., list[str]], tmp_path: Path
) -> None:
    task = tiny_run / "data" / "tasks" / "sim_promoter" / "task.toml"
    assert "20 rows hold, 0 do not" in ok(cli("tasks", "check", task, dev("sim_promoter")))
    table = tmp_path / "rows.csv"
    table.write_text("sequence,label\nACGT,1\nACGT,maybe\n")
    refused("tasks", "check", task, table, parts=(str(table), "1 rows do not hold"))
    outcome = cli("tasks", "check", task, table)
    assert f"{table}:3: unknown label 'maybe'" in outcome.err
    assert "1 rows hold, 1 do not" in outcome.out


# evaluate


def test_evaluate_scores_a_table(
    cli: Cli, model: Path, dev: Callable[[str], Path], tiny_run: Path, tmp_path: Path
) -> None:
    words = ("evaluate", model, "--task", "sim_promoter", "--data", dev("sim_promoter"))
    out = ok(cli(*words, "--output", tmp_path / "report"))
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.json",
        "report.html",
        "report.md",
        "predictions",
    }
    (result,) = json.loads((tmp_path / "report" / "report.json").read_text())["results"]
    (of_run, *_) = json.loads((tiny_run / "report" / "report.json").read_text())["results"]
    # Gradients differ in their last digits with the number of threads.
    shown, of_run_shown = result.pop("explained"), of_run.pop("explained")
    assert [(row["id"], row["answer"]) for row in shown] == [(row["id"], row["answer"]) for row in of_run_shown]
    assert len(shown) == 2
    assert result == of_run | {"other_words": None}  # which only a run asks for
    for metric in ("mcc", "accuracy", "macro_f1", "auroc"):
        assert metric in out


@pytest.mark.parametrize("task", tiny.TASKS)
def test_evaluate_finds_the_dev_split(task: str, cli: Cli, model: Path) -> None:
    out = ok(cli("evaluate", model, "--task", task, "--batch-tokens", 2000))
    assert ("spearman" if task == "sim_promoter_strength" else "mcc") in out


def test_evaluate_scores_all_tasks_of_a_model(cli: Cli, model: Path, tmp_path: Path) -> None:
    out = ok(cli("evaluate", model, "--tasks", "all", "--output", tmp_path / "report"))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [result["name"] for result in report["results"]] == sorted(tiny.TASKS)
    assert report["title"] == f"model on {len(tiny.TASKS)} tasks"
    assert all(f"\n{name}\n" in out for name in tiny.TASKS)
    named = ",".join(sorted(tiny.TASKS)[:2])
    assert "2 tasks" in ok(cli("evaluate", model, "--task", named, "--task", sorted(tiny.TASKS)[0]))


def test_evaluate_asks_a_model_that_was_never_tuned(
    cli: Cli, model: Path, tiny_run: Path, dev: Callable[[str], Path], tmp_path: Path
) -> None:
    """In the words of the reference, with no record of ours in its folder; baselines from the training table."""
    folder = Path(shutil.copytree(model, tmp_path / "stock"))
    (folder / "llama_gene.json").unlink()
    task, root = tiny_run / "data" / "tasks" / "sim_promoter" / "task.toml", tiny_run / "data"
    if not task.is_file():
        task = model / "tasks" / "sim_promoter.toml"
    words = ("evaluate", folder, "--task", task, "--data", dev("sim_promoter"), "--output", tmp_path / "report")
    ok(cli(*words, "--style", "reference-test", "--train", root / "tasks" / "sim_promoter" / "train.csv"))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["model"]["prompt style"] == "reference-test"
    assert report["model"]["sequences"] == "bare"
    (result,) = report["results"]
    assert result["n_train"] == 0
    assert {"majority", "nearest"} <= set(result["baselines"])
    assert result["scores"].keys() >= {"mcc", "auroc", "ece"}


def test_evaluate_gives_probabilities_of_several_kinds(
    cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path
) -> None:
    words = ("evaluate", model, "--task", "sim_promoter", "--data", dev("sim_promoter"))
    found = {}
    ok(cli(*words, "--output", tmp_path / "dev"))
    for kind, more in {
        "shared": (),
        "raw": (),
        "length": (),
        "calibrated": ("--calibration", tmp_path / "dev"),
    }.items():
        ok(cli(*words, *more, "--probabilities", kind, "--output", tmp_path / kind))
        report = json.loads((tmp_path / kind / "report.json").read_text())
        found[kind] = report["results"][0]
    assert found["raw"]["scores"]["mcc"] == found["shared"]["scores"]["mcc"] == found["calibrated"]["scores"]["mcc"]
    assert found["raw"]["scores"]["ece"] != found["shared"]["scores"]["ece"]
    assert found["calibrated"]["scores"]["ece"]["value"] == pytest.approx(
        found["calibrated"]["calibration"]["after"]["value"]
    )


def test_evaluate_takes_a_packed_table_from_anywhere(
    cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "held_out.tsv.gz"
    table.write_bytes(gzip.compress(dev("sim_promoter").read_text().replace(",", "\t").encode()))
    words = ("evaluate", model, "--task", "sim_promoter", "--data")
    plain, packed = (ok(cli(*words, file)) for file in (dev("sim_promoter"), table))
    metrics = ("mcc ", "accuracy ", "macro_f1 ", "auroc ")
    plain, packed = (
        "\n".join(line for line in out.splitlines() if line.startswith(metrics)) for out in (plain, packed)
    )
    assert plain == packed
    assert plain.count("\n") == 3


# predict


def test_predict_on_any_form_of_the_same_sequences(
    cli: Cli, model: Path, promoters: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = fasta(promoters)
    (tmp_path / "a.fa").write_text(text)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(text.encode()))
    table = "\n".join(["id,sequence", *(f"s{number},{sequence}" for number, sequence in enumerate(promoters))]) + "\n"
    (tmp_path / "a.csv").write_text(table)
    (tmp_path / "a.tsv").write_text(table.replace(",", "\t"))
    lines = [json.dumps({"id": f"s{number}", "sequence": sequence}) for number, sequence in enumerate(promoters)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    words = ("--task", "sim_promoter", "--model", model)
    expected = ok(cli("predict", tmp_path / "a.fa", *words))
    rows = rows_of(expected)
    assert list(rows[0]) == ["id", "label", "probability", "p(no)", "p(yes)"]
    assert [row["id"] for row in rows] == [f"s{number}" for number in range(len(promoters))]
    for row in rows:
        yes, no = float(row["p(yes)"]), float(row["p(no)"])
        assert yes + no == pytest.approx(1, abs=2e-4)
        assert float(row["probability"]) == max(yes, no)
        assert row["label"] == ("yes" if yes > no else "no") or yes == no
    for name in ("a.fa.gz", "a.csv", "a.tsv", "a.jsonl"):
        assert ok(cli("predict", tmp_path / name, *words)) == expected, name
    for content in (text.encode(), gzip.compress(text.encode()), table.encode()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert ok(cli("predict", "-", *words)) == expected
    outcome = cli("predict", tmp_path / "a.fa", *words, "--output", tmp_path / "new" / "out.tsv")
    assert ok(outcome) == ""
    assert "20 predictions" in outcome.err
    assert (tmp_path / "new" / "out.tsv").read_text() == expected


def test_predictions_keep_the_order_of_the_file_and_not_of_its_batches(
    cli: Cli, model: Path, promoters: list[str], tmp_path: Path
) -> None:
    sequences = [sequence[: 20 + 17 * number % 60] for number, sequence in enumerate(promoters)]
    (tmp_path / "a.fa").write_text(fasta(sequences))
    words = ("predict", tmp_path / "a.fa", "--task", "sim_promoter", "--model", model)
    at_once, one_by_one = rows_of(ok(cli(*words))), rows_of(ok(cli(*words, "--batch-tokens", 1)))
    assert [row["id"] for row in at_once] == [f"s{number}" for number in range(len(sequences))]
    for first, second in zip(at_once, one_by_one, strict=True):
        assert first["id"] == second["id"]
        assert float(first["p(yes)"]) == pytest.approx(float(second["p(yes)"]), abs=2e-4)


def test_predict_a_regression(cli: Cli, model: Path, dev: Callable[[str], Path]) -> None:
    rows = rows_of(
        ok(cli("predict", dev("sim_promoter_strength"), "--task", "sim_promoter_strength", "--model", model))
    )
    assert len(rows) == 20
    assert list(rows[0]) == ["id", "value"]
    assert all(0 <= float(row["value"]) <= 9 for row in rows)


def test_predict_explains_the_first_records(cli: Cli, model: Path, promoters: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(fasta(promoters))
    words = ("predict", tmp_path / "a.fa", "--task", "sim_promoter", "--model", model)
    plain = ok(cli(*words))
    folder = tmp_path / "why"
    more = ("--explain", folder, "--explain-records", 2, "--explain-letters", 10, "--label", "yes")
    outcome = cli(*words, *map(str, more))
    assert ok(outcome) == plain
    assert f"explained 2 of them: {folder}/explanation.html" in outcome.err
    explained = json.loads((folder / "explanation.json").read_text())["records"]
    assert [(one["id"], one["output"]) for one in explained] == [("s0", "log-odds of yes"), ("s1", "log-odds of yes")]
    for one, row in zip(explained, rows_of(plain), strict=False):
        assert (one["answer"], one["probability"] > 0.5) == (row["label"], row["label"] == "yes")
        assert len(one["sequences"][0]["letters"]) == 10
    # Said before anything is predicted.
    wrong = cli(*words, "--output", tmp_path / "no.tsv", "--explain", folder, "--label", "perhaps")
    assert wrong.message == ["task 'sim_promoter' has no label 'perhaps'", "  its labels: no, yes"]
    assert (wrong.code, (tmp_path / "no.tsv").exists()) == (2, False)
    both = cli(*words, "--scan", "--explain", folder)
    assert (both.code, both.message[0]) == (2, "--scan and --explain do not go together")


def test_predict_pairs_from_a_table(cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path) -> None:
    words = ("--task", "sim_central_dogma", "--model", model)
    labelled = rows_of(ok(cli("predict", dev("sim_central_dogma"), *words)))
    assert [row["id"] for row in labelled][:2] == ["dev_0_a|dev_0_b", "dev_1_a|dev_1_b"]
    # Without labels, ids and types, too: two columns are enough.
    with dev("sim_central_dogma").open(newline="") as table:
        pairs = [(row["seq_a"], row["seq_b"]) for row in csv.DictReader(table)]
    (tmp_path / "pairs.csv").write_text("\n".join(["seq_b,seq_a", *(f"{b},{a}" for a, b in pairs)]) + "\n")
    bare = rows_of(ok(cli("predict", tmp_path / "pairs.csv", *words)))
    assert [row["id"] for row in bare][:2] == ["row2", "row3"]
    assert [row["p(yes)"] for row in bare] == [row["p(yes)"] for row in labelled]


@pytest.mark.parametrize(
    ("policy", "ids"), [("skip", ["a", "d"]), ("drop", ["a", "b", "d"]), ("mask", ["a", "b", "d"])]
)
def test_predict_with_letters_outside_the_alphabet(
    policy: str, ids: list[str], cli: Cli, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.fa").write_text(">a\nACGTACGT\n>b\nACG-TAC*GT\n>c\n\n>d\nACGNTA\n")
    outcome = cli("predict", tmp_path / "a.fa", "--task", "sim_promoter", "--model", model, "--bad-letters", policy)
    assert [row["id"] for row in rows_of(ok(outcome))] == ids
    num_out = 4 - len(ids)
    assert f"{len(ids)} predictions, {num_out} records set aside" in outcome.err
    assert f"set aside: {tmp_path / 'a.fa'}:5: " in outcome.err


def test_the_quickstart_recipe_is_in_the_package() -> None:
    assert (resources.files("llama_gene") / "quickstart.toml").is_file()
