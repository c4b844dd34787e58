"""Files of the Hugging Face hub, by its own library: it knows the user's login, and resumes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import LlamaGeneError
from llama_gene.fetch.catalogue import HUB, Wanted, fill
from llama_gene.fetch.connection import check_address
from llama_gene.fetch.folder import Checksum, Remote, writing
from llama_gene.progress import Progress

# The commit and the files of each kind of repository, name and revision.
Listings = dict[tuple[str, str, str], tuple[str, list[Any]]]


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A file in a repository of the hub, or several by a pattern.

    Attributes:
        kind: ``dataset`` or ``model``.
        repository: ``OWNER/NAME``.
        revision: A commit, a tag or a branch.
        file: Its path in the repository.
    """

    kind: str
    repository: str
    revision: str
    file: str

    @property
    def page(self) -> str:
        """Where people read about the repository."""
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.repository}"

    def at(self, commit: str, file: str) -> str:
        """The origin of a file of the same repository."""
        return f"{HUB}{'datasets/' if self.kind == 'dataset' else ''}{self.repository}@{commit}/{file}"


def parse_place(origin: str) -> HubPlace:
    """The parts of ``hf://[datasets/]OWNER/NAME[@REVISION]/FILE``.

    Raises:
        LlamaGeneError: It is not of that form.

    >>> parse_place("hf://datasets/allenai/peS2o@main/v2/00000.json.gz")
    HubPlace(kind='dataset', repository='allenai/peS2o', revision='main', file='v2/00000.json.gz')
    """
    found = re.fullmatch(r"hf://(datasets/)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/(.+)", origin)
    if found is None:
        hint = "write it as hf://datasets/OWNER/NAME@REVISION/FILE, for a model repository without datasets/"
        raise LlamaGeneError(f"not a file of the hub: {origin!r}", hint=hint)
    return HubPlace("dataset" if found[1] else "model", found[2], found[3] or "main", found[4])


def expand(wanted: Wanted, target: Path, listings: Listings) -> list[Remote]:
    """The files that an origin on the hub stands for, each with its size and checksum.

    Args:
        wanted: One file, or a pattern.
        target: Where it has to lie, for what messages say.
        listings: What repositories have, for as long as it is to be believed; a repository is asked once.

    Raises:
        LlamaGeneError: The hub cannot be reached, the repository is gated or missing, or nothing matches.
    """
    place = parse_place(wanted.origin)
    key = (place.kind, place.repository, place.revision)
    if key not in listings:
        listings[key] = _list(place, target)
    commit, files = listings[key]
    found = [(file, fill(place.file, file.path, wanted.path)) for file in files]
    matching = [
        Remote(path, place.at(commit, file.path), file.size, _checksum(file), commit, wanted.licence)
        for file, path in found
        if path is not None
    ]
    if not matching:
        hint = f"look at {place.page} what it is called now"
        raise LlamaGeneError(f"no file {place.file!r} at {place.revision}", where=place.page, hint=hint)
    return matching


def download(remote: Remote, folder: Path, target: Path, report: Progress) -> Path:
    """Bring a file; what is there of it already is not brought again.

    Args:
        remote: The file.
        folder: Where the hub's library keeps what has not come whole.
        target: Where the file has to lie in the end, for what messages say.
        report: Gets the bytes that are there.

    Returns:
        Where it lies, in `folder`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import tqdm

    class Reported(tqdm):
        """A bar of the hub's library that is ours to show."""

        def display(self, *_: Any, **__: Any) -> None:
            report(self.n)

    place = parse_place(remote.origin)
    with _explained(place, target), writing(target):
        path = hf_hub_download(
            place.repository,
            place.file,
            repo_type=place.kind,
            revision=place.revision,
            local_dir=folder,
            tqdm_class=Reported,
        )
    return Path(path)


def _list(place: HubPlace, target: Path) -> tuple[str, list[Any]]:
    """The commit that a revision is, and all files of the repository then."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.hf_api import RepoFile

    check_address(constants.ENDPOINT)
    with _explained(place, target):
        api = HfApi()
        commit = api.repo_info(place.repository, repo_type=place.kind, revision=place.revision).sha
        tree = api.list_repo_tree(place.repository, repo_type=place.kind, revision=commit, recursive=True)
        return str(commit), [file for file in tree if isinstance(file, RepoFile)]


def _checksum(file: Any) -> Checksum:
    return Checksum("sha256", file.lfs.sha256) if file.lfs else Checksum("git", file.blob_id)


@contextmanager
def _explained(place: HubPlace, target: Path) -> Iterator[None]:
    """What the hub's library raises, as an error that says the way out."""
    from huggingface_hub import errors

    try:
        yield
    except LlamaGeneError:
        raise
    except errors.GatedRepoError:
        hint = f"ask for access at {place.page}, then log in with: hf auth login"
        raise LlamaGeneError(f"{place.repository} is gated", hint=hint) from None
    except errors.RepositoryNotFoundError:
        hint = "check the name; for a private repository log in with: hf auth login"
        raise LlamaGeneError(f"the hub has no {place.kind} {place.repository!r}", hint=hint) from None
    except (errors.RevisionNotFoundError, errors.EntryNotFoundError):
        problem = f"no {place.file!r} at revision {place.revision!r} any more"
        raise LlamaGeneError(problem, where=place.page, hint="look there what it is called now") from None
    except Exception as error:  # noqa: BLE001 - no network, or whatever else its HTTP client may raise
        hint = f"run it again where there is a network, or bring it by hand from {place.page} to {target}"
        raise LlamaGeneError(f"cannot reach the hub ({type(error).__name__}: {error})"[:200], hint=hint) from None
