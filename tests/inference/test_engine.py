"""An engine answers the tasks it was tuned on, as it was tuned on them, in the order it was asked."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import ModelError, TaskError
from llama_gene.inference import local as local_module
from llama_gene.inference.engine import Engine
from llama_gene.inference.generate import generate_answers
from llama_gene.tasks.registry import load_task, save_task
from llama_gene.tasks.task import Example
from nano import CONFORM, FLAGS, PAIR, STRENGTH, examples


@pytest.fixture(scope="module")
def engine(tuned_folder: Path) -> Engine:
    return Engine.load(tuned_folder)


def mixed(task: Any) -> list[Example]:
    """Short and long sequences in turn, and one far too long."""
    rows = [
        row
        for pair in zip(examples(task, 6, 5), examples(task, 6, 30 // len(task.inputs)), strict=True)
        for row in pair
    ]
    return [
        Example(f"{place}-{row.id}", row.sequences, row.answer, row.value)
        for place, row in enumerate([*rows, *examples(task, 1, 500)])
    ]


def test_a_task_that_the_model_was_not_tuned_on_raises(engine: Engine, nano_folder: Path) -> None:
    with pytest.raises(TaskError, match="not tuned on task 'splice'\n  it knows: conform, flags, pair, strength"):
        engine.task("splice")
    with pytest.raises(TaskError, match="it knows: none; tune it first"):
        Engine.load(nano_folder).task("conform")


def test_a_folder_that_is_no_model_raises(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model folder"):
        Engine.load(tmp_path / "none")


def test_a_task_whose_prompt_was_changed_since_raises(tuned_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tuned_folder, folder)
    engine, path = Engine.load(folder), folder / "tasks" / "conform.toml"
    save_task(load_task(path).model_copy(update={"title": "Of no influence"}), path)
    assert engine.task("conform").title == "Of no influence"
    save_task(CONFORM.model_copy(update={"question": "Does it, really?"}), path)
    with pytest.raises(TaskError, match=r"the prompt of task 'conform' is not the one .* tuned with\n  restore"):
        engine.task("conform")


@pytest.mark.parametrize("task", [CONFORM, STRENGTH, PAIR, FLAGS], ids=lambda task: task.name)
def test_predictions_come_in_order_under_their_own_ids(
    engine: Engine, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, rows, done = engine.task(task.name), mixed(task), []
    together = list(engine.predict(task, iter(rows), on_done=done.append))
    assert [prediction.id for prediction in together] == [row.id for row in rows]
    assert done[-1] == len(rows)
    assert [bool(prediction.num_cut) for prediction in together] == [False] * 12 + [True]
    monkeypatch.setattr(local_module, "_CHUNK", 5)
    for batch_tokens in (1, 130, 300):
        for one, other in zip(together, engine.predict(task, rows, batch_tokens=batch_tokens), strict=True):
            assert (one.id, one.num_cut) == (other.id, other.num_cut)
            if one.probabilities is None:
                assert one.answer == other.answer
            else:
                assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    alone = [next(engine.predict(task, [row])) for row in rows[::4]]
    for one, other in zip(together[::4], alone, strict=True):
        assert one.id == other.id
        if one.probabilities is not None:
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize("task", [CONFORM, STRENGTH, PAIR], ids=lambda task: task.name)
def test_probabilities_sum_to_one_and_name_the_answer(engine: Engine, task: Any) -> None:
    for prediction in engine.predict(engine.task(task.name), mixed(task)):
        assert prediction.probabilities is not None
        assert len(prediction.probabilities) == len(task.candidates)
        assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-9)
        assert prediction.probability == max(prediction.probabilities)
        if task is not STRENGTH:
            assert prediction.value is None
            assert task.candidates[int(np.argmax(prediction.probabilities))] == prediction.answer


def test_a_number_is_the_expectation_over_the_grid(engine: Engine) -> None:
    grid = [-0.3 + 0.1 * step for step in range(16)]
    for prediction in engine.predict(engine.task("strength"), mixed(STRENGTH)):
        assert prediction.probabilities is not None
        expected = sum(p * value for p, value in zip(prediction.probabilities, grid, strict=True))
        assert prediction.value == pytest.approx(expected, abs=1e-9)
        assert prediction.answer == f"{expected:.3f}"


def test_answers_are_not_looked_at(engine: Engine) -> None:
    task, rows = engine.task("conform"), examples(CONFORM, 4)
    blind = [Example(row.id, row.sequences) for row in rows]
    assert list(engine.predict(task, rows)) == list(engine.predict(task, blind))
    assert list(engine.predict(task, [])) == []


def test_written_answers_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    genes = engine.tokenizer
    prompts = [[5, 6, 7], list(range(5, 25)), [9]]
    together = generate_answers(engine.readout, prompts, 6, eos_id=genes.eos_id)
    assert together == [generate_answers(engine.readout, [prompt], 6, eos_id=genes.eos_id)[0] for prompt in prompts]
    assert all(len(answer) <= 6 and genes.eos_id not in answer for answer in together)
