"""The server around the routes: what it lets in, how it queues, batches, counts, and stops."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import tiny
from llama_gene.inference.attribution import Attribution
from llama_gene.inference.engine import Prediction
from llama_gene.serve.backend import EngineBackend
from llama_gene.serve.writing import Writing
from llama_gene.tasks.task import Example, Task
from nano import CONFORM, STRENGTH, dna, examples
from serve.conftest import Client, Reply, Serve


class SlowBackend:
    """The nano model, but it answers only when it is let to, and fails where it is told to.

    Attributes:
        batches: The ids of the examples of each batch.
        entered: Set as soon as a batch is being answered.
        gate: Closed, nothing is answered.
    """

    def __init__(self, backend: EngineBackend) -> None:
        self._backend = backend
        self.name, self.tasks, self.temperatures = backend.name, backend.tasks, backend.temperatures
        self.tokenizer, self.context = backend.tokenizer, backend.context
        self.instructions, self.explains = backend.instructions, backend.explains
        self.batches: list[list[str]] = []
        self.entered, self.gate = threading.Event(), threading.Event()

    def num_tokens(self, task: Task, example: Example) -> int:
        return len(example.sequences[0])

    def predict(self, task: Task, examples: Sequence[Example], batch_tokens: int) -> list[Prediction]:
        self.entered.set()
        self.gate.wait(30)
        self.batches.append([example.id for example in examples])
        if any(example.id == "crash" for example in examples):
            raise ValueError("as told")
        return self._backend.predict(task, examples, batch_tokens)

    def explain(
        self, task: Task, example: Example, label: str | None, max_letters: int, batch_tokens: int
    ) -> Attribution:
        self.gate.wait(30)
        return self._backend.explain(task, example, label, max_letters, batch_tokens)

    def writer(self, most: int, batch_tokens: int) -> Writing:
        return self._backend.writer(most, batch_tokens)

    def card(self) -> str:
        return self._backend.card()


@pytest.fixture
def slow(nano_backend: EngineBackend) -> SlowBackend:
    return SlowBackend(nano_backend)


def ask(client: Client, name: str, task: str = "conform", sequence: str = "ACGTACGTAC", number: int = 1) -> Reply:
    records = [{"id": name if number == 1 else f"{name}{i}", "sequences": [sequence]} for i in range(number)]
    return client.post("/v1/predict", {"task": task, "records": records})


def wait_for(client: Client, waiting: int) -> None:
    for _ in range(1000):
        if client.server.worker.num_waiting == waiting:
            return
        time.sleep(0.01)
    raise AssertionError(client.server.worker.num_waiting)


def occupied(client: Client, slow: SlowBackend, pool: ThreadPoolExecutor) -> list[Future[Reply]]:
    """One request is being answered, and what comes now waits."""
    first = pool.submit(ask, client, "first")
    assert slow.entered.wait(30)
    return [first]


def test_requests_that_wait_are_answered_together_by_task_and_tokens(serve: Serve, slow: SlowBackend) -> None:
    client = serve(slow, batch_tokens=35)
    with ThreadPoolExecutor(8) as pool:
        asked = occupied(client, slow, pool)
        for number, (name, task) in enumerate([("a", "conform"), ("b", "strength"), ("c", "conform")], 2):
            asked.append(pool.submit(ask, client, name, task))
            wait_for(client, number)
        asked.append(pool.submit(ask, client, "d", "conform", number=4))
        wait_for(client, 5)
        slow.gate.set()
        answers = [future.result() for future in asked]
    assert [reply.status for reply in answers] == [200] * 5
    names = [[row["id"] for row in reply.json["results"]] for reply in answers]
    assert names == [["first"], ["a"], ["b"], ["c"], ["d0", "d1", "d2", "d3"]]
    # 35 tokens are three rows of ten; what is left of a request goes to the end of the queue.
    assert slow.batches == [["first"], ["a", "c", "d0"], ["b"], ["d1", "d2", "d3"]]


def test_a_request_that_fails_does_not_fail_its_neighbours(serve: Serve, slow: SlowBackend) -> None:
    client = serve(slow)
    with ThreadPoolExecutor(8) as pool:
        asked = occupied(client, slow, pool)
        asked += [pool.submit(ask, client, name) for name in ("a", "crash", "b")]
        wait_for(client, 4)
        slow.gate.set()
        answers = [future.result() for future in asked]
    assert [reply.status for reply in answers] == [200, 200, 500, 200]
    assert answers[2].message == "a bug of ours: ValueError; the server's log says more"
    assert ask(client, "after").status == 200


def test_a_full_queue_says_when_to_come_again(serve: Serve, slow: SlowBackend) -> None:
    client = serve(slow, waiting=2)
    with ThreadPoolExecutor(4) as pool:
        waiting = []
        for number in (1, 2):
            waiting.append(pool.submit(ask, client, str(number)))
            wait_for(client, number)
        refused = ask(client, "3")
        slow.gate.set()
        assert [future.result().status for future in waiting] == [200, 200]
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.message == "2 requests wait already, and at most 2 may; ask again later"
    assert ask(client, "4").status == 200


def test_a_request_that_takes_too_long_is_given_up(serve: Serve, slow: SlowBackend) -> None:
    client = serve(slow, seconds=0.3)
    refused = ask(client, "late")
    assert (refused.status, refused.message.startswith("no answer within 0.3 seconds")) == (504, True)
    slow.gate.set()
    wait_for(client, 0)
    assert client.server.worker.is_alive


def test_who_leaves_is_taken_out_of_the_queue(serve: Serve, slow: SlowBackend) -> None:
    client = serve(slow)
    body = b'{"task": "conform", "records": [{"id": "gone", "sequences": ["ACGT"]}]}'
    kind = b"Content-Type: application/json\r\nContent-Length: %d" % len(body)
    with ThreadPoolExecutor(2) as pool:
        (first,) = occupied(client, slow, pool)
        with socket.create_connection(("127.0.0.1", client.port)) as leaving:
            leaving.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s" % (kind, body))
            wait_for(client, 2)
        time.sleep(0.2)
        slow.gate.set()
        assert first.result().status == 200
    assert ask(client, "after").status == 200
    assert slow.batches == [["first"], ["after"]]


def test_memory_that_is_used_up_halves_the_batch(
    nano_backend: EngineBackend, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = nano_backend._engine.predict, []

    def short_of_memory(task: Task, rows: Sequence[Example], **settings: int) -> object:
        sizes.append(len(rows))
        if len(rows) > 2 or rows[0].id == "huge":
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 7 bytes")
        return real(task, rows, **settings)

    monkeypatch.setattr(nano_backend._engine, "predict", short_of_memory)
    client = serve()
    reply = ask(client, "row", number=5)
    assert [row["id"] for row in reply.json["results"]] == [f"row{i}" for i in range(5)]
    assert sizes == [5, 2, 3, 1, 2]
    refused = ask(client, "huge")
    assert (refused.status, refused.message.startswith("out of memory for one record")) == (503, True)
    assert refused.json["error"]["code"] == "out_of_memory"


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_itself(client: Client) -> None:
    letters = b"A" * 3_000_000
    chunked = b"".join(b"%x\r\n%s\r\n" % (50_000, letters[:50_000]) for _ in range(60)) + b"0\r\n\r\n"
    for body, header in ((letters, "Content-Type"), (chunked, "Transfer-Encoding")):
        headers = {
            "Content-Type": "text/x-fasta",
            header: "chunked" if header == "Transfer-Encoding" else "text/x-fasta",
        }
        reply = client.send("POST", "/v1/predict?task=conform", body, headers)
        assert (reply.status, reply.message.startswith("the body has more than 100,000 bytes")) == (413, True)
    assert client.get("/readyz").status == 200


def test_a_body_that_does_not_come_is_not_waited_for(serve: Serve) -> None:
    client = serve(body_seconds=0.3)
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as slow:
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert client.get("/readyz").status == 200


def test_a_key_is_asked_for(serve: Serve) -> None:
    client = serve(key="s3cret")
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer s3cre"}, {"Authorization": "s3cret"}):
        reply = client.get("/v1/tasks", **headers)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/v1/tasks", Authorization="Bearer s3cret").status == 200
    assert client.get("/metrics").status == 401
    assert (client.get("/healthz").status, client.get("/readyz").status) == (200, 200)


def test_an_address_that_asks_too_often_has_to_wait(serve: Serve) -> None:
    client = serve(rate=2)
    replies = [client.get("/v1/tasks") for _ in range(20)]
    assert [reply.status for reply in replies[:4]] == [200] * 4  # as many as two seconds bring
    refused = next(reply for reply in replies if reply.status == 429)
    assert (refused.headers["retry-after"], refused.json["error"]["code"]) == ("1", "rate_limited")
    assert [client.get("/readyz").status for _ in range(8)] == [200] * 8


def test_metrics_count_what_was_answered(serve: Serve) -> None:
    client = serve()
    ask(client, "row", number=3)
    ask(client, "other", "splice")
    client.get("/never/heard/of")
    client.get("/nor/of/that")
    text = client.get("/metrics").body.decode()
    counts = dict(re.findall(r"^(llama_gene_\S+) (\S+)$", text, re.MULTILINE))
    assert counts['llama_gene_requests_total{path="/v1/predict",status="200"}'] == "1.0"
    assert counts['llama_gene_requests_total{path="/v1/predict",status="404"}'] == "1.0"
    assert counts['llama_gene_requests_total{path="other",status="404"}'] == "2.0"
    assert counts['llama_gene_predicted_rows_total{task="conform"}'] == "3.0"
    assert counts["llama_gene_batch_rows_sum"] == "3.0"
    assert counts["llama_gene_waiting_requests"] == "0.0"
    assert counts['llama_gene_request_seconds_count{path="/v1/predict"}'] == "2.0"


def test_no_answer_is_lost_under_load(client: Client) -> None:
    asked = [(task.name, row.sequences[0]) for task in (CONFORM, STRENGTH) for row in examples(task, 30)]
    alone = [client.predict(task, sequence).json["results"] for task, sequence in asked[::7]]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda pair: client.predict(*pair), asked))
    assert {reply.status for reply in together} == {200}
    for (one,), reply in zip(alone, together[::7], strict=True):
        for key in ("probability", "value"):
            assert one[key] == pytest.approx(reply.json["results"][0][key], abs=1e-5)


def test_no_path_leads_out_of_the_routes(client: Client) -> None:
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.css/../app.py",
        "/tasks/conform.toml",
        "//etc",
    ):
        assert client.get(path).status == 404


def test_a_server_that_is_told_to_stop_answers_what_it_took(tuned_folder: Path) -> None:
    code = "from llama_gene.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(tuned_folder), "--port", "0", "--name", "nano"]
    process = subprocess.Popen(command, env=tiny.environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.match(r"nano: http://127\.0\.0\.1:(\d+) - open it in a browser", line)
        assert found, line
        client = Client(int(found[1]), None)  # type: ignore[arg-type]
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.predict, "conform", *[dna(2000, seed) for seed in range(1500)])
            while b"llama_gene_waiting_requests 1.0" not in client.get("/metrics").body:
                assert not answer.done(), answer.result()
            process.send_signal(signal.SIGTERM)
            assert len(answer.result().json["results"]) == 1500
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.stderr.close()
