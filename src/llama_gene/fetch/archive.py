"""One file out of a zip or tar archive: by its name, with a bound, and never a link.

Where it is written is ours to say, so a name in an archive that leads elsewhere (``../``) leads nowhere.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.fetch.folder import read_through, writing
from llama_gene.fetch.web import forget

_MOST_GROWTH = 1000  # times the size of the archive; real tables and sequences pack to a tenth
_DAMAGED = (
    FormatError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted
    NotImplementedError,  # a way of packing that Python does not know
)


def extract(archive: Path, member: str, output: Path, target: Path, origin: str) -> None:
    """Write the file `member` of an archive to `output`.

    Args:
        archive: A zip, tar, tar.gz, tar.bz2 or tar.xz file.
        member: Its name in the archive.
        output: What is written.
        target: Where it has to lie in the end, for what messages say.
        origin: Where the archive is from, for what messages say.

    Raises:
        LlamaGeneError: No archive, no such file in it, a link, encrypted, damaged, or beyond bounds.
    """
    try:
        with ExitStack() as stack:
            source, size = _open(archive, member, stack)
            if size > _MOST_GROWTH * archive.stat().st_size:
                raise LlamaGeneError(f"{member!r} unpacks to {size:,} bytes, beyond all measure")
            with writing(target):
                output.parent.mkdir(parents=True, exist_ok=True)
                with output.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except _DAMAGED as error:
        forget(archive)
        problem = error.problem if isinstance(error, FormatError) else str(error)
        hint = "the same command fetches the archive anew; if it stays so, unpack it by hand"
        raise LlamaGeneError(f"{member!r} cannot be unpacked ({problem})", where=origin, hint=hint) from None
    except LlamaGeneError as error:
        raise LlamaGeneError(error.problem, where=error.where or origin, hint=error.hint) from None


def _open(archive: Path, member: str, stack: ExitStack) -> tuple[IO[bytes], int]:
    if zipfile.is_zipfile(archive):
        packed = stack.enter_context(zipfile.ZipFile(archive))
        names = [info.filename for info in packed.infolist()]
        if member not in names:
            raise _no_member(member, names)
        info = packed.getinfo(member)
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            raise LlamaGeneError(f"{member!r} is a folder or a link, not a file")
        return stack.enter_context(packed.open(info)), info.file_size
    read_through(archive)  # tarfile does not look at the check sum of what it is packed with
    tar = stack.enter_context(tarfile.TarFile.open(archive))
    try:
        entry = tar.getmember(member)
    except KeyError:
        raise _no_member(member, tar.getnames()) from None
    source = tar.extractfile(entry) if entry.isreg() else None
    if source is None:
        raise LlamaGeneError(f"{member!r} is a folder or a link, not a file")
    return source, entry.size


def _no_member(member: str, names: list[str]) -> LlamaGeneError:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return LlamaGeneError(f"no {member!r} in the archive", hint=f"it has {shown}")
