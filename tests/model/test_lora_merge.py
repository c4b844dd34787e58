"""Adapters: what was trained is what is merged, saved and loaded, rows of new tokens and ties of the base included."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import ModelError, SettingsError
from llama_gene.model.folder import RECORD, load_base, load_folder, save_folder
from llama_gene.model.lora import adapt
from llama_gene.model.merge import bring_home, merge_folders
from llama_gene.training import train
from nano import DNA, RandomRows, create, logits_of, pretrain_settings, some_ids


@dataclass
class Trained:
    """A base, its adapter after some steps, and the logits of the two together."""

    base: Path
    adapter: Path
    merged: Path
    logits: np.ndarray
    model: Any


LORA = {"rank": 2, "alpha": 16.0, "dropout": 0.2}


def train_adapter(base: Path, folder: Path, what: str, **lora: Any) -> Trained:
    model, genes, _ = load_folder(base)
    settings = pretrain_settings(learning_rate=1e-2, train=what, lora=LORA | lora)
    adapted = adapt(model, settings, genes.base_size, seed=1)
    train(adapted, RandomRows(6, num_tokens=genes.num_tokens), settings, folder / "checkpoints", seed=1, title="lora")
    logits = logits_of(adapted, some_ids(genes))
    merged = bring_home(adapted, base, folder / "merged", genes.fingerprint)
    save_folder(merged, base, folder / "merged", {"base": "test"})
    return Trained(base, folder / "merged-adapter", folder / "merged", logits, merged)


@pytest.fixture(scope="module", params=["tied", "untied"])
def base(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue({"tied": "nano_folder", "untied": "untied_folder"}[request.param])
    return folder


@pytest.fixture(scope="module", params=["lora+embeddings", "lora+new-rows"])
def trained(base: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_adapter(base, tmp_path_factory.mktemp("trained"), request.param)


def rows_of(model: Any) -> list[np.ndarray]:
    return [part.weight.detach().numpy() for part in (model.get_input_embeddings(), model.get_output_embeddings())]


def test_an_adapter_of_another_tokenizer_raises(trained: Trained, tmp_path: Path) -> None:
    other = create(tmp_path / "other", [DNA])
    with pytest.raises(ModelError, match=r"trained with another tokenizer than .*other\n  merge it into the model"):
        merge_folders(other, trained.adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_folder_that_is_no_adapter_raises(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json: this is no adapter"):
        merge_folders(trained.base, tmp_path, tmp_path / "merged")


def test_a_merged_model_says_what_its_adapter_said(trained: Trained) -> None:
    """peft#2777: an untied head was tied to the embedding by the merge, and half of the training was gone."""
    genes = load_folder(trained.base)[1]
    assert np.abs(logits_of(trained.model, some_ids(genes)) - trained.logits).max() < 1e-4


def test_ties_stay_and_what_was_apart_stays_apart(trained: Trained) -> None:
    """peft#2777, peft#1300."""
    base = load_folder(trained.base)[0]
    tied = base.config.tie_word_embeddings
    for model in (trained.model, load_folder(trained.merged)[0]):
        assert model.config.tie_word_embeddings == tied
        assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
        inputs, outputs = rows_of(model)
        assert np.array_equal(inputs, outputs) == tied
        for old, new in zip(rows_of(base), (inputs, outputs), strict=True):
            assert np.abs(new - old).max() > 1e-3  # they trained


def test_the_merged_folder_says_the_same(trained: Trained) -> None:
    model, genes, record = load_folder(trained.merged)
    assert record["base"] == "test"
    assert np.abs(logits_of(model, some_ids(genes)) - trained.logits).max() < 1e-4
    config = json.loads((trained.merged / "config.json").read_text())
    assert config["tie_word_embeddings"] == model.config.tie_word_embeddings
    assert not list(trained.merged.glob("adapter*"))


def test_an_adapter_folder_holds_the_rows_that_trained(trained: Trained, tmp_path: Path) -> None:
    """peft#1300: the rows of new tokens were not saved with the adapter, and were noise after loading."""
    merge_folders(trained.base, trained.adapter, tmp_path / "merged")
    model, genes, record = load_folder(tmp_path / "merged")
    assert np.abs(logits_of(model, some_ids(genes)) - trained.logits).max() < 1e-4
    assert record["base"] == "scratch, nano"
    for merged, again in zip(rows_of(trained.model), rows_of(model), strict=True):
        assert np.array_equal(merged, again)
    assert json.loads((trained.adapter / RECORD).read_text())["tokenizer"] == genes.fingerprint


def test_stock_peft_opens_an_adapter(trained: Trained) -> None:
    from peft import PeftModel

    model, genes, _ = load_folder(trained.base)
    opened = PeftModel.from_pretrained(model, trained.adapter)
    assert np.abs(logits_of(opened, some_ids(genes)) - trained.logits).max() < 1e-5


def test_an_adapter_of_other_weights_raises(trained: Trained, tmp_path: Path) -> None:
    """The same tokenizer, but a model that was trained since: the sum of the two is no model at all."""
    with pytest.raises(ModelError, match=r"trained on other weights than those of .*merged\n  merge it into the model"):
        merge_folders(trained.merged, trained.adapter, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("options", [{"rslora": True}, {"dora": True}], ids=["rslora", "dora"])
def test_frozen_rows_keep_every_bit(base: Path, tmp_path: Path, options: dict[str, bool]) -> None:
    trained = train_adapter(base, tmp_path, "lora", **options)
    for old, new in zip(rows_of(load_folder(base)[0]), rows_of(trained.model), strict=True):
        assert np.array_equal(old, new)
    genes = load_folder(base)[1]
    assert np.abs(trained.logits - logits_of(load_folder(base)[0], some_ids(genes))).max() > 1e-3
    assert np.abs(logits_of(load_folder(trained.merged)[0], some_ids(genes)) - trained.logits).max() < 1e-4
    (weights,) = trained.adapter.glob("*.safetensors")
    assert weights.stat().st_size < 100_000  # no rows in it


def test_only_new_rows_change_where_only_they_train(base: Path, tmp_path: Path) -> None:
    trained = train_adapter(base, tmp_path, "lora+new-rows")
    first_new = load_folder(base)[1].base_size
    for old, new in zip(rows_of(load_folder(base)[0]), rows_of(trained.model), strict=True):
        assert np.array_equal(old[:first_new], new[:first_new])
        assert (np.abs(new[first_new:] - old[first_new:]).max(axis=1) > 0).all()


@pytest.mark.parametrize(("what", "copies"), [("lora", 0), ("lora+embeddings", 1), ("lora+new-rows", 1)])
def test_what_trains(base: Path, what: str, copies: int) -> None:
    model, genes, _ = load_folder(base)
    tied, (num_rows, width) = model.config.tie_word_embeddings, model.get_input_embeddings().weight.shape
    adapted = adapt(model, pretrain_settings(train=what, lora=LORA), genes.base_size, seed=1)
    train_names = {name: value for name, value in adapted.named_parameters() if value.requires_grad}
    assert sum(".lora_A." in name for name in train_names) == 7 * model.config.num_hidden_layers
    rows = [value.shape for name, value in train_names.items() if ".lora_" not in name]
    trained = num_rows - genes.base_size if what == "lora+new-rows" else num_rows
    assert rows == [(trained, width)] * copies * (1 if tied else 2)
    assert adapt(model, pretrain_settings(lora=None), genes.base_size, seed=1) is model


def test_four_bits_need_a_gpu(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    settings = pretrain_settings(train="lora", lora={"load_in_4bit": True})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=r"lora\.load_in_4bit needs a CUDA device, and there is none"):
        load_base(base, settings)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("llama_gene.model.four_bit.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="needs bitsandbytes, which is not installed\n  pip install bitsandbytes"):
        load_base(base, settings)
