"""Two processes are one: the same rows in a step, the same weights after it, under every strategy and over a resume."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load_file

import tiny
from llama_gene.config import TrainingSettings
from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.files import write_json
from llama_gene.training.launch import launch
from llama_gene.training.parallel import num_processes
from llama_gene.training.strategy import DEEPSPEED, require_deepspeed, require_same_sharing, sharing, zero_config
from nano_member import run_case

MEMBER = str(Path(__file__).with_name("nano_member.py"))
NUM_ROWS = 12
STOP = 8  # asked for while the second step begins, so the first is the last with a checkpoint
STRATEGIES = ("ddp", "fsdp")
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("all", {}),
    ("lora+new-rows", {"batch_size": 2, "accumulate": 2, "gradient_checkpointing": True}),
]


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 16))
def test_a_step_is_shared_out_whole_or_not_at_all(batch_size: int, accumulate: int, processes: int) -> None:
    whole = TrainingSettings(batch_size=batch_size, accumulate=accumulate)
    if batch_size * accumulate % processes:
        with pytest.raises(SettingsError, match="cannot be shared out among"):
            whole.shared_by(processes)
        return
    mine = whole.shared_by(processes)
    assert mine.batch_size * mine.accumulate * processes == batch_size * accumulate
    assert mine.batch_size <= batch_size
    if accumulate % processes == 0:
        assert mine == whole.model_copy(update={"accumulate": accumulate // processes})


def test_what_cannot_be_shared_out_says_what_can() -> None:
    with pytest.raises(SettingsError) as caught:
        TrainingSettings(batch_size=8).shared_by(6)
    assert str(caught.value) == (
        "a step of 8 x 1 rows cannot be shared out among 6 processes\n"
        "  take 4 of them, or make batch_size * accumulate a multiple of 6"
    )


@pytest.mark.parametrize(
    ("num_gpus", "processes", "expected"),
    [(0, None, 1), (0, 2, 2), (8, None, 8), (6, None, 4), (3, None, 2), (8, 2, 2)],
)
def test_all_gpus_are_taken_that_share_a_step(
    monkeypatch: pytest.MonkeyPatch, num_gpus: int, processes: int | None, expected: int
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert num_processes(TrainingSettings(batch_size=8, processes=processes)) == expected


def test_more_processes_than_gpus_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        SettingsError, match="4 processes need as many GPUs, and this machine has 2\n  take processes=2"
    ):
        num_processes(TrainingSettings(batch_size=8, processes=4))


Case = dict[str, Any]


def case(
    output: Path,
    what: str = "all",
    *,
    stop: int | None = None,
    poisoned: int | None = None,
    part: str = "whole",
    **settings: Any,
) -> Case:
    """A training for ``nano_member``: steps of four rows, a checkpoint after each.

    Args:
        output: Its folder: ``weights.npz``, ``PART-MEMBER.json`` with the rows that each was given, ``checkpoints``.
        what: What trains.
        stop: Ctrl-C when this row or a later one is asked for.
        poisoned: The row whose loss is no number.
        part: Names the files of rows, where a training goes on in another call.
        settings: Of the training.
    """
    (output / "checkpoints").mkdir(parents=True, exist_ok=True)
    step = {"batch_size": 4, "checkpoint_every": 1}
    asked = {"output": str(output), "what": what, "stop": stop, "poisoned": poisoned, "part": part}
    return asked | {"settings": step | settings}


def weights_of(output: Path) -> dict[str, np.ndarray]:
    with np.load(output / "weights.npz") as saved:
        return dict(saved)


def rows_of(output: Path, part: str = "whole") -> list[int]:
    """The rows that all members together were given."""
    return sorted(row for path in output.glob(f"{part}-*.json") for row in json.loads(path.read_text()))


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.abs(one[name] - other[name]).max() < 1e-5, name


@pytest.fixture(scope="module")
def trained(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings of one process and of two; and such that were stopped at one number and went on at the other."""
    home = tmp_path_factory.mktemp("parallel")
    ways = [(strategy, what, how) for strategy in STRATEGIES for what, how in WAYS]
    for what, how in WAYS:
        run_case(nano_folder, case(home / "one" / what, what, **how))
    for strategy in STRATEGIES:
        run_case(nano_folder, case(home / f"one-to-{strategy}", stop=STOP, part="first"))
    two = [case(home / strategy / what, what, strategy=strategy, **how) for strategy, what, how in ways]
    two += [case(home / f"{strategy}-to-one", stop=STOP, part="first", strategy=strategy) for strategy in STRATEGIES]
    two += [case(home / f"one-to-{strategy}", part="second", strategy=strategy) for strategy in STRATEGIES]
    launch([sys.executable, MEMBER, str(nano_folder), json.dumps(two)], 2)
    for strategy in STRATEGIES:
        run_case(nano_folder, case(home / f"{strategy}-to-one", part="second"))
    return home


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("what", [what for what, _ in WAYS])
def test_two_processes_train_as_one(trained: Path, strategy: str, what: str) -> None:
    one, two = trained / "one" / what, trained / strategy / what
    assert rows_of(one) == rows_of(two) == list(range(NUM_ROWS))
    assert_close(weights_of(one), weights_of(two))
    logs = [json.loads((folder / "log.json").read_text()) for folder in (one, two)]
    for figure in ("loss", "grad_norm", "learning_rate"):
        assert logs[1][figure] == pytest.approx(logs[0][figure], rel=1e-4), figure


@pytest.mark.parametrize("way", [way for s in STRATEGIES for way in (f"{s}-to-one", f"one-to-{s}")])
def test_a_training_goes_on_with_another_number_of_processes(trained: Path, way: str) -> None:
    """prime-rl#1092: every row once, and the weights of a training that nobody stopped."""
    left = rows_of(trained / way, "second")
    assert left == list(range(4, NUM_ROWS))  # one checkpoint, after four rows
    assert rows_of(trained / way, "first")[:4] == list(range(4))
    assert_close(weights_of(trained / "one" / "all"), weights_of(trained / way))


def test_each_member_has_its_own_rows(trained: Path) -> None:
    each = [json.loads((trained / "ddp" / "all" / f"whole-{rank}.json").read_text()) for rank in range(2)]
    assert each == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]]


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("mistake", LlamaGeneError, r"^here: no good\n  mend it$"),
        ("fault of one", LlamaGeneError, r"^here: no good\n  mend it$"),
        ("killed", LlamaGeneError, r"^process 1 of the 2 that train together was killed \(signal 9\)\n  if memory"),
        ("crash", RuntimeError, r"(?s)^process 1 of the 2 that train together failed:.*ValueError: a bug"),
    ],
)
def test_what_goes_wrong_in_a_member_is_said_once(
    how: str, error: type[Exception], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=said):
        launch([sys.executable, MEMBER, "fail", how], 2)
    assert capfd.readouterr() == ("", "")


def test_a_loss_that_is_no_number_in_one_member_stops_all_and_names_its_rows(
    untied_folder: Path, tmp_path: Path
) -> None:
    cases = [case(tmp_path, poisoned=6, strategy="ddp")]  # a row of the second member
    with pytest.raises(LlamaGeneError) as caught:
        launch([sys.executable, MEMBER, str(untied_folder), json.dumps(cases)], 2)
    assert str(caught.value) == (
        "the loss is no number (nan) at step 2, in the rows 6, 7\n  lower learning_rate, or use fp32; "
        f"the last good checkpoint is {tmp_path / 'checkpoints' / 'checkpoint-1'}"
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_members_end_with_their_launcher(end: signal.Signals) -> None:
    code = f"from llama_gene.training.launch import launch; launch([{sys.executable!r}, {MEMBER!r}, 'fail', 'hang'], 2)"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        launcher = psutil.Process(process.pid)
        deadline = time.monotonic() + 60
        while len(members := launcher.children()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(end)
    assert psutil.wait_procs(members, timeout=60)[1] == []


def test_a_stage_of_a_run_can_be_done_by_two_processes(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    assert tiny.go_on(run, "pretrain.processes=2", until="pretrain") == []  # how many decides nothing
    (run / "stages" / "pretrain.json").unlink()
    shutil.rmtree(run / "pretrained")
    assert tiny.go_on(run, "pretrain.processes=2", until="pretrain") == ["pretrain"]
    assert_close(*(load_file(folder / "pretrained" / "model.safetensors") for folder in (run, tiny_run)))
    assert not (run / "work" / "pretrain").exists()
    said = capfd.readouterr()
    assert said.out == ""
    assert [line for line in said.err.splitlines() if not line.startswith(("  curves,", "  held out,"))] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run", "llama-gene: 2 processes do one training together, and nothing else of a recipe\n  start each of them"),
        (
            "pretrain",
            "llama-gene: {run}: the stage 'simulate' is not done, or something it reads has changed\n  do it in",
        ),
    ],
)
def test_what_a_group_cannot_do_is_said_by_its_first_process(tmp_path: Path, command: str, said: str) -> None:
    recipe, run = tiny.write_recipe(tmp_path), tmp_path / "run"
    code = "from llama_gene.cli import main; main()"
    words = [sys.executable, "-c", code, command, str(recipe), f"output={run}"]
    group = tiny.environment() | {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    done = subprocess.run(words, env=group, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(said.format(run=run))
    assert "Traceback" not in done.stderr


def test_a_configuration_of_deepspeed_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings(batch_size=4, accumulate=6, precision="bf16", max_grad_norm=0.5, strategy="zero3")
    config = zero_config(settings.shared_by(2), 2)
    assert json.loads(json.dumps(config)) == config
    assert config["train_batch_size"] == 24
    assert config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"] * 2 == 24
    assert config["zero_optimization"]["stage"] == 3
    assert config["bf16"] == {"enabled": True}
    assert config["gradient_clipping"] == 0.5
    if find_spec("deepspeed") is not None:
        from deepspeed.runtime.config import DeepSpeedConfig

        monkeypatch.setattr("deepspeed.comm.get_world_size", lambda: 2)
        monkeypatch.setattr("deepspeed.comm.get_rank", lambda: 0)
        read = DeepSpeedConfig(config)
        assert (read.zero_optimization_stage, read.bfloat16_config.enabled, read.world_size) == (3, True, 2)


def test_deepspeed_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama_gene.training.strategy.find_spec", lambda _: None)
    require_deepspeed("fsdp")
    with pytest.raises(
        SettingsError, match=r"\"zero2\" needs DeepSpeed, which is not installed\n  pip install 'llama-"
    ):
        require_deepspeed("zero2")


@pytest.mark.parametrize(
    ("saved", "strategy", "processes", "said"),
    [
        (None, "fsdp", 2, None),
        (None, "zero3", 1, None),  # one process shares nothing
        (("zero2", 2), "zero2", 2, None),
        (("zero2", 2), "zero2", 4, "same strategy and number of processes alone\n  set strategy=zero2 and processes=2"),
        (("zero2", 2), "ddp", 2, "same strategy and number of processes alone\n  set strategy=zero2 and processes=2"),
        (None, "zero2", 2, "DeepSpeed cannot go on from what another strategy saved\n  take strategy=fsdp"),
    ],
)
def test_what_deepspeed_saved_goes_on_as_it_was(
    tmp_path: Path, saved: tuple[str, int] | None, strategy: str, processes: int, said: str | None
) -> None:
    if saved:
        write_json(tmp_path / DEEPSPEED, sharing(*saved))
    settings = TrainingSettings.model_validate({"strategy": strategy})
    with nullcontext() if said is None else pytest.raises(SettingsError, match=said):
        require_same_sharing(tmp_path, settings, processes)


def test_four_bits_are_not_sharded() -> None:
    with pytest.raises(ValidationError, match='take strategy = "ddp"'):
        TrainingSettings.model_validate({"strategy": "fsdp", "lora": {"load_in_4bit": True}})
