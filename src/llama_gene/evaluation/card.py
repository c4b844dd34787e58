"""What a model card says of a model's scores."""

from pathlib import Path

from llama_gene.errors import ModelError
from llama_gene.evaluation.evaluate import describe_model
from llama_gene.evaluation.layout import SIMULATED, metric_name
from llama_gene.evaluation.result import Report
from llama_gene.files import read_object
from llama_gene.model.folder import RECORD


def scores_of(model: Path, report: Path | None = None) -> str:
    """The scores of a model as Markdown; empty where no report is given, and none of this model lies in its run.

    Args:
        model: Its folder.
        report: A ``report.json`` of it; that of its run if not given.

    Raises:
        ModelError: The report that was given cannot be read, or is of another model.
    """
    beside = model.resolve().parent / "report" / "report.json"
    file = report or beside
    if not (model / RECORD).is_file() or (report is None and not beside.is_file()):
        return ""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"the report cannot be read ({error.strerror})", where=file, hint="check --report") from None
    found = Report.from_json(text, where=str(file))
    # As words: of two models of a run, tokens and minutes differ.
    described = {name: str(value) for name, value in describe_model(read_object(model / RECORD)).items()}
    if {name: str(value) for name, value in found.model.items()} != described:
        if report is None:
            return ""
        hint = "evaluate the model again, or leave --report out"
        raise ModelError(f"this report is not of the model {model}", where=file, hint=hint)
    lines = ["| task | rows | metric | score | best baseline |", "|---|---:|---|---:|---:|"]
    for result in found.results:
        best = result.best_baseline
        rival = f"{best[0]} {best[1].value:.3f}" if best else "–"
        rows = f"{result.n_test:,} ({result.split})"
        lines.append(f"| {result.name} | {rows} | {metric_name(result.metric)} | {result.score} | {rival} |")
    notes = [SIMULATED] if found.simulated else []
    notes += ["Scores with their intervals; baselines were trained on the same rows as the model.", *found.notes]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])
