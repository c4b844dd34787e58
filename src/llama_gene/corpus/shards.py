"""Shards: encoded documents on disk, as flat arrays that are memory-mapped.

A shard NAME has ``NAME.ids``, uint32 token ids, and ``NAME.ends``, uint64 ends of the documents, both little-endian.
The shard of a task, ``documents``, has beside them:

- ``documents.places``: int64[num_documents, 3], the number of its record, where it begins in it, and where it ends;
- ``documents.hashes``: uint64[num_documents], the same for documents that are equal;
- ``documents.draws``: uint64[num_records], by which records are held out;
- ``documents.records``: the names of the records in UTF-8, one a line.
"""

import mmap
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import FormatError

DOCUMENTS = "documents"
PART_FILES = tuple(f"{DOCUMENTS}.{part}" for part in ("ids", "ends", "places", "hashes", "draws", "records"))


class ShardWriter:
    """Writes documents to ``NAME.ids`` and ``NAME.ends`` in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._files = ExitStack()
        self._ids, self._ends = self._open("ids"), self._open("ends")
        self.num_tokens = 0
        self.num_documents = 0

    def extend(self, documents: Sequence[NDArray[np.int32]]) -> None:
        """Append the ids of documents."""
        ends = np.cumsum([len(ids) for ids in documents], dtype=np.int64) + self.num_tokens
        num_new = int(ends[-1]) - self.num_tokens if len(ends) else 0
        # Not ndarray.tofile: its error on a full disk does not say that the disk is full.
        if num_new:
            self._ids.write(np.concatenate(documents).astype("<u4").tobytes())
        self._ends.write(ends.astype("<u8").tobytes())
        self.num_tokens += num_new
        self.num_documents += len(documents)

    def _open(self, part: str) -> Any:
        return self._files.enter_context((self._folder / f"{self._name}.{part}").open("wb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()


class PartWriter(ShardWriter):
    """Writes the shard of a task: documents, and what is known of each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, DOCUMENTS)
        self._places, self._hashes = self._open("places"), self._open("hashes")
        self._draws, self._records = self._open("draws"), self._open("records")
        self.num_records = 0

    def begin_record(self, name: str, draw: int) -> int:
        """Note a record, and the number by which it is held out or not; returns its number."""
        self._records.write(f"{' '.join(name.split())}\n".encode())
        self._draws.write(draw.to_bytes(8, "little"))
        self.num_records += 1
        return self.num_records - 1

    def describe(self, places: Iterable[tuple[int, int, int]], hashes: Iterable[bytes]) -> None:
        """Say of the documents just written the record, start and end, and 8 bytes of a hash."""
        self._places.write(np.array(list(places), dtype="<i8").tobytes())
        self._hashes.write(b"".join(hashes))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document is from; see `corpus.source.Document`."""

    record: str
    start: int
    end: int


class Shard:
    """Documents of one shard, read in place.

    Args:
        folder: Where it lies.
        name: Its name.
        chosen: The documents that count, by their number in the shard; None for all.

    Attributes:
        ids: uint32[num_tokens] of all its documents.
        lengths: int64[num_documents], the tokens in each document that counts.

    Raises:
        FormatError: If a file is missing or does not fit the others.
    """

    def __init__(self, folder: Path, name: str = DOCUMENTS, chosen: NDArray[np.int64] | None = None) -> None:
        self._folder, self._name = folder, name
        self.ids = map_array(folder / f"{name}.ids", "<u4")
        ends = map_array(folder / f"{name}.ends", "<u8").astype(np.int64)
        if (ends[-1] if len(ends) else 0) != len(self.ids):
            hint = "the shard is damaged; remove the corpus folder and build it again"
            raise FormatError("the ends do not fit the ids", where=folder / f"{name}.ends", hint=hint)
        lengths = np.diff(ends, prepend=0)
        self._chosen = chosen
        self.lengths = lengths if chosen is None else lengths[chosen]
        self._ends = ends if chosen is None else ends[chosen]

    def __len__(self) -> int:
        return len(self.lengths)

    def document(self, index: int) -> NDArray[np.uint32]:
        """The ids of document `index`."""
        end = self._ends[index]
        return self.ids[end - self.lengths[index] : end]

    def place(self, index: int) -> Place:
        """Where document `index` of the shard of a task is from."""
        number = index if self._chosen is None else int(self._chosen[index])
        record, start, end = map_array(self._folder / f"{self._name}.places", "<i8").reshape(-1, 3)[number].tolist()
        return Place(read_record_name(self._folder, record), start, end)


def read_record_name(part: Path, number: int) -> str:
    """The name of a record of the shard of a task."""
    with (part / f"{DOCUMENTS}.records").open(encoding="utf-8", newline="\n") as names:
        return next(islice(names, number, None)).rstrip("\n")


def map_array(path: Path, dtype: str) -> NDArray[Any]:
    """The numbers in a file, read in place.

    Raises:
        FormatError: If it is missing, or no whole number of them.
    """
    try:
        with path.open("rb") as handle:
            if path.stat().st_size == 0:
                return np.empty(0, dtype=dtype)
            return np.frombuffer(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ), dtype=dtype)
    except (OSError, ValueError) as error:
        hint = "the shard is missing or damaged; remove the corpus folder and build it again"
        raise FormatError(f"cannot read this shard ({error})", where=path, hint=hint) from None
