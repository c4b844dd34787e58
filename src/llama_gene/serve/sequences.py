"""What stands in a request -> examples of a task, or one clear refusal."""

from collections.abc import Sequence

from llama_gene.errors import SequenceError
from llama_gene.sequences.alphabet import ALPHABETS, Policy
from llama_gene.sequences.read import parse_records
from llama_gene.serve.errors import RefusalError
from llama_gene.serve.schema import PredictRequest, RecordIn
from llama_gene.serve.settings import Limits
from llama_gene.tasks.task import Example, Task


def read_examples(task: Task, request: PredictRequest, limits: Limits) -> list[Example]:
    """The rows of a request, cleaned.

    Raises:
        RefusalError: 413 for too many rows or too long a sequence, 422 for rows that do not fit the task.
        LlamaGeneError: FASTA that is none, letters outside the alphabet.
    """
    if request.fasta is not None:
        examples = _from_fasta(task, request.fasta, request.bad_letters, limits)
    else:
        examples = _from_records(task, request.records or [], request.bad_letters, limits)
    for example in examples:
        longest = max(map(len, example.sequences))
        if longest > limits.letters:
            problem = f"record {example.id!r} has {longest:,} letters, and at most {limits.letters:,} are read"
            raise RefusalError(413, problem, hint="cut it, or start the server with --max-letters")
    return examples


def _from_records(task: Task, records: Sequence[RecordIn], policy: Policy, limits: Limits) -> list[Example]:
    _require_few(len(records), limits)
    examples = []
    for number, record in enumerate(records, 1):
        name = " ".join(record.id.split()) or str(number)
        _require_inputs(task, len(record.sequences), f"record {name!r} has")
        try:
            cleaned = [
                ALPHABETS[part.kind].clean(_without_gaps(text) if part.aligned else text, policy)
                for part, text in zip(task.inputs, record.sequences, strict=True)
            ]
        except SequenceError as error:
            raise SequenceError(f"record {name!r}: {error.problem}", hint=error.hint) from None
        examples.append(Example(name, tuple(cleaned)))
    return examples


def _from_fasta(task: Task, texts: Sequence[str], policy: Policy, limits: Limits) -> list[Example]:
    _require_inputs(task, len(texts), "fasta has")
    columns = []
    for part, text in zip(task.inputs, texts, strict=True):
        name = "fasta" if len(texts) == 1 else f"fasta of {part.role}"
        if part.aligned:
            lines = text.splitlines(keepends=True)
            text = "".join(line if line.startswith(">") else _without_gaps(line) for line in lines)
        column = []
        for record in parse_records(text.encode(errors="surrogatepass"), part.kind, name=name, policy=policy):
            column.append(record)
            _require_few(len(column), limits)
        columns.append(column)
    if len({len(column) for column in columns}) > 1:
        found = ", ".join(f"{part.role} {len(column)}" for part, column in zip(task.inputs, columns, strict=True))
        raise RefusalError(
            422, f"not the same number of records: {found}", hint="the first goes with the first, and so on"
        )
    return [Example(row[0].id, tuple(record.sequence for record in row)) for row in zip(*columns, strict=True)]


def _require_inputs(task: Task, number: int, subject: str) -> None:
    if number != len(task.inputs):
        wanted = ", ".join(f"{part.role} ({part.kind})" for part in task.inputs)
        raise RefusalError(
            422, f"{subject} {number} sequences, and task {task.name!r} takes {len(task.inputs)}: {wanted}"
        )


def _require_few(number: int, limits: Limits) -> None:
    if number > limits.records:
        hint = "send them in several requests, or use llama-gene predict on the file"
        raise RefusalError(413, f"more than {limits.records:,} records in one request", hint=hint)


def _without_gaps(aligned: str) -> str:
    return aligned.replace("-", "").replace(".", "")
