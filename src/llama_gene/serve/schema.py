"""What a request and its answer look like; the OpenAPI description and the tests of it come from here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from llama_gene.inference.attribution import Attribution
from llama_gene.inference.explanation import draw_logos, heading
from llama_gene.inference.predictor import Prediction
from llama_gene.tasks.task import Task, TaskKind

_PROMOTER = "GGGCGGTATAAAAGGCGCGCCAGTCAGCTAGCATCGATCGACGTAGCTA"
_NUM_STRONGEST = 5

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]

BadLetters = Annotated[
    Literal["refuse", "drop", "mask"],
    Field(description="Letters outside the alphabet: refuse the request, drop them, or mask them as unknown."),
]


class Request(BaseModel):
    """Unknown keys are refused: a mistyped one would be passed over in silence."""

    model_config = ConfigDict(extra="forbid")


class RecordIn(Request):
    """One row: its sequences, one for each input of the task, in their order."""

    id: Annotated[str, StringConstraints(max_length=1000)] = Field("", description="Its name; its number if empty.")
    sequences: list[str] = Field(min_length=1, max_length=16)


class PredictRequest(Request):
    """What to predict, of what: rows as JSON, or FASTA with one text for each input of the task."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"task": "sim_promoter", "fasta": [f">gene1\n{_PROMOTER}\n"]},
                {"task": "sim_promoter", "records": [{"id": "gene1", "sequences": [_PROMOTER]}]},
            ]
        },
    )

    task: Name = Field(description="A name from `/v1/tasks`.")
    model: Name | None = Field(None, description="The id from `/v1/models`; it may be left out.")
    records: list[RecordIn] | None = Field(None, min_length=1, description="Rows; this, or `fasta`.")
    fasta: list[str] | None = Field(None, min_length=1, max_length=16, description="FASTA, one text for each input.")
    bad_letters: BadLetters = "refuse"

    @model_validator(mode="after")
    def _one_of_both(self) -> "PredictRequest":
        if (self.records is None) == (self.fasta is None):
            raise ValueError("give either records or fasta")
        return self


class ExplainRequest(Request):
    """Which letters decided the answer to one row."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"task": "sim_promoter", "record": {"id": "gene1", "sequences": [_PROMOTER]}}]},
    )

    task: Name = Field(description="A name from `/v1/tasks`, of a task that is `explained`.")
    model: Name | None = Field(None, description="The id from `/v1/models`; it may be left out.")
    record: RecordIn
    label: Name | None = Field(None, description="The label whose log-odds are explained; the answer if left out.")
    bad_letters: BadLetters = "refuse"


class ExplainedSequence(BaseModel):
    """What the letters of one sequence did; a number for each letter."""

    role: str
    kind: Literal["dna", "protein"]
    title: str
    first: int = Field(description="The number of the first letter, counted from 1.")
    letters: str
    mutagenesis: list[float] = Field(description="With the letter, less the mean with every other one in its place.")
    gradients: list[float] = Field(description="Integrated gradients; the letters of one token share its value evenly.")
    strongest: dict[str, float] = Field(description="The substitutions that change the output the most, as `G31A`.")
    logos: dict[str, str] = Field(description="Both as sequence logos, in HTML with SVG.")


class ExplainResponse(BaseModel):
    """Which letters decided; probabilities are the model's own, before any calibration."""

    model: str
    task: str
    id: str
    answer: str
    probability: float | None = Field(description="Of the label explained; null for a number.")
    output: str = Field(description="What is explained: `log-odds of LABEL` in nats, or `expected value`.")
    value: float
    value_at_baseline: float = Field(description="The same where every letter is the mean of all.")
    sequences: list[ExplainedSequence]


class ResultOut(BaseModel):
    """What the model answers to one row."""

    id: str
    answer: str = Field(description="The label, the number as text, or the text.")
    probability: float | None = Field(description="Of the answer; null for numbers and text.")
    probabilities: dict[str, float] | None = Field(description="Of every label; null where there are no labels.")
    value: float | None = Field(description="The number of a regression.")
    cut_tokens: int = Field(description="Tokens of the sequences that were left out to fit into the context.")


class PredictResponse(BaseModel):
    """Answers in the order of the rows."""

    model: str
    task: str
    kind: TaskKind
    calibrated: bool = Field(
        description="Whether probabilities are at the temperature that is kept with the model; else as it gives them."
    )
    results: list[ResultOut]


class InputOut(BaseModel):
    """One sequence that a task takes."""

    role: str
    kind: Literal["dna", "protein"]


class TaskOut(BaseModel):
    """A task that the model was tuned on."""

    name: str
    title: str
    question: str
    kind: TaskKind
    inputs: list[InputOut]
    labels: list[str]
    explained: bool = Field(description="Whether `/v1/explain` takes it.")


class TasksOut(BaseModel):
    """All tasks of the model."""

    model: str
    tasks: list[TaskOut]


class CardOut(BaseModel):
    """The model card."""

    model: str
    markdown: str


class HealthOut(BaseModel):
    """How the server is."""

    status: Literal["ok", "stopping", "broken"]


class ErrorBody(BaseModel):
    """Why a request was refused."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorOut(BaseModel):
    """A refusal."""

    error: ErrorBody


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its description."""
    said = {
        400: "Not what its format says.",
        401: "No key, or a wrong one.",
        404: "No such task or model.",
        408: "The body did not come in time.",
        413: "Too large, too many or too long.",
        415: "A content type that is not read.",
        422: "Values that do not hold.",
        429: "Too many requests; come again after `Retry-After` seconds.",
        500: "A bug of ours.",
        501: "Another server computes, and does not tell that.",
        503: "The server is stopping, or lacks the memory.",
        504: "No answer in time.",
    }
    return {status: {"model": ErrorOut, "description": said[status]} for status in statuses}


def describe_task(task: Task, *, explained: bool) -> TaskOut:
    """A task as `/v1/tasks` tells it, where explanations are to be had or not."""
    return TaskOut(
        name=task.name,
        title=task.title,
        question=task.question,
        kind=task.kind,
        inputs=[InputOut(role=part.role, kind=part.kind) for part in task.inputs],
        labels=list(task.label_names),
        explained=explained and bool(task.candidates),
    )


def describe_explanation(model: str, task: Task, found: Attribution) -> ExplainResponse:
    """An explanation as `/v1/explain` tells it. Nothing of what was sent stands in its HTML but cleaned letters."""
    return ExplainResponse(
        model=model,
        task=task.name,
        id=found.id,
        answer=found.answer,
        probability=found.probability,
        output=found.target.unit,
        value=found.output,
        value_at_baseline=found.at_baseline,
        sequences=[
            ExplainedSequence(
                role=part.role,
                kind=part.kind,
                title=heading(part.role, part.kind, part.first, len(part.letters), part.length),
                first=part.first + 1,
                letters=part.letters,
                mutagenesis=part.effects.tolist(),
                gradients=part.gradients.tolist(),
                strongest=dict(part.strongest(_NUM_STRONGEST)),
                logos=dict(
                    draw_logos(
                        part.letters,
                        part.effects.tolist(),
                        part.gradients.tolist(),
                        kind=part.kind,
                        first=part.first,
                        title=part.role,
                        unit=found.target.unit,
                    )
                ),
            )
            for part in found.sequences
        ],
    )


def describe_prediction(task: Task, prediction: Prediction) -> ResultOut:
    """A prediction as `/v1/predict` tells it; the numbers of a regression's grid stand for its value alone."""
    labels = task.kind == "classification" and prediction.probabilities is not None
    return ResultOut(
        id=prediction.id,
        answer=prediction.answer,
        probability=prediction.probability if labels else None,
        probabilities=dict(zip(task.label_names, prediction.probabilities or (), strict=True)) if labels else None,
        value=prediction.value,
        cut_tokens=prediction.num_cut,
    )
