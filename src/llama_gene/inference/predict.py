"""Predictions of any number of examples as blocks of rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llama_gene.inference.answers import Answers
from llama_gene.inference.rows import Cell
from llama_gene.inference.stream import Ask, blocks_of
from llama_gene.tasks.task import Example


@dataclass
class PredictedRows:
    """The rows of examples, made as they are asked for.

    Args:
        ask: What answers.
        examples: Any number; those that are skipped are read and passed over.
        answers: How predictions become rows.

    Attributes:
        num_shortened: Rows so far whose sequences did not fit and were cut.
    """

    ask: Ask
    examples: Iterable[Example]
    answers: Answers
    num_shortened: int = 0

    def __call__(self, skip: int) -> Iterator[list[list[Cell]]]:
        """The rows behind the first `skip`, by the block."""
        for predictions in self.ask(blocks_of(self.examples, skip=skip)):
            self.num_shortened += sum(prediction.num_cut > 0 for prediction in predictions)
            yield list(self.answers.rows(predictions))
