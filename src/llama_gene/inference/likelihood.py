"""How probable a model finds sequences: log-likelihood, and bits per letter.

The likelihood is that of the pieces the tokenizer cuts a sequence into, each after all before it, without the tag at
the end. Other pieces could spell the same letters, so it is a lower bound of that of the letters; it can be compared
between sequences, and in bits per letter between models.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama_gene.inference.reading import SequenceReader, batches
from llama_gene.inference.rows import Cell, Column
from llama_gene.sequences.record import Record

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How probable one sequence is.

    Attributes:
        letters: Its letters.
        tokens: The pieces that it is cut into.
        log_likelihood: In nats.
    """

    letters: int
    tokens: int
    log_likelihood: float

    @property
    def bits_per_letter(self) -> float:
        """Of DNA drawn evenly 2, of protein 4.3; what a model knows makes it less.

        >>> Likelihood(letters=4, tokens=4, log_likelihood=4 * math.log(1 / 4)).bits_per_letter
        2.0
        """
        return -self.log_likelihood / (self.letters * math.log(2))


COLUMNS = (
    Column("id", str),
    Column("letters", int),
    Column("tokens", int),
    Column("log_likelihood", float),
    Column("bits_per_letter", float),
)


def likelihoods(reader: SequenceReader, sequences: Sequence[str]) -> list[Likelihood]:
    """How probable each of some sequences is.

    Args:
        reader: The model.
        sequences: Canonical letters.
    """
    model = reader.engine.model

    def measure(ids: "torch.Tensor") -> "torch.Tensor":
        import torch

        # A row at a time, since in fp32 the logits of many, over 90,000 tokens, are gigabytes.
        found = torch.zeros(ids.shape, dtype=torch.float64)
        logits = model(input_ids=ids, use_cache=False).logits
        for row, (scores, after) in enumerate(zip(logits[:, :-1], ids[:, 1:], strict=True)):
            said = scores.float()
            found[row, 1:] = (said.gather(1, after[:, None])[:, 0] - said.logsumexp(-1)).double().cpu()
        return found

    return [
        Likelihood(len(sequence), len(values), float(values.sum()))
        for sequence, values in zip(sequences, reader.read(sequences, measure), strict=True)
    ]


@dataclass
class ScoredRecords:
    """Rows of records, made as they are asked for.

    Args:
        reader: The model.
        records: Any number.

    Attributes:
        letters: Letters so far.
        bits: What they took.
    """

    reader: SequenceReader
    records: Iterable[Record]
    letters: int = 0
    bits: float = 0.0

    def __call__(self, skip: int) -> Iterator[list[list[Cell]]]:
        """The rows behind the first `skip`, some at a time."""
        for batch in batches(self.records, skip):
            found = likelihoods(self.reader, [record.sequence for record in batch])
            self.letters += sum(one.letters for one in found)
            self.bits += sum(one.bits_per_letter * one.letters for one in found)
            yield [
                [record.id, one.letters, one.tokens, round(one.log_likelihood, 6), round(one.bits_per_letter, 6)]
                for record, one in zip(batch, found, strict=True)
            ]
