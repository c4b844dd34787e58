"""JSON to and from an OpenAI-compatible server: retries, time limits, and a key that goes nowhere else."""

import http.client
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from llama_gene.errors import ModelError, SettingsError

KEY_VARIABLES = ("LLAMA_GENE_API_KEY", "OPENAI_API_KEY")

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504}
_MAX_BYTES = 1 << 26  # of an answer: a long prompt's tokens with their probabilities are far below
_SHOWN = 300


class Refused(Exception):  # noqa: N818 - it is no failure, but an answer
    """The server does not take a request as it is."""


@dataclass(frozen=True)
class Client:
    """A server.

    Args:
        address: Where its API begins, as ``http://localhost:8000/v1``.
        timeout_s: Longest wait for an answer, in seconds.
        num_attempts: How often a request is made before it counts as failed.
        wait_s: Before the second attempt, in seconds; twice as long before each further one.

    Raises:
        SettingsError: No such address can be, or a key would go over the network in the clear.
    """

    address: str
    timeout_s: float = 120.0
    num_attempts: int = 5
    wait_s: float = 1.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise SettingsError(f"no address of a server: {self.address!r}", hint="as in http://localhost:8000/v1")
        if self._key is not None and parts.scheme == "http" and parts.hostname not in _LOCAL:
            hint = f"give an https address, or unset {' and '.join(KEY_VARIABLES)}"
            raise SettingsError("an API key would be sent over http, for anyone to read", where=self.address, hint=hint)

    @property
    def _key(self) -> str | None:
        return next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)

    def ask(self, path: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the server answers: to a GET, or to a POST of `question`.

        Args:
            path: Below the address, as ``/completions``.
            question: What is sent as JSON.

        Raises:
            Refused: The server does not take this request (400, 404, 405, 422, 501).
            ModelError: It cannot be reached, does not answer in time, wants another key, or answers no JSON.
        """
        waited = self.wait_s
        for attempt in range(self.num_attempts):
            wait = 0.0
            try:
                return self._once(path, question)
            except HTTPError as error:
                text = error.read(_SHOWN).decode(errors="replace")
                problem = f"it answers {error.code} {error.reason}: {' '.join(text.split())}".rstrip(": ")
                if error.code in {401, 403}:
                    hint = f"set {KEY_VARIABLES[0]} to a key that it takes"
                    raise ModelError(problem, where=self.address, hint=hint) from None
                if error.code not in _PASSING:
                    raise Refused(problem) from None
                asked = error.headers.get("Retry-After", "")
                wait = float(asked) if asked.isdecimal() else 0.0
            except (OSError, http.client.HTTPException) as error:
                reason = error.reason if isinstance(error, URLError) else error
                problem = str(reason) or type(reason).__name__
            if attempt + 1 < self.num_attempts:
                time.sleep(min(max(wait, waited), self.timeout_s))
                waited *= 2
        hint = f"{self.num_attempts} attempts were made: is the server running, and is this its address?"
        raise ModelError(f"the server does not answer ({problem})", where=self.address, hint=hint)

    def stream(self, path: str, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a streamed answer to a POST of `question`, as they come; one attempt is made.

        Raises:
            Refused: The server does not take this request.
            ModelError: It cannot be reached, breaks off, or sends what is no JSON object.
        """
        try:
            with self._open(path, {**question, "stream": True}) as reply:
                for line in reply:
                    if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
                        yield self._parsed(line[5:], path)
        except HTTPError as error:
            text = error.read(_SHOWN).decode(errors="replace")
            problem = f"it answers {error.code} {error.reason}: {' '.join(text.split())}".rstrip(": ")
            if error.code in {401, 403} or error.code in _PASSING:
                raise ModelError(problem, where=self.address) from None
            raise Refused(problem) from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            problem = f"the server breaks off, or does not answer ({str(reason) or type(reason).__name__})"
            raise ModelError(problem, where=self.address, hint="is it running?") from None

    def _open(self, path: str, question: dict[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "llama-gene"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        content = None if question is None else json.dumps(question).encode()
        request = Request(self.address.rstrip("/") + path, data=content, headers=headers)
        return _opener().open(request, timeout=self.timeout_s)

    def _once(self, path: str, question: dict[str, Any] | None) -> dict[str, Any]:
        with self._open(path, question) as reply:
            text = reply.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ModelError(f"the server answers more than {_MAX_BYTES:,} bytes", where=self.address)
        return self._parsed(text, path)

    def _parsed(self, text: bytes, path: str) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            hint = "the address of an OpenAI-compatible API mostly ends in /v1"
            raise ModelError("the server answers no JSON object", where=self.address + path, hint=hint)
        return answer


class _NoRedirects(HTTPRedirectHandler):
    """A key must not follow to another server."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        """Follow nowhere: the redirect is an error as any other."""


def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects)
