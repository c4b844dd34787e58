"""Training: interrupted anywhere it ends as if it had not been, and a micro-batch is no unit of the loss."""

import errno
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.model.folder import load_folder
from llama_gene.model.lora import add_lora
from llama_gene.training import num_steps, packed_loss, train
from nano import LORA, RandomRows, parameters, pretrain_settings

NUM_ROWS = 12  # six steps of two rows; a checkpoint every two steps


def train_nano(folder: Path, rows: Any, checkpoints: Path, lora: bool = False, **changes: Any) -> tuple[Any, Any]:
    model: Any = load_folder(folder)[0]
    if lora:
        model = add_lora(model, LORA)
    log = train(model, rows, pretrain_settings(**changes), checkpoints, seed=1, title="test")
    return parameters(model), log


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def stop(folder: Path, checkpoints: Path, *, at: int, lora: bool = False, **changes: Any) -> None:
    """Ctrl-C when row `at` is asked for."""
    rows = RandomRows(NUM_ROWS)
    rows.fails_at = at
    with pytest.raises(KeyboardInterrupt):
        train_nano(folder, rows, checkpoints, lora, **changes)


def names(checkpoints: Path) -> list[str]:
    return sorted(path.name for path in checkpoints.glob("checkpoint-*"))


@pytest.fixture(scope="module")
def whole(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Any]:
    """The weights of an undisturbed training, whole and with LoRA (whose dropout draws random numbers)."""
    folder = tmp_path_factory.mktemp("whole")
    return {lora: train_nano(nano_folder, RandomRows(NUM_ROWS), folder / f"{lora}", lora)[0] for lora in (False, True)}


def test_fewer_rows_than_a_step_raises(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="3 rows of 32 tokens do not fill one step of test\n  ask for more tokens"):
        train_nano(nano_folder, RandomRows(3), tmp_path, batch_size=2, accumulate=2)


@pytest.mark.parametrize(("checkpoint_every", "step"), [(2, 2), (100, 3)])
def test_a_loss_that_is_no_number_raises_before_it_is_saved(
    nano_folder: Path, tmp_path: Path, checkpoint_every: int, step: int
) -> None:
    """transformers logs an old loss in its place, unless it is told not to."""
    import torch

    model = load_folder(nano_folder)[0]
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(math.nan)
    settings = pretrain_settings(checkpoint_every=checkpoint_every)
    with pytest.raises(LlamaGeneError, match=f"the loss is no number at step {step}\n  lower learning_rate"):
        train(model, RandomRows(6), settings, tmp_path, seed=1, title="test")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_checkpoint_that_is_half_written_has_no_name(
    nano_folder: Path, whole: dict[bool, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """lightning#688: stopped while it saved, and then resumed from what was there."""
    from transformers import Trainer

    real = Trainer._save_rng_state

    def fill_up(self: Any, folder: str) -> None:
        real(self, folder)
        if self.state.global_step == 4:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_rng_state", fill_up)
        with pytest.raises((LlamaGeneError, KeyboardInterrupt)) as caught:
            train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    assert "KeyboardInterrupt" in repr(error) or "no space left to write" in str(caught.value)
    assert names(tmp_path) == ["checkpoint-2"]
    rows = RandomRows(NUM_ROWS)
    weights, _ = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(4, NUM_ROWS))
    assert_equal(weights, whole[False])


def test_a_disk_that_fills_up_under_torch_says_so(nano_folder: Path, tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # between the weights and the optimizer
    try:
        with pytest.raises(LlamaGeneError, match="no space left to write"):
            train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "lora"])
@pytest.mark.parametrize(("at", "left"), [(1, 0), (7, 4), (11, 8)])
def test_a_resumed_training_serves_the_rows_that_are_left_and_ends_in_the_same_bits(
    nano_folder: Path, whole: dict[bool, Any], tmp_path: Path, lora: bool, at: int, left: int
) -> None:
    """accelerate#2016: a resumed training began its data again."""
    stop(nano_folder, tmp_path, at=at, lora=lora)
    rows = RandomRows(NUM_ROWS)
    weights, log = train_nano(nano_folder, rows, tmp_path, lora)
    assert rows.served == list(range(left, NUM_ROWS))
    assert log.num_steps == 6
    assert_equal(weights, whole[lora])


def test_a_training_stopped_twice_ends_in_the_same_bits(
    nano_folder: Path, whole: dict[bool, Any], tmp_path: Path
) -> None:
    stop(nano_folder, tmp_path, at=7)
    stop(nano_folder, tmp_path, at=10)
    weights, _ = train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    assert_equal(weights, whole[False])


def test_accumulated_steps_resume_too(nano_folder: Path, tmp_path: Path) -> None:
    changes = {"batch_size": 1, "accumulate": 3, "checkpoint_every": 1}
    undisturbed, _ = train_nano(nano_folder, RandomRows(13), tmp_path / "whole", **changes)
    stop(nano_folder, tmp_path / "stopped", at=8, **changes)
    rows = RandomRows(13)
    weights, log = train_nano(nano_folder, rows, tmp_path / "stopped", **changes)
    assert rows.served[0] in (3, 6)
    assert rows.served[:6] == list(range(rows.served[0], rows.served[0] + 6))
    assert log.num_steps == 4
    assert_equal(weights, undisturbed)


def test_a_finished_training_is_not_done_again(nano_folder: Path, whole: dict[bool, Any], tmp_path: Path) -> None:
    train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    rows = RandomRows(NUM_ROWS)
    weights, log = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == []
    assert log.num_steps == 6
    assert_equal(weights, whole[False])


@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "unmarked"])
def test_a_damaged_checkpoint_is_not_used(
    nano_folder: Path, whole: dict[bool, Any], tmp_path: Path, damage: str
) -> None:
    """lightning#688: the newest checkpoint is the likeliest to be broken."""
    stop(nano_folder, tmp_path, at=11)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4"]
    newest = tmp_path / "checkpoint-4"
    file = newest / ("complete.json" if damage == "unmarked" else "optimizer.pt")
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    if damage in {"cut", "flip"}:
        file.write_bytes(content[:-1] if damage == "cut" else content)
    else:
        file.unlink()
    rows = RandomRows(NUM_ROWS)
    weights, _ = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(4, NUM_ROWS))
    assert_equal(weights, whole[False])


def test_without_a_whole_checkpoint_it_begins_again(nano_folder: Path, whole: dict[bool, Any], tmp_path: Path) -> None:
    stop(nano_folder, tmp_path, at=11)
    for folder in tmp_path.glob("checkpoint-*"):
        (folder / "model.safetensors").write_bytes(b"")
    rows = RandomRows(NUM_ROWS)
    weights, _ = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(NUM_ROWS))
    assert_equal(weights, whole[False])


def test_only_the_newest_checkpoints_are_kept(nano_folder: Path, tmp_path: Path) -> None:
    train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path, checkpoint_every=1, keep_checkpoints=2)
    assert names(tmp_path) == ["checkpoint-5", "checkpoint-6"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names(tmp_path)  # no draft is left
    sums = json.loads((tmp_path / "checkpoint-6" / "complete.json").read_text())
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(sums)


def test_a_damaged_checkpoint_does_not_push_out_a_good_one(nano_folder: Path, tmp_path: Path) -> None:
    stop(nano_folder, tmp_path, at=11, keep_checkpoints=1)
    assert names(tmp_path) == ["checkpoint-4"]
    shutil.copytree(tmp_path / "checkpoint-4", tmp_path / "checkpoint-6")
    for folder in ("checkpoint-4", "checkpoint-6"):
        (tmp_path / folder / "optimizer.pt").write_bytes(b"")
    stop(nano_folder, tmp_path, at=7, keep_checkpoints=1)
    assert names(tmp_path) == ["checkpoint-2"]


def test_four_rows_at_once_are_four_rows_one_by_one(nano_folder: Path, tmp_path: Path) -> None:
    """transformers#34191: the mean of the micro-batches' means is not the mean over the step's targets."""
    together, log = train_nano(nano_folder, RandomRows(8), tmp_path / "4x1", batch_size=4, learning_rate=1e-4)
    one_by_one, same = train_nano(
        nano_folder, RandomRows(8), tmp_path / "1x4", batch_size=1, accumulate=4, learning_rate=1e-4
    )
    assert log.num_steps == same.num_steps == 2
    assert log.num_tokens == same.num_tokens == 256
    before = parameters(load_folder(nano_folder)[0])
    assert max(np.abs(together[name] - before[name]).max() for name in before) > 5e-5
    for name in together:
        assert np.abs(together[name] - one_by_one[name]).max() < 1e-5, name


def test_the_loss_of_a_step_is_that_of_all_its_targets(nano_folder: Path, tmp_path: Path) -> None:
    import torch

    rows = RandomRows(40)
    model = load_folder(nano_folder)[0].eval()
    batch = {key: torch.from_numpy(np.stack([rows[i][key] for i in range(40)])) for key in rows[0]}
    with torch.inference_mode():
        whole = float(packed_loss(model, batch))
        targets = (batch["labels"][:, 1:] != -100).sum()
        parts = [
            float(packed_loss(model, {key: value[start : start + 1] for key, value in batch.items()}, targets))
            for start in range(40)
        ]
    assert sum(parts) == pytest.approx(whole, abs=1e-5)
    # The reported loss, at a rate that changes nothing, is the mean over steps of just that.
    _, log = train_nano(nano_folder, rows, tmp_path, batch_size=4, accumulate=5, learning_rate=1e-12)
    ((step, loss),) = log.losses
    assert step == 2
    assert loss == pytest.approx(np.mean([float(packed_loss_of(model, rows, start)) for start in (0, 20)]), abs=1e-5)


def packed_loss_of(model: Any, rows: RandomRows, start: int) -> Any:
    import torch

    chosen = [rows[index] for index in range(start, start + 20)]
    with torch.inference_mode():
        return packed_loss(model, {key: torch.from_numpy(np.stack([row[key] for row in chosen])) for key in chosen[0]})


def test_a_log_says_what_trained(nano_folder: Path, tmp_path: Path) -> None:
    _, log = train_nano(nano_folder, RandomRows(5), tmp_path, lora=True)
    assert log.num_steps == num_steps(5, pretrain_settings()) == 2  # one row is left over
    assert log.num_tokens == 2 * 2 * 32
    assert 0 < log.num_trainable < log.num_parameters
    assert log.seconds > 0


def test_rows_come_in_their_given_order(nano_folder: Path, tmp_path: Path) -> None:
    rows = RandomRows(NUM_ROWS)
    train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(NUM_ROWS))
