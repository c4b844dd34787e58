"""Read sequences as a model reads them, whatever their length, and take something off it at every piece.

A sequence stands alone in its span, as in pre-training. One that is longer than the model's context is read in windows
that overlap by half: each piece is taken from the first window that holds it, so that it has half a window before it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import SettingsError
from llama_gene.inference.engine import Engine
from llama_gene.inference.stream import BatchSize
from llama_gene.sequences.alphabet import Kind

if TYPE_CHECKING:
    import torch

RECORDS = 256  # read together, so that batches are even
Measure = Callable[["torch.Tensor"], "torch.Tensor"]
"""From int64[num_rows, width], filled up on the right, to something at each token: [num_rows, width, ...]."""


@dataclass(frozen=True, slots=True)
class _Window:
    record: int
    ids: list[int]
    first: int  # the place in `ids` of the first piece that is taken from this window


class SequenceReader:
    """Reads sequences of one kind with one model.

    Args:
        engine: The model.
        kind: What the sequences are.
        size: Tokens in a batch.

    Raises:
        SettingsError: The model's tokenizer has no such spans.
    """

    def __init__(self, engine: Engine, kind: Kind, size: BatchSize) -> None:
        if kind not in engine.tokenizer.kinds:
            known = ", ".join(engine.tokenizer.kinds)
            raise SettingsError(f"the model cannot spell {kind}", where=engine.folder, hint=f"it knows: {known}")
        self._engine, self._kind, self._size = engine, kind, size
        # Where the tokenizer writes no tags, something must stand before the first piece all the same.
        self._opening = engine.tokenizer.opening(kind) or [engine.tokenizer.eos_id]

    @property
    def engine(self) -> Engine:
        """The model."""
        return self._engine

    def pieces(self, sequences: Sequence[str]) -> list[list[int]]:
        """The ids of sequences."""
        return self._engine.tokenizer.encode_spans(self._kind, sequences)

    def read(self, sequences: Sequence[str], measure: Measure) -> list[NDArray[Any]]:
        """What `measure` gives at the pieces of each sequence: [num_pieces, ...] each."""
        pieces = self.pieces(sequences)
        return self._size.run(lambda tokens: self._read(pieces, measure, tokens))

    def _read(self, pieces: Sequence[list[int]], measure: Measure, batch_tokens: int) -> list[NDArray[Any]]:
        import torch

        windows = [window for record, ids in enumerate(pieces) for window in self._windows(record, ids)]
        found: list[NDArray[Any] | None] = [None] * len(windows)
        order = sorted(range(len(windows)), key=lambda place: len(windows[place].ids), reverse=True)
        while order:
            size = max(1, batch_tokens // len(windows[order[0]].ids))
            batch, order = order[:size], order[size:]
            with torch.inference_mode():
                values = measure(self._engine.readout.tensor([windows[place].ids for place in batch])).cpu().numpy()
            for place, row in zip(batch, values, strict=True):
                # A copy, so that the batch can go.
                found[place] = row[windows[place].first : len(windows[place].ids)].copy()
        parts: list[list[NDArray[Any]]] = [[] for _ in pieces]
        for window, taken in zip(windows, found, strict=True):
            assert taken is not None
            parts[window.record].append(taken)
        return [np.concatenate(part) for part in parts]

    def _windows(self, record: int, ids: list[int]) -> Iterator[_Window]:
        lead = len(self._opening)
        limit = getattr(self._engine.model.config, "max_position_embeddings", None) or len(ids) + lead
        room = limit - lead
        start, done = 0, 0
        while True:
            stop = min(start + room, len(ids))
            yield _Window(record, [*self._opening, *ids[start:stop]], lead + done - start)
            if stop == len(ids):
                return
            start, done = stop - room // 2, stop


def batches(records: Iterable[Any], skip: int = 0) -> Iterator[list[Any]]:
    """What stands behind the first `skip`, some at a time."""
    stream = iter(records)
    for _ in islice(stream, skip):
        pass
    while batch := list(islice(stream, RECORDS)):
        yield batch
