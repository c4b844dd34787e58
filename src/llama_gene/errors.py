"""One exception tree. Every message names the value, the place, and the way out."""

from pathlib import Path

EXIT_CRASH = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class LlamaGeneError(Exception):
    """Something the user can mend: the command line prints it without a traceback and exits with 2.

    Args:
        problem: What is wrong, with the offending value.
        where: The file, with its line or record where known (``"reads.fa:12"``).
        hint: The way out, as something to type or change.

    >>> print(LlamaGeneError("unknown label 'maybe'", where="dev.csv:7", hint="known labels: no, yes"))
    dev.csv:7: unknown label 'maybe'
      known labels: no, yes
    """

    def __init__(self, problem: str, *, where: str | Path | None = None, hint: str | None = None) -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.hint = hint
        first = problem if where is None else f"{where}: {problem}"
        super().__init__(first if hint is None else f"{first}\n  {hint}")


class SettingsError(LlamaGeneError):
    """A recipe or an option that does not hold."""


class SequenceError(LlamaGeneError):
    """Letters that are not in the alphabet, or a sequence that is empty."""


class FormatError(LlamaGeneError):
    """A file that is not what its format says."""


class TokenizerError(LlamaGeneError):
    """A tokenizer that cannot be extended, or does not fit its model."""


class TaskError(LlamaGeneError):
    """A task definition, a label or a table that does not fit its task."""


class ModelError(LlamaGeneError):
    """A model that is missing, gated, broken, or not a causal language model."""
