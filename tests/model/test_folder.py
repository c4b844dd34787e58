"""A model folder holds weights, tokenizer and record that belong together, and any tool can load it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from llama_gene.errors import LlamaGeneError, ModelError
from llama_gene.files import hash_file
from llama_gene.model.base import new_model
from llama_gene.model.folder import RECORD, load_folder, save_folder
from llama_gene.tokenizer import GeneTokenizer
from nano import CONFORM, DNA, create, logits_of, some_ids, tree


def test_what_is_no_model_folder_of_ours_raises(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model folder\n  make one with: llama-gene run"):
        load_folder(tmp_path / "none")
    shutil.copytree(nano_folder, tmp_path / "model")
    (tmp_path / "model" / RECORD).unlink()
    with pytest.raises(ModelError, match="does not know DNA or protein yet\n  grow it first: llama-gene model extend"):
        load_folder(tmp_path / "model")


def test_a_tokenizer_that_was_changed_raises(nano_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(nano_folder, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    spec = json.loads(path.read_text())
    spec["model"]["merges"].pop(0)
    path.write_text(json.dumps(spec))
    with pytest.raises(ModelError, match="not the one that this model was made with\n  restore"):
        load_folder(tmp_path / "model")


def test_a_model_with_too_few_rows_raises(nano_folder: Path, tmp_path: Path) -> None:
    small = new_model("nano", 64, 64, {}, seed=1)
    with pytest.raises(ModelError, match=r"the model has \[64\] rows and the tokenizer \d+ tokens: they do not fit"):
        save_folder(small, nano_folder, tmp_path / "model", {})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    model = load_folder(nano_folder)[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the weights are larger
    try:
        with pytest.raises(LlamaGeneError, match="no space left to write\n  free some space"):
            save_folder(model, nano_folder, tmp_path / "model", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_comes_back_as_it_was(nano_folder: Path, tmp_path: Path) -> None:
    model, tokenizer, record = load_folder(nano_folder)
    save_folder(model, nano_folder, tmp_path / "copy", {"base": record["base"]})
    assert tree(tmp_path / "copy") == tree(nano_folder)
    names = {"config.json", "model.safetensors", "tokenizer.json"}
    files = {name: hash_file(nano_folder / name) for name in names}
    assert record == {
        "version": record["version"], "tokenizer": tokenizer.fingerprint, "base": "scratch, nano", "files": files,
    }  # fmt: skip
    ids = some_ids(tokenizer)
    assert np.array_equal(logits_of(load_folder(tmp_path / "copy")[0], ids), logits_of(model, ids))


def test_a_folder_replaces_another_whole(nano_folder: Path, tmp_path: Path) -> None:
    model, _, _ = load_folder(nano_folder)
    extra = tmp_path / "tasks"
    extra.mkdir()
    (extra / "conform.toml").write_text(CONFORM.name)
    save_folder(model, nano_folder, tmp_path / "model", {"n": 1}, extra)
    assert (tmp_path / "model" / "tasks" / "conform.toml").read_text() == "conform"
    save_folder(model, nano_folder, tmp_path / "model", {"n": 2})
    assert not (tmp_path / "model" / "tasks").exists()
    assert load_folder(tmp_path / "model")[2]["n"] == 2


def test_stock_transformers_loads_it(nano_folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, genes, _ = load_folder(nano_folder)
    stock, tokenizer = AutoModelForCausalLM.from_pretrained(nano_folder), AutoTokenizer.from_pretrained(nano_folder)
    text = "The gene is <dna>acgtTATA\nNR</dna> open"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == genes.encode(text)
    assert np.array_equal(logits_of(stock, ids), logits_of(model, ids))
    assert (stock.config.eos_token_id, tokenizer.pad_token_id) == (genes.eos_id, genes.pad_id)


def test_a_model_from_scratch(nano_folder: Path, untied_folder: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = load_folder(nano_folder)
    rows = model.get_input_embeddings().weight
    assert tokenizer.num_tokens <= rows.shape[0] < tokenizer.num_tokens + 64
    assert rows.shape[0] % 64 == 0
    assert model.get_output_embeddings().weight is rows
    untied = load_folder(untied_folder)[0]
    assert untied.get_output_embeddings().weight is not untied.get_input_embeddings().weight
    assert tree(create(tmp_path / "again")) == tree(nano_folder)
    assert GeneTokenizer.load(create(tmp_path / "dna", [DNA])).kinds == ("dna",)
