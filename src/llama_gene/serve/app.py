"""The application: its routes, and what they share."""

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp

import llama_gene
from llama_gene.inference.answers import Answers
from llama_gene.inference.attribution import require_explicable
from llama_gene.serve import errors
from llama_gene.serve.backend import Backend
from llama_gene.serve.completions import add_completions
from llama_gene.serve.errors import RefusalError
from llama_gene.serve.explaining import ExplainJob
from llama_gene.serve.guard import Guard
from llama_gene.serve.predicting import PredictJob
from llama_gene.serve.schema import (
    CardOut,
    ExplainRequest,
    ExplainResponse,
    HealthOut,
    PredictRequest,
    PredictResponse,
    TasksOut,
    describe_explanation,
    describe_prediction,
    describe_task,
)
from llama_gene.serve.schema import errors as refusals
from llama_gene.serve.sequences import read_examples
from llama_gene.serve.settings import Limits
from llama_gene.serve.site import add_page
from llama_gene.serve.telemetry import Telemetry
from llama_gene.serve.worker import Worker
from llama_gene.tasks.task import Task

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)
_FASTA_TYPES = ("text/x-fasta", "text/plain")
_FASTA_EXAMPLE = ">gene1\nGGGCGGTATAAAAGGCGCGCCAGTCAGCTAGC\n"
_ABOUT = (
    "A language model of DNA and protein. `POST /v1/predict` answers the tasks it was tuned on; `/v1/completions` and "
    '`/v1/chat/completions` are OpenAI\'s. Every refusal is `{"error": {"message", ...}}`.'
)


class Server:
    """What the routes share.

    Args:
        backend: What answers.
        limits: How much of it.
        key: The API key, if one is asked for.

    Attributes:
        app: The application, guarded.
    """

    def __init__(self, backend: Backend, limits: Limits, key: str | None = None) -> None:
        self.backend, self.limits = backend, limits
        self.telemetry = Telemetry()
        self.worker = Worker(backend, limits, self.telemetry.batch_rows.observe)
        self.telemetry.watch_queue(lambda: self.worker.num_waiting)
        self.stopping = False
        # The framework's own pages load scripts from elsewhere.
        api = FastAPI(
            title="llama-gene", description=_ABOUT, version=llama_gene.__version__, docs_url=None, redoc_url=None
        )
        errors.install(api)
        _add_health(api, self)
        _add_predict(api, self)
        _add_explain(api, self)
        add_completions(api, self)
        add_page(api)
        _describe_predict(api)
        paths = [route.path for route in api.routes if hasattr(route, "path")]
        self.api = api
        self.app: ASGIApp = Guard(api, limits, self.telemetry, paths, key)

    def task(self, name: str) -> Task:
        """A task of the model by its name.

        Raises:
            RefusalError: 404.
        """
        task = self.backend.tasks.get(name)
        if task is None:
            known = ", ".join(self.backend.tasks) or "none: the model was tuned on no task"
            raise RefusalError(404, f"no task {name!r}", hint=f"known: {known}", code="task_not_found")
        return task

    def answers(self, task: Task) -> Answers:
        """How predictions of a task are told: calibrated where that is known, and labels have probabilities."""
        known = self.backend.temperatures if task.kind == "classification" else {}
        return Answers(task, known.get(task.name))

    def require_model(self, name: str | None) -> None:
        """Refuse a model that is not this one.

        Raises:
            RefusalError: 404.
        """
        if name is not None and name != self.backend.name:
            raise RefusalError(404, f"no model {name!r}", hint=f"this is {self.backend.name!r}", code="model_not_found")

    def too_late(self) -> RefusalError:
        """That an answer takes too long."""
        problem = f"no answer within {self.limits.seconds:g} seconds"
        return RefusalError(504, problem, hint="send less at a time, or ask again later", code="timeout")

    async def answered(self, request: Request, answer: Future[_T] | asyncio.Future[_T]) -> _T:
        """Wait for an answer, as long as the client is there and the time is not over.

        Raises:
            RefusalError: 504.
        """
        waited = answer if isinstance(answer, asyncio.Future) else asyncio.wrap_future(answer)
        gone = asyncio.create_task(_left(request))
        try:
            either: set[asyncio.Future[Any]] = {waited, gone}
            await asyncio.wait(either, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if waited.done():
                return waited.result()
            raise self.too_late()
        finally:
            gone.cancel()
            # Whoever left, or waited too long, is taken out of the queue.
            waited.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _add_health(api: FastAPI, server: Server) -> None:
    @api.get("/healthz", tags=["health"], summary="Whether the process answers")
    async def healthz() -> HealthOut:
        return HealthOut(status="ok")

    @api.get("/readyz", tags=["health"], summary="Whether requests are taken", responses=refusals(503))
    async def readyz() -> HealthOut:
        if server.stopping or not server.worker.is_alive:
            raise RefusalError(503, "the server is stopping" if server.stopping else "the model's thread ended")
        return HealthOut(status="ok")

    @api.get(
        "/metrics",
        tags=["health"],
        summary="Counts for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        return Response(server.telemetry.text(), media_type="text/plain; version=0.0.4")


def _add_predict(api: FastAPI, server: Server) -> None:
    @api.get("/v1/tasks", tags=["predict"], summary="The tasks that the model was tuned on")
    async def tasks() -> TasksOut:
        return TasksOut(
            model=server.backend.name,
            tasks=[describe_task(task, explained=server.backend.explains) for task in server.backend.tasks.values()],
        )

    @api.get("/v1/card", tags=["predict"], summary="The model card: data, scores, limits, licence")
    async def card() -> CardOut:
        return CardOut(model=server.backend.name, markdown=await asyncio.to_thread(server.backend.card))

    @api.post(
        "/v1/predict",
        tags=["predict"],
        summary="Predict a task for sequences",
        response_model=PredictResponse,
        responses=refusals(400, 404, 408, 413, 415, 422, 429, 503, 504),
        openapi_extra={"requestBody": _predict_body()},
    )
    async def predict(
        request: Request,
        task: str | None = Query(None, min_length=1, max_length=200, description="The task, for a body of FASTA."),
    ) -> Response:
        asked = await asyncio.to_thread(_read_predict, request, await request.body(), task)
        server.require_model(asked.model)
        chosen = server.task(asked.task)
        examples = await asyncio.to_thread(read_examples, chosen, asked, server.limits)
        job = PredictJob(chosen, examples)
        server.worker.submit(job)
        found = await server.answered(request, job.answer)
        server.telemetry.rows.labels(chosen.name).inc(len(found))
        answers = server.answers(chosen)
        answer = PredictResponse(
            model=server.backend.name,
            task=chosen.name,
            kind=chosen.kind,
            calibrated=answers.temperature is not None,
            results=[describe_prediction(chosen, answers.calibrate(one)) for one in found],
        )
        return Response(answer.model_dump_json(), media_type="application/json")


def _add_explain(api: FastAPI, server: Server) -> None:
    @api.post(
        "/v1/explain",
        tags=["predict"],
        summary="Which letters decided an answer",
        responses=refusals(400, 404, 408, 413, 422, 429, 501, 503, 504),
    )
    async def explain(request: Request, asked: ExplainRequest) -> ExplainResponse:
        server.require_model(asked.model)
        chosen = server.task(asked.task)
        require_explicable(chosen, asked.label)
        rows = PredictRequest(task=asked.task, records=[asked.record], bad_letters=asked.bad_letters)
        (example,) = await asyncio.to_thread(read_examples, chosen, rows, server.limits)
        job = ExplainJob(chosen, example, asked.label)
        server.worker.submit(job)
        found = await server.answered(request, job.answer)
        return await asyncio.to_thread(describe_explanation, server.backend.name, chosen, found)


def _predict_body() -> dict[str, Any]:
    """Both forms of a body; the framework knows of one."""
    fasta = {"schema": {"type": "string", "minLength": 1}, "example": _FASTA_EXAMPLE}
    asked = {"schema": {"$ref": "#/components/schemas/PredictRequest"}}
    return {"required": True, "content": {"application/json": asked, "text/x-fasta": fasta}}


def _describe_predict(api: FastAPI) -> None:
    """Add to the description what the framework does not see, since that body is read by us."""
    made = api.openapi

    def openapi() -> dict[str, Any]:
        described = made()
        schema = PredictRequest.model_json_schema(ref_template="#/components/schemas/{model}")
        described["components"]["schemas"] |= {**schema.pop("$defs"), "PredictRequest": schema}
        return described

    api.openapi = openapi  # type: ignore[method-assign]


def _read_predict(request: Request, body: bytes, task: str | None) -> PredictRequest:
    """The request in a body, JSON or FASTA.

    Raises:
        RefusalError: 415 for another content type; 422 for FASTA without a task.
        RequestValidationError: It does not hold.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _FASTA_TYPES:
        if task is None:
            raise RefusalError(422, "no task", hint="say which: POST /v1/predict?task=NAME")
        return PredictRequest(task=task, fasta=[body.decode(errors="surrogateescape")])
    if kind != "application/json":
        hint = f"send application/json, or {' or '.join(_FASTA_TYPES)} with FASTA in it"
        raise RefusalError(415, f"content type {kind!r} is not read", hint=hint)
    return read_json(PredictRequest, body)


def read_json(model: type[_M], body: bytes) -> _M:
    """A request model from a body of JSON.

    Raises:
        RequestValidationError: It does not hold.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
