"""OpenAI's interface: ``/v1/models``, ``/v1/completions`` and ``/v1/chat/completions``, whole or as a stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from llama_gene.errors import LlamaGeneError
from llama_gene.inference.decode import Sampling
from llama_gene.serve.errors import RefusalError, as_refusal
from llama_gene.serve.openai_schema import ChatRequest, CompletionRequest, WriteRequest, frame, usage
from llama_gene.serve.schema import errors as refusals
from llama_gene.serve.writing import WriteJob, Written
from llama_gene.tasks.convert.instructions import split_text

if TYPE_CHECKING:
    from llama_gene.serve.app import Server

_DEFAULT_TOKENS = 16  # OpenAI's, for completions
_REFUSED = (400, 404, 408, 413, 415, 422, 429, 503, 504)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Whole, or as a stream of events."}
}


def add_completions(api: FastAPI, server: "Server") -> None:
    """Add the routes."""

    @api.get("/v1/models", tags=["openai"], summary="The model that is served")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_describe(server)]}

    @api.get("/v1/models/{name}", tags=["openai"], summary="The model by its id", responses=refusals(404))
    async def model(name: str) -> dict[str, Any]:
        server.require_model(name)
        return _describe(server)

    @api.post("/v1/completions", tags=["openai"], summary="Go on with a text", responses=refusals(*_REFUSED) | _STREAM)
    async def complete(request: Request, asked: CompletionRequest) -> Response:
        server.require_model(asked.model)
        prompts = await asyncio.to_thread(lambda: [server.backend.tokenizer.encode(text) for text in asked.prompts])
        return await _Answering(server, asked, prompts, asked.max_tokens or _DEFAULT_TOKENS).respond(request)

    @api.post("/v1/chat/completions", tags=["openai"], summary="Answer", responses=refusals(*_REFUSED) | _STREAM)
    async def chat(request: Request, asked: ChatRequest) -> Response:
        server.require_model(asked.model)
        prompt = await asyncio.to_thread(_conversation, server, asked)
        wanted = asked.max_completion_tokens or asked.max_tokens
        return await _Answering(server, asked, [prompt], wanted).respond(request)


def _describe(server: "Server") -> dict[str, Any]:
    backend = server.backend
    return {
        "id": backend.name,
        "object": "model",
        "created": 0,
        "owned_by": "llama-gene",
        "max_model_len": backend.context,
    }


def _conversation(server: "Server", asked: ChatRequest) -> list[int]:
    """The prompt of a conversation: as in training, what was said is a paragraph each, inside the one template."""
    said = "\n\n".join(message.content.strip() for message in asked.messages)
    return server.backend.instructions.prompt(split_text(said))


class _Answering:
    """One request for text, and its answers as they come.

    Args:
        server: What is shared.
        asked: The request.
        prompts: The ids of each of its prompts.
        wanted: Most new tokens; None for as many as there may be.

    Raises:
        RefusalError: 400 for a prompt that does not fit into the context.
    """

    def __init__(self, server: "Server", asked: WriteRequest, prompts: list[list[int]], wanted: int | None) -> None:
        self._server, self._asked, self._prompts = server, asked, prompts
        self._is_chat = isinstance(asked, ChatRequest)
        self._pieces: asyncio.Queue[tuple[int, Written | Exception]] = asyncio.Queue()
        self._jobs = [self._job(index, prompt, wanted) for index, prompt in enumerate(prompts)]

    def _job(self, index: int, prompt: list[int], wanted: int | None) -> WriteJob:
        backend, limits = self._server.backend, self._server.limits
        if not prompt:
            raise RefusalError(422, "prompt: it is empty", hint="give it a character, or a tag such as <dna>")
        room = backend.context - len(prompt)
        if room < (wanted or 1):
            problem = f"the prompt has {len(prompt):,} tokens and {wanted or 1:,} are asked for"
            hint = f"the model's context is {backend.context:,} tokens"
            raise RefusalError(400, problem, hint=hint, code="context_length_exceeded")
        if wanted is not None and wanted > limits.new_tokens:
            raise RefusalError(422, f"max_tokens: {wanted:,} is more than {limits.new_tokens:,}")
        loop = asyncio.get_running_loop()

        def on_piece(piece: Written | Exception) -> None:
            # After the drain time the loop is gone, and so is whoever asked.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._pieces.put_nowait, (index, piece))

        asked = self._asked
        return WriteJob(
            prompt=prompt,
            max_tokens=wanted or min(room, limits.new_tokens),
            ends=frozenset(backend.instructions.end_ids) | {backend.tokenizer.eos_id},
            stop=asked.stops,
            sampling=Sampling(asked.temperature, asked.top_p, asked.seed),
            on_piece=on_piece,
            tell_tokens=isinstance(asked, CompletionRequest) and asked.logprobs is not None,
        )

    async def respond(self, request: Request) -> Response:
        """The answer over HTTP."""
        self._server.worker.submit(*self._jobs)
        self._server.telemetry.prompt_tokens.inc(sum(map(len, self._prompts)))
        if self._asked.stream:
            return StreamingResponse(
                self._events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )
        whole: asyncio.Future[dict[str, Any]] = asyncio.ensure_future(self._whole())
        return JSONResponse(await self._server.answered(request, whole))

    async def _come(self) -> AsyncIterator[tuple[int, Written]]:
        """Every piece of every answer, until all have ended."""
        left = len(self._jobs)
        with self._cancelled():
            ends = asyncio.get_running_loop().time() + self._server.limits.seconds
            while left:
                try:
                    async with asyncio.timeout_at(ends):
                        index, piece = await self._pieces.get()
                except TimeoutError:
                    raise self._server.too_late() from None
                if isinstance(piece, Exception):
                    raise piece
                left -= piece.finish is not None
                yield index, piece

    @contextmanager
    def _cancelled(self) -> Iterator[None]:
        """However it ends, nobody writes on for somebody who is gone."""
        try:
            yield
        finally:
            for job in self._jobs:
                job.cancelled = True
            self._server.telemetry.new_tokens.inc(sum(job.num_new for job in self._jobs))

    async def _whole(self) -> dict[str, Any]:
        texts, finishes = [""] * len(self._jobs), [""] * len(self._jobs)
        logprobs: list[list[tuple[str, float]]] = [[] for _ in self._jobs]
        tokens = 0
        async for index, piece in self._come():
            texts[index] += piece.text
            logprobs[index] += piece.logprobs
            if piece.finish is not None:
                finishes[index] = piece.finish
                tokens += piece.tokens
        answer = frame("chat.completion" if self._is_chat else "text_completion", self._server.backend.name)
        answer["choices"] = [
            self._choice(index, text, logprobs[index], finishes[index]) for index, text in enumerate(texts)
        ]
        return {**answer, "usage": usage(sum(map(len, self._prompts)), tokens)}

    def _choice(self, index: int, text: str, logprobs: list[tuple[str, float]], finish: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "finish_reason": finish, "logprobs": None}
        if self._is_chat:
            return {**choice, "message": {"role": "assistant", "content": text.strip()}}
        return {**choice, "text": text, "logprobs": self._logprobs(logprobs)}

    def _logprobs(self, found: Sequence[tuple[str, float]]) -> dict[str, Any] | None:
        if not isinstance(self._asked, CompletionRequest) or self._asked.logprobs is None:
            return None
        tokens = [token for token, _ in found]
        return {
            "tokens": tokens,
            "token_logprobs": [logprob for _, logprob in found],
            "top_logprobs": None,
            "text_offset": [sum(map(len, tokens[:place])) for place in range(len(tokens))],
        }

    async def _events(self) -> AsyncIterator[str]:
        """The answer as server-sent events; an error that comes after the first is an event, too."""
        name = "chat.completion.chunk" if self._is_chat else "text_completion"
        head, tokens = frame(name, self._server.backend.name), 0
        begun: set[int] = set()
        try:
            async for index, piece in self._come():
                choice: dict[str, Any] = {"index": index, "finish_reason": piece.finish, "logprobs": None}
                if self._is_chat:
                    # The space that stands before every answer is not part of it.
                    text = piece.text if index in begun else piece.text.lstrip()
                    choice["delta"] = {"content": text} if index in begun else {"role": "assistant", "content": text}
                else:
                    choice |= {"text": piece.text, "logprobs": self._logprobs(piece.logprobs)}
                begun |= {index} if piece.text.strip() else set()
                tokens += piece.tokens if piece.finish is not None else 0
                yield _event({**head, "choices": [choice]})
            if self._asked.stream_options is not None and self._asked.stream_options.include_usage:
                yield _event({**head, "choices": [], "usage": usage(sum(map(len, self._prompts)), tokens)})
        except RefusalError as refusal:
            yield _event(refusal.content)
        except LlamaGeneError as error:
            yield _event(as_refusal(error).content)
        yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
