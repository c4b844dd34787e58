"""Blocks go through a model in order, by half the batch where memory ends, and on several devices alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.inference import stream
from llama_gene.inference.engine import Engine
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.stream import Asker, DataParallel, blocks_of, check_devices, is_out_of_memory
from nano import CONFORM, examples


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BLOCK", 3)


def test_blocks_behind_those_that_are_done(short_blocks: None) -> None:
    rows = examples(CONFORM, 8)
    assert list(blocks_of(rows)) == [rows[:3], rows[3:6], rows[6:]]
    assert list(blocks_of(rows, skip=6)) == [rows[6:]]
    assert list(blocks_of(rows, skip=8)) == []


class Cramped:
    """An engine with memory for batches of up to `limit` tokens."""

    def __init__(self, limit: int, error: Exception) -> None:
        self.limit, self.error, self.asked = limit, error, list[int]()

    def predict(self, task: Any, block: list[Any], *, batch_tokens: int) -> Iterator[Prediction]:
        self.asked.append(batch_tokens)
        for example in block:
            if batch_tokens > self.limit:
                raise self.error
            yield Prediction(example.id, "Conform", None, (0.0, 1.0), 0)


NO_MEMORY = [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=["python", "cuda", "cpu"])
def test_the_batch_is_halved_until_it_fits_and_stays_so(error: Exception, short_blocks: None) -> None:
    engine, said = Cramped(30, error), list[str]()
    asker = Asker(engine, CONFORM, 100, said.append)  # type: ignore[arg-type]
    answers = [one.id for block in asker(blocks_of(examples(CONFORM, 6))) for one in block]
    assert answers == [f"row{number}" for number in range(6)]
    assert engine.asked == [100, 50, 25, 25]
    assert said == [f"out of memory: going on with {size} tokens a batch" for size in (50, 25)]


def test_a_prompt_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(LlamaGeneError, match="not enough memory for a single prompt"):
        Asker(Cramped(0, MemoryError()), CONFORM, 4, print).ask(examples(CONFORM, 1))  # type: ignore[arg-type]


def test_another_error_is_not_taken_for_that() -> None:
    assert not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        Asker(Cramped(0, RuntimeError("size mismatch")), CONFORM, 4, print).ask(examples(CONFORM, 1))  # type: ignore[arg-type]


def test_two_devices_answer_as_one(tuned_folder: Path, short_blocks: None) -> None:
    rows = examples(CONFORM, 14)
    one = Asker(Engine.load(tuned_folder), CONFORM, 1000, print)
    with DataParallel(tuned_folder, "conform", ["cpu", "cpu"], 1000) as ask:
        assert list(ask(blocks_of(rows))) == list(one(blocks_of(rows)))


def test_a_device_that_is_not_there() -> None:
    check_devices(["cpu", "cpu"])
    with pytest.raises(SettingsError, match=r"no device 'cuda:9'\n  this machine has: cpu"):
        check_devices(["cpu", "cuda:9"])
