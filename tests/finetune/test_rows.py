"""Examples in rows: each whole, its answer the only target, and every way of asking it is the template's own."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.finetune.rows import ExampleRows, pack_whole
from llama_gene.finetune.store import Draw, ExampleStore
from llama_gene.model.folder import load_folder
from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import InstructionEncoder, PromptEncoder, prompt_parts, wordings
from llama_gene.tokenizer import GeneTokenizer, Span, render
from llama_gene.training import packed_loss
from nano import CONFORM, PAIR, STRENGTH, TASKS, dna, examples, logits_of

few = settings(max_examples=25, deadline=None)


def stored(
    tokenizer: GeneTokenizer, folder: Path, tasks: Any = TASKS, num: int = 5, *, both_strands: bool = False
) -> ExampleStore:
    store = ExampleStore(folder)
    for task in tasks:
        encoder = PromptEncoder(task, tokenizer, 120, questions=wordings(task))
        assert store.add_task(encoder, examples(task, num), both_strands=both_strands) == 0
    store.close()
    return store


def as_they_come(num: int) -> Draw:
    zeros = np.zeros(num, np.int64)
    return Draw(np.arange(num), zeros, zeros)


def documents(row: dict[str, np.ndarray]) -> list[tuple[list[int], list[int]]]:
    """The ids and the labels of each document of a row, the padding's last."""
    starts = [place for place in range(len(row["input_ids"])) if row["position_ids"][place] == 0]
    ends = [*starts[1:], len(row["input_ids"])]
    return [
        (row["input_ids"][start:stop].tolist(), row["labels"][start:stop].tolist())
        for start, stop in zip(starts, ends, strict=True)
    ]


@given(lengths=st.lists(st.integers(1, 10), max_size=60), block_size=st.integers(10, 30))
def test_every_item_is_in_one_row_and_no_row_is_over_full(lengths: list[int], block_size: int) -> None:
    rows = pack_whole(lengths, block_size)
    assert Counter(item for row in rows for item in row) == Counter(range(len(lengths)))
    assert all(0 < sum(lengths[item] for item in row) <= block_size for row in rows)
    # First fit: no two of the open rows could have been one.
    assert sum(sum(lengths[item] for item in row) * 2 <= block_size for row in rows[-32:]) <= 1


def test_an_example_is_asked_as_the_template_says(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    genes = nano_tokenizer
    store = stored(genes, tmp_path, both_strands=True)
    assert len(store) == 20
    for place, task in enumerate(TASKS):
        for offset, example in enumerate(examples(task, 5)):
            for strand in (0, 1):
                for wording, question in enumerate(wordings(task)):
                    kinds = [given.kind for given in task.inputs]
                    sequences = [
                        reverse_complement(letters) if strand and kind == "dna" else letters
                        for kind, letters in zip(kinds, example.sequences, strict=True)
                    ]
                    prompt = genes.encode(render(prompt_parts(task, sequences, question=question)))
                    ids, num_answer, in_sequence = store.ask(5 * place + offset, strand, wording)
                    assert ids[: len(ids) - num_answer].tolist() == prompt
                    answer = PromptEncoder(task, genes, 120).answer_ids(example.answer or "")
                    assert ids[len(ids) - num_answer :].tolist() == answer
                    spelled = "".join(genes.decode([index]) for index in ids[in_sequence].tolist())
                    assert spelled == "".join(sequences)
                    draw = Draw(*(np.array([value]) for value in (5 * place + offset, strand, wording)))
                    assert store.lengths(draw).tolist() == [len(ids)]


@few
@given(order=st.lists(st.integers(0, 19), min_size=1, max_size=40), rows_a_step=st.integers(1, 4))
def test_every_draw_is_in_one_row_whole_and_its_answer_the_only_target(
    nano_tokenizer: GeneTokenizer, tmp_path_factory: pytest.TempPathFactory, order: list[int], rows_a_step: int
) -> None:
    """trl#6668, unsloth#416: the answer is never cut off, and the padding is never a target."""
    genes = nano_tokenizer
    store = stored(genes, tmp_path_factory.mktemp("store"))
    draw = Draw(np.array(order), np.zeros(len(order), np.int64), np.arange(len(order)) % 4)
    rows = ExampleRows(store, draw, 150, genes.pad_id)
    seen: Counter[tuple[int, ...]] = Counter()
    num_useful = 0
    for row in (rows[index] for index in range(len(rows))):
        assert {key: value.shape for key, value in row.items()} == dict.fromkeys(row, (150,))
        for ids, labels in documents(row):
            if ids[0] == genes.pad_id:
                assert set(ids) == {genes.pad_id}
                assert set(labels) == {-100}
                continue
            num_answer = sum(label != -100 for label in labels)
            assert labels[-num_answer:] == ids[-num_answer:]
            assert ids[-1] == genes.eos_id
            seen[tuple(ids)] += 1
            num_useful += len(ids)
    asked = [
        tuple(store.ask(example, 0, wording)[0].tolist())
        for example, wording in zip(order, draw.wordings.tolist(), strict=True)
    ]
    assert seen == Counter(asked)
    assert rows.useful_share == pytest.approx(num_useful / (150 * len(rows)))
    filled = ExampleRows(store, draw, 150, genes.pad_id, rows_a_step=rows_a_step)
    assert len(filled) % rows_a_step == 0
    assert len(filled) - len(rows) < rows_a_step


def test_sequences_are_targets_of_a_second_kind_where_asked(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    store = stored(nano_tokenizer, tmp_path, [PAIR], 2)
    (row,) = [ExampleRows(store, as_they_come(2), 200, nano_tokenizer.pad_id, learn_sequences=True)[0]]
    chosen = row["sequence_labels"] != -100
    assert np.array_equal(row["sequence_labels"][chosen], row["input_ids"][chosen])
    assert not (chosen & (row["labels"] != -100)).any()
    first, second = examples(PAIR, 2)
    assert nano_tokenizer.decode(row["input_ids"][chosen].tolist()) == "".join([*first.sequences, *second.sequences])


def test_instructions_are_asked_as_they_are_and_left_out_where_too_long(
    nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    genes = nano_tokenizer
    short = Instruction("a", ("Write the gene ", Span("dna", "ACGTTATA"), " again."), "<dna>ACGTTATA</dna>")
    long = Instruction("b", ("gene " * 200,), "no")
    store = ExampleStore(tmp_path)
    assert store.add_instructions("mixed", InstructionEncoder(genes, 100), [short, long]) == 1
    store.close()
    assert len(store) == 1
    ids, num_answer, in_sequence = store.ask(0, 0, 0)
    text = "Write the gene <dna>ACGTTATA</dna> again.\nAnswer: <dna>ACGTTATA</dna>"
    assert ids.tolist() == [*genes.encode(text), genes.eos_id]
    assert genes.decode(ids[len(ids) - num_answer : -1].tolist()).strip() == "<dna>ACGTTATA</dna>"
    assert not in_sequence.any()


def test_packed_examples_do_not_contaminate_each_other(nano_folder: Path, tmp_path: Path) -> None:
    """trl#1230, for examples: the loss of a row is that of its examples alone."""
    import torch

    model, genes, _ = load_folder(nano_folder)
    store = stored(genes, tmp_path, (CONFORM, STRENGTH), 4)
    rows = ExampleRows(store, as_they_come(8), 140, genes.pad_id)
    assert len(rows) < 8
    batch = {key: torch.from_numpy(np.stack([rows[i][key] for i in range(len(rows))])) for key in rows[0]}
    nats, num_targets = 0.0, 0
    for example in range(8):
        ids, num_answer, _ = store.ask(example, 0, 0)
        steps = torch.from_numpy(logits_of(model, ids.tolist())).log_softmax(-1)
        start = len(ids) - num_answer
        nats -= sum(float(steps[start - 1 + place, token]) for place, token in enumerate(ids[start:].tolist()))
        num_targets += num_answer
    with torch.inference_mode():
        assert float(packed_loss(model, batch)) == pytest.approx(nats / num_targets, abs=1e-5)


def test_the_rows_that_were_shortened_are_counted(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    store = ExampleStore(tmp_path)
    rows = [*examples(CONFORM, 3), Example("long", (dna(900, 1),), "Conform")]
    assert store.add_task(PromptEncoder(CONFORM, nano_tokenizer, 80), rows, both_strands=False) == 1
    store.close()
    assert store.labels.tolist() == [0, 1, 0, 1]
    assert max(store.lengths(as_they_come(4)).tolist()) == 79  # there is room for the longest answer, one token more


def test_nothing_is_left_on_the_disk(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    stored(nano_tokenizer, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_task_of_the_same_name_twice_is_two_groups(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    store = stored(nano_tokenizer, tmp_path, (CONFORM, CONFORM), 2)
    assert [store.members(group).tolist() for group in range(2)] == [[0, 1], [2, 3]]
    assert store.group_of(np.array([3, 0])).tolist() == [1, 0]


@pytest.mark.parametrize("chunked", [True, False])
def test_sequences_weigh_what_they_are_told(nano_folder: Path, tmp_path: Path, chunked: bool) -> None:
    import torch

    model, genes, _ = load_folder(nano_folder)
    store = stored(genes, tmp_path, [PAIR], 2)
    row = ExampleRows(store, as_they_come(2), 200, genes.pad_id, learn_sequences=True)[0]
    batch = {key: torch.from_numpy(value)[None] for key, value in row.items()}
    sums = {"labels": 0.0, "sequence_labels": 0.0}
    with torch.inference_mode():
        for key in sums:
            alone = {**batch, "labels": batch[key]}
            sums[key] = float(packed_loss(model, alone, 1, chunked=chunked))
        both = float(packed_loss(model, batch, 4, chunked=chunked, sequence_weight=0.25))
    assert both == pytest.approx((sums["labels"] + 0.25 * sums["sequence_labels"]) / 4, rel=1e-5)
    assert sums["sequence_labels"] > 0


@pytest.mark.parametrize("chunked", [True, False])
def test_equal_answers_count_once_however_long_they_are(nano_folder: Path, tmp_path: Path, chunked: bool) -> None:
    """A number of six tokens beside a label of one: the loss is the mean of the answers' own means."""
    import torch

    model, genes, _ = load_folder(nano_folder)
    store = stored(genes, tmp_path, (CONFORM, STRENGTH), 2)
    lengths = [store.ask(example, 0, 0)[1] for example in range(4)]
    assert store.answer_lengths(np.arange(4)).tolist() == lengths
    assert len(set(lengths)) > 1
    plain, equal = (
        {
            key: torch.from_numpy(value)[None]
            for key, value in ExampleRows(store, as_they_come(4), 300, genes.pad_id, equal_answers=alike)[0].items()
        }
        for alike in (False, True)
    )
    means = []
    with torch.inference_mode():
        for answer in runs_of_targets(plain["labels"][0].numpy()):
            alone = torch.full((1, 300), -100)
            alone[0, answer] = plain["labels"][0, answer]
            means.append(float(packed_loss(model, {**plain, "labels": alone}, chunked=chunked)))
        assert len(means) == 4
        assert float(packed_loss(model, equal, chunked=chunked)) == pytest.approx(sum(means) / 4, rel=1e-4)
    assert float(equal["target_weights"].sum()) == pytest.approx(sum(lengths))


def runs_of_targets(labels: np.ndarray) -> list[np.ndarray]:
    places = np.flatnonzero(labels != -100)
    return np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
