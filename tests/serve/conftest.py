"""A server on a free port of this machine, with the tuned nano model behind it, and plain HTTP to talk to it."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from llama_gene.inference.engine import Engine
from llama_gene.serve.app import Server
from llama_gene.serve.backend import Backend, EngineBackend
from llama_gene.serve.settings import Limits


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """Why it was refused: one line."""
        found: str = self.json["error"]["message"]
        assert "\n" not in found
        return found


@dataclass(frozen=True)
class Client:
    """Talks to a server."""

    port: int
    server: Server

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, value: Any, **headers: str) -> Reply:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.send("POST", path, body, {"Content-Type": "application/json", **headers})

    def predict(self, task: str, *sequences: str | list[str]) -> Reply:
        rows = [{"sequences": [row] if isinstance(row, str) else row} for row in sequences]
        return self.post("/v1/predict", {"task": task, "records": rows})


Serve = Callable[..., Client]


@contextmanager
def running(backend: Backend, limits: Limits, key: str | None = None) -> Iterator[Client]:
    server = Server(backend, limits, key)
    # A browser keeps its connection: without a limit the loop would wait for it to leave.
    config = uvicorn.Config(
        server.app, port=0, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=5
    )
    loop = uvicorn.Server(config)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        while not loop.started:
            time.sleep(0.01)
        yield Client(loop.servers[0].sockets[0].getsockname()[1], server)
    finally:
        loop.should_exit = True
        thread.join()
        assert server.worker.stop(20)


@pytest.fixture(scope="session")
def nano_backend(tuned_folder: Path) -> EngineBackend:
    return EngineBackend(Engine.load(tuned_folder), "nano")


@pytest.fixture(scope="session")
def client(nano_backend: EngineBackend) -> Iterator[Client]:
    """A server that many tests talk to; it must be unharmed by each of them."""
    with running(nano_backend, Limits(rate=0, records=50, letters=2000, body_bytes=100_000)) as found:
        yield found


@pytest.fixture
def serve(nano_backend: EngineBackend) -> Iterator[Serve]:
    """Starts a server with limits, or a backend, of one's own."""
    opened = []

    def start(backend: Backend | None = None, key: str | None = None, **limits: Any) -> Client:
        context = running(backend or nano_backend, Limits(**{"rate": 0, **limits}), key)
        opened.append(context)
        return context.__enter__()

    yield start
    for context in reversed(opened):
        context.__exit__(None, None, None)
