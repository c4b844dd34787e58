"""An export opens without our code and says the same, or there is none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.config import ModelSettings
from llama_gene.errors import ModelError
from llama_gene.evaluation.card import scores_of
from llama_gene.evaluation.evaluate import describe_model
from llama_gene.evaluation.result import Report, TaskResult
from llama_gene.inference.engine import Engine
from llama_gene.inference.temperature import keep_temperature
from llama_gene.metrics import Score
from llama_gene.model import export as module
from llama_gene.model.card import Check, licence_of, write_card
from llama_gene.model.create import extend_base
from llama_gene.model.export import Answer, Question, ask_stock, export
from llama_gene.model.folder import RECORD, load_folder
from llama_gene.model.lora import add_lora
from llama_gene.model.merge import merge_folders, save_adapter
from llama_gene.tasks.task import Task
from llama_gene.tasks.template import answer_text, prompt_parts
from llama_gene.tokenizer import GeneTokenizer, render
from nano import CONFORM, DNA, LORA, PAIR, PROTEIN, examples, logits_of, some_ids, tree
from vocabulary.families import qwen2, qwen3

CONFIG = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 128,
}


def grown(build: Callable[[Path], Path], folder: Path, **changes: Any) -> Path:
    """A tiny Qwen with the tokenizer of its family, extended by both kinds; its rows are no multiple of 64."""
    from transformers import AutoConfig, AutoModelForCausalLM

    base = build(folder / "base")
    config = AutoConfig.for_model(json.loads((base / "config.json").read_text())["model_type"], **CONFIG, **changes)
    AutoModelForCausalLM.from_config(config).save_pretrained(base)
    extend_base(ModelSettings(base=str(base)), [DNA, PROTEIN], folder / "model", seed=1)
    return folder / "model"


def test_an_export_opens_anywhere_and_says_the_same(tuned_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tuned_folder, model)
    keep_temperature(model, "conform", 2.0, "12 rows")
    before = tree(model)
    del before["training.html"]  # of no use elsewhere
    (model / "training_args.bin").write_bytes(b"not to be published")
    check = export(model, tmp_path / "exported", scores="| conform | 0.5 |")
    assert check.num_probes == 8
    assert check.difference <= 1e-4
    after = tree(tmp_path / "exported")
    card = after.pop("README.md").decode()
    assert after == before
    assert "calibration.json" in after
    assert "| conform | 0.5 |" in card
    assert "`AutoTokenizer` for 8 texts" in card
    # Ours can open it too, and so export it again.
    loaded, genes, _ = load_folder(tmp_path / "exported")
    assert np.array_equal(logits_of(loaded, some_ids(genes)), logits_of(load_folder(model)[0], some_ids(genes)))
    # So the labels are as probable as in our engine.
    engine = Engine.load(tuned_folder)
    for task, found in zip((CONFORM, PAIR), stock_probabilities(tmp_path / "exported", CONFORM, PAIR), strict=True):
        ours = [one.probabilities for one in engine.predict(task, examples(task, 3))]
        assert found == pytest.approx(np.array(ours), abs=1e-4)
        assert np.ptp(found[:, 0]) > 1e-3  # rows differ: not any answer would do


def stock_probabilities(folder: Path, *tasks: Task) -> list[np.ndarray]:
    """For each task what stock transformers makes of each label after three prompts, [3, labels], from texts alone."""
    genes = GeneTokenizer.load(folder)
    questions = []
    for task in tasks:
        prompts = [render(prompt_parts(task, row.sequences)) for row in examples(task, 3)]
        # Where one label begins another, what ends it is a part of it.
        end = genes.decode([genes.eos_id]) if task is CONFORM else ""
        ended = [answer_text(label) + end for label in task.candidates]
        whole = [prompt + answer for prompt in prompts for answer in ended]
        questions.append(Question(folder, [*prompts, *whole], prompts=whole))
    return [_shares(answer) for answer in ask_stock(questions)]


def _shares(answer: Answer) -> np.ndarray:
    prompts, whole = answer.ids[:3], answer.ids[3:]
    scores = []
    for place, (ids, logits) in enumerate(zip(whole, answer.logits, strict=True)):
        logprobs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        first = len(prompts[3 * place // len(whole)])
        scores.append(sum(logprobs[at - 1, ids[at]] for at in range(first, len(ids))))
    weights = np.exp(np.array(scores).reshape(3, -1))
    return weights / weights.sum(axis=1, keepdims=True)


def test_half_of_the_room_is_the_same_weights_rounded(nano_folder: Path, tmp_path: Path) -> None:
    assert export(nano_folder, tmp_path / "exported", half=True).difference <= 1e-4
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (nano_folder, tmp_path / "exported")]
    assert sizes[1] < 0.6 * sizes[0]
    whole, rounded = (load_folder(folder)[0].state_dict() for folder in (nano_folder, tmp_path / "exported"))
    assert all(value.bfloat16().float().equal(rounded[name]) for name, value in whole.items())


@pytest.mark.slow
def test_a_grown_base_with_padded_rows_and_a_chat_template(tmp_path: Path) -> None:
    model = grown(qwen3, tmp_path, vocab_size=701)
    (tmp_path / "base" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\nlicense: none\n")
    assert export(model, tmp_path / "exported").num_probes == 9
    card = (tmp_path / "exported" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: apache-2.0\n")
    assert "The base is under apache-2.0" in card
    assert str(tmp_path) not in card


def test_rows_are_rounded_up_beyond_those_of_the_base(tmp_path: Path) -> None:
    model = grown(qwen3, tmp_path, vocab_size=701)
    genes, config = GeneTokenizer.load(model), json.loads((model / "config.json").read_text())
    assert (genes.base_size, config["vocab_size"] % 64) == (701, 0)
    assert genes.num_tokens <= config["vocab_size"] < genes.num_tokens + 64
    tensors, _, _ = load_folder(model)
    assert tensors.get_input_embeddings().weight.shape[0] == config["vocab_size"]


def test_a_model_type_whose_class_transformers_forces_is_named_and_refused(tmp_path: Path) -> None:
    model = grown(qwen2, tmp_path, vocab_size=640)
    assert GeneTokenizer.load(model).encode("<dna>ACGT</dna>")
    with pytest.raises(ModelError) as caught:
        export(model, tmp_path / "exported")
    message = str(caught.value)
    assert "for the model type 'qwen2' AutoTokenizer of transformers" in message
    assert (
        "takes its own class Qwen2Tokenizer, whatever the folder says, which drops how sequences are written" in message
    )
    assert "PreTrainedTokenizerFast.from_pretrained" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "model"]


def test_what_cannot_be_exported(nano_folder: Path, tmp_path: Path) -> None:
    """vllm#9280, among others: an adapter with whole rows opens in no engine, so it is merged first."""
    with pytest.raises(ModelError, match="no such model folder"):
        export(tmp_path / "none", tmp_path / "exported")
    shutil.copytree(nano_folder, tmp_path / "run" / "model")
    for output in (tmp_path / "run" / "model", tmp_path / "run", tmp_path / "run" / "model" / ".." / "model"):
        with pytest.raises(ModelError, match="would replace the model itself\n  choose another --output"):
            export(tmp_path / "run" / "model", output)
    assert tree(tmp_path / "run" / "model") == tree(nano_folder)
    model, genes, _ = load_folder(nano_folder)
    save_adapter(add_lora(model, LORA), tmp_path / "adapter", genes.fingerprint)
    with pytest.raises(ModelError, match=r"this is an adapter, .*\n  merge it first: llama-gene model merge"):
        export(tmp_path / "adapter", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
    merge_folders(nano_folder, tmp_path / "adapter", tmp_path / "merged")
    (tmp_path / "merged" / RECORD).write_text('{"tokenizer": "another"}')
    with pytest.raises(ModelError, match="not the one that this model was made with"):
        export(tmp_path / "merged", tmp_path / "exported")


def ours(folder: Path, **changes: Any) -> Answer:
    """The answer that agrees with us, but for `changes`."""
    model, genes, _ = load_folder(folder)
    answer: dict[str, Any] = {
        "version": "9.9",
        "class_name": "TokenizersBackend",
        "ids": [genes.encode(text) for text in module._PROBES],
        "special_ids": [genes.bos_id, genes.eos_id, genes.pad_id],
        "num_tokens": genes.num_tokens,
        "logits": [logits_of(model, genes.encode(module._MIXED))],
    }
    return Answer(**answer | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": "ValueError: no such type\nmore"}, r"transformers 9\.9 cannot open it \(ValueError: no such type\)"),
        (
            {"class_name": "LlamaTokenizer", "num_tokens": 5},
            "for the model type 'llama' .* its own class LlamaTokenizer",
        ),
        ({"ids": [[1, 2]] * 8}, r"transformers 9\.9: '<dna>ACGT.*' is \[1, 2\]\.\.\. from id 0 on, and not \["),
        ({"chat_ids": [1]}, "a conversation in the chat template has other ids"),
        ({"special_ids": [None, 1, 1]}, r"beginning, end and padding are \[None, 1, 1\]"),
        ({"num_tokens": 5}, r"transformers 9\.9: it has 5 tokens, and not \d+"),
        ({"logits": [np.float32(3)]}, r"computes other logits from it \(they differ by"),
        ({"logits": [np.float32("nan")]}, r"computes other logits from it \(they differ by nan\)"),
    ],
)
def test_every_disagreement_leaves_nothing(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    answer = ours(nano_folder, **changes)
    monkeypatch.setattr(module, "ask_stock", lambda questions: [answer])
    with pytest.raises(ModelError, match=message):
        export(nano_folder, tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_keeps_the_one_before(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "README.md").write_text("the one before")
    monkeypatch.setattr(module, "ask_stock", lambda questions: [Answer("9.9", error="broken")])
    with pytest.raises(ModelError):
        export(nano_folder, tmp_path / "exported")
    assert tree(tmp_path) == {"exported/README.md": b"the one before"}


def test_a_process_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import sys; sys.exit('Killed for its memory')")
    monkeypatch.setattr(module.stock, "__file__", str(script))
    with pytest.raises(ModelError, match="failed: Killed for its memory\n  it loads the model once more"):
        ask_stock([Question(tmp_path, ["a"])])


def test_the_card_says_what_the_record_says(nano_tokenizer: GeneTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {"tokens": 1000, "steps": 10, "trainable_parameters": 3, "parameters": 70_000}
    record = {
        "version": "0.1.0",
        "base": "HuggingFaceTB/SmolLM2-135M",
        "pretrain": stage
        | {"epochs_of_source": {"ecoli": 0.5}, "bits": {"dna": {"before": 2, "after": 1.9}, "text": {"after": None}}},
        "finetune": stage,
        "tasks": {
            "tf_0": {"path": "/home/me/tf_0/train.csv", "sha256": "ab12", "num_rows": 3500, "train_shortened": 1200}
        },
    }
    check = Check("5.23.0", 8, 0.0)
    card = write_card("my-model", record, "LlamaForCausalLM", 70_000, 512, nano_tokenizer, "", check)
    for line in (
        "base_model: HuggingFaceTB/SmolLM2-135M",
        "tags: [llama-gene, biology, dna, protein]",
        "# my-model",
        "- base: HuggingFaceTB/SmolLM2-135M",
        "- architecture: LlamaForCausalLM, 70,000 parameters",
        "- context: 512 tokens",
        "- continued pre-training: 1,000 tokens in 10 steps, 3 of 70,000 parameters trained",
        "- bits per base on held-out documents after pre-training: 1.900",
        "| ecoli | 0.5 |",
        "| tf_0 | train.csv | 3,500 | ab12 |",
        "None are recorded.",
        "- Sequences too long for its prompts were cut in training, in so many rows: tf_0 1,200.",
    ):
        assert line in card.splitlines()
    assert "look https://huggingface.co/HuggingFaceTB/SmolLM2-135M" in card
    assert "license:" not in card
    assert "/home/me" not in card
    new = write_card("new", {"base": "scratch, nano"}, "LlamaForCausalLM", 1, None, nano_tokenizer, "", check)
    assert "- It was tuned on no task, so it follows no instructions." in new
    assert "The weights are new" in new
    assert "Nothing is recorded." in new
    assert 'tokenizer("<dna>ACGTTGCA</dna>", return_tensors="pt")' in new
    monkeypatch.setattr(type(nano_tokenizer), "scheme", "shared")
    shared = write_card("new", {"base": "scratch, nano"}, "LlamaForCausalLM", 1, None, nano_tokenizer, "", check)
    assert 'tokenizer("ACGTTGCA", return_tensors="pt")' in shared
    assert "A sequence stands bare in the text" in shared


def test_the_licence_of_a_base(tmp_path: Path) -> None:
    assert licence_of(str(tmp_path)) is None
    for text, wanted in (
        ("---\nlicense: llama3.2\n---\n", "llama3.2"),
        ("---\nlanguage: en\nlicense: 'mit'\n---\n", "mit"),
        ("# Base\nlicense: mit\n", None),
    ):
        (tmp_path / "README.md").write_text(text)
        assert licence_of(str(tmp_path)) == wanted


def test_the_scores_of_its_run_stand_in_the_card(nano_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    shutil.copytree(nano_folder, model)
    assert scores_of(model, None) == ""
    result = TaskResult(
        name="conform",
        row="classification DNA",
        kind="classification",
        question="Does it conform?",
        n_train=10,
        n_train_available=10,
        n_test=1200,
        split="dev",
        data_hash="",
        prompt_hash="",
        metric="mcc",
        scores={"mcc": Score(0.5, 0.25, 0.75, 1200)},
        baselines={"k-mer": {"mcc": Score(0.625, 0.5, 0.75, 1200)}},
    )
    record = json.loads((model / RECORD).read_text())
    report = Report(title="run", model=describe_model(record), results=(result,), simulated=True, notes=("capped",))
    (tmp_path / "run" / "report").mkdir()
    beside = tmp_path / "run" / "report" / "report.json"
    beside.write_text(report.to_json())
    lines = scores_of(model, None).splitlines()
    assert "| conform | 1,200 (dev) | MCC | 0.500 [0.250, 0.750] | k-mer 0.625 |" in lines
    assert "- capped" in lines
    assert any(line.startswith("- The data of this report is simulated.") for line in lines)
    # A report of another model is left out, and refused where it is asked for.
    beside.write_text(report.model_copy(update={"model": {"base": "another"}}).to_json())
    assert scores_of(model, None) == ""
    with pytest.raises(ModelError, match="this report is not of the model"):
        scores_of(model, beside)
    with pytest.raises(ModelError, match=r"the report cannot be read \(No such file"):
        scores_of(model, tmp_path / "none.json")
