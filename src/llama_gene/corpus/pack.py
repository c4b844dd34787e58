"""Pack documents into rows of equal length: documents are split, never dropped, and never see each other.

A row carries position ids that restart with every document; the attention of ``transformers`` builds its document
mask from them. The first token of a document is never a prediction target, since what stands before it belongs to
another one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llama_gene.corpus.mix import Mix, draw_mix
from llama_gene.corpus.plan import PARTS, SPLITS
from llama_gene.corpus.shards import Shard, map_array
from llama_gene.errors import FormatError

IGNORE = -100  # the label that torch's cross-entropy leaves out

Row = dict[str, NDArray[np.int64]]


class ShardedSource:
    """The documents of one source, over its shards."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = list(shards)
        self.lengths = np.concatenate([shard.lengths for shard in shards])
        self._firsts = np.cumsum([0, *map(len, shards)])

    def document(self, index: int) -> NDArray[np.uint32]:
        """The ids of document `index`."""
        shard = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return self._shards[shard].document(index - int(self._firsts[shard]))


class PackedRows:
    """Rows of `block_size` tokens over a mix of sources, each computed from its index alone.

    Indexing gives ``{"input_ids", "labels", "position_ids"}``, int64[block_size] each. The tokens after the last full
    row are left out: less than one row.
    """

    def __init__(self, sources: Sequence[ShardedSource], mix: Mix, block_size: int) -> None:
        self._sources, self._mix, self.block_size = sources, mix, block_size
        lengths = np.empty(len(mix.documents), dtype=np.int64)
        for index, source in enumerate(sources):
            chosen = mix.sources == index
            lengths[chosen] = source.lengths[mix.documents[chosen]]
        self._ends = lengths.cumsum()

    def __len__(self) -> int:
        return int(self._ends[-1]) // self.block_size if len(self._ends) else 0

    def __getitem__(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, stop = index * self.block_size, (index + 1) * self.block_size
        ids, positions = [], []
        place = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            end = int(self._ends[place])
            document = self._sources[self._mix.sources[place]].document(int(self._mix.documents[place]))
            offset = len(document) - (end - start)
            taken = min(stop, end) - start
            ids.append(document[offset : offset + taken])
            # A document that is continued from the row before starts at 0 again: its beginning cannot be seen here.
            positions.append(np.arange(taken))
            start, place = start + taken, place + 1
        input_ids = np.concatenate(ids).astype(np.int64)
        position_ids = np.concatenate(positions)
        return {
            "input_ids": input_ids,
            "labels": np.where(position_ids == 0, IGNORE, input_ids),
            "position_ids": position_ids,
        }


def open_split(corpus: Path, task: str, split: Literal["train", "validation"]) -> Shard:
    """The documents of one split of a task's shard.

    Raises:
        FormatError: A file of it is missing or damaged.
    """
    chosen = map_array(corpus / SPLITS / f"{task}.{split}", "<u4").astype(np.int64)
    return Shard(corpus / PARTS / task, chosen=chosen)


def open_rows(
    corpus: Path, manifest: Any, block_size: int, num_tokens: int, *, seed: int
) -> tuple[PackedRows, dict[str, float]]:
    """The training rows of a built corpus, and how many epochs each source is seen."""
    # In the order of the plan, whose lists keep it: the keys of the manifest come back sorted.
    plan = manifest["plan"]
    by_source: dict[str, list[Shard]] = {source["name"]: [] for source in plan["settings"]["source"]}
    for task in plan["tasks"]:
        by_source[task["source"]].append(open_split(corpus, task["name"], "train"))
    sources = [ShardedSource(shards) for shards in by_source.values()]
    shares = [manifest["sources"][name]["share"] for name in by_source]
    mix = draw_mix([source.lengths for source in sources], shares, num_tokens, seed=seed)
    rows = PackedRows(sources, mix, block_size)
    if len(rows) == 0:
        raise FormatError(
            f"{num_tokens} tokens do not fill one row of {block_size}", where=corpus, hint="ask for more tokens"
        )
    return rows, dict(zip(by_source, mix.epochs, strict=True))


def validation_documents(corpus: Path, manifest: Any, kind: str, num_tokens: int) -> list[NDArray[np.uint32]]:
    """Held-out documents of one modality, about `num_tokens` in all, taken in turn from its sources."""
    shards = [
        open_split(corpus, name, "validation")
        for name, task in manifest["tasks"].items()
        if task["kind"] == kind and task["validation"]["documents"]
    ]
    documents: list[NDArray[np.uint32]] = []
    total, turn = 0, 0
    while total < num_tokens and any(turn < len(shard) for shard in shards):
        for shard in shards:
            if turn < len(shard):
                documents.append(shard.document(turn))
                total += len(documents[-1])
        turn += 1
    return documents
