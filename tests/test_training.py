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
from llama_gene.model.lora import adapt
from llama_gene.training import num_steps, packed_loss, train
from nano import LORA, RandomRows, parameters, pretrain_settings

NUM_ROWS = 12  # six steps of two rows; a checkpoint every two steps


TRAINED = ("all", "lora", "lora+embeddings", "lora+new-rows")


def train_nano(folder: Path, rows: Any, checkpoints: Path, what: str = "all", **changes: Any) -> tuple[Any, Any]:
    model, genes, _ = load_folder(folder)
    settings = pretrain_settings(train=what, lora=LORA, **changes)
    model = adapt(model, settings, genes.base_size, seed=1)
    log = train(model, rows, settings, checkpoints, seed=1, title="test")
    return parameters(model), log


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def stop(folder: Path, checkpoints: Path, *, at: int, what: str = "all", **changes: Any) -> None:
    """Ctrl-C when row `at` is asked for."""
    rows = RandomRows(NUM_ROWS)
    rows.fails_at = at
    with pytest.raises(KeyboardInterrupt):
        train_nano(folder, rows, checkpoints, what, **changes)


def names(checkpoints: Path) -> list[str]:
    return sorted(path.name for path in checkpoints.glob("checkpoint-*"))


@pytest.fixture(scope="module")
def whole(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The weights of an undisturbed training, whole and with adapters (whose dropout draws random numbers)."""
    folder = tmp_path_factory.mktemp("whole")
    return {what: train_nano(nano_folder, RandomRows(NUM_ROWS), folder / what, what)[0] for what in TRAINED}


def test_fewer_rows_than_a_step_raises(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="3 rows of 32 tokens do not fill one step of test\n  ask for more tokens"):
        train_nano(nano_folder, RandomRows(3), tmp_path, batch_size=2, accumulate=2)


class PoisonedRows(RandomRows):
    """Rows one of which has a token whose row in the embedding is no number."""

    def __init__(self, num: int, poisoned: int) -> None:
        super().__init__(num)
        self._poisoned = poisoned

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        row = super().__getitem__(index)
        ids = np.full_like(row["input_ids"], 1 if index == self._poisoned else 2)
        return {**row, "input_ids": ids}


def test_a_loss_that_is_no_number_stops_names_its_rows_and_keeps_the_last_good_checkpoint(
    nano_folder: Path, tmp_path: Path
) -> None:
    import torch

    model = load_folder(nano_folder)[0]
    with torch.no_grad():
        model.get_input_embeddings().weight[1] = math.nan
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    settings = pretrain_settings(accumulate=2, checkpoint_every=1)
    with pytest.raises(LlamaGeneError) as caught:
        train(model, PoisonedRows(NUM_ROWS, 11), settings, tmp_path, seed=1, title="test")
    assert str(caught.value) == (
        "the loss is no number (nan) at step 3, in the rows 10, 11\n  lower learning_rate, or use fp32; "
        f"the last good checkpoint is {tmp_path / 'checkpoint-2'}"
    )
    assert names(tmp_path) == ["checkpoint-1", "checkpoint-2"]


def test_a_gradient_that_is_no_number_stops_before_the_weights_are_touched(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    model = load_folder(nano_folder)[0]
    before = parameters(model)
    monkeypatch.setattr(Trainer, "_clip_grad_norm", lambda *_: math.inf)
    with pytest.raises(LlamaGeneError, match=r"the gradient is no number \(inf\) at step 1, in the rows 0, 1\n"):
        train(model, RandomRows(6), pretrain_settings(checkpoint_every=1), tmp_path, seed=1, title="test")
    assert names(tmp_path) == []
    assert_equal(parameters(model), before)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_checkpoint_that_is_half_written_has_no_name(
    nano_folder: Path, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """lightning#688: stopped while it saved, and then resumed from what was there."""
    from llama_gene.training import trainer

    real = trainer.save_random_states

    def fill_up(folder: Path) -> None:
        real(folder)
        if folder.name == "checkpoint-4":
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_random_states", fill_up)
        with pytest.raises((LlamaGeneError, KeyboardInterrupt)) as caught:
            train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    assert "KeyboardInterrupt" in repr(error) or "no space left to write" in str(caught.value)
    assert names(tmp_path) == ["checkpoint-2"]
    rows = RandomRows(NUM_ROWS)
    weights, _ = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(4, NUM_ROWS))
    assert_equal(weights, whole["all"])


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


@pytest.mark.parametrize(
    ("what", "at", "left"),
    [
        *(("all", at, left) for at, left in [(1, 0), (7, 4)]),
        ("lora+new-rows", 1, 0),
        *((what, 11, 8) for what in TRAINED),
    ],
)
def test_a_resumed_training_serves_the_rows_that_are_left_and_ends_in_the_same_bits(
    nano_folder: Path, whole: dict[str, Any], tmp_path: Path, what: str, at: int, left: int
) -> None:
    """accelerate#2016: a resumed training began its data again."""
    stop(nano_folder, tmp_path, at=at, what=what)
    rows = RandomRows(NUM_ROWS)
    weights, log = train_nano(nano_folder, rows, tmp_path, what)
    assert rows.served == list(range(left, NUM_ROWS))
    assert log.num_steps == 6
    assert_equal(weights, whole[what])


def test_a_training_stopped_twice_ends_in_the_same_bits(
    nano_folder: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    stop(nano_folder, tmp_path, at=7)
    stop(nano_folder, tmp_path, at=10)
    weights, _ = train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    assert_equal(weights, whole["all"])


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


def test_a_finished_training_is_not_done_again(nano_folder: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path)
    rows = RandomRows(NUM_ROWS)
    weights, log = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == []
    assert log.num_steps == 6
    assert_equal(weights, whole["all"])


@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "unmarked"])
def test_a_damaged_checkpoint_is_not_used(
    nano_folder: Path, whole: dict[str, Any], tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """lightning#688: the newest checkpoint is the likeliest to be broken."""
    stop(nano_folder, tmp_path, at=11)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4"]
    newest = tmp_path / "checkpoint-4"
    file = newest / ("complete.json" if damage == "unmarked" else "optimizer.safetensors")
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    if damage in {"cut", "flip"}:
        file.write_bytes(content[:-1] if damage == "cut" else content)
    else:
        file.unlink()
    rows = RandomRows(NUM_ROWS)
    capsys.readouterr()
    weights, _ = train_nano(nano_folder, rows, tmp_path)
    problem = {"cut": "is damaged", "flip": "is damaged", "remove": "is missing", "unmarked": "it has no complete.json"}
    said = capsys.readouterr().err
    assert f"{problem[damage]}, so this checkpoint is not used" in said
    assert said.startswith(f"  {newest}: ")
    assert rows.served == list(range(4, NUM_ROWS))
    assert_equal(weights, whole["all"])


def test_without_a_whole_checkpoint_it_begins_again(nano_folder: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    stop(nano_folder, tmp_path, at=11)
    for folder in tmp_path.glob("checkpoint-*"):
        (folder / "model.safetensors").write_bytes(b"")
    rows = RandomRows(NUM_ROWS)
    weights, _ = train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(NUM_ROWS))
    assert_equal(weights, whole["all"])


def test_only_the_newest_checkpoints_are_kept(nano_folder: Path, tmp_path: Path) -> None:
    train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path, checkpoint_every=1, keep_checkpoints=2)
    assert names(tmp_path) == ["checkpoint-5", "checkpoint-6"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names(tmp_path)  # no draft is left
    sums = json.loads((tmp_path / "checkpoint-6" / "complete.json").read_text())
    tensors = {"model.safetensors", "optimizer.safetensors", "random.safetensors"}
    assert set(sums) == tensors | {"scheduler.json", "trainer_state.json", "seal"}  # and no pickle


def test_a_damaged_checkpoint_does_not_push_out_a_good_one(nano_folder: Path, tmp_path: Path) -> None:
    stop(nano_folder, tmp_path, at=11, keep_checkpoints=1)
    assert names(tmp_path) == ["checkpoint-4"]
    shutil.copytree(tmp_path / "checkpoint-4", tmp_path / "checkpoint-6")
    for folder in ("checkpoint-4", "checkpoint-6"):
        (tmp_path / folder / "optimizer.safetensors").write_bytes(b"")
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
    (step,), (loss,) = log.points["step"], log.points["loss"]
    assert step == 2
    assert loss == pytest.approx(np.mean([float(packed_loss_of(model, rows, start)) for start in (0, 20)]), abs=1e-5)


def packed_loss_of(model: Any, rows: RandomRows, start: int) -> Any:
    import torch

    chosen = [rows[index] for index in range(start, start + 20)]
    with torch.inference_mode():
        return packed_loss(model, {key: torch.from_numpy(np.stack([row[key] for row in chosen])) for key in chosen[0]})


def test_a_log_says_what_trained(nano_folder: Path, tmp_path: Path) -> None:
    _, log = train_nano(nano_folder, RandomRows(5), tmp_path, "lora")
    assert log.num_steps == num_steps(5, pretrain_settings()) == 2  # one row is left over
    assert log.num_tokens == 2 * 2 * 32
    assert 0 < log.num_trainable < log.num_parameters
    assert log.seconds > 0


def test_rows_come_in_their_given_order(nano_folder: Path, tmp_path: Path) -> None:
    rows = RandomRows(NUM_ROWS)
    train_nano(nano_folder, rows, tmp_path)
    assert rows.served == list(range(NUM_ROWS))


class ShortOfMemory:
    """A GPU whose memory holds some rows at a time; it fails on the way forward, or back."""

    def __init__(self, model: Any, num_rows: int, *, backward: bool) -> None:
        self.seen: list[int] = []
        self._num_rows, self._backward = num_rows, backward
        model.model.layers[0].register_forward_hook(self._hook)

    def _hook(self, layer: Any, inputs: Any, output: Any) -> None:
        import torch

        if not layer.training:
            return
        self.seen.append(len(output))
        if len(output) > self._num_rows:
            if not self._backward:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

            def fail(_: Any) -> None:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

            output.register_hook(fail)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 1), (4, 2), (3, 2)])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_step(
    nano_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    backward: bool,
    batch_size: int,
    accumulate: int,
) -> None:
    changes = {"batch_size": batch_size, "accumulate": accumulate, "learning_rate": 1e-4}
    num = 2 * batch_size * accumulate
    undisturbed, _ = train_nano(nano_folder, RandomRows(num), tmp_path / "whole", **changes)
    model: Any = load_folder(nano_folder)[0]
    memory = ShortOfMemory(model, 1, backward=backward)
    capsys.readouterr()
    rows = RandomRows(num)
    log = train(model, rows, pretrain_settings(**changes), tmp_path / "short", seed=1, title="test")
    assert log.num_steps == 2
    assert rows.served == list(range(num))
    # Told twice: from 4 rows to 2, and from 2 to 1; then never tried again.
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        f"  out of GPU memory: micro-batches of 2 instead of {batch_size} rows from here on, with as many rows in a "
        "step as before"
    )
    assert "micro-batches of 1 instead of 2 rows" in said[1]
    assert len(said) == 2
    assert [size for size in memory.seen if size > 1] == [batch_size, 2]
    for name, value in parameters(model).items():
        assert np.abs(value - undisturbed[name]).max() < 1e-5, name


def test_memory_lost_after_the_first_micro_batch_makes_the_whole_step_anew(nano_folder: Path, tmp_path: Path) -> None:
    """The gradients of the micro-batches before it must be there once, not twice and not half."""
    changes = {"batch_size": 2, "accumulate": 3, "learning_rate": 1e-4}
    undisturbed, _ = train_nano(nano_folder, RandomRows(6), tmp_path / "whole", **changes)
    model: Any = load_folder(nano_folder)[0]
    import torch

    calls = iter(range(100))

    def fail(*_: Any) -> None:
        if next(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.model.layers[0].register_full_backward_hook(fail)
    train(model, RandomRows(6), pretrain_settings(**changes), tmp_path / "short", seed=1, title="test")
    for name, value in parameters(model).items():
        assert np.abs(value - undisturbed[name]).max() < 1e-5, name


def test_a_single_row_that_does_not_fit_says_what_to_do(nano_folder: Path, tmp_path: Path) -> None:
    model: Any = load_folder(nano_folder)[0]
    ShortOfMemory(model, 0, backward=False)
    with pytest.raises(
        LlamaGeneError, match=r"does not hold a single row \(CUDA .*\n  set gradient_checkpointing = true"
    ):
        train(model, RandomRows(4), pretrain_settings(), tmp_path, seed=1, title="test")


def test_an_optimizer_that_does_not_fit_says_what_to_do(
    nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    with pytest.raises(LlamaGeneError, match=r"does not hold the optimizer \(CUDA .*\n  train less: train = "):
        train_nano(nano_folder, RandomRows(4), tmp_path)


def test_rows_have_a_learning_rate_of_their_own(nano_folder: Path, tmp_path: Path) -> None:
    settings = {"learning_rate": 1e-9, "embedding_learning_rate": 1e-2, "weight_decay": 0.0}
    for what in ("all", "lora+new-rows"):
        weights, _ = train_nano(nano_folder, RandomRows(4), tmp_path / what, what, **settings)
        before, _ = train_nano(
            nano_folder, RandomRows(2), tmp_path / f"{what}-before", what, learning_rate=1e-9, weight_decay=0.0
        )
        moved = {name: float(np.abs(weights[name] - before[name]).max()) for name in weights}
        rows = {name for name in moved if "embed_tokens" in name or "lm_head" in name}
        assert rows
        assert max(moved[name] for name in moved.keys() - rows) < 1e-6
        assert max(moved[name] for name in rows) > 1e-3


def test_norms_do_not_decay(nano_folder: Path, tmp_path: Path) -> None:
    changes = {"learning_rate": 1e-2, "max_grad_norm": 1e-12}  # so short that decay is all that moves anything
    weights, _ = train_nano(nano_folder, RandomRows(4), tmp_path, **changes, weight_decay=0.5)
    before = parameters(load_folder(nano_folder)[0])
    shrunk = {name: float(np.linalg.norm(weights[name]) / np.linalg.norm(before[name])) for name in weights}
    assert all((ratio < 0.9999) != ("norm" in name) for name, ratio in shrunk.items()), shrunk


@pytest.mark.parametrize("what", ["all", "lora+new-rows"])
def test_activations_computed_twice_change_nothing(nano_folder: Path, tmp_path: Path, what: str) -> None:
    changes = {"gradient_checkpointing": True}
    weights, _ = train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path / "a", what, **changes)
    plain, _ = train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path / "b", what)
    assert all(np.abs(weights[name] - plain[name]).max() < 1e-5 for name in plain)


@pytest.mark.slow
def test_compiled_layers_learn_the_same(nano_folder: Path, tmp_path: Path) -> None:
    changes = {"learning_rate": 1e-4}
    compiled, _ = train_nano(nano_folder, RandomRows(4), tmp_path / "a", compile=True, **changes)
    plain, _ = train_nano(nano_folder, RandomRows(4), tmp_path / "b", **changes)
    assert all(np.abs(compiled[name] - plain[name]).max() < 1e-5 for name in plain)


def test_a_checkpoint_holds_what_trains_and_nothing_else(nano_folder: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    weights, log = train_nano(nano_folder, RandomRows(4), tmp_path, "lora+new-rows")
    with safe_open(tmp_path / "checkpoint-2" / "model.safetensors", "np") as file:
        saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert sum(value.size for value in saved.values()) == log.num_trainable
    assert all(np.array_equal(value, weights[name.removeprefix("model.")]) for name, value in saved.items())
    assert not list((tmp_path / "checkpoint-2").glob("training_args*"))  # a pickle that nobody reads
