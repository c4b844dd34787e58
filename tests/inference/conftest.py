"""A model that never saw our tasks: English bytes, a nano LLaMA, no typed spans."""

from pathlib import Path

import pytest

from llama_gene.model.base import new_model
from llama_gene.vocabulary.text import train_text_tokenizer
from nano import ENGLISH, TASKS


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "model"
    train_text_tokenizer([*ENGLISH, *(f"{task.question} {task.label_names}" for task in TASKS[:1])], 300, folder)
    new_model("nano", 300, 512, {"eos_token_id": 0, "pad_token_id": 1}, seed=4).save_pretrained(folder)
    return folder
