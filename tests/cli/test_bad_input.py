"""What bad input gets: one or two lines with the place and the way out, exit code 2, and nothing under a final name."""

import errno
import gzip
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tiny

from .conftest import Cli

Refused = Callable[..., list[str]]
FASTA = ">a\n" + "ACGTTGCA" * 10 + "\n>b\n" + "ACGGTTCA" * 10 + "\n"


# Sequence files. The ways in are the same for all commands, so two of them stand for the rest.


def truncated(path: Path) -> None:
    path.write_bytes(gzip.compress(FASTA.encode() * 200)[:-20])


BAD_FILES = {
    "missing": ("reads.fa", lambda path: None, ("reads.fa: no such file",)),
    "near": ("read.fa", lambda path: path.with_name("reads.fa").write_text(FASTA), ("did you mean", "reads.fa?")),
    "empty": ("reads.fa", lambda path: path.touch(), ("reads.fa: ", "empty")),
    "blank": ("reads.fa", lambda path: path.write_text("\n \n"), ("reads.fa: no records, only blank lines",)),
    "folder": ("reads.fa", lambda path: path.mkdir(), ("reads.fa: this is a folder, not a file",)),
    "truncated": ("reads.fa.gz", truncated, ("reads.fa.gz: the compressed file is truncated", "download it again")),
    "headerless": ("reads.fa", lambda path: path.write_text("ACGT\nACGT\n"), ("reads.fa:1: FASTA without a header",)),
    "no column": (
        "reads.csv",
        lambda path: path.write_text("id,dna\na,ACGT\n"),
        ("reads.csv:2: no column 'sequence'",),
    ),
    "no format": ("reads", lambda path: path.write_text("ACGT\n"), ("reads:1: the format is not known", ">name")),
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("command", ["predict", "vocabulary"])
def test_a_bad_file(command: str, case: str, refused: Refused, model: Path, tmp_path: Path) -> None:
    name, make, parts = BAD_FILES[case]
    path = tmp_path / name
    make(path)
    output = ("--output", tmp_path / "out")
    if command == "predict":
        refused("predict", path, "--task", "sim_promoter", "--model", model, *output, parts=parts)
    else:
        refused("vocabulary", "train", path, "--kind", "dna", "--size", 8, *output, parts=parts)


def test_a_bad_letter_is_refused_with_its_place_and_count(refused: Refused, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "reads.fa"
    path.write_text(">a\nACGT\n>b\nAC--GT*\n")
    words = ("predict", path, "--task", "sim_promoter", "--model", model, "--output", tmp_path / "out.tsv")
    place = f"{path}:3: record 'b': 3 letters outside the DNA alphabet: '-' (2), '*' (1)"
    refused(*words, parts=(place, '"drop"', '"mask"', '"skip"'))
    refused(*words, "--bad-letters", "keep", parts=("--bad-letters 'keep'", "one of: refuse, skip, drop, mask"))


def test_protein_where_dna_is_asked_for(refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "p.fa").write_text(">p\nMKTFIPL\n")
    words = ("predict", tmp_path / "p.fa", "--task", "sim_promoter", "--model", model)
    refused(*words, parts=("p.fa:1: ", "is this protein?"))


def test_a_vocabulary_of_bad_records_alone(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nAC-GT\n")
    words = ("vocabulary", "train", tmp_path / "a.fa", "--kind", "dna", "--output", tmp_path / "out")
    refused(*words, "--size", 8, parts=("a.fa:1", "none of the records hold", "outside the DNA alphabet"))
    refused(*words, "--size", 3, parts=("below the 4 letters of dna",))


# Tables of labelled rows.


def test_unknown_labels_are_set_aside_and_counted(
    cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "dev.csv"
    table.write_text(dev("sim_promoter").read_text() + "ACGTACGT,maybe\nAC-T,1\n")
    outcome = cli("evaluate", model, "--task", "sim_promoter", "--data", table, "--output", tmp_path / "report")
    assert outcome.code == 0, outcome
    assert f"2 rows set aside, the first: {table}:22: unknown label 'maybe'" in outcome.err
    (result,) = json.loads((tmp_path / "report" / "report.json").read_text())["results"]
    assert result["n_test"] == 20
    assert "2 rows set aside" in result["note"]


BAD_TABLES = {
    "labels": ("sequence,label\nACGT,maybe\nACGT,perhaps\n", ("no row holds for task 'sim_promoter'", "'maybe'")),
    "column": ("sequence,lable\nACGT,1\n", ("dev.csv:2: no column 'label'", "did you mean 'lable'?")),
    "no rows": ("sequence,label\n", ("dev.csv: a table without rows",)),
    "no header": ("ACGTACGTACGTACGTACGTACGTACGTACGT,1\n", ("dev.csv:1: no header:", "sequence,label")),
    "fasta": (FASTA, ("dev.csv: this is FASTA or FASTQ, not a table", "CSV, TSV or JSONL")),
    "cells": ("sequence,label\nACGT\n", ("1 cells, but the header has 2 columns",)),
    "quotes": ('sequence,label\n"ACGT,1\n', ("dev.csv:", "quote")),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table(case: str, refused: Refused, model: Path, tmp_path: Path) -> None:
    text, parts = BAD_TABLES[case]
    table = tmp_path / "dev.csv"
    table.write_text(text)
    words = ("evaluate", model, "--task", "sim_promoter", "--data", table, "--output", tmp_path / "report")
    refused(*words, parts=(str(table), *parts))


def test_a_missing_table(refused: Refused, model: Path, tmp_path: Path) -> None:
    words = ("evaluate", model, "--task", "sim_promoter", "--data", tmp_path / "none.csv")
    refused(*words, parts=("none.csv: no such file",))


def test_sequences_where_pairs_are_asked_for(refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(FASTA)
    (tmp_path / "a.csv").write_text("seq_a\nACGT\n")
    words = ("--task", "sim_central_dogma", "--model", model, "--output", tmp_path / "out.tsv")
    refused("predict", tmp_path / "a.fa", *words, parts=("a.fa: this is FASTA or FASTQ, not a table",))
    refused("predict", tmp_path / "a.csv", *words, parts=("a.csv:2: no column 'seq_b'", "columns: seq_a"))


# Recipes.


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (("tokens = 6000", "tokns = 6000"), ("tiny.toml: unknown key 'pretrain.tokns'", "did you mean 'tokens'?")),
        (("weight = 2", "wieght = 2"), ("unknown key 'corpus.source.0.wieght'", "did you mean 'weight'?")),
        (("[finetune]", "[fine_tune]"), ("unknown key 'fine_tune'", "did you mean 'finetune'?")),
        (("tokens = 6000", 'tokens = "many"'), ("pretrain.tokens: ", "(got 'many')")),
        (("tokens = 6000", "tokens 6000"), ("tiny.toml: not a TOML recipe:",)),
        (("num_train = 60", "num_train = 1"), ("simulate.num_train: ", "(got 1)")),
    ],
)
def test_a_recipe_that_does_not_hold(
    change: tuple[str, str], parts: tuple[str, ...], refused: Refused, tmp_path: Path
) -> None:
    recipe = tiny.write_recipe(tmp_path, tiny.RECIPE.replace(*change))
    refused("run", recipe, f"output={tmp_path / 'run'}", parts=parts)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("pretrian.tokens=5", ("unknown key 'pretrian'", "did you mean 'pretrain'?")),
        ("pretrain.tokns=5", ("unknown key 'pretrain.tokns'", "did you mean 'tokens'?")),
        ("pretrain.tokens", ("not an override: 'pretrain.tokens'", "section.key=value")),
        ("name.first=x", ("'name' is not a section",)),
        ("pretrain.tokens=0", ("pretrain.tokens: ", "(got 0)")),
    ],
)
def test_an_override_that_does_not_hold(
    override: str, parts: tuple[str, ...], refused: Refused, tmp_path: Path
) -> None:
    refused("run", tiny.write_recipe(tmp_path), f"output={tmp_path / 'run'}", override, parts=parts)


def test_a_missing_recipe(refused: Refused, tmp_path: Path) -> None:
    refused("run", tmp_path / "none.toml", parts=("none.toml: no such recipe",))


def test_a_stage_that_the_recipe_does_not_have(refused: Refused, tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path, tiny.RECIPE[: tiny.RECIPE.index("[pretrain]")])
    refused("finetune", recipe, f"output={tmp_path / 'run'}", parts=("the recipe has no stage 'finetune'",))


def test_an_unknown_size_or_base_leaves_no_model(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    shutil.rmtree(run / "base")
    for override, part in (
        ("model.size=nanno", "no size is named 'nanno'"),
        (f"model.base={tmp_path}/none", f"no model at '{tmp_path}/none'"),
    ):
        outcome = cli("run", tiny.write_recipe(tmp_path), f"output={run}", override)
        assert (outcome.code, len(outcome.message) <= 2) == (2, True), outcome
        assert part in outcome.message[0]
        assert not (run / "base").exists()
        assert tiny.drafts_in(run) == []


# Bases.


def test_a_base_that_is_no_causal_language_model(refused: Refused, dna_vocabulary: Path, tmp_path: Path) -> None:
    base = tmp_path / "bert"
    base.mkdir()
    words = ("model", "extend", "--base", base, "--dna", dna_vocabulary, "--output", tmp_path / "out")
    refused(*words, parts=("bert: no config.json: this is no Hugging Face model folder",))
    for config, part in (
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "BertForMaskedLM is no causal language model"),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "T5ForConditionalGeneration is no"),
        ({"model_type": "vit"}, "model_type 'vit' is no causal language model"),
        ({"architectures": ["OddForCausalLM"], "model_type": "odd", "auto_map": {}}, "needs code from its own folder"),
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "no *.safetensors in this folder"),
    ):
        (base / "config.json").write_text(json.dumps(config))
        refused(*words, parts=(str(base), part))
    (base / "config.json").write_text("{")
    refused(*words, parts=("config.json: not valid JSON",))


def test_a_base_without_weights_that_can_be_read(
    refused: Refused, tiny_run: Path, dna_vocabulary: Path, tmp_path: Path
) -> None:
    base = tiny.copy_run(tiny_run / "base", tmp_path / "base")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    words = ("model", "extend", "--base", base, "--dna", dna_vocabulary, "--output", tmp_path / "out")
    refused(*words, parts=(f"{base}: the weights cannot be loaded",))
    refused(*words[:4], "--output", tmp_path / "out", parts=("nothing to extend with", "--dna FOLDER"))


def test_a_vocabulary_that_is_none(refused: Refused, tiny_run: Path, tmp_path: Path) -> None:
    words = ("vocabulary", "extend", "--base", tiny_run / "base", "--output", tmp_path / "out", "--dna")
    refused(*words, tmp_path / "none", parts=("none",))
    refused(*words, tiny_run / "vocabulary" / "dna", parts=("the base has dna spans already",))


def test_a_tokenizer_that_does_not_fit_the_weights_of_a_base(
    refused: Refused, dna_vocabulary: Path, tmp_path: Path
) -> None:
    """More tokens than rows: the weights would be given to other words."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from llama_gene.vocabulary.text import train_text_tokenizer

    base = tmp_path / "base"
    train_text_tokenizer(["The gene is read in the liver.", "A protein folds."] * 20, 320, base)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    LlamaForCausalLM(LlamaConfig(vocab_size=200, **shape)).save_pretrained(base)
    words = ("model", "extend", "--base", base, "--dna", dna_vocabulary, "--output", tmp_path / "out")
    refused(*words, parts=(str(base), "200 rows", "do not fit", "belong together"))


def test_a_hub_id_when_offline(dna_vocabulary: Path, tmp_path: Path) -> None:
    words = ("vocabulary", "extend", "--base", "owner/none", "--dna", dna_vocabulary, "--output", tmp_path / "out")
    done = tiny.llama_gene(*words)  # HF_HUB_OFFLINE=1, which the hub's library reads when it is loaded
    assert done.returncode == 2, done.stderr
    assert "cannot reach the hub for 'owner/none'" in done.stderr
    assert "give its folder; HF_HUB_OFFLINE=1" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "GatedRepoError",
            ("'meta/big' is gated", "ask for access at https://huggingface.co/meta/big", "hf auth login"),
        ),
        ("RepositoryNotFoundError", ("the hub has no model 'meta/big'", "check the name", "hf auth login")),
        ("LocalEntryNotFoundError", ("cannot reach the hub for 'meta/big'", "give its folder")),
        ("HfHubHTTPError", ("cannot reach the hub for 'meta/big'",)),
        ("ConnectionError", ("cannot reach the hub for 'meta/big' (ConnectionError)",)),
        ("OSError", ("no space left to write",)),
        ("ReadTimeout", ("cannot reach the hub for 'meta/big' (ReadTimeout)",)),
    ],
)
def test_what_the_hub_refuses(
    name: str,
    parts: tuple[str, ...],
    refused: Refused,
    dna_vocabulary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    # Its HTTP client, whichever this version of the hub's library has.
    client = next(base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
    http = sys.modules[client.__module__.partition(".")[0]]
    asked = http.Request("GET", "https://huggingface.co/meta/big")
    if hasattr(errors, name):
        kind = getattr(errors, name)
        given = {"response": http.Response(401, request=asked)} if issubclass(kind, errors.HfHubHTTPError) else {}
        error: Exception = kind("no", **given)
    elif name == "ReadTimeout":
        error = http.ReadTimeout("no", request=asked)
    elif name == "OSError":
        error = OSError(errno.ENOSPC, "no")
    else:
        error = ConnectionError("no")

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    words = ("model", "extend", "--base", "meta/big", "--dna", dna_vocabulary, "--output", tmp_path / "out")
    refused(*words, parts=parts)


def test_a_base_that_is_neither_a_folder_nor_a_hub_id(refused: Refused, dna_vocabulary: Path, tmp_path: Path) -> None:
    for base in (f"{tmp_path}/none", "./none", "a/b/c"):
        words = ("model", "extend", "--base", base, "--dna", dna_vocabulary, "--output", tmp_path / "out")
        refused(*words, parts=(f"no model at '{base}'", "owner/name"))
    words = ("model", "extend", "--base", "a b/c!", "--dna", dna_vocabulary, "--output", tmp_path / "out")
    refused(*words, parts=("'a b/c!' is neither a folder nor a hub id",))


# Models.


@pytest.fixture
def own_model(model: Path, tmp_path: Path) -> Path:
    return tiny.copy_run(model, tmp_path / "model")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--task", "sim_promoter", "--style", "alpaca"), ("no prompt style 'alpaca'", "reference-train")),
        (("--task", "sim_promoter", "--style", "chat"), ("no chat template", "another --style")),
        (("--task", "sim_promoter,sim_splice", "--data", "a.csv"), ("rows of one task", "--root FOLDER")),
        (("--task", ","), ("no task", "--task NAME")),
        (("--tasks", "all", "--style", "llama-gene"), ("not tuned on any task", "--task NAME")),
        (("--task", "prom_core_all", "--style", "llama-gene"), ("no rows of 'prom_core_all'", "--root FOLDER")),
        (
            ("--task", "sim_promoter", "--probabilities", "certain"),
            ("--probabilities 'certain'", "shared, raw, length"),
        ),
        (("--task", "sim_promoter", "--probabilities", "calibrated"), ("need a temperature", "--calibration REPORT")),
        (("--task", "sim_promoter", "--model", "x"), ("--model 'x'", "give the server's address")),
    ],
)
def test_an_evaluation_that_cannot_be(
    words: tuple[str, ...], parts: tuple[str, ...], refused: Refused, model: Path
) -> None:
    refused("evaluate", model, *words, parts=parts)


def test_a_server_that_is_not_there(refused: Refused) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: None)
        refused(
            "evaluate", "http://127.0.0.1:9/v1", "--task", "tf_0", parts=("the server does not answer", "is this its")
        )


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_that_does_not_hold(command: str, refused: Refused, own_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("sequence,label\nACGT,1\n")

    def call(task: str, *parts: str, folder: Path = own_model) -> None:
        if command == "predict":
            refused("predict", table, "--task", task, "--model", folder, parts=parts)
        else:
            refused("evaluate", folder, "--task", task, "--data", table, parts=parts)

    missing = ("none: no such model folder", "llama-gene run RECIPE.toml")
    if command == "evaluate":  # which takes any model
        missing = ("no model at", "none", "give an existing folder, or a hub id")
    call("sim_promoter", *missing, folder=tmp_path / "none")
    call("sim_splice", "sim_splice", "sim_central_dogma, sim_promoter, sim_promoter_strength")
    call("no_such_task", "no_such_task")
    definition = own_model / "tasks" / "sim_promoter.toml"
    definition.write_text(definition.read_text().replace("Is there a promoter?", "Is there none?"))
    call("sim_promoter", "the prompt of task 'sim_promoter' is not the one the model was tuned with")
    definition.unlink()
    call("sim_promoter", "sim_promoter.toml: no such task file")
    spec = json.loads((own_model / "tokenizer.json").read_text())
    vocab = spec["model"]["vocab"]
    first, second = list(vocab)[10:12]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    (own_model / "tokenizer.json").write_text(json.dumps(spec))
    call("sim_promoter_strength", "the tokenizer is not the one that this model was made with")
    (own_model / "tokenizer.json").write_text("{}")
    call("sim_promoter_strength", "tokenizer.json")
    (own_model / "tokenizer.json").unlink()
    call("sim_promoter_strength", "no tokenizer.json in it")
    (own_model / "llama_gene.json").unlink()
    if command == "predict":
        call("sim_promoter_strength", "this model does not know DNA or protein yet", "llama-gene model extend")
    else:
        call("sim_promoter_strength", "transformers cannot load the tokenizer", "without remote code")


def test_weights_of_another_model(refused: Refused, own_model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(FASTA)
    config = own_model / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"hidden_size": 32, "head_dim": 8}))
    words = ("predict", tmp_path / "a.fa", "--task", "sim_promoter", "--model", own_model)
    refused(*words, parts=(f"{config}: not the file that this model was saved with",))


def test_an_adapter_that_does_not_fit(refused: Refused, model: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    words = ("model", "merge", model, adapter, "--output", tmp_path / "out")
    refused(*words, parts=("no adapter_config.json: this is no adapter",))
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "llama_gene.json").write_text('{"tokenizer": "other"}')
    refused(*words, parts=("this adapter was trained with another tokenizer",))


# Tasks, corpora.


def test_an_unknown_task(refused: Refused, tmp_path: Path) -> None:
    refused("tasks", "show", "splice_reconstruct", parts=("no task 'splice_reconstruct'", "splice_reconstructed"))
    refused("tasks", "show", tmp_path / "none.toml", parts=("none.toml: no such task file",))
    (tmp_path / "task.toml").write_text('name = "x"\nkindd = "text"\n')
    refused("tasks", "show", tmp_path / "task.toml", parts=("task.toml: ",))
    refused("tasks", "check", "splice_reconstructed", tmp_path / "none.csv", parts=("none.csv: no such file",))


def test_a_corpus_that_is_none(refused: Refused, tmp_path: Path) -> None:
    refused("corpus", "show", tmp_path, parts=("manifest.json: no such file",))


# A full disk.


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond `num_bytes`: the system's answer is that of a full disk, and comes from below."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_under_predictions_and_vocabularies(
    refused: Refused, model: Path, dev: Callable[[str], Path], tiny_run: Path, tmp_path: Path
) -> None:
    words = ("predict", dev("sim_promoter"), "--task", "sim_promoter", "--model", model)
    output = ("--output", tmp_path / "out")
    parts = (f"{tmp_path / 'out'}", "no space left to write", "free some space")
    with full_disk(200):
        refused(*words, *output, parts=parts)
        genome = tiny_run / "data" / "corpus" / "dna" / "genome.fa"
        refused("vocabulary", "train", genome, "--kind", "dna", "--size", 40, *output, parts=parts)


@pytest.mark.parametrize(
    ("removed", "num_bytes", "stage"),
    [
        (["data"], 5_000, "simulate"),
        (["vocabulary"], 3_500, "vocabulary"),
        (["base"], 30_000, "model"),  # the tokenizer.json
        (["base"], 300_000, "model"),  # the weights
        (["corpus"], 5_000, "corpus"),
        (["pretrained"], 700_000, "pretrain"),  # the optimizer in a checkpoint
        (["model"], 300_000, "finetune"),
        (["report"], 12_000, "evaluate"),  # more than the recipe that is written first
    ],
    ids=lambda value: str(value),
)
def test_a_full_disk_under_a_run(
    removed: list[str], num_bytes: int, stage: str, cli: Cli, tiny_run: Path, tmp_path: Path
) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    recipe = tiny.write_recipe(tmp_path)
    for name in removed:
        shutil.rmtree(run / name)
    if stage == "vocabulary":  # as small as the recipe that stands beside it: more pieces make it larger
        recipe.write_text(tiny.RECIPE.replace("size = 8", "size = 200"))
    with full_disk(num_bytes):
        outcome = cli("run", recipe, f"output={run}")
    assert outcome.code == 2, outcome
    begun = [line for line in outcome.err.splitlines() if line.endswith("...")]
    assert begun[-1].endswith(f"] {stage} ...")
    assert len(outcome.message) == 2
    assert "no space left to write" in outcome.message[0]
    assert str(run) in outcome.message[0]
    assert "free some space" in outcome.message[1]
    assert not (run / removed[0]).exists() or removed == ["corpus"]
    assert not (run / "corpus" / "manifest.json").exists() or removed != ["corpus"]
    assert [draft for draft in tiny.drafts_in(run) if "work" not in draft.parts] == []


def test_a_full_disk_under_standard_output(model: Path, dev: Callable[[str], Path]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    code = "from llama_gene.cli import main; main()"
    words = ("predict", str(dev("sim_promoter")), "--task", "sim_promoter", "--model", str(model))
    with full.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            env=tiny.environment(),
            stdout=stream,
            stderr=subprocess.PIPE,
            check=False,
        )
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert "standard output: no space left to write" in said
    assert "Traceback" not in said


def test_a_folder_that_may_not_be_written_to(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recipe = tiny.write_recipe(tmp_path)
    refused("run", recipe, f"output={tmp_path / 'file' / 'run'}", parts=("cannot write to the run's folder", "output="))
    (tmp_path / "a.fa").write_text(FASTA)
    words = ("vocabulary", "train", tmp_path / "a.fa", "--kind", "dna", "--size", 8)
    parts = ("is in the way", "choose another --output")
    refused(*words, "--output", tmp_path / "file" / "out", parts=(str(tmp_path / "file" / "out"), *parts))


def test_an_output_that_is_a_folder(refused: Refused, model: Path, dev: Callable[[str], Path], tmp_path: Path) -> None:
    words = ("predict", dev("sim_promoter"), "--task", "sim_promoter", "--model", model, "--output", tmp_path)
    refused(*words, parts=(str(tmp_path), "is in the way", "choose another --output"))


# What is not the user's mistake.


def test_a_bug_of_ours_shows_its_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("llama_gene.tasks.registry.load_task", fail)
    outcome = cli("tasks", "show", "splice_reconstructed")
    assert outcome.code == 1
    assert "this is a bug of ours" in outcome.err
    assert "Traceback" in outcome.err
    assert "ZeroDivisionError: ours" in outcome.err


def test_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("llama_gene.tasks.registry.load_task", interrupt)
    outcome = cli("tasks", "show", "splice_reconstructed")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("words", [["learn"], ["run"], ["predict", "a.fa"], ["vocabulary", "train", "--siz", "4"]])
def test_a_command_line_that_does_not_hold(words: list[str], cli: Cli) -> None:
    outcome = cli(*words)
    assert outcome.code == 2
    assert "Usage:" in outcome.err
    assert "Traceback" not in outcome.err
