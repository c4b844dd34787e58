"""What a model makes of sequences inside: the state of a layer at every piece, or pooled over them."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import SettingsError
from llama_gene.files import atomic_path
from llama_gene.inference.reading import SequenceReader, batches
from llama_gene.inference.rows import require_pyarrow
from llama_gene.sequences.record import Record

if TYPE_CHECKING:
    import torch

Pool = Literal["mean", "last", "none"]
POOLS: Final[tuple[Pool, ...]] = ("mean", "last", "none")

Floats = NDArray[np.float32]


def states(reader: SequenceReader, sequences: Sequence[str], layer: int = -1) -> list[Floats]:
    """The states at the pieces of each sequence, tags left out: float32[num_pieces, width] each.

    Args:
        reader: The model.
        sequences: Canonical letters.
        layer: 0 is the embedding, -1 the last layer, behind the model's last norm.

    Raises:
        SettingsError: The model has no such layer.
    """
    model = reader.engine.model
    num_layers = int(model.config.num_hidden_layers)
    if not -num_layers - 1 <= layer <= num_layers:
        hint = f"0 is the embedding, {num_layers} or -1 the last of its layers"
        raise SettingsError(f"--layer {layer}: the model has {num_layers}", where=reader.engine.folder, hint=hint)

    def measure(ids: "torch.Tensor") -> "torch.Tensor":
        out = model.get_decoder()(input_ids=ids, use_cache=False, output_hidden_states=True)
        hidden: torch.Tensor = out.hidden_states[layer].float()
        return hidden

    return reader.read(sequences, measure)


def pooled(reader: SequenceReader, sequences: Sequence[str], pool: Pool = "mean", layer: int = -1) -> Floats:
    """One vector for each sequence: float32[num_sequences, width].

    Args:
        reader: The model.
        sequences: Canonical letters.
        pool: ``mean`` over the pieces, or ``last``: the last piece, which has seen all others.
        layer: As for `states`.
    """
    found = states(reader, sequences, layer)
    return np.stack([of_one.mean(axis=0) if pool == "mean" else of_one[-1] for of_one in found])


def write_embeddings(
    reader: SequenceReader, records: Iterable[Record], output: Path, pool: Pool, layer: int
) -> Iterator[int]:
    """Write the vectors of records, in their order; yields how many are done.

    ``.parquet``: ``id`` and ``embedding``; with pool ``none`` a row for each piece, with its ``start`` (letters before
    it, from 0) and its ``letters``. ``.npy``: float32[num_records, width], and the
    ids, a line each, in ``NAME.ids.txt``.

    Raises:
        SettingsError: No such pool, or the name of the file says no format that can hold it.
    """
    if pool not in POOLS:
        raise SettingsError(f"--pool {pool!r}", hint=f"one of: {', '.join(POOLS)}")
    suffix = output.suffix.lower()
    if suffix == ".parquet":
        require_pyarrow()
        yield from _write_parquet(reader, records, output, pool, layer)
    elif suffix == ".npy" and pool != "none":
        yield from _write_npy(reader, records, output, pool, layer)
    else:
        hint = "end it with .parquet" + (", or with .npy" if pool != "none" else ": sequences differ in length")
        raise SettingsError("the name of the file says no format for this", where=output, hint=hint)


def _write_parquet(
    reader: SequenceReader, records: Iterable[Record], output: Path, pool: Pool, layer: int
) -> Iterator[int]:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    places = [("start", arrow.int64()), ("letters", arrow.string())] if pool == "none" else []
    schema = arrow.schema([("id", arrow.string()), *places, ("embedding", arrow.list_(arrow.float32()))])
    num_done = 0
    with atomic_path(output) as draft, parquet.ParquetWriter(draft, schema) as writer:
        for batch in batches(records):
            letters = [record.sequence for record in batch]
            if pool == "none":
                columns = _by_piece(reader, batch, states(reader, letters, layer))
            else:
                columns = {"id": [r.id for r in batch], "embedding": list(pooled(reader, letters, pool, layer))}
            writer.write_table(arrow.table(columns, schema=schema))
            num_done += len(batch)
            yield num_done


def _by_piece(reader: SequenceReader, batch: Sequence[Record], found: Sequence[Floats]) -> dict[str, list[Any]]:
    spellings = reader.engine.tokenizer.spellings()
    columns: dict[str, list[Any]] = {"id": [], "start": [], "letters": [], "embedding": []}
    for record, ids, vectors in zip(batch, reader.pieces([r.sequence for r in batch]), found, strict=True):
        start = 0
        for piece, vector in zip(ids, vectors, strict=True):
            row = (record.id, start, spellings[piece], vector)
            for column, cell in zip(columns.values(), row, strict=True):
                column.append(cell)
            start += len(spellings[piece])
    return columns


_NPY_HEADER = 128


def _write_npy(
    reader: SequenceReader, records: Iterable[Record], output: Path, pool: Pool, layer: int
) -> Iterator[int]:
    num_done, width = 0, 0
    with (
        atomic_path(output.with_suffix(".ids.txt")) as names,
        atomic_path(output) as draft,
        names.open("w", encoding="utf-8") as lines,
        draft.open("wb") as stream,
    ):
        stream.write(bytes(_NPY_HEADER))  # the number of rows is known at the end
        for batch in batches(records):
            vectors = pooled(reader, [record.sequence for record in batch], pool, layer).astype("<f4")
            stream.write(vectors.tobytes())
            lines.writelines(" ".join(record.id.split()) + "\n" for record in batch)
            num_done, width = num_done + len(batch), vectors.shape[1]
            yield num_done
        stream.seek(0)
        stream.write(_npy_header(num_done, width))


def _npy_header(num_rows: int, width: int) -> bytes:
    r"""The head of a .npy file, version 1.0, filled up to a fixed length.

    >>> len(_npy_header(1_000_000, 4096)), _npy_header(1, 2)[:8]
    (128, b'\x93NUMPY\x01\x00')
    """
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({num_rows}, {width}), }}"
    body = text.ljust(_NPY_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body.encode("ascii")
