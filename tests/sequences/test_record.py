import dataclasses

import pytest

from llama_gene.errors import SequenceError
from llama_gene.sequences.record import Record


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "ACGT", "dna"), "without a name"),
        ((" ", "ACGT", "dna"), "without a name"),
        (("x", "", "dna"), "record 'x': the sequence is empty"),
        (("x", "ACGT", "rna"), "unknown kind 'rna'"),
    ],
)
def test_invalid_raises(arguments, message):
    with pytest.raises(SequenceError, match=message):
        Record(*arguments)


def test_a_record_is_frozen_and_small():
    record = Record("x", "ACGT", "dna")
    assert (len(record), record.description) == (4, "")
    assert not hasattr(record, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.id = "y"
