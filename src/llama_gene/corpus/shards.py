"""Shards: encoded documents on disk, as two flat arrays that are memory-mapped.

``NAME.ids`` holds uint32 token ids, ``NAME.ends`` uint64 ends of the documents; both little-endian. The manifest of
the corpus (written by ``build``) holds the checksum of each.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import FormatError


class ShardWriter:
    """Writes documents to ``NAME.ids`` and ``NAME.ends`` in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ids: BinaryIO = (folder / f"{name}.ids").open("wb")
        self._ends: BinaryIO = (folder / f"{name}.ends").open("wb")
        self.num_tokens = 0
        self.num_documents = 0

    def add(self, ids: Sequence[int]) -> None:
        """Append one document."""
        self._ids.write(np.asarray(ids, dtype="<u4").tobytes())
        self.num_tokens += len(ids)
        self.num_documents += 1
        self._ends.write(np.uint64(self.num_tokens).astype("<u8").tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.close()
        self._ends.close()


class Shard:
    """Documents of one shard, read in place.

    Attributes:
        ids: uint32[num_tokens].
        ends: int64[num_documents], the end of each document in `ids`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.ids = _map(folder / f"{name}.ids", "<u4")
        self.ends = _map(folder / f"{name}.ends", "<u8").astype(np.int64)
        if len(self.ends) and self.ends[-1] != len(self.ids):
            hint = "the shard is damaged; remove the corpus folder and build it again"
            raise FormatError("the ends do not fit the ids", where=folder / f"{name}.ends", hint=hint)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64[num_documents]: tokens in each document."""
        return np.diff(self.ends, prepend=0)

    def document(self, index: int) -> NDArray[np.uint32]:
        """The ids of document `index`."""
        start = self.ends[index - 1] if index else 0
        return self.ids[start : self.ends[index]]


def _map(path: Path, dtype: str) -> NDArray[np.uint32]:
    try:
        with path.open("rb") as handle:
            if path.stat().st_size == 0:
                return np.empty(0, dtype=dtype)
            return np.frombuffer(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ), dtype=dtype)
    except (FileNotFoundError, ValueError) as error:
        hint = "the shard is missing or damaged; remove the corpus folder and build it again"
        raise FormatError(f"cannot read this shard ({error})", where=path, hint=hint) from None
