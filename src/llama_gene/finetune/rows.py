"""Examples packed whole into rows, their answers the targets."""

from collections.abc import Sequence

import numpy as np

from llama_gene.corpus.pack import IGNORE, Row
from llama_gene.finetune.store import Draw, ExampleStore

_OPEN_ROWS = 32  # rows that are filled side by side; more leave less padding, and mix less evenly


class ExampleRows:
    """Examples packed whole into rows, each computed from its index alone.

    Indexing gives ``{"input_ids", "labels", "position_ids"}``, int64[block_size] each; where sequences are learned,
    too, ``"sequence_labels"`` beside them. Targets are the answers; where these count alike, ``"target_weights"``,
    float32[block_size], says what each target weighs, 1 on the mean.

    Args:
        store: The examples, each at most `block_size` tokens long however it is asked.
        draw: Which are seen, in this order.
        block_size: Tokens in a row.
        pad_id: Fills up the rows.
        rows_a_step: The rows are filled up to a multiple of this.
        learn_sequences: Whether the tokens of sequences are targets of a second kind.
        equal_answers: Whether an answer weighs the same however many tokens it has.

    Attributes:
        useful_share: Tokens that are no padding, of all.
    """

    def __init__(
        self,
        store: ExampleStore,
        draw: Draw,
        block_size: int,
        pad_id: int,
        *,
        rows_a_step: int = 1,
        learn_sequences: bool = False,
        equal_answers: bool = False,
    ) -> None:
        self._store, self._draw, self._block_size, self._pad_id = store, draw, block_size, pad_id
        self._learn_sequences = learn_sequences
        self._mean_answer = float(store.answer_lengths(draw.examples).mean()) if equal_answers else None
        lengths = store.lengths(draw)
        self._rows = pack_whole(lengths.tolist(), block_size)
        num_rows = len(self._rows)
        while len(self._rows) % rows_a_step:
            # The last step is filled up with rows seen before, from the first on, so that none is dropped.
            self._rows.append(self._rows[len(self._rows) - num_rows])
        self.useful_share = float(lengths.sum()) / (len(self._rows) * block_size)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        row = {
            "input_ids": np.full(self._block_size, self._pad_id, np.int64),
            "labels": np.full(self._block_size, IGNORE, np.int64),
            "position_ids": np.arange(self._block_size, dtype=np.int64),
        }
        if self._learn_sequences:
            row["sequence_labels"] = np.full(self._block_size, IGNORE, np.int64)
        if self._mean_answer is not None:
            row["target_weights"] = np.zeros(self._block_size, np.float32)
        start = 0
        for place in self._rows[index]:
            draw = self._draw
            ids, num_answer, in_sequence = self._store.ask(
                int(draw.examples[place]), int(draw.strands[place]), int(draw.wordings[place])
            )
            stop = start + len(ids)
            row["input_ids"][start:stop] = ids
            row["position_ids"][start:] = np.arange(self._block_size - start)
            # By length, not by id: an answer may hold any token, the padding's too.
            row["labels"][stop - num_answer : stop] = ids[len(ids) - num_answer :]
            if self._mean_answer is not None:
                row["target_weights"][stop - num_answer : stop] = self._mean_answer / num_answer
            if self._learn_sequences:
                row["sequence_labels"][start:stop][in_sequence] = ids[in_sequence]
            start = stop
        # Padding is a document of its own.
        row["position_ids"][start:] = np.arange(self._block_size - start)
        return row


def pack_whole(lengths: Sequence[int], block_size: int) -> list[list[int]]:
    """Put items into rows in their order, first row first that has room, among the newest few; no item is split.

    >>> pack_whole([6, 5, 4, 3], 10)
    [[0, 2], [1, 3]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for item, length in enumerate(lengths):
        for row in range(max(0, len(rows) - _OPEN_ROWS), len(rows)):
            if room[row] >= length:
                break
        else:
            rows.append([])
            room.append(block_size)
            row = len(rows) - 1
        rows[row].append(item)
        room[row] -= length
    return rows
