"""Held-out sets: padded batches say what one document at a time does, and to measure changes nothing."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.model.folder import load_folder
from llama_gene.model.lora import adapt
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.training import HeldOut, train
from llama_gene.training.held_out import bits_per_letter, hold_out
from llama_gene.training.launch import launch
from llama_gene.training.log import TrainingLog
from llama_gene.training.validation import summed_losses
from nano import LORA, RandomRows, dna, parameters, pretrain_settings, protein

NUM_ROWS = 12  # six steps of two rows; a checkpoint every two steps
KINDS = ("dna", "protein", "text")


def documents_of(genes: GeneTokenizer, kind: str) -> list[np.ndarray]:
    """Documents as the corpus has them, from one token up to some hundred letters."""
    if kind == "text":
        texts = ["A gene.", "The promoter of the gene is open in the leaf. " * 3, "x"]
        ids = [genes.encode(text) for text in texts]
    else:
        letters = [(dna if kind == "dna" else protein)(length, length) for length in (3, 90, 41, 200)]
        ids = [genes.encode(f"<{kind}>{sequence}</{kind}>") for sequence in letters]
    return [np.array([*one, genes.eos_id], dtype=np.uint32) for one in ids]


def held_out_of(genes: GeneTokenizer, *kinds: str) -> list[HeldOut]:
    sets = [hold_out(genes, kind, documents_of(genes, kind), 160) for kind in kinds]
    return [one for one in sets if one is not None]


def one_at_a_time(model: Any, genes: GeneTokenizer, kind: str) -> float:
    """Bits a letter by the definition: whole documents, each alone, by the model's own logits."""
    import torch

    letters, counts = genes.letters_of(), genes.tokens_of(kind)
    nats, num_letters = 0.0, 0
    model.eval()
    for document in documents_of(genes, kind):
        ids = document[:160].astype(np.int64)
        with torch.inference_mode():
            logits = model(input_ids=torch.from_numpy(ids)[None], use_cache=False).logits[0].double()
        losses = -logits.log_softmax(-1)[:-1].gather(-1, torch.from_numpy(ids[1:, None]))[:, 0].numpy()
        counted = counts[ids] & (ids != genes.eos_id)
        nats += losses[counted[1:]].sum()
        kept = [int(index) for index, wanted in zip(ids[1:], counted[1:], strict=True) if wanted]
        num_letters += len(genes.decode(kept).encode()) if kind == "text" else int(letters[kept].sum())
    return nats / math.log(2) / num_letters


@pytest.mark.parametrize("head", ["ordinary", "split", "unknown"])
@pytest.mark.parametrize("kind", KINDS)
def test_padded_batches_give_the_bits_of_one_document_at_a_time(nano_folder: Path, head: str, kind: str) -> None:
    model: Any
    model, genes, _ = load_folder(nano_folder)
    if head == "split":
        model = adapt(model, pretrain_settings(train="lora+new-rows", lora=LORA), genes.base_size, seed=1)
    if head == "unknown":
        model.lm_head.register_forward_hook(lambda _, __, logits: 3 * logits)
    (held_out,) = held_out_of(genes, kind)
    assert bits_per_letter(model, held_out) == pytest.approx(one_at_a_time(model, genes, kind), rel=1e-4)


def test_what_counts_of_a_document(nano_tokenizer: GeneTokenizer) -> None:
    genes = nano_tokenizer
    first, last = genes.encode("<dna>")[0], genes.encode("</dna>")[0]
    ids = genes.encode("<dna>ACGTTATA</dna>")
    held_out = hold_out(genes, "dna", [np.array([*ids, genes.eos_id], dtype=np.uint32)], 160)
    assert held_out is not None
    assert ids == [first, *genes.encode_spans("dna", ["ACGTTATA"])[0], last]
    assert held_out.labels[0].tolist() == [-100, *ids[1:-1], -100, -100]
    assert held_out.num_letters == 8
    assert held_out.figures(16 * math.log(2)) == {
        "DNA_loss": pytest.approx(16 * math.log(2) / len(ids[1:-1])),
        "DNA_bits": pytest.approx(2.0),
    }
    cut = hold_out(genes, "dna", [np.array(ids, dtype=np.uint32)], 2)
    assert cut is not None
    assert cut.documents[0].tolist() == ids[:2]
    assert cut.num_letters == len(genes.spellings()[ids[1]])


def test_nothing_is_held_out_where_nothing_counts(nano_tokenizer: GeneTokenizer) -> None:
    only_tags = np.array(nano_tokenizer.encode("<dna></dna>"), dtype=np.uint32)
    assert hold_out(nano_tokenizer, "dna", [], 160) is None
    assert hold_out(nano_tokenizer, "dna", [only_tags], 160) is None


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def numbered(lengths: list[int]) -> HeldOut:
    """Documents in which no two tokens are the same."""
    starts = np.cumsum([1, *lengths])
    documents = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=False)]
    return HeldOut("DNA", "bits per base", documents, documents, 1)


@given(lengths=lengths, max_tokens=st.integers(1, 90))
def test_every_token_is_in_one_batch_and_batches_are_small(lengths: list[int], max_tokens: int) -> None:
    batches = list(numbered(lengths).batches(max_tokens))
    for batch in batches:
        filled = batch["labels"] != -100
        assert batch["input_ids"][filled].tolist() == batch["labels"][filled].tolist()
        assert (np.diff(filled.astype(int), axis=1) <= 0).all()  # what fills up stands behind
        assert (batch["position_ids"] == np.arange(filled.shape[1])).all()
        assert filled.size <= max_tokens or len(filled) == 1
    labels = np.concatenate([batch["labels"].ravel() for batch in batches])
    assert sorted(labels[labels != -100].tolist()) == list(range(1, sum(lengths) + 1))


class Adder:
    """A model whose loss is the sum of the labels."""

    def __init__(self) -> None:
        self.num_calls, self.training = 0, True

    def train(self, mode: bool) -> None:
        self.training = mode

    def modules(self) -> list[Any]:
        return []

    def eval(self) -> None:
        self.training = False

    def __call__(self, batch: Any, num_targets: int) -> Any:
        assert not self.training
        self.num_calls += 1
        return batch["labels"].clamp(min=0).sum() / num_targets


@settings(deadline=None)
@given(first=lengths, second=lengths, max_tokens=st.integers(1, 90), num_members=st.integers(1, 5))
def test_members_share_the_work_and_call_equally_often(
    first: list[int], second: list[int], max_tokens: int, num_members: int
) -> None:
    held_out, models = [numbered(first), numbered(second)], [Adder() for _ in range(num_members)]
    parts = [
        summed_losses(model, held_out, max_tokens, device="cpu", member=member, num_members=num_members).tolist()
        for member, model in enumerate(models)
    ]
    assert np.sum(parts, axis=0).tolist() == [sum(range(1, sum(lengths) + 1)) for lengths in (first, second)]
    assert len({model.num_calls for model in models}) == 1
    assert all(model.training for model in models)


def train_nano(
    folder: Path, rows: RandomRows, checkpoints: Path, what: str, *kinds: str, **changes: Any
) -> tuple[dict[str, np.ndarray], TrainingLog]:
    model, genes, _ = load_folder(folder)
    chosen = pretrain_settings(train=what, lora=LORA, **changes)
    model = adapt(model, chosen, genes.base_size, seed=1)
    held_out = held_out_of(genes, *kinds)
    log = train(model, rows, chosen, checkpoints, seed=1, title="test", held_out=held_out)
    return parameters(model), log


@pytest.mark.parametrize("what", ["all", "lora+new-rows"])
def test_to_measure_changes_nothing_also_where_it_is_interrupted(nano_folder: Path, tmp_path: Path, what: str) -> None:
    """Dropout draws random numbers, so a single one drawn in between would show."""
    without, _ = train_nano(nano_folder, RandomRows(NUM_ROWS), tmp_path / "without", what)
    rows = RandomRows(NUM_ROWS)
    measured, whole = train_nano(nano_folder, rows, tmp_path / "with", what, *KINDS, validate_every=1)
    assert rows.served == list(range(NUM_ROWS))
    rows = RandomRows(NUM_ROWS)
    rows.fails_at = 11
    with pytest.raises(KeyboardInterrupt):
        train_nano(nano_folder, rows, tmp_path / "stopped", what, *KINDS, validate_every=1)
    rows = RandomRows(NUM_ROWS)
    resumed, log = train_nano(nano_folder, rows, tmp_path / "stopped", what, *KINDS, validate_every=1)
    assert rows.served == list(range(8, NUM_ROWS))
    for name, value in without.items():
        assert np.array_equal(measured[name], value), name
        assert np.array_equal(resumed[name], value), name
    assert log.validation == whole.validation
    assert whole.validation["step"] == [0, 1, 2, 3, 4, 5, 6]
    assert log.bits("DNA") == list(zip(range(7), log.validation["DNA_bits"], strict=True))


def test_the_last_figures_are_those_of_the_trained_model(nano_folder: Path, tmp_path: Path) -> None:
    model, genes, _ = load_folder(nano_folder)
    before = one_at_a_time(model, genes, "dna")
    chosen = pretrain_settings(validate_every=4)
    log = train(model, RandomRows(NUM_ROWS), chosen, tmp_path, seed=1, title="test", held_out=held_out_of(genes, "dna"))
    assert log.validation["step"] == [0, 4, 6]
    assert log.bits("DNA")[0][1] == pytest.approx(before, rel=1e-4)
    assert log.bits("DNA")[-1][1] == pytest.approx(one_at_a_time(model, genes, "dna"), rel=1e-4)
    assert abs(log.bits("DNA")[-1][1] - before) > 1e-3


@pytest.mark.slow
def test_what_is_compiled_is_compiled_for_the_training_alone(nano_folder: Path, tmp_path: Path) -> None:
    from torch._dynamo import reset
    from torch._dynamo.utils import counters

    reset()
    counters.clear()
    train_nano(nano_folder, RandomRows(4), tmp_path, "all", *KINDS, compile=True, validate_every=1)
    assert counters["stats"]["unique_graphs"] == 2  # as without validation, whose batches have other shapes


MEMBER = """
import json, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from llama_gene.training.launch import member
from llama_gene.training.parallel import rank
from test_validation import KINDS, NUM_ROWS, RandomRows, train_nano

with member():
    folder, home = Path(sys.argv[2]), Path(sys.argv[3])
    rows = RandomRows(NUM_ROWS)
    _, log = train_nano(folder, rows, home, "all", *KINDS, validate_every=2, strategy=sys.argv[4])
    if rank() == 0:
        (home / "validation.json").write_text(json.dumps(log.validation))
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_measure_what_one_does(nano_folder: Path, tmp_path: Path, strategy: str) -> None:
    rows = RandomRows(NUM_ROWS)
    _, alone = train_nano(nano_folder, rows, tmp_path / "alone", "all", *KINDS, validate_every=2)
    home, tests = tmp_path / "together", Path(__file__).parent
    launch([sys.executable, "-c", MEMBER, str(tests), str(nano_folder), str(home), strategy], 2)
    together = json.loads((home / "validation.json").read_text())
    assert together["step"] == alone.validation["step"] == [0, 2, 4, 6]
    for name, values in alone.validation.items():
        assert together[name] == pytest.approx(values, rel=1e-4), name
