"""The stage: what it draws, what it keeps, and that an interruption changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import SettingsError, TaskError
from llama_gene.finetune import InstructionRows, TaskRows, finetune
from llama_gene.finetune.rows import ExampleRows
from llama_gene.finetune.store import ExampleStore
from llama_gene.finetune.tune import draw
from llama_gene.model.folder import load_folder
from llama_gene.model.merge import merge_folders
from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import PromptEncoder, prompt_hash, wordings
from llama_gene.tokenizer import GeneTokenizer
from nano import CONFORM, LORA, PAIR, TASKS, dna, examples, finetune_settings, logits_of, tree


def test_a_task_without_rows_raises(nano_folder: Path, tmp_path: Path) -> None:
    tasks = [TaskRows(CONFORM, [], {})]
    with pytest.raises(TaskError, match="task 'conform' has no training rows"):
        finetune(nano_folder, tasks, finetune_settings(), tmp_path / "model", tmp_path / "checkpoints", seed=1)
    assert not (tmp_path / "model").exists()


def test_instructions_none_of_which_fits_raise(nano_folder: Path, tmp_path: Path) -> None:
    mixed = InstructionRows("chat", 0.5, [Instruction("a", ("gene " * 200,), "no")])
    tasks = [TaskRows(CONFORM, examples(CONFORM, 3), {})]
    with pytest.raises(
        SettingsError, match=r"no instruction of 'chat' fits into 80 tokens\n  raise finetune\.block_size"
    ):
        finetune(
            nano_folder,
            tasks,
            finetune_settings(),
            tmp_path / "model",
            tmp_path / "checkpoints",
            seed=1,
            instructions=[mixed],
        )


def test_a_row_too_long_raises_where_it_is_asked_to(nano_folder: Path, tmp_path: Path) -> None:
    tasks = [TaskRows(CONFORM, [Example("long", (dna(900, 1),), "Conform")], {})]
    settings = finetune_settings(shorten="refuse")
    with pytest.raises(TaskError, match=r"row 'long': .* sequence tokens, room for"):
        finetune(nano_folder, tasks, settings, tmp_path / "model", tmp_path / "checkpoints", seed=1)


def store_of(genes: GeneTokenizer, folder: Path, sizes: tuple[int, int]) -> ExampleStore:
    store = ExampleStore(folder)
    for task, size in zip((CONFORM, PAIR), sizes, strict=True):
        encoder = PromptEncoder(task, genes, 120, questions=wordings(task))
        store.add_task(encoder, examples(task, size), both_strands=task is CONFORM)
    store.close()
    return store


def test_what_is_drawn_is_what_the_settings_say(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    store = store_of(nano_tokenizer, tmp_path, (400, 100))
    plain = draw(store, finetune_settings(epochs=2.0), [], seed=1)
    assert len(plain.examples) == 1000
    assert (np.bincount(plain.examples) == 2).all()
    assert not plain.wordings.any()
    symmetric = plain.examples < 400
    assert 300 < plain.strands[symmetric].sum() < 500
    assert not plain.strands[~symmetric].any()
    alike = draw(store, finetune_settings(epochs=2.0, task_temperature=1e6), [], seed=1)
    assert (alike.examples < 400).sum() == 500
    weighed = draw(store, finetune_settings(weights={PAIR.name: 4.0}), [], seed=1)
    assert (weighed.examples < 400).sum() == 250
    reworded = draw(store, finetune_settings(paraphrase=0.5), [], seed=1)
    assert 200 < (reworded.wordings > 0).sum() < 300
    assert set(reworded.wordings.tolist()) == set(range(len(wordings(CONFORM))))


def test_instructions_get_their_share(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    store = store_of(nano_tokenizer, tmp_path, (60, 30))
    found = draw(store, finetune_settings(), [0.5], seed=1)  # as if the second group were instructions
    assert len(found.examples) == 120
    assert (found.examples >= 60).sum() == 60


def test_a_tuned_folder_says_what_it_was_asked(tuned_folder: Path) -> None:
    model, genes, record = load_folder(tuned_folder)
    assert record["base"] == "scratch, nano"
    assert record["prompts"] == {"template": 1, "max_tokens": 80, "shorten": "centre", "chat": None}
    assert set(record["tasks"]) == {task.name for task in TASKS}
    for task in TASKS:
        assert record["tasks"][task.name] == {"prompt_hash": prompt_hash(task), "train_shortened": 0}
        assert load_task(tuned_folder / "tasks" / f"{task.name}.toml") == task
    assert record["finetune"]["steps"] > 5
    assert 0.5 < record["finetune"]["useful_share"] <= 1
    assert model.config.pad_token_id == genes.pad_id


def tune(base: Path, output: Path, checkpoints: Path, **changes: Any) -> Path:
    tasks = [TaskRows(task, examples(task, 6), {"num_rows": 6}, examples(task, 3)) for task in (CONFORM, PAIR)]
    finetune(base, tasks, finetune_settings(checkpoint_every=1, **changes), output, checkpoints, seed=1)
    return output


def test_a_weight_of_no_task_is_refused_before_anything_is_read(tmp_path: Path, nano_folder: Path) -> None:
    with pytest.raises(SettingsError, match="no task is named 'conforn'") as caught:
        tune(nano_folder, tmp_path / "model", tmp_path / "work", weights={"conforn": 2.0})
    assert caught.value.hint == f"tasks: {CONFORM.name}, {PAIR.name}"
    assert not list(tmp_path.iterdir())


def without_clocks(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if name not in {"llama_gene.json", "training.html"}}


@pytest.mark.parametrize("changes", [{}, {"paraphrase": 0.5, "sequence_loss": 0.1, "balance_labels": True}])
def test_a_killed_tuning_goes_on_and_ends_in_the_same_bytes(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    whole = tune(nano_folder, tmp_path / "whole", tmp_path / "checkpoints", **changes)
    real = ExampleRows.__getitem__

    def stopping(self: ExampleRows, index: int) -> Any:
        if index == 4:
            raise KeyboardInterrupt
        return real(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(ExampleRows, "__getitem__", stopping)
        with pytest.raises(KeyboardInterrupt):
            tune(nano_folder, tmp_path / "killed", tmp_path / "others", **changes)
    assert not (tmp_path / "killed").exists()
    assert list((tmp_path / "others").glob("checkpoint-*"))
    again = tune(nano_folder, tmp_path / "killed", tmp_path / "others", **changes)
    assert without_clocks(again) == without_clocks(whole)


def test_the_loss_on_dev_rows_is_in_the_record(nano_folder: Path, tmp_path: Path) -> None:
    tuned = tune(nano_folder, tmp_path / "model", tmp_path / "checkpoints", validate_every=2)
    validation = load_folder(tuned)[2]["finetune"]["validation"]
    assert validation["step"][:3] == [0, 2, 4]
    assert set(validation) == {"step", "conform_loss", "conform_bits", "pair_loss", "pair_bits"}
    assert validation["conform_loss"][-1] < validation["conform_loss"][0]


def test_tuning_with_lora_keeps_its_adapter(untied_folder: Path, tmp_path: Path) -> None:
    tuned = tune(untied_folder, tmp_path / "model", tmp_path / "checkpoints", lora=LORA)
    model, genes, record = load_folder(tuned)
    assert record["finetune"]["trainable_parameters"] < record["finetune"]["parameters"]
    merge_folders(untied_folder, tmp_path / "model-adapter", tmp_path / "again")
    ids = genes.encode("Does it conform?\n<dna>ACGT</dna>\nAnswer:")
    assert np.abs(logits_of(load_folder(tmp_path / "again")[0], ids) - logits_of(model, ids)).max() < 1e-4


def test_rows_that_were_shortened_are_counted(nano_folder: Path, tmp_path: Path) -> None:
    rows = [*examples(CONFORM, 3), Example("long", (dna(900, 1),), "Conform")]
    finetune(
        nano_folder,
        [TaskRows(CONFORM, rows, {"cap": 4})],
        finetune_settings(),
        tmp_path / "model",
        tmp_path / "checkpoints",
        seed=1,
    )
    record = load_folder(tmp_path / "model")[2]["tasks"]["conform"]
    assert record == {"prompt_hash": prompt_hash(CONFORM), "train_shortened": 1, "cap": 4}
