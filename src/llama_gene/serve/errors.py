"""Every refusal in one form: a status, and one message that names the value and the way out.

The form is OpenAI's, so that its client shows the message: ``{"error": {"message", "type", "param", "code"}}``.
"""

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llama_gene.errors import FormatError, LlamaGeneError

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_MOST_CHARACTERS = 500  # of a message: what was sent may stand in it


class RefusalError(Exception):
    """A request that is not answered.

    Args:
        status: The HTTP status.
        problem: What is wrong, with the value.
        hint: The way out.
        code: A word for programs.
        retry_after: Seconds after which the same request may be answered.
    """

    def __init__(
        self, status: int, problem: str, *, hint: str = "", code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(problem)
        self.status, self.code, self.retry_after = status, code, retry_after
        self.message = shortened(f"{problem}; {hint}" if hint else problem)

    def response(self) -> JSONResponse:
        """The refusal over HTTP."""
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.content, self.status, headers)

    @property
    def content(self) -> dict[str, Any]:
        """The refusal as JSON."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}


def shortened(text: str) -> str:
    """`text` on one line of bounded length."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"


def as_refusal(error: LlamaGeneError) -> RefusalError:
    """A mistake in what was sent: 400 if it is not what its format says, else 422."""
    where = f"{error.where}: " if error.where else ""
    return RefusalError(
        400 if isinstance(error, FormatError) else 422, f"{where}{error.problem}", hint=error.hint or ""
    )


def install(app: FastAPI) -> None:
    """Make `app` refuse in this form, whatever raises."""

    @app.exception_handler(RefusalError)
    async def refused(_: Request, error: RefusalError) -> JSONResponse:
        return error.response()

    @app.exception_handler(LlamaGeneError)
    async def mistaken(_: Request, error: LlamaGeneError) -> JSONResponse:
        return as_refusal(error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return from_validation(error).response()

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> JSONResponse:
        said = {404: f"no such path: {request.url.path}", 405: f"{request.method} is not allowed here"}
        response = RefusalError(error.status_code, said.get(error.status_code, error.detail)).response()
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def crashed(_: Request, error: Exception) -> JSONResponse:
        return RefusalError(500, f"a bug of ours: {type(error).__name__}; the server's log says more").response()


def from_validation(error: RequestValidationError) -> RefusalError:
    """What pydantic found, as one sentence: the first problem, and where it is."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return RefusalError(400, f"not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return RefusalError(422, f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}")
