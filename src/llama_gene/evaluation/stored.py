"""Reports on disk: ``report.json``, and beside it ``predictions/TASK.tsv`` with what was answered to each row."""

import re
from dataclasses import dataclass
from pathlib import Path

from llama_gene.errors import FormatError, SettingsError
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.evaluation.result import Report, TaskResult
from llama_gene.tasks.task import Task

REPORT = "report.json"

# A name from a file must not lead out of its folder.
_TASK_NAME = re.compile(r"\w+", re.ASCII)


def predictions_path(folder: Path, task: str) -> Path:
    """Where the rows of a task's result lie, beside a report in `folder`.

    Raises:
        FormatError: No task can have that name.
    """
    if not _TASK_NAME.fullmatch(task):
        raise FormatError(f"not the name of a task: {task!r:.60}", where=folder / REPORT)
    return folder / "predictions" / f"{task}.tsv"


@dataclass(frozen=True)
class StoredReport:
    """A report and where it lies.

    Args:
        report: The report.
        path: Its report.json.
    """

    report: Report
    path: Path

    @classmethod
    def read(cls, place: Path) -> "StoredReport":
        """Read a report.json, or that of a folder, or that of a run.

        Raises:
            FormatError: There is none, or it is none of ours.
        """
        found = [path for path in (place, place / REPORT, place / "report" / REPORT) if path.is_file()]
        if not found:
            hint = "give a report.json, the folder that holds it, or a run's; evaluate --output FOLDER writes one"
            raise FormatError("no report here", where=place, hint=hint)
        try:
            text = found[0].read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise FormatError("not a report (no UTF-8)", where=found[0], hint="it takes a report.json") from None
        return cls(Report.from_json(text, where=str(found[0])), found[0])

    def result(self, task: str) -> TaskResult | None:
        """The result of a task; None if it was not evaluated."""
        return next((result for result in self.report.results if result.name == task), None)

    def outcomes(self, result: TaskResult) -> Outcomes | None:
        """The rows of one of its results; None if none were kept, or the file was left behind.

        Raises:
            FormatError: The file is not the one that was written with the report.
        """
        if result.rows is None:
            return None
        path = predictions_path(self.path.parent, result.name)
        return Outcomes.read(path, result.kind, result.rows) if path.is_file() else None


def stored_temperature(place: Path, task: Task, prompt_hash: str) -> tuple[float, str]:
    """The temperature of a task in a report, and what it was fitted on, in words.

    Args:
        place: As for `StoredReport.read`.
        task: The task.
        prompt_hash: Of the prompts that the model is asked now.

    Raises:
        FormatError: There is no report.
        SettingsError: It has no temperature of this task, or the task was asked otherwise then.
    """
    stored = StoredReport.read(place)
    result = stored.result(task.name)
    if result is None or result.calibration is None or result.prompt_hash != prompt_hash:
        problem = f"no temperature of task {task.name!r} as the model is asked now"
        raise SettingsError(problem, where=stored.path, hint="evaluate the model on its dev split with --output FOLDER")
    return result.calibration.temperature, f"{result.n_test:,} rows of {result.split}"
