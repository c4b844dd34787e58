"""What stands before every route: rate, key, the size of the body and the time it takes; and what is counted.

A plain ASGI layer, since the framework reads a body whole, however large it is. A body that is too large is read on and
thrown away for a while, so that the client gets to read why it was refused.
"""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_gene.serve.errors import RefusalError
from llama_gene.serve.settings import Limits
from llama_gene.serve.telemetry import Telemetry

_OPEN_PATHS = frozenset({"/", "/page.css", "/page.js", "/healthz", "/readyz"})  # these need no key
_UNLIMITED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_MOST_THROWN_AWAY = 256 << 20
_MOST_DIGITS = 18  # of a length; more of them are a length beyond any limit, and work to read
_NUM_ADDRESSES = 10_000
_BURST_SECONDS = 2.0
# The page needs nothing from elsewhere, and nothing may frame it, send from it or run in it.
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """The layer around an application.

    Args:
        app: What it protects.
        limits: How much is let in.
        telemetry: Where requests are counted.
        paths: The paths of all routes; any other is counted as one, or names from outside would fill the memory.
        key: The API key, if one is asked for.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, telemetry: Telemetry, paths: Iterable[str], key: str | None = None
    ) -> None:
        self._app, self._limits, self._telemetry = app, limits, telemetry
        self._paths, self._key = frozenset(paths), None if key is None else key.encode()
        self._rates = _Rates(limits.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499  # a client that is gone before it is answered

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        try:
            try:
                self._check(scope)
                receive = _replayed(await self._body(scope, receive), receive)
            except RefusalError as refusal:
                await refusal.response()(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        except _GoneError:
            pass
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._telemetry.requests.labels(path, status).inc()
            self._telemetry.seconds.labels(path).observe(time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        path = scope["path"]
        if path not in _UNLIMITED_PATHS:
            self._rates.count(scope["client"][0] if scope.get("client") else "")
        if self._key is None or path in _OPEN_PATHS:
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        # Compared in a time that does not tell how much of it is right.
        if not hmac.compare_digest(given, b"Bearer " + self._key):
            raise RefusalError(401, "no API key, or a wrong one", hint="send the header 'Authorization: Bearer KEY'")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, which is not too large."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        chunks: list[bytes] = []
        size, most = 0, self._limits.body_bytes
        too_large = declared.isdigit() and (len(declared) > _MOST_DIGITS or int(declared) > most)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    too_large = too_large or size > most
                    if too_large:
                        chunks.clear()
                    else:
                        chunks.append(chunk)
                    if not message.get("more_body", False) or size > _MOST_THROWN_AWAY:
                        break
        except TimeoutError:
            if not too_large:
                problem = f"the body did not come within {self._limits.body_seconds:g} seconds"
                raise RefusalError(408, problem, hint="send it faster, or less of it") from None
        if too_large:
            problem = f"the body has more than {most:,} bytes"
            raise RefusalError(413, problem, hint="send it in parts, or use llama-gene predict on the file")
        return b"".join(chunks)


class _GoneError(Exception):
    """The client is gone; nobody is left to be told."""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive`, with the body that was read already as one message."""
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


class _Rates:
    """A bucket of tokens for each address: it fills at the rate, and holds what two seconds fill."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, when)

    def count(self, address: str) -> None:
        if self._rate <= 0:
            return
        now, full = time.monotonic(), max(1.0, self._rate * _BURST_SECONDS)
        tokens, then = self._buckets.pop(address, (full, now))
        tokens = min(full, tokens + (now - then) * self._rate)
        self._buckets[address] = (max(tokens - 1, 0) if tokens >= 1 else tokens, now)
        if len(self._buckets) > _NUM_ADDRESSES:
            self._buckets.popitem(last=False)
        if tokens < 1:
            problem = f"more than {self._rate:g} requests a second from your address"
            hint = "send more records in a request, or wait"
            raise RefusalError(429, problem, hint=hint, code="rate_limited", retry_after=(1 - tokens) / self._rate)
