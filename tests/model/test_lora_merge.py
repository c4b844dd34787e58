"""Adapters: what was trained is what is merged, saved and loaded, rows of new tokens and ties of the base included."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import ModelError
from llama_gene.model.folder import RECORD, load_folder, save_folder
from llama_gene.model.lora import add_lora
from llama_gene.model.merge import merge, merge_folders, save_adapter
from llama_gene.training import train
from nano import DNA, LORA, RandomRows, create, logits_of, pretrain_settings, some_ids


@dataclass
class Trained:
    """A base, its adapter after some steps, and the logits of the two together."""

    base: Path
    adapter: Path
    merged: Path
    logits: np.ndarray
    model: Any


def train_adapter(base: Path, folder: Path, **changes: Any) -> Trained:
    model, genes, _ = load_folder(base)
    adapted = add_lora(model, LORA.model_copy(update=changes))
    settings = pretrain_settings(learning_rate=1e-2)
    train(adapted, RandomRows(6, num_tokens=genes.num_tokens), settings, folder / "checkpoints", seed=1, title="lora")
    logits = logits_of(adapted, some_ids(genes))
    save_adapter(adapted, folder / "adapter", genes.fingerprint)
    merged = merge(adapted)
    save_folder(merged, base, folder / "merged", {"base": "test"})
    return Trained(base, folder / "adapter", folder / "merged", logits, merged)


@pytest.fixture(scope="module", params=["tied", "untied"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    base = request.getfixturevalue({"tied": "nano_folder", "untied": "untied_folder"}[request.param])
    return train_adapter(base, tmp_path_factory.mktemp(request.param))


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
        assert np.allclose(merged, again, atol=1e-6)
    assert json.loads((trained.adapter / RECORD).read_text()) == {"tokenizer": genes.fingerprint}


@pytest.mark.parametrize("folder", ["nano_folder", "untied_folder"])
def test_frozen_rows_keep_every_bit(request: pytest.FixtureRequest, folder: str, tmp_path: Path) -> None:
    base = request.getfixturevalue(folder)
    trained = train_adapter(base, tmp_path, embeddings="freeze", rslora=True)
    for old, new in zip(rows_of(load_folder(base)[0]), rows_of(trained.model), strict=True):
        assert np.array_equal(old, new)
    genes = load_folder(base)[1]
    assert np.abs(trained.logits - logits_of(load_folder(base)[0], some_ids(genes))).max() > 1e-3
    merge_folders(base, trained.adapter, tmp_path / "again")
    assert np.abs(logits_of(load_folder(tmp_path / "again")[0], some_ids(genes)) - trained.logits).max() < 1e-4


def test_every_projection_has_an_adapter_and_the_rows_train(nano_folder: Path, untied_folder: Path) -> None:
    for folder, copies in ((nano_folder, 1), (untied_folder, 2)):
        model, _, _ = load_folder(folder)
        rows = model.get_input_embeddings().weight.numel()
        num_layers = model.config.num_hidden_layers
        adapted = add_lora(model, LORA)
        names = [name for name, value in adapted.named_parameters() if value.requires_grad]
        assert sum(".lora_A." in name for name in names) == 7 * num_layers
        own = {id(value): value.numel() for value in adapted.parameters() if value.requires_grad}
        assert sum(numel == rows for numel in own.values()) == copies
