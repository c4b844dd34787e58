"""Send an export to the Hugging Face hub, by its own library: it knows the user's login."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from llama_gene.errors import ModelError, SettingsError
from llama_gene.model.export import CODE, EXPORTED_FILES, EXPORTED_FOLDERS
from llama_gene.model.folder import RECORD

_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_LONGEST = 96
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_CHECKED = "\n## Checked\n"  # what an export writes into its card, once stock transformers has opened it
_SHOWN = 200


def exported_files(folder: Path) -> list[Path]:
    """The files of an export, by name.

    Raises:
        ModelError: It is no export, or holds something else: nothing that happens to lie there is published.
    """
    card = folder / "README.md"
    if not (folder / RECORD).is_file() or not card.is_file() or _CHECKED not in card.read_text(encoding="utf-8"):
        hint = f"make one: llama-gene model export {folder} --output DIR"
        raise ModelError(
            "this is no export of a model: it was not checked by stock transformers", where=folder, hint=hint
        )
    found = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    for path in found:
        inner = path.relative_to(folder)
        known = any(inner.match(pattern) for pattern in (*EXPORTED_FILES, RECORD, "README.md"))
        known |= inner.name == CODE.name and path.read_bytes() == CODE.read_bytes()
        if path.is_symlink() or not (known if len(inner.parts) == 1 else inner.parts[0] in EXPORTED_FOLDERS):
            hint = "move it away, or export the model again: what is pushed is there for others to see"
            raise ModelError(f"{inner} is no part of an export", where=folder, hint=hint)
    return found


def require_name(repository: str) -> None:
    """Check that a repository of that name can be.

    Raises:
        SettingsError: It is not ``OWNER/NAME`` in the characters that the hub takes.
    """
    parts = repository.split("/")
    fine = len(parts) == 2 and len(repository) <= _LONGEST and all(map(_NAME.fullmatch, parts))
    if not fine or "--" in repository or ".." in repository or repository.endswith(".git"):
        hint = "give OWNER/NAME: letters, digits, - _ and . inside of a name, no -- or .., at most 96 characters"
        raise SettingsError(f"no name of a repository: {repository!r}", hint=hint)


def push(folder: Path, repository: str, *, public: bool = False) -> str:
    """Send an export to the hub as one commit; the repository is made if there is none.

    Args:
        folder: The export.
        repository: ``OWNER/NAME``.
        public: Whether everyone may see it. A repository that is there keeps what it is.

    Returns:
        The address of the commit.

    Raises:
        ModelError: It is no export; nobody is logged in, or has no right; the hub cannot be reached, or refuses.
        SettingsError: No repository can have that name; or it is public already, and `public` was not asked for.
    """
    require_name(repository)
    exported_files(folder)
    from huggingface_hub import HfApi, constants, get_token

    endpoint = urlsplit(constants.ENDPOINT)
    if endpoint.scheme != "https" and endpoint.hostname not in _LOCAL:
        raise SettingsError("the login would be sent over http, for anyone to read", where=constants.ENDPOINT)
    if get_token() is None:
        raise ModelError(
            "nobody is logged in to the hub", hint="hf auth login; or set HF_TOKEN to a token that may write"
        )
    api = HfApi()
    with _explained(repository):
        api.create_repo(repository, repo_type="model", private=not public, exist_ok=True)
        if not public and not api.repo_info(repository, repo_type="model").private:
            hint = "add --public if everyone may see the model, or choose another name"
            raise SettingsError(f"{repository} is public already", hint=hint)
        message = "A model exported by llama-gene"
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message).commit_url)


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """What the hub's library raises, as an error that says the way out."""
    from huggingface_hub import errors

    try:
        yield
    except SettingsError:
        raise
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            hint = "log in again: hf auth login"
            raise ModelError("the hub does not take the login", where=repository, hint=hint) from None
        if status == 403:
            hint = "is the owner yourself, or an organisation that you may write to, and may your token write?"
            raise ModelError("no right to write there", where=repository, hint=hint) from None
        said = " ".join((error.server_message or str(error)).split())[:_SHOWN]
        hint = "nothing was committed; the same command goes on"
        raise ModelError(f"the hub answers {status} ({said})", where=repository, hint=hint) from None
    except Exception as error:  # noqa: BLE001 - no network, or whatever else its HTTP client may raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]
        hint = "nothing was committed; run it again where there is a network"
        raise ModelError(f"the hub cannot be reached ({said})", where=repository, hint=hint) from None
