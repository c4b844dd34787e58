"""Tuning: every example whole and once an epoch, its answer the only target, and a record of what was asked."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import TaskError
from llama_gene.finetune import ExampleRows, TaskRows, finetune, pack_whole
from llama_gene.model.folder import load_folder
from llama_gene.model.merge import merge_folders
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import Encoded, PromptEncoder, prompt_hash
from llama_gene.training import packed_loss
from nano import CONFORM, LORA, PAIR, STRENGTH, TASKS, dna, examples, finetune_settings, logits_of, tree

lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=40)


def encoded(lengths: list[tuple[int, int]]) -> list[Encoded]:
    """Examples whose tokens say which example they are."""
    return [Encoded([100 + i] * prompt, [100 + i] * answer, 0) for i, (prompt, answer) in enumerate(lengths)]


def test_a_task_without_rows_raises(nano_folder: Path, tmp_path: Path) -> None:
    tasks = [TaskRows(CONFORM, [], {})]
    with pytest.raises(TaskError, match="task 'conform' has no training rows"):
        finetune(nano_folder, tasks, finetune_settings(), tmp_path / "model", tmp_path / "checkpoints", seed=1)
    assert not (tmp_path / "model").exists()


def test_a_row_too_long_raises_where_it_is_asked_to(nano_folder: Path, tmp_path: Path) -> None:
    tasks = [TaskRows(CONFORM, [Example("long", (dna(900, 1),), "Conform")], {})]
    settings = finetune_settings(shorten="refuse")
    with pytest.raises(TaskError, match=r"row 'long': .* sequence tokens, room for"):
        finetune(nano_folder, tasks, settings, tmp_path / "model", tmp_path / "checkpoints", seed=1)


@given(lengths=st.lists(st.integers(1, 10), max_size=60), block_size=st.integers(10, 30))
def test_every_item_is_in_one_row_and_no_row_is_over_full(lengths: list[int], block_size: int) -> None:
    order = np.random.default_rng(1).permutation(len(lengths)).tolist()
    rows = pack_whole(order, lengths, block_size)
    assert Counter(item for row in rows for item in row) == Counter(range(len(lengths)))
    assert all(0 < sum(lengths[item] for item in row) <= block_size for row in rows)
    # First fit: no two of the open rows could have been one.
    assert sum(sum(lengths[item] for item in row) * 2 <= block_size for row in rows[-32:]) <= 1


@given(lengths=lengths, epochs=st.sampled_from([0.5, 1.0, 1.5, 3.0]), rows_a_step=st.integers(1, 5))
def test_every_example_is_seen_whole_and_once_an_epoch(
    lengths: list[tuple[int, int]], epochs: float, rows_a_step: int
) -> None:
    rows = ExampleRows(encoded(lengths), 16, epochs, 1, rows_a_step=rows_a_step, seed=2)
    assert len(rows) % rows_a_step == 0
    once = ExampleRows(encoded(lengths), 16, epochs, 1, seed=2)
    seen: Counter[int] = Counter()
    for index in range(len(once)):
        row = once[index]
        assert {key: value.shape for key, value in row.items()} == dict.fromkeys(row, (16,))
        assert all(np.array_equal(row[key], rows[index][key]) for key in row)
        starts = [place for place in range(16) if row["position_ids"][place] == 0]
        for start, stop in zip(starts, [*starts[1:], 16], strict=True):
            ids, labels = row["input_ids"][start:stop], row["labels"][start:stop]
            assert row["position_ids"][start:stop].tolist() == list(range(stop - start))
            if ids[0] == 1:
                assert set(ids.tolist()) == {1}
                assert set(labels.tolist()) == {-100}
                continue
            prompt, answer = lengths[ids[0] - 100]
            assert ids.tolist() == [ids[0]] * (prompt + answer)
            assert labels.tolist() == [-100] * prompt + [ids[0]] * answer
            seen[int(ids[0]) - 100] += 1
    assert seen.total() == max(1, round(epochs * len(lengths)))
    assert all(int(epochs) <= seen[i] <= -(-epochs // 1) for i in range(len(lengths)))
    assert 0 < rows.useful_share <= 1


def test_the_order_is_the_seeds_alone_and_new_in_each_epoch() -> None:
    items = encoded([(15, 1)] * 20)  # one a row

    def order(seed: int) -> list[int]:
        rows = ExampleRows(items, 16, 2.0, 1, seed=seed)
        return [int(rows[index]["input_ids"][0]) for index in range(len(rows))]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)[:20]) == sorted(order(1)[20:])
    assert order(1)[:20] != order(1)[20:]


def test_packed_examples_do_not_contaminate_each_other(nano_folder: Path) -> None:
    """trl#1230, for examples: the loss of a row is that of its examples alone."""
    import torch

    model, genes, _ = load_folder(nano_folder)
    items = [item for task in (CONFORM, STRENGTH) for item in PromptEncoder(task, genes, 120).encode(examples(task, 4))]
    rows = ExampleRows(items, 140, 1.0, genes.pad_id, seed=1)
    batch = {key: torch.from_numpy(np.stack([rows[i][key] for i in range(len(rows))])) for key in rows[0]}
    nats, num_targets = 0.0, 0
    for item in items:
        steps = torch.from_numpy(logits_of(model, item.prompt + item.answer)).log_softmax(-1)
        nats -= sum(float(steps[len(item.prompt) - 1 + place, token]) for place, token in enumerate(item.answer))
        num_targets += len(item.answer)
    assert len(rows) < len(items)
    with torch.inference_mode():
        assert float(packed_loss(model, batch)) == pytest.approx(nats / num_targets, abs=1e-5)


def test_a_tuned_folder_says_what_it_was_asked(tuned_folder: Path) -> None:
    model, genes, record = load_folder(tuned_folder)
    assert record["base"] == "scratch, nano"
    assert record["prompts"] == {"template": 1, "max_tokens": 80, "shorten": "centre"}
    assert set(record["tasks"]) == {task.name for task in TASKS}
    for task in TASKS:
        assert record["tasks"][task.name] == {"prompt_hash": prompt_hash(task), "train_shortened": 0}
        assert load_task(tuned_folder / "tasks" / f"{task.name}.toml") == task
    assert record["finetune"]["steps"] > 5
    assert 0.5 < record["finetune"]["useful_share"] <= 1
    assert model.config.pad_token_id == genes.pad_id


def tune(base: Path, output: Path, checkpoints: Path, **changes: Any) -> Path:
    tasks = [TaskRows(task, examples(task, 6), {"num_rows": 6}) for task in (CONFORM, PAIR)]
    finetune(base, tasks, finetune_settings(checkpoint_every=1, **changes), output, checkpoints, seed=1)
    return output


def without_clocks(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if name != "llama_gene.json"}


def test_a_killed_tuning_goes_on_and_ends_in_the_same_bytes(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(nano_folder, tmp_path / "whole", tmp_path / "checkpoints")
    real = ExampleRows.__getitem__

    def stopping(self: ExampleRows, index: int) -> Any:
        if index == 4:
            raise KeyboardInterrupt
        return real(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(ExampleRows, "__getitem__", stopping)
        with pytest.raises(KeyboardInterrupt):
            tune(nano_folder, tmp_path / "killed", tmp_path / "others")
    assert not (tmp_path / "killed").exists()
    assert list((tmp_path / "others").glob("checkpoint-*"))
    assert without_clocks(tune(nano_folder, tmp_path / "killed", tmp_path / "others")) == without_clocks(whole)


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
