"""The page at ``/``: three files of ours, read once, and nothing from anywhere else."""

from importlib.resources import files

from fastapi import FastAPI, Response

_FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def add_page(api: FastAPI) -> None:
    """Add the routes of the page."""
    for path, name in _FILES.items():
        _add_file(api, path, files("llama_gene.serve").joinpath("page", name).read_bytes(), name.rpartition(".")[2])


def _add_file(api: FastAPI, path: str, content: bytes, suffix: str) -> None:
    async def file() -> Response:
        return Response(content, media_type=_TYPES[suffix], headers={"Cache-Control": "no-cache"})

    api.add_api_route(path, file, include_in_schema=False)
