"""The examples of a task's table, whatever its layout, and the file that a split lies in."""

from collections.abc import Callable, Iterator
from pathlib import Path

from llama_gene.errors import FormatError
from llama_gene.sequences.alphabet import Policy
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert import gue, lucaone
from llama_gene.tasks.convert.parquet import PARQUET_SUFFIX
from llama_gene.tasks.convert.table import Columns, read_table
from llama_gene.tasks.task import Example, Layout, Task

_COLUMNS: dict[Layout, Columns] = {
    "gue": gue.COLUMNS,
    "lucaone": lucaone.SINGLE_COLUMNS,
    "lucaone_pair": lucaone.PAIR_COLUMNS,
    "table": Columns(),
}
_SUFFIXES = [kind + packed for kind in (".csv", ".tsv", ".jsonl") for packed in ("", ".xz", ".gz", ".zst", ".bz2")]
_SUFFIXES.append(PARQUET_SUFFIX)


def read_examples(
    task: Task,
    path: str | Path,
    *,
    policy: Policy = "refuse",
    on_reject: Callable[[Reject], None] | None = None,
    labelled: bool = True,
) -> Iterator[Example]:
    """Read the examples of a table one at a time, cleaned; memory is bounded by the longest row.

    Args:
        task: Whose layout, columns and labels the table has.
        path: CSV, TSV or JSONL, plain or gz, bz2, xz, zst; Parquet; `"-"` is standard input.
        policy: What letters outside the alphabet get, see `Alphabet.clean`.
        on_reject: Called with each bad row, and reading goes on. Without it a bad row raises.
        labelled: False leaves the label column alone, and the answers None: rows to predict.

    Raises:
        FormatError: With file and line: a column that is missing, a row that is broken, a table without rows.
        SequenceError: With file and line: an empty sequence, or letters outside the alphabet.
        TaskError: With file and line: an unknown label, a value that is no number, a type that is not the task's.
    """
    return read_table(task, path, _COLUMNS[task.layout], policy=policy, on_reject=on_reject, labelled=labelled)


def tables_folder(task: Task, data_root: str | Path) -> Path:
    """Where a task's tables lie: `<data root>/tasks/<task.data>`.

    A task whose `data` is absolute (one loaded from a file of its own) does not need the data root.
    """
    return Path(data_root) / "tasks" / task.data


def find_split(task: Task, data_root: str | Path, split: str) -> Path:
    """The file of a split, `<split>.csv` in the folder of the tables, or a packed or TSV or JSONL sibling of it.

    LucaOne's sets have it one folder deeper, as `<split>/<split>.csv`; both places are looked at.

    Raises:
        FormatError: No such file, or two of them.
    """
    folder = tables_folder(task, data_root)
    places = [inside / f"{split}{suffix}" for inside in (folder, folder / split) for suffix in _SUFFIXES]
    found = [place for place in places if place.is_file()]
    if not found:
        hint = f"set data.root=FOLDER, where FOLDER/tasks is; the file is {split}.csv, .tsv or .jsonl, plain or packed"
        raise FormatError(f"task {task.name!r} has no {split} rows", where=folder, hint=hint)
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise FormatError(f"{names} are both the {split} rows of {task.name!r}", where=folder, hint="keep one of them")
    return found[0]
