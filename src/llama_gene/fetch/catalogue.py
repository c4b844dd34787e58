"""The catalogue of public data (``catalogue.toml``): where it is, under what licence, and where it has to lie.

An origin is an address (``https://HOST/FILE``, with ``#MEMBER`` for a file in a zip or tar archive) or a place on the
Hugging Face hub (``hf://datasets/OWNER/NAME@REVISION/FILE``, without ``datasets/`` for a model repository). In one of
the hub ``*`` stands for any part of a name; the path of the file has the same stars in the same order.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pydantic import Field

from llama_gene.config import DataFileSettings, Settings, validate
from llama_gene.errors import SettingsError

HUB = "hf://"
_ADDRESSES = ("https://", "http://localhost", "http://127.0.0.1", HUB)


class PublicFile(Settings):
    """A file of a public set, or all files that a pattern names."""

    origin: str = Field(min_length=1)
    path: str = Field(min_length=1, description="where it has to lie, relative to the data root")
    size: int | None = Field(None, ge=1, description="bytes; of all files of a pattern together; about, for plans")
    checksums: str | None = Field(None, description="the address of the server's list of checksums")


class PublicSet(Settings):
    """A public data set, or a name for several."""

    title: str = ""
    licence: str = ""
    citation: str = ""
    page: str = Field("", description="where people read about it")
    file: list[PublicFile] = Field([], description="its files")
    includes: list[str] = Field([], description="the names of the sets that this one is")


class _Catalogue(Settings):
    set: dict[str, PublicSet]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be brought, and what is known of it before anyone was asked.

    Attributes:
        origin: Where it is; with stars it is a pattern.
        path: Where it has to lie, relative to the data root, with the stars of the origin.
        checksums: The address of the server's list of checksums.
        licence: Of the set it belongs to; "" for a file of somebody's recipe that we do not know.
        citation: Of that set.
    """

    origin: str
    path: str
    checksums: str | None = None
    licence: str = ""
    citation: str = ""


@cache
def load_catalogue() -> dict[str, PublicSet]:
    """The public sets by name.

    >>> load_catalogue()["swissprot"].licence
    'CC BY 4.0'
    """
    file = resources.files("llama_gene.fetch") / "catalogue.toml"
    return validate(_Catalogue, tomllib.loads(file.read_text(encoding="utf-8")), where="catalogue.toml").set


def find_sets(names: Sequence[str]) -> dict[str, PublicSet]:
    """The sets with these names, and in the place of a name for several those.

    Raises:
        SettingsError: There is none with that name; the nearest ones are named.

    >>> list(find_sets(["swissprot", "swissprot"]))
    ['swissprot']
    """
    found: dict[str, PublicSet] = {}
    for name in names:
        known = load_catalogue()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "llama-gene data list prints the names"
            raise SettingsError(f"no public data set {name!r}", hint=hint)
        found |= find_sets(known[name].includes) if known[name].includes else {name: known[name]}
    return found


def wanted_of_sets(names: Sequence[str]) -> list[Wanted]:
    """All files of the sets with these names."""
    return [_wanted(public, file) for public in find_sets(names).values() for file in public.file]


def wanted_of_recipe(files: Sequence[DataFileSettings]) -> tuple[list[Wanted], list[DataFileSettings]]:
    """The files that a recipe names in ``[[data.file]]``: those that can be fetched, and those to bring by hand.

    A file whose origin is no address is looked for in the catalogue by its path.
    """
    wanted, by_hand = [], []
    for file in files:
        known = _by_path(file.path)
        if known and (known.origin == file.origin or not file.origin.startswith(_ADDRESSES)):
            wanted.append(known)
        elif file.origin.startswith(_ADDRESSES):
            wanted.append(Wanted(file.origin, file.path))
        else:
            by_hand.append(file)
    return wanted, by_hand


def fill(pattern: str, name: str, other: str) -> str | None:
    """`other` with its stars replaced by what those of `pattern` stand for in `name`; None if `name` does not match.

    >>> fill("GUE/emp_*/*.csv", "GUE/emp_H3/dev.csv", "tasks/EMP/*/*.csv")
    'tasks/EMP/H3/dev.csv'
    >>> fill("GUE/emp_*/*.csv", "GUE/mouse_0/dev.csv", "tasks/EMP/*/*.csv") is None
    True
    """
    matched = re.fullmatch("([^/]*)".join(map(re.escape, pattern.split("*"))), name)
    if matched is None:
        return None
    parts = iter(matched.groups())
    return re.sub(r"\*", lambda _: next(parts), other)


def _by_path(path: str) -> Wanted | None:
    """The file of the catalogue that lies at `path`."""
    for public, file in _all_files():
        origin = fill(file.path, path, file.origin)
        if origin is not None:
            return _wanted(public, file.model_copy(update={"origin": origin, "path": path}))
    return None


def _all_files() -> Iterator[tuple[PublicSet, PublicFile]]:
    return ((public, file) for public in load_catalogue().values() for file in public.file)


def _wanted(public: PublicSet, file: PublicFile) -> Wanted:
    return Wanted(file.origin, file.path, file.checksums, public.licence, public.citation)
