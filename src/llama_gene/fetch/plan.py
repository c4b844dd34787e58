"""What a fetch will do, and doing it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag

from llama_gene.errors import LlamaGeneError
from llama_gene.fetch import hub, web
from llama_gene.fetch.archive import extract
from llama_gene.fetch.catalogue import HUB, Wanted
from llama_gene.fetch.folder import STAGING, DataFolder, Remote
from llama_gene.progress import progress

_PACKED_SUFFIXES = (".gz", ".bgz", ".tgz")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fetch will do.

    Attributes:
        folder: The data root.
        here: Paths of files that are there and were verified.
        files: What has to be brought.
        mirror: The address of a mirror that stands for all https origins.
    """

    folder: DataFolder
    here: tuple[str, ...]
    files: tuple[Remote, ...]
    mirror: str | None

    @property
    def size(self) -> int:
        """Bytes to bring, as far as servers say; an archive counts once."""
        return sum({urldefrag(file.origin).url: file.size or 0 for file in self.files}.values())

    @property
    def free(self) -> int:
        """Bytes that are free where they have to go."""
        there = next(
            path for path in (self.folder.root.absolute(), *self.folder.root.absolute().parents) if path.exists()
        )
        return shutil.disk_usage(there).free

    def check_space(self) -> None:
        """Refuse to begin what cannot end well.

        Raises:
            LlamaGeneError: There is less free than has to come.
        """
        here = sum(part.stat().st_size for file in self.files if (part := self.folder.staged(file.path)).exists())
        if self.size - here > self.free:
            problem = f"{self.size - here:,} bytes have to come, and {self.free:,} are free"
            hint = "free some space, choose another --root, or fetch fewer sets"
            raise LlamaGeneError(problem, where=self.folder.root, hint=hint)


def make_plan(wanted: Sequence[Wanted], root: Path, mirror: str | None = None) -> Plan:
    """Verify what is there, and ask the servers about the rest.

    Args:
        wanted: What is to be brought; the same path twice counts once.
        root: The data root.
        mirror: The address of a mirror that has all hosts as folders; the hub has ``HF_ENDPOINT`` for that.

    Raises:
        LlamaGeneError: A file is there and is another one, or a server cannot be reached or does not have a file.
    """
    folder = DataFolder(root)
    here: list[str] = []
    files: list[Remote] = []
    listings: hub.Listings = {}
    for one in {one.path: one for one in wanted}.values():
        record = folder.record_of(one.path)
        if record and record["origin"] == one.origin and folder.verify(one.path, one.origin):
            here.append(one.path)  # without asking anyone
            continue
        for remote in _ask(one, folder.target(one.path), mirror, listings):
            there = folder.verify(remote.path, remote.origin) or folder.adopt(remote)
            here += [remote.path] if there else []
            files += [] if there else [remote]
    return Plan(folder, tuple(here), tuple(files), mirror)


def _ask(one: Wanted, target: Path, mirror: str | None, listings: hub.Listings) -> list[Remote]:
    try:
        return hub.expand(one, target, listings) if one.origin.startswith(HUB) else [web.probe(one, target, mirror)]
    except LlamaGeneError:
        if not target.is_file():
            raise
        # It was brought by hand, as the message of that error says, and there is nobody to compare it with.
        return [Remote(one.path, one.origin, None, None, None, one.licence)]


def bring(plan: Plan, say: Callable[[str], None]) -> None:
    """Bring all files of a plan, one after another; each gets its name when it is whole and right.

    Args:
        plan: What to do.
        say: Gets a line for each file that is there.

    Raises:
        LlamaGeneError: A file cannot be brought; those before it are there, and what has come of it is kept.
    """
    archives: set[Path] = set()
    for remote in plan.files:
        target = plan.folder.target(remote.path)
        if remote.origin.startswith(HUB):
            _bring_from_hub(plan.folder, remote, target)
        else:
            archives |= _bring_from_web(plan, remote, target)
        say(f"{remote.path}: {target.stat().st_size:,} bytes")
    for archive in archives:
        archive.unlink()
        web.forget(archive)


def _bring_from_web(plan: Plan, remote: Remote, target: Path) -> set[Path]:
    """Bring one file; the archive it came in, if it did, is the value."""
    address, member = urldefrag(remote.origin)
    name = address.rpartition("/")[2] if member else remote.path
    part = plan.folder.root / STAGING / f"{name}.part" if member else plan.folder.staged(remote.path)
    with progress(name, remote.size) as report:
        packed = web.download(remote, part, target, plan.mirror, report)
    if packed and not name.endswith(_PACKED_SUFFIXES):
        web.unpack(part, target)
    staged, size = part, None if packed else remote.size
    if member:
        staged, size = plan.folder.staged(remote.path), None
        extract(part, member, staged, target, address)
    else:
        web.forget(part)
    plan.folder.publish(staged, remote, size)
    return {part} if member else set()


def _bring_from_hub(folder: DataFolder, remote: Remote, target: Path) -> None:
    staged = folder.staged(remote.path)
    workplace = staged.with_suffix(".hub")
    with progress(remote.path, remote.size) as report:
        came = hub.download(remote, workplace, target, report)
    came.replace(staged)
    shutil.rmtree(workplace)
    folder.publish(staged, remote, remote.size)
