"""A model that we did not tune is asked in the words of a style, and answers as its own tokenizer and weights say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from llama_gene.errors import ModelError, SettingsError, TaskError, TokenizerError
from llama_gene.inference.engine import Engine
from llama_gene.inference.opening import open_predictor
from llama_gene.inference.stock import StockModel, StockTokenizer, TextEncoder
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.style import STYLES, Style, find_style, with_labels
from llama_gene.tasks.task import Example, Task
from llama_gene.tokenizer.chat import ChatFrame
from nano import CONFORM, FLAGS, PAIR, STRENGTH, examples, logits_of

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_the_styles_word_for_word() -> None:
    task = load_task("prom_core_all")
    labelled = f"{task.question} The result will be one of the following: {', '.join(task.label_names)}."
    preamble = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        f"\n\n### Instruction:\n{labelled}"
    )
    chat = ChatFrame("<user>", "</user><bot>", "</bot>")
    prompts = {name: Style(name, chat=chat).prompt(task, ["ACGT"]) for name in STYLES}
    assert prompts == {
        "llama-gene": f"{task.question}\nACGT\nAnswer:",
        "chat": f"<user>{labelled}\nACGT</user><bot>",
        "reference-train": f"{preamble}\nACGT\n\n### Response: ",
        "reference-test": f"{preamble}\n\n### Input:\nACGT\n\n### Response:\n",
    }
    assert Style("llama-gene", typed=True).prompt(task, ["ACGT"]) == f"{task.question}\n<dna>ACGT</dna>\nAnswer:"


def test_several_sequences_have_their_roles() -> None:
    asked = Style("reference-test").prompt(PAIR, ["ACGT", "MKV"])
    assert "\n\n### Input:\nA:ACGT\nB:MKV\n\n### Response:\n" in asked
    with pytest.raises(TaskError, match="takes 2 sequences, not 1"):
        Style("reference-train").prompt(PAIR, ["ACGT"])


def test_labels_are_named_where_the_question_does_not() -> None:
    assert with_labels(CONFORM, "Conform, or Conform not?") == "Conform, or Conform not?"
    assert with_labels(CONFORM, "Non-Conform, or Conform not?").endswith("following: Conform not, Conform.") is False
    assert with_labels(CONFORM, "Non-Conform?").endswith("following: Conform not, Conform.")
    assert with_labels(STRENGTH, "How strong?") == "How strong?"


def test_a_style_that_there_is_not_raises() -> None:
    with pytest.raises(SettingsError, match="no prompt style 'alpaca'\n  styles: llama-gene, chat, reference-train"):
        find_style("alpaca")


def test_each_style_has_a_hash_of_its_own() -> None:
    hashes = {Style(name, typed=typed).fingerprint(CONFORM) for name in STYLES for typed in (False, True)}
    assert len(hashes) == 2 * len(STYLES)
    assert Style("chat").fingerprint(CONFORM) != Style("chat", chat=ChatFrame("a", "b", "c")).fingerprint(CONFORM)


@pytest.mark.parametrize("style", ["llama-gene", "reference-train", "reference-test"])
def test_probabilities_are_those_of_the_model(plain_folder: Path, style: str) -> None:
    model = StockModel.load(str(plain_folder), find_style(style))
    rows, tokenizer = examples(CONFORM, 3, 12), model.tokenizer
    for row, prediction in zip(rows, model.predict(CONFORM, rows), strict=True):
        prompt = tokenizer.encode(model.style(CONFORM).prompt(CONFORM, row.sequences))
        scores = []
        for answer in CONFORM.candidates:
            text = f" {answer}" if style == "llama-gene" else answer
            ids = [*tokenizer.encode(text), tokenizer.eos_id]
            logits = logits_of(model.model, prompt + ids)[len(prompt) - 1 : -1]
            scores.append((logits[range(len(ids)), ids] - np.log(np.exp(logits).sum(1))).sum())
        shares = np.exp(scores) / np.exp(scores).sum()
        assert prediction.probabilities == pytest.approx(tuple(shares), abs=1e-5)


def test_all_kinds_of_task_are_answered(plain_folder: Path) -> None:
    model = StockModel.load(str(plain_folder), "llama-gene")
    for task in (CONFORM, STRENGTH, PAIR, FLAGS):
        found = list(model.predict(task, examples(task, 5)))
        assert [one.id for one in found] == [f"row{number}" for number in range(5)]
        assert all((one.value is not None) == (task is STRENGTH) for one in found)
        assert all("\n" not in one.answer for one in found)


def test_raw_and_length_normalised_probabilities(plain_folder: Path) -> None:
    model, rows = StockModel.load(str(plain_folder), "llama-gene"), examples(CONFORM, 2)
    shared, raw, length = (
        [one.probabilities for one in model.predict(CONFORM, rows, kind=kind)] for kind in ("shared", "raw", "length")
    )
    for one, other, third in zip(shared, raw, length, strict=True):
        assert one is not None
        assert other is not None
        assert third is not None
        assert sum(other) < 1e-3  # an untrained model gives them little
        assert np.array(other) / sum(other) == pytest.approx(one, rel=1e-3)
        # "Conform not" has more tokens than "Conform", so it is far more probable by their mean.
        assert third[0] > one[0]
        assert sum(third) == pytest.approx(1)


def test_sequences_longer_than_the_context_lose_their_ends(plain_folder: Path) -> None:
    tokenizer = StockTokenizer(plain_folder)
    encoder = TextEncoder(CONFORM, Style("llama-gene"), tokenizer, 60)
    short, long = encoder.encode([Example("a", ("ACGT",)), Example("b", ("A" * 50 + "CGT" + "A" * 50,))])
    assert short.num_cut == 0
    assert long.num_cut > 40
    assert 50 < len(long.prompt) + encoder.reserve <= 60
    said = tokenizer.decode(long.prompt)
    assert "AACGTAA" in said
    assert said.endswith("\nAnswer:")


def test_a_question_that_does_not_fit_raises(plain_folder: Path) -> None:
    with pytest.raises(TaskError, match=r"task 'conform': question and answer take \d+ of 20 tokens"):
        TextEncoder(CONFORM, Style("reference-test"), StockTokenizer(plain_folder), 20)


def test_a_model_of_ours_is_asked_in_typed_spans(nano_folder: Path) -> None:
    model = StockModel.load(str(nano_folder), "llama-gene")
    assert model.tokenizer.kinds == ("dna", "protein")
    assert model.record["asked"]["sequences"] == "typed spans of dna and protein"
    (one,) = model.encoder(PAIR).encode([Example("a", ("ACGT", "MKV"))])
    assert one.prompt == model.tokenizer.encode(
        "Does A code for B?\nA:<dna>ACGT</dna>\nB:<protein>MKV</protein>\nAnswer:"
    )
    assert not StockModel.load(str(nano_folder), "reference-test").style(PAIR).typed


def test_a_tuned_model_answers_alike_as_text(tuned_folder: Path) -> None:
    engine = open_predictor(str(tuned_folder))
    other = open_predictor(str(tuned_folder), style="llama-gene")
    assert isinstance(engine, Engine)
    assert isinstance(other, StockModel)
    for task in (CONFORM, STRENGTH, PAIR):
        for one, two in zip(
            engine.predict(task, examples(task, 4)), other.predict(task, examples(task, 4)), strict=True
        ):
            assert one.probabilities == pytest.approx(two.probabilities, abs=1e-5)


def test_the_models_own_chat_template(plain_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(plain_folder, tmp_path / "chat"))
    with pytest.raises(SettingsError, match="the model has no chat template\n  ask it in another --style"):
        StockModel.load(str(folder), "chat")
    (folder / "chat_template.jinja").write_text(CHATML)
    model = StockModel.load(str(folder), "chat")
    (one,) = model.encoder(CONFORM).encode([Example("a", ("ACGT",))])
    asked = "Does it conform? The result will be one of the following: Conform not, Conform."
    assert model.tokenizer.decode(one.prompt) == f"<|im_start|>user\n{asked}\nACGT<|im_end|>\n<|im_start|>assistant\n"


def test_a_real_checkpoint_of_llama_reads_its_beginning_of_text(stories: Path) -> None:
    model = StockModel.load(str(stories), "reference-test")
    (one,) = model.encoder(CONFORM).encode([Example("a", ("ACGT",))])
    assert one.prompt == model.tokenizer.start + model.tokenizer.encode(model.style(CONFORM).prompt(CONFORM, ["ACGT"]))
    # As in the reference's training the answer is a text of its own.
    assert model.encoder(CONFORM).candidate_ids[1][:-1] == model.tokenizer.encode("Conform")


def test_a_tokenizer_that_lacks_an_answer_raises(plain_folder: Path, tmp_path: Path) -> None:
    """Its letters are all it knows."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    folder = Path(shutil.copytree(plain_folder, tmp_path / "letters"))
    vocabulary = {"<eos>": 0, "<pad>": 1, "<unk>": 2, "\n": 3}
    for letter in "ACGTDoesitcnfrm? w:MKVBd":
        vocabulary.setdefault(letter, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "TokenizersBackend", **named}))
    model = StockModel.load(str(folder), "llama-gene")
    other = Task.model_validate({**CONFORM.model_dump(), "labels": {"0": "no", "1": "yes"}})
    with pytest.raises(TaskError, match="the model's tokenizer has no tokens for the answer 'yes'\n  give the answers"):
        list(model.predict(other, examples(other, 1)))


def test_a_tokenizer_with_more_tokens_than_rows_raises(plain_folder: Path, tmp_path: Path) -> None:
    from llama_gene.model.base import new_model

    folder = Path(shutil.copytree(plain_folder, tmp_path / "small"))
    new_model("nano", 200, 512, {"eos_token_id": 0, "pad_token_id": 1}, seed=4).save_pretrained(folder)
    with pytest.raises(ModelError, match="the model has 200 rows and the tokenizer 300 tokens: they do not fit"):
        StockModel.load(str(folder), "llama-gene")


def test_a_folder_without_a_tokenizer_or_an_end_of_text_raises(plain_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(plain_folder, tmp_path / "none"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
    with pytest.raises(TokenizerError, match="no eos_token: nothing ends an answer"):
        StockTokenizer(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="transformers cannot load the tokenizer"):
        StockTokenizer(folder)


def test_a_model_that_writes_nan_raises(plain_folder: Path) -> None:
    import torch

    model = StockModel.load(str(plain_folder), "llama-gene")
    with torch.no_grad():
        model.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="the model answers NaN"):
        list(model.predict(FLAGS, examples(FLAGS, 2)))
    scored = next(model.predict(CONFORM, examples(CONFORM, 1)))
    assert scored.probabilities is not None
    assert np.isnan(scored.probabilities).all()  # which an evaluation refuses


def test_a_name_of_a_servers_model_needs_a_server(plain_folder: Path) -> None:
    with pytest.raises(SettingsError, match="--model 'x' names a model of a server"):
        open_predictor(str(plain_folder), served="x")
