"""Stopping early: the best weights come back, and an interruption decides nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.model.folder import load_folder
from llama_gene.training import HeldOut, Stopping, TrainingLog, train
from llama_gene.training.held_out import bits_per_letter
from nano import RandomRows, parameters, pretrain_settings


def held_out() -> HeldOut:
    """Documents like those of `RandomRows`, which teach nothing about each other."""
    generator = np.random.default_rng(99)
    ids = [generator.integers(2, 300, 24) for _ in range(6)]
    labels = [np.where(np.arange(24) == 0, -100, one) for one in ids]
    return HeldOut("random", "bits per token", ids, labels, 6 * 23)


def stopped(folder: Path, checkpoints: Path, rows: Any) -> tuple[Any, TrainingLog]:
    model = load_folder(folder)[0]
    settings = pretrain_settings(learning_rate=0.03, warmup=0.0, validate_every=1)
    stopping = Stopping(("random",), patience=2)
    log = train(model, rows, settings, checkpoints, seed=1, title="test", held_out=[held_out()], stopping=stopping)
    return model, log


def test_a_training_that_no_longer_gains_stops_and_goes_back_to_its_best_weights(
    nano_folder: Path, tmp_path: Path
) -> None:
    model, log = stopped(nano_folder, tmp_path, RandomRows(40))
    means = dict(zip(log.validation["step"], log.validation["random_loss"], strict=True))
    assert log.best_step is not None
    assert log.num_steps == log.best_step + 2 < 20
    assert means[log.best_step] == min(means.values())
    assert bits_per_letter(model, held_out()) == pytest.approx(dict(log.bits("random"))[log.best_step], rel=1e-4)
    assert log.record()["best_step"] == log.best_step


def test_an_interruption_decides_nothing(nano_folder: Path, tmp_path: Path) -> None:
    whole, log = stopped(nano_folder, tmp_path / "whole", RandomRows(40))
    rows = RandomRows(40)
    rows.fails_at = 2 * log.num_steps - 1
    with pytest.raises(KeyboardInterrupt):
        stopped(nano_folder, tmp_path / "other", rows)
    again, log_again = stopped(nano_folder, tmp_path / "other", RandomRows(40))
    assert (log_again.num_steps, log_again.best_step) == (log.num_steps, log.best_step)
    for name, value in parameters(whole).items():
        assert np.array_equal(value, parameters(again)[name]), name


def test_a_training_that_gains_to_the_end_keeps_its_last_weights(nano_folder: Path, tmp_path: Path) -> None:
    rows = RandomRows(12)
    document = rows[0]["input_ids"]
    known = HeldOut("known", "bits per token", [document], [np.where(np.arange(32) == 0, -100, document)], 31)

    class OneRow(RandomRows):
        def __getitem__(self, index: int) -> dict[str, np.ndarray]:
            labels = np.where(np.arange(32) == 0, -100, document)
            return {"input_ids": document, "labels": labels, "position_ids": np.arange(32)}

    model = load_folder(nano_folder)[0]
    settings = pretrain_settings(validate_every=1)
    log = train(
        model,
        OneRow(12),
        settings,
        tmp_path,
        seed=1,
        title="test",
        held_out=[known],
        stopping=Stopping(("known",), patience=1),
    )
    assert log.best_step == log.num_steps == 6
