"""Packing: nothing is lost, nothing is doubled, and documents do not see each other."""

from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_gene.corpus.mix import Mix, draw_mix
from llama_gene.corpus.pack import IGNORE, PackedRows, ShardedSource, validation_documents
from llama_gene.corpus.shards import Shard, ShardWriter
from llama_gene.errors import FormatError
from llama_gene.model.folder import load_folder
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.training import packed_loss
from nano import dna, logits_of

Document = list[int]
documents = st.lists(st.integers(0, 99), min_size=1, max_size=9)
# Sources of shards of documents.
corpora = st.lists(
    st.lists(st.lists(documents, max_size=3), min_size=1, max_size=3).filter(lambda shards: any(map(len, shards))),
    min_size=1,
    max_size=3,
)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write_shard(folder: Path, name: str, documents: list[Document]) -> Shard:
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder, name) as writer:
        writer.extend(documents)
    return Shard(folder, name)


def open_sources(folder: Path, corpus: list[list[list[Document]]]) -> list[ShardedSource]:
    return [
        ShardedSource([write_shard(folder, f"{i}-{j}", shard) for j, shard in enumerate(shards)])
        for i, shards in enumerate(corpus)
    ]


def all_in_turn(corpus: list[list[list[Document]]]) -> tuple[Mix, list[Document]]:
    """A mix of every document once, and the documents in its order."""
    flat = [(i, j, document) for i, shards in enumerate(corpus) for j, document in enumerate(chain(*shards))]
    flat = [flat[place] for place in np.random.default_rng(1).permutation(len(flat))]
    mix = Mix(np.array([i for i, _, _ in flat]), np.array([j for _, j, _ in flat]), (1.0,))
    return mix, [document for *_, document in flat]


def test_a_row_that_is_not_there_raises(tmp_path: Path) -> None:
    sources = open_sources(tmp_path, [[[[1, 2, 3], [4, 5]]]])
    rows = PackedRows(sources, draw_mix([sources[0].lengths], [1.0], 5, seed=1), 2)
    assert len(rows) == 2
    for index in (-1, 2):
        with pytest.raises(IndexError):
            rows[index]


def test_damaged_shards_raise(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="missing or damaged"):
        Shard(tmp_path, "none")
    write_shard(tmp_path, "cut", [[1, 2, 3]])
    (tmp_path / "cut.ids").write_bytes((tmp_path / "cut.ids").read_bytes()[:-4])
    with pytest.raises(FormatError, match="the ends do not fit the ids"):
        Shard(tmp_path, "cut")
    (tmp_path / "cut.ids").write_bytes((tmp_path / "cut.ids").read_bytes()[:-1])
    with pytest.raises(FormatError, match="missing or damaged"):
        Shard(tmp_path, "cut")


def test_three_documents_in_rows_of_four(tmp_path: Path) -> None:
    sources = open_sources(tmp_path, [[[[10, 11, 12, 13, 14]], [[20, 21]]], [[[30, 31, 32, 33, 34, 35]]]])
    rows = PackedRows(sources, Mix(np.array([0, 1, 0]), np.array([1, 0, 0]), (1.0, 1.0)), 4)
    assert len(rows) == 3
    assert [rows[index]["input_ids"].tolist() for index in range(3)] == [
        [20, 21, 30, 31],
        [32, 33, 34, 35],
        [10, 11, 12, 13],
    ]
    assert [rows[index]["position_ids"].tolist() for index in range(3)] == [[0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert rows[0]["labels"].tolist() == [IGNORE, 21, IGNORE, 31]
    assert rows[1]["labels"].tolist() == [IGNORE, 33, 34, 35]
    assert {value.dtype.name for value in rows[0].values()} == {"int64"}


@few
@given(corpus=corpora)
def test_shards_give_back_their_documents(tmp_path: Path, corpus: list[list[list[Document]]]) -> None:
    for source, shards in zip(open_sources(tmp_path, corpus), corpus, strict=True):
        flat = list(chain(*shards))
        assert source.lengths.tolist() == list(map(len, flat))
        assert [source.document(index).tolist() for index in range(len(flat))] == flat


@few
@given(corpus=corpora, block_size=st.integers(1, 12), data=st.data())
def test_every_token_of_every_document_appears_exactly_once_and_in_order(
    tmp_path: Path, corpus: list[list[list[Document]]], block_size: int, data: st.DataObject
) -> None:
    mix, flat = all_in_turn(corpus)
    rows = PackedRows(open_sources(tmp_path, corpus), mix, block_size)
    stream = [token for document in flat for token in document]
    starts = {0, *np.cumsum([len(document) for document in flat]).tolist()}
    assert len(rows) == len(stream) // block_size  # what is left over is less than a row
    # In any order: a row is computed from its index alone.
    for index in data.draw(st.permutations(range(len(rows)))):
        row = rows[index]
        places = range(index * block_size, (index + 1) * block_size)
        assert row["input_ids"].tolist() == [stream[place] for place in places]
        heads = [place in starts or place % block_size == 0 for place in places]
        position = -1
        for offset, head in enumerate(heads):
            position = 0 if head else position + 1
            assert row["position_ids"][offset] == position
            assert row["labels"][offset] == (IGNORE if head else row["input_ids"][offset])


def test_held_out_documents_are_taken_in_turn_from_the_sources(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    for name, tokens in (("a", 1), ("b", 2), ("c", 3)):
        # The first one is for training.
        write_shard(tmp_path / "parts" / name, "documents", [[9]] + [[tokens] * 4] * 3)
        (tmp_path / "splits" / f"{name}.validation").write_bytes(np.array([1, 2, 3], dtype="<u4").tobytes())
    counts = {"documents": 3}
    manifest = {
        "tasks": {
            "a": {"kind": "dna", "validation": counts},
            "b": {"kind": "dna", "validation": counts},
            "c": {"kind": "text", "validation": counts},
        }
    }
    drawn = validation_documents(tmp_path, manifest, "dna", 11)
    assert [document.tolist() for document in drawn] == [[1] * 4, [2] * 4, [1] * 4, [2] * 4]
    assert len(validation_documents(tmp_path, manifest, "dna", 1000)) == 6
    assert validation_documents(tmp_path, manifest, "protein", 11) == []


@pytest.fixture(scope="module")
def some_documents(nano_tokenizer: GeneTokenizer) -> list[Document]:
    genes = nano_tokenizer
    texts = [
        "The gene is open",
        f"<dna>{dna(30, 1)}</dna>",
        "<protein>MKLLV</protein>",
        "leaf",
        f"<dna>{dna(9, 2)}</dna>",
    ]
    return [[*genes.encode(text), genes.eos_id] for text in texts]


def pack(folder: Path, documents: list[Document], block_size: int) -> PackedRows:
    source = ShardedSource([write_shard(folder, "train", documents)])
    order = Mix(np.zeros(len(documents), dtype=np.int32), np.arange(len(documents)), (1.0,))
    return PackedRows([source], order, block_size)


def batch_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import torch

    return {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}


def test_packed_documents_do_not_contaminate_each_other(
    nano_folder: Path, some_documents: list[Document], tmp_path: Path
) -> None:
    """trl#1230: without the document mask a document reads the one before it."""
    import torch

    model = load_folder(nano_folder)[0].eval()
    assert model.config._attn_implementation == "sdpa"
    (row,) = pack(tmp_path, some_documents, sum(map(len, some_documents)))  # type: ignore[misc]
    batch = batch_of([row])
    with torch.inference_mode():
        packed = (
            model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False)
            .logits[0]
            .double()
            .numpy()
        )
        blind = model(input_ids=batch["input_ids"], use_cache=False).logits[0].double().numpy()
    start = 0
    for document in some_documents:
        alone = logits_of(model, document)
        assert np.abs(packed[start : start + len(document)] - alone).max() < 1e-5
        # Without the positions they do see each other, so the test would notice.
        assert start == 0 or np.abs(blind[start : start + len(document)] - alone).max() > 1e-2
        start += len(document)


def test_the_loss_of_packed_rows_is_that_of_their_documents_alone(
    nano_folder: Path, some_documents: list[Document], tmp_path: Path
) -> None:
    """trl#1230, through the loss that is trained on: several rows, and documents cut at their ends."""
    import torch

    model = load_folder(nano_folder)[0].eval()
    rows = pack(tmp_path, some_documents, 12)
    batch = batch_of([rows[index] for index in range(len(rows))])
    stream, starts = list(chain(*some_documents)), np.cumsum([0, *map(len, some_documents)]).tolist()
    nats, num_targets = 0.0, 0
    cuts = sorted({*starts, *range(0, len(rows) * 12 + 1, 12)})
    for start, stop in pairwise(cuts):
        if stop > len(rows) * 12 or stop - start < 2:
            continue
        steps = torch.from_numpy(logits_of(model, stream[start:stop])).log_softmax(-1)
        nats -= sum(float(steps[place, token]) for place, token in enumerate(stream[start + 1 : stop]))
        num_targets += stop - start - 1
    assert num_targets == int((batch["labels"] != IGNORE).sum())
    with torch.inference_mode():
        assert float(packed_loss(model, batch)) == pytest.approx(nats / num_targets, abs=1e-5)
        assert float(packed_loss(model, batch, 7)) == pytest.approx(nats / 7, abs=1e-5)


def test_the_loss_of_one_document_is_that_of_transformers(
    nano_folder: Path, some_documents: list[Document], tmp_path: Path
) -> None:
    import torch

    model = load_folder(nano_folder)[0].eval()
    document = some_documents[1]
    batch = batch_of([pack(tmp_path, [document], len(document))[0]])
    with torch.inference_mode():
        theirs = model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
        assert float(packed_loss(model, batch)) == pytest.approx(float(theirs), abs=1e-6)


def test_the_end_of_every_document_is_a_target(
    nano_tokenizer: GeneTokenizer, some_documents: list[Document], tmp_path: Path
) -> None:
    """unsloth#416: a model that is never asked to stop never stops."""
    (row,) = pack(tmp_path, some_documents, sum(map(len, some_documents)))  # type: ignore[misc]
    assert nano_tokenizer.pad_id != nano_tokenizer.eos_id
    assert (row["labels"] == nano_tokenizer.eos_id).sum() == len(some_documents)
    assert nano_tokenizer.pad_id not in row["input_ids"]
