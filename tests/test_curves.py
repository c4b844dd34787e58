"""What a training says: a log without doubles, TensorBoard's files, and a page that anyone can read."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.model.folder import load_folder
from llama_gene.training import HeldOut, TrainingLog, train
from llama_gene.training.curves import to_html
from llama_gene.training.trackers import require_trackers, tracker_errors
from nano import LORA, RandomRows, pretrain_settings
from test_page import assert_balanced

NUM_ROWS = 12  # six steps of two rows; a checkpoint every two steps
DOCUMENT = np.arange(2, 40)
HELD_OUT = [HeldOut("DNA", "bits per base", [DOCUMENT], [np.where(DOCUMENT == 2, -100, DOCUMENT)], 90)]


def train_nano(folder: Path, home: Path, *, fails_at: int | None = None, **changes: Any) -> TrainingLog:
    rows = RandomRows(NUM_ROWS)
    rows.fails_at = fails_at
    chosen = pretrain_settings(validate_every=3, **changes)
    return train(
        load_folder(folder)[0],
        rows,
        chosen,
        home / "work",
        seed=1,
        title="pretrain",
        held_out=HELD_OUT,
        logs=home / "logs",
    )


def events_of(logs: Path) -> list[Any]:
    """What TensorBoard reads: the events of all files, in the order in which they were opened."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for file in sorted(logs.glob("events.*"), key=lambda path: path.stat().st_mtime_ns):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def curve(logs: Path, tag: str) -> list[tuple[int, float]]:
    """A curve as TensorBoard shows it: what a new start takes back is not there."""
    points: list[tuple[int, float]] = []
    for event in events_of(logs):
        if event.HasField("session_log"):
            points = [point for point in points if point[0] < event.step]
        points += [(event.step, value.simple_value) for value in event.summary.value if value.tag == tag]
    return points


def without_time(log: TrainingLog) -> dict[str, Any]:
    record = log.record()
    del record["seconds"], record["log"]["tokens_per_second"]
    return record


def test_a_log_of_an_interrupted_training_is_that_of_a_whole_one(nano_folder: Path, tmp_path: Path) -> None:
    whole = train_nano(nano_folder, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):  # after step 3, which was logged; step 2 is the checkpoint
        train_nano(nano_folder, stopped, fails_at=9)
    seen = curve(stopped / "logs", "eval/DNA_bits")
    assert [step for step, _ in seen] == [0, 3]
    log = train_nano(nano_folder, stopped)
    assert without_time(log) == without_time(whole)
    assert log.points["step"] == [2, 3, 4, 6]
    assert log.validation["step"] == [0, 3, 6]
    for tag in ("train/loss", "train/grad_norm", "train/tokens", "eval/DNA_bits", "eval/DNA_loss"):
        assert curve(stopped / "logs", tag) == curve(tmp_path / "whole" / "logs", tag), tag
    assert curve(stopped / "logs", "train/tokens") == [(step, 64 * step) for step in (2, 3, 4, 6)]
    loss = curve(stopped / "logs", "train/loss")
    assert [value for _, value in loss] == pytest.approx(log.points["loss"], rel=1e-5)


def test_a_training_that_begins_anew_begins_its_files_anew(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):  # before the first checkpoint
        train_nano(nano_folder, tmp_path, fails_at=3)
    train_nano(nano_folder, tmp_path)
    assert [step for step, _ in curve(tmp_path / "logs", "eval/DNA_loss")] == [0, 3, 6]


def test_time_and_speed(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_nano(nano_folder, tmp_path, fails_at=11)
    log = train_nano(nano_folder, tmp_path)
    seconds = [entry["seconds"] for entry in log.history]
    assert seconds == sorted(seconds)  # goes on where the checkpoint was
    assert log.seconds == seconds[-1]
    assert min(log.points["tokens_per_second"]) > 0
    assert log.num_tokens == 6 * 64


def test_without_a_tracker_there_is_the_page_alone(nano_folder: Path, tmp_path: Path) -> None:
    log = train_nano(nano_folder, tmp_path, track=[])
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["training.html"]
    assert f"{log.points['loss'][-1]:.4g}" in (tmp_path / "logs" / "training.html").read_text()


@pytest.mark.parametrize(("stops_at", "step"), [(1, 0), (11, 4)])
def test_the_page_is_there_while_it_trains(nano_folder: Path, tmp_path: Path, stops_at: int, step: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_nano(nano_folder, tmp_path, fails_at=stops_at)
    text = (tmp_path / "logs" / "training.html").read_text()
    assert "Still training:" in text
    assert f"step {step} of\n6" in text


def test_a_missing_tracker_is_named_before_the_training(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        train_nano(nano_folder, tmp_path, track=["tensorboard", "wandb"])
    problem = "track: 'wandb' needs the package wandb, which is not installed"
    assert str(caught.value) == f"{problem}\n  pip install wandb, or leave 'wandb' out of track"
    assert list(tmp_path.iterdir()) == []
    require_trackers(["tensorboard"])


def test_what_a_tracker_cannot_do_is_said_in_its_words() -> None:
    class UsageError(Exception):
        pass

    UsageError.__module__ = "wandb.errors.errors"
    problem = r"wandb: No API key\n  mend that, or leave 'wandb' out of track"
    with pytest.raises(LlamaGeneError, match=problem), tracker_errors():
        raise UsageError("No API key")
    with pytest.raises(ValueError, match="another"), tracker_errors():
        raise ValueError("another")


def test_how_a_training_is_watched_decides_nothing() -> None:
    """Or changing it would do a stage that is done again."""
    watched = pretrain_settings(validate_every=7, track=["wandb", "trackio"])
    assert watched.model_dump() == pretrain_settings().model_dump()
    with pytest.raises(ValidationError, match="track"):
        pretrain_settings(track=["mlflow"])


def log_of(units: dict[str, str], *history: dict[str, float], num_steps: int = 20) -> TrainingLog:
    return TrainingLog("pretrain", num_steps, 1000, 25, 200, units, history)


def point(step: int) -> dict[str, float]:
    return {
        "step": step,
        "loss": 3.0,
        "learning_rate": 1e-4,
        "grad_norm": 1.5,
        "tokens_per_second": 5e4,
        "seconds": 9.0,
    }


UNITS = {"DNA": "bits per base", "English": "bits per byte of English"}
BEFORE = {
    "step": 0,
    "seconds": 1.0,
    "eval_DNA_bits": 2.5,
    "eval_DNA_loss": 5.0,
    "eval_English_bits": 2.0,
    "eval_English_loss": 4.0,
}
AFTER = {
    "step": 20,
    "seconds": 10.0,
    "eval_DNA_bits": 1.9,
    "eval_DNA_loss": 4.0,
    "eval_English_bits": 2.1,
    "eval_English_loss": 4.2,
}


def test_the_page_says_what_was_trained_learned_and_forgotten() -> None:
    settings = pretrain_settings(train="lora", lora=LORA, tokens=20_000)
    text = to_html(log_of(UNITS, BEFORE, point(10), point(20), AFTER), settings, created="now")
    assert_balanced(text)
    assert "<script" not in text
    assert "Still training" not in text
    plain = " ".join(text.replace("\xa0", " ").replace("&nbsp;", " ").split())
    for words in (
        "English costs 5.0 % more bits than before the training: that much of it was forgotten.",
        "<dd>25 (12.5 %)</dd>",
        "<dd>20,000</dd>",
        "<dd>10 s</dd>",
        "<td>2.500</td><td>1.900</td><td>-24.0 %</td>",
        "before 2.500",
        "<dt>lora.rank</dt><dd>2</dd>",
    ):
        assert words in plain, words
    assert text.count("<svg") == 6


def test_a_page_before_the_first_step_and_without_held_out_sets() -> None:
    for log in (log_of(UNITS), log_of({}, point(10)), log_of(UNITS, BEFORE)):
        text = to_html(log, pretrain_settings(), created="now")
        assert_balanced(text)
        assert "Still training" in text
        assert "forgotten" not in text or log.history == (BEFORE,)
    assert "about 9 s left" in to_html(log_of({}, point(10)), pretrain_settings(), created="now")


def test_columns_of_a_record_are_short() -> None:
    record = log_of(UNITS, BEFORE, {**point(10), "loss": 3.14159265}, AFTER).record()
    assert record["log"] == {
        "step": [10], "loss": [3.14159], "learning_rate": [1e-4], "grad_norm": [1.5], "tokens_per_second": [5e4]
    }  # fmt: skip
    assert record["validation"] == {
        "step": [0, 20], "DNA_loss": [5, 4], "DNA_bits": [2.5, 1.9], "English_loss": [4, 4.2], "English_bits": [2, 2.1]
    }  # fmt: skip
    assert "validation" not in log_of({}).record()
