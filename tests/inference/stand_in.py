"""A server that stands in for vLLM and its kin: the API of OpenAI over a nano model, and whatever goes wrong there."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from llama_gene.inference.stock import StockModel
from nano import logits_of


@dataclass
class StandIn:
    """What the server does.

    Attributes:
        model: Who answers.
        echoes: Whether it gives the log-probabilities of a prompt.
        most_top: How many next tokens it tells of; it refuses to tell of more.
        context: Tokens of the longest prompt it takes.
        failures: Statuses that the next answers have, before all is well.
        says: What is written after any prompt; the model writes if None.
        seconds: How long an answer takes.
        asked: The requests so far: path, body, and the key that came with it.
        most_at_once: The most requests that were under way together.
        num_streamed: Events sent.
        num_left: Streams that the client left before their end.
    """

    model: StockModel
    echoes: bool = True
    most_top: int = 20
    context: int = 512
    failures: list[int] = field(default_factory=list)
    says: str | None = None
    seconds: float = 0.0
    asked: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    most_at_once: int = 0
    num_streamed: int = 0
    num_left: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer to a request."""
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "not now"}}
        if path == "/v1/models":
            return 200, {"data": [{"id": "nano"}]}
        is_chat = path == "/v1/chat/completions"
        prompts = body["messages"][0]["content"] if is_chat else body["prompt"]
        # One prompt or several, each a text or ids.
        several = isinstance(prompts, list) and isinstance(prompts[0], list | str)
        told = [self._ids(prompt) for prompt in (prompts if several else [prompts])]
        if max(map(len, told)) > self.context:
            return 400, {"error": {"message": f"the context is {self.context} tokens"}}
        if max(map(max, told)) >= self.model.model.config.vocab_size:
            return 400, {"error": {"message": "no such token"}}
        if (body.get("echo") and not self.echoes) or int(
            body.get("top_logprobs", body.get("logprobs") or 0)
        ) > self.most_top:
            return 400, {"error": {"message": "no such logprobs"}}
        choice = self._in_chat if is_chat else self._as_text
        return 200, {"choices": [{"index": place, **choice(ids, body)} for place, ids in enumerate(told)]}

    def events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a streamed text, one for each token."""
        ids, tokenizer = self._ids(body["prompt"]), self.model.tokenizer
        for place in range(body["max_tokens"]):
            logprobs = _log_softmax(logits_of(self.model.model, ids)[-1])
            token = int(logprobs.argmax())
            ended = token == tokenizer.eos_id or token in body.get("stop_token_ids", [])
            ids.append(token)
            text = "" if ended else tokenizer.decode([token])
            finish = "stop" if ended else "length" if place + 1 == body["max_tokens"] else None
            told = {"tokens": [text], "token_logprobs": [float(logprobs[token])]}
            yield {"choices": [{"index": 0, "text": text, "logprobs": told, "finish_reason": finish}]}
            if ended:
                return
            time.sleep(self.seconds)

    def _ids(self, prompt: str | list[int]) -> list[int]:
        return self.model.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)

    def _as_text(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        logprobs = _log_softmax(logits_of(self.model.model, ids))
        if not body.get("logprobs"):
            return {"text": self._written(ids, body["max_tokens"])}
        top = self._top(logprobs[-1], body["logprobs"])
        written = next(iter(top))
        told = {"tokens": [written], "token_logprobs": [top[written]], "top_logprobs": [top]}
        if body.get("echo"):
            told["tokens"] = [*(self.model.tokenizer.decode([token]) for token in ids), written]
            follow = logprobs[range(len(ids) - 1), ids[1:]].tolist()
            told["token_logprobs"] = [None, *follow, top[written]]
        return {"text": written, "logprobs": told}

    def _in_chat(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": self._written(ids, body["max_tokens"])}}
        if body.get("logprobs"):
            top = self._top(_log_softmax(logits_of(self.model.model, ids))[-1], body["top_logprobs"])
            entries = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
            choice["logprobs"] = {"content": [{**entries[0], "top_logprobs": entries}]}
        return choice

    def _top(self, logprobs: np.ndarray, num: int) -> dict[str, float]:
        order = np.argsort(-logprobs)[:num].tolist()
        return {self.model.tokenizer.decode([token]): float(logprobs[token]) for token in order}

    def _written(self, ids: list[int], num: int) -> str:
        if self.says is not None:
            return self.says
        written = list(ids)
        for _ in range(num):
            written.append(int(logits_of(self.model.model, written)[-1].argmax()))
        return self.model.tokenizer.decode(written[len(ids) :])

    @contextmanager
    def running(self) -> Iterator[str]:
        """The server's address, as long as it runs."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """While a request is under way."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(self.seconds)
            yield
        finally:
            with self._lock:
                self._at_once -= 1


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, body: dict[str, Any]) -> None:
            server.asked.append((self.path, body, self.headers.get("Authorization")))
            if body.get("stream") and not server.failures:
                self._stream(body)
                return
            with server.counted():
                status, answer = server.answer(self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            if status in {301, 307}:
                self.send_header("Location", "http://127.0.0.1:1/v1/models")
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # the client has left; that is one of the tests
                self.end_headers()
                self.wfile.write(content)

        def _stream(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for event in server.events(body):
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                    server.num_streamed += 1
                self.wfile.write(b"data: [DONE]\n\n")
            except ConnectionError:  # the client has left
                server.num_left += 1

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
