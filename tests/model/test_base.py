"""Bases: what is no causal language model, is missing or cannot be reached gets an error with the way out."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llama_gene.errors import ModelError, SettingsError
from llama_gene.model.base import SIZES, check_causal, find_base, load_model, new_model


def write_config(folder: Path, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "BertForMaskedLM is no causal language model"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "T5ForConditional.* is no causal"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "is no causal language model"),
        ({"model_type": "esm"}, "model_type 'esm' is no causal"),
        ({}, "model_type None is no causal"),
        ({"model_type": "own", "auto_map": {"AutoModelForCausalLM": "m.M"}}, "needs code from its own folder"),
    ],
)
def test_a_base_that_is_no_causal_language_model_raises(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    folder = write_config(tmp_path / "base", **config)
    for check in (check_causal, load_model):
        with pytest.raises(ModelError, match=message) as caught:
            check(folder)
        assert "auto_map" in config or "choose a decoder such as LLaMA" in str(caught.value)


def test_a_folder_without_weights_raises(nano_folder: Path, tmp_path: Path) -> None:
    shutil.copy(nano_folder / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"no \*\.safetensors in this folder\n  only safetensors are read"):
        load_model(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"could run code")
    with pytest.raises(ModelError, match="since other formats can run code"):
        load_model(tmp_path)


def test_weights_that_were_cut_raise(nano_folder: Path, tmp_path: Path) -> None:
    shutil.copy(nano_folder / "config.json", tmp_path)
    weights = (nano_folder / "model.safetensors").read_bytes()
    for cut in (len(weights) // 2, 4, 0):
        (tmp_path / "model.safetensors").write_bytes(weights[:cut])
        with pytest.raises(ModelError, match="the weights cannot be loaded"):
            load_model(tmp_path)


def test_weights_of_another_shape_raise(nano_folder: Path, tmp_path: Path) -> None:
    config = json.loads((nano_folder / "config.json").read_text())
    write_config(tmp_path, **config | {"intermediate_size": 99})
    shutil.copy(nano_folder / "model.safetensors", tmp_path)
    with pytest.raises(ModelError, match="the weights cannot be loaded"):
        load_model(tmp_path)


@pytest.mark.parametrize("base", ["none", "./none", "/no/such/folder", "a/b/c", "../up"])
def test_a_folder_that_is_missing_raises(base: str) -> None:
    with pytest.raises(ModelError, match=r"no model at .*\n  give an existing folder, or a hub id such as owner/name"):
        find_base(base)


def test_a_folder_that_is_no_model_raises(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json: this is no Hugging Face model folder"):
        find_base(str(tmp_path))


def test_a_hub_id_without_a_network_raises() -> None:
    """HF_HUB_OFFLINE=1 is set for all tests."""
    with pytest.raises(ModelError, match=r"cannot reach the hub for 'no-one/nothing' \(.*\)\n  download it where"):
        find_base("no-one/nothing")
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        find_base("no one/no thing!")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "GatedRepoError",
            "'owner/name' is gated\n  ask for access at https://huggingface.co/owner/name, .*hf auth login",
        ),
        ("RepositoryNotFoundError", "the hub has no model 'owner/name'\n  check the name; .*hf auth login"),
        ("HfHubHTTPError", "cannot reach the hub"),
    ],
)
def test_what_the_hub_refuses_raises(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*_: Any, **__: Any) -> str:
        response = SimpleNamespace(headers={}, request=None, status_code=403)
        raise getattr(errors, name)("refused", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=message):
        find_base("owner/name")


def test_a_size_that_has_no_name_raises() -> None:
    with pytest.raises(SettingsError, match="no size is named 'huge'\n  sizes: nano, "):
        new_model("huge", 64, 64, {}, seed=1)


def test_a_model_is_its_seeds() -> None:
    special = {"eos_token_id": 0, "pad_token_id": 1}
    one, same, other = (new_model("nano", 64, 64, special, seed=seed) for seed in (1, 1, 2))
    rows = [model.get_input_embeddings().weight for model in (one, same, other)]
    assert rows[0].equal(rows[1])
    assert not rows[0].equal(rows[2])
    assert (one.config.eos_token_id, one.config.pad_token_id, one.config.bos_token_id) == (0, 1, None)


@pytest.mark.parametrize("size", SIZES)
def test_the_shape_of_every_size_holds(size: str) -> None:
    shape = SIZES[size]
    assert shape.hidden % shape.num_heads == 0
    assert (shape.hidden // shape.num_heads) % 2 == 0  # rotary positions turn pairs
    assert shape.num_heads % shape.num_kv_heads == 0
