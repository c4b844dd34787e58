"""One request over https: what is refused, when it is tried again, and what is said when nothing helps."""

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from email.message import Message
from functools import cache
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from llama_gene.errors import LlamaGeneError

_Result = TypeVar("_Result")

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_TIMEOUT_S = 60.0
_WAIT_S = 1.0  # before the second attempt; twice as long before each further one
_LONGEST_WAIT_S = 60.0
_ATTEMPTS = 5  # in a row that bring nothing
_PASSING = {408, 425, 429, 500, 502, 503, 504}


def check_address(address: str) -> None:
    """Refuse what anyone on the way could change.

    Raises:
        LlamaGeneError: Neither https nor this machine.

    >>> check_address("http://localhost:8000/a"), check_address("https://example.org/a")
    (None, None)
    """
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return
    hint = (
        "only https is fetched, since anyone on the way can change the rest: bring it by hand, and compare a checksum"
    )
    raise LlamaGeneError("not an https address", where=address, hint=hint)


@cache
def _opener() -> OpenerDirector:
    return build_opener(_SafeRedirects)


def open_address(address: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> HTTPResponse:
    """Ask for `address`; redirects are followed as long as they stay on https.

    Raises:
        LlamaGeneError: It is not https, or leads to something that is not.
        OSError: No answer, or one that is an error (`HTTPError`); `patiently` explains it.
    """
    check_address(address)
    sent = {"User-Agent": "llama-gene", "Accept-Encoding": "identity", **(headers or {})}
    answer: HTTPResponse = _opener().open(Request(address, headers=sent, method=method), timeout=_TIMEOUT_S)
    return answer


def patiently(
    work: Callable[[], _Result], address: str, target: Path, brought: Callable[[], int] = lambda: 0
) -> _Result:
    """Do `work`, and again after a while if what stopped it may pass; what brought something starts the count anew.

    Args:
        work: What to do.
        address: What it asks for, for what messages say.
        target: Where that has to lie, for what messages say.
        brought: The bytes that are there by now.

    Raises:
        LlamaGeneError: It does not pass, or did not with five attempts.
    """
    failures, most = 0, brought()
    while True:
        wait = 0.0
        try:
            return work()
        except HTTPError as error:
            if error.code not in _PASSING:
                raise _refused(error, address, target) from None
            problem = f"it answers {error.code} {error.reason}"
            wait = _asked_wait(error.headers)
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            problem = str(reason) or type(reason).__name__
            if isinstance(reason, (socket.gaierror, ssl.SSLCertVerificationError)):
                raise _unreachable(problem, address, target) from None
        failures = failures + 1 if brought() <= most else 1
        most = max(most, brought())
        if failures == _ATTEMPTS:
            raise _unreachable(problem, address, target)
        time.sleep(min(max(wait, _WAIT_S * 2 ** (failures - 1)), _LONGEST_WAIT_S))


def _asked_wait(headers: Message) -> float:
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _refused(error: HTTPError, address: str, target: Path) -> LlamaGeneError:
    by_hand = f"look where it is now, and bring it by hand to {target}"
    if error.code in (401, 403):
        hint = f"it wants an account or an agreement: get it with a browser, and put it at {target}"
        return LlamaGeneError(f"the server does not give it ({error.code} {error.reason})", where=address, hint=hint)
    if error.code in (404, 410):
        return LlamaGeneError(f"there is no such file any more ({error.code})", where=address, hint=by_hand)
    return LlamaGeneError(f"the server answers {error.code} {error.reason}", where=address, hint=by_hand)


def _unreachable(problem: str, address: str, target: Path) -> LlamaGeneError:
    hint = f"run it again where there is a network, or bring it by hand: put {address} at {target}"
    return LlamaGeneError(f"cannot reach {urlsplit(address).hostname} ({problem})", hint=hint)


class _SafeRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        check_address(newurl)
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise LlamaGeneError(f"it leads from https to {newurl}", where=req.full_url, hint="bring it by hand")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
