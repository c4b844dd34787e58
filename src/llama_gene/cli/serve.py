"""``serve``: a model over HTTP, with a page for people."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llama_gene.serve.backend import Backend


def serve(
    model: Annotated[
        Path | None, typer.Argument(help="A model folder; the quickstart's here, else the one in the package.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    name: Annotated[str | None, typer.Option(help="What clients call the model; its folder if not given.")] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="The address of a server that has the same folder open, as vllm serve: it computes, not we."),
    ] = None,
    served: Annotated[str | None, typer.Option(help="The model's name there, if that server has several.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with an API key that clients must send. Also: the variable LLAMA_GENE_API_KEY."),
    ] = None,
    max_waiting: Annotated[int, typer.Option(min=1, help="Most requests that wait; more get 429.")] = 256,
    max_records: Annotated[int, typer.Option(min=1, help="Most records in a request.")] = 2_000,
    max_letters: Annotated[int, typer.Option(min=1, help="Longest sequence.")] = 1_000_000,
    max_body: Annotated[float, typer.Option(min=0.001, help="Largest body of a request, in MB.")] = 8.0,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second from one address; 0 for any number.")] = 100.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a request is given up.")] = 120.0,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Prompt tokens computed at a time.")] = 16_384,
) -> None:
    """Serve a model: predictions, OpenAI's completions and chat, and a page at / for people."""
    key = _read_key(key_file)
    with _uncollected():
        from llama_gene.serve.run import run
        from llama_gene.serve.settings import Limits

        loaded = _load(model, name, backend, served)
    limits = Limits(
        body_bytes=round(max_body * 1e6),
        records=max_records,
        letters=max_letters,
        waiting=max_waiting,
        batch_tokens=batch_tokens,
        seconds=timeout,
        rate=rate,
    )

    def ready(address: str) -> None:
        typer.echo(f"{loaded.name}: {address} - open it in a browser; Ctrl-C stops", err=True)

    run(loaded, limits, host=host, port=port, key=key, on_ready=ready)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is looked for: of what a start makes next to nothing can go, and the search is a fifth of its time."""
    gc.disable()
    try:
        yield
        gc.freeze()  # nor is it searched again while requests are answered
    finally:
        gc.enable()


def _load(model: Path | None, name: str | None, address: str | None, served: str | None) -> "Backend":
    from llama_gene.errors import SettingsError
    from llama_gene.model.default import default_model

    folder = (model or default_model()).resolve()
    # The model of a run is in a folder `model`: that would be no name.
    name = name or (folder.parent.name if folder.name == "model" else folder.name)
    if address is not None:
        from llama_gene.serve.remote import RemoteBackend

        return RemoteBackend.connect(folder, name, address, served)
    if served is not None:
        raise SettingsError(f"--served {served!r} names a model of a server", hint="give its address: --backend URL")
    from llama_gene.inference.engine import Engine
    from llama_gene.serve.backend import EngineBackend

    return EngineBackend(Engine.load(folder), name)


def _read_key(file: Path | None) -> str | None:
    import os

    from llama_gene.errors import SettingsError

    if file is None:
        return os.environ.get("LLAMA_GENE_API_KEY") or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the key cannot be read ({error})", where=file, hint="check --key-file") from None
    if not key:
        raise SettingsError("the key is empty", where=file, hint="write one: openssl rand -hex 32")
    return key
