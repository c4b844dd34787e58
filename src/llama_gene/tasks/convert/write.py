"""Labelled sequences and instructions -> files, whole or not at all."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llama_gene.errors import FormatError, SettingsError
from llama_gene.files import atomic_path
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.read import Reject
from llama_gene.sequences.table import TABLE_SUFFIXES
from llama_gene.tasks.convert.instructions import Instruction, split_text
from llama_gene.tasks.convert.labelled import LabelledRow
from llama_gene.tasks.convert.lucaone import TYPE_NAMES
from llama_gene.tasks.task import Example, Layout, Task
from llama_gene.tasks.template import prompt_parts
from llama_gene.tokenizer.parts import Span, render

InstructionForm = Literal["alpaca", "chat"]
_TYPES = {kind: name for name, kind in TYPE_NAMES}
_NOTHING = "what was set aside, and why, stands above"
_NUM_SPANS = {"gue": 1, "lucaone": 1, "lucaone_pair": 2}


def write_table(
    rows: Iterable[LabelledRow],
    path: Path,
    layout: Layout,
    *,
    sequence_columns: Sequence[str] = (),
    label_column: str = "label",
    note_column: str | None = None,
    on_reject: Callable[[Reject], None],
) -> int:
    """Write rows as a table, CSV, TSV or JSONL by the name of the file; returns how many.

    Args:
        rows: The first one says how many sequences a row has and of which kinds; one that has others is set aside.
        path: The file.
        layout: `table` has the columns `id`, `sequence` (or `seq_a` and `seq_b`) and the label; the others are fixed.
        sequence_columns: Other names for the columns of the sequences, of the layout `table`.
        label_column: Name of the label's column, of the layout `table`.
        note_column: Name of the column of the notes; without it they are left out.
        on_reject: Called with each row that is set aside.

    Raises:
        SettingsError: The name of the file says no format, or the rows do not fit the layout.
        FormatError: There is no row; nothing is written.
    """
    num = 0
    kinds: list[Kind] | None = None
    with _table_writer(path) as write:
        for row in rows:
            found = [span.kind for span in row.spans]
            if kinds is None:
                kinds = found
                _check_layout(layout, kinds, path)
            if found != kinds:
                problem = f"it has the sequences {_listed(found)}, and the first row has {_listed(kinds)}"
                on_reject(Reject(row.id, "", problem))
                continue
            if layout == "table":
                names = sequence_columns or (["sequence"] if len(kinds) == 1 else ["seq_a", "seq_b"])
                sequences = dict(zip(names, (span.sequence for span in row.spans), strict=True))
                notes = {} if note_column is None else {note_column: row.note}
                write({"id": row.id, **sequences, label_column: row.label, **notes})
            else:
                write(_cells(row, layout))
            num += 1
        if num == 0:
            raise FormatError("no row is left to write", where=path, hint=_NOTHING)
    return num


def _check_layout(layout: Layout, kinds: Sequence[Kind], path: Path) -> None:
    fits = len(kinds) == _NUM_SPANS.get(layout, len(kinds)) and (layout != "gue" or kinds == ["dna"])
    if not fits:
        hint = "gue holds one DNA sequence, lucaone one sequence, lucaone_pair two, table any"
        raise SettingsError(f"rows of {_listed(kinds)} do not fit the layout {layout!r}", where=path, hint=hint)


def _listed(kinds: Sequence[Kind]) -> str:
    return " and ".join(kinds) or "none"


def _cells(row: LabelledRow, layout: Layout) -> dict[str, str]:
    if layout == "gue":
        return {"sequence": row.spans[0].sequence, "label": row.label}
    sides = [""] if layout == "lucaone" else ["_a", "_b"]
    # A pair's own id is that of both partners.
    ids = [row.id] if len(sides) == 1 else [*row.id.split("|"), row.id][:2]
    cells = {f"seq_id{side}": name for side, name in zip(sides, ids, strict=True)}
    cells |= {f"seq_type{side}": _TYPES[span.kind] for side, span in zip(sides, row.spans, strict=True)}
    cells |= {f"seq{side}": span.sequence for side, span in zip(sides, row.spans, strict=True)}
    return {**cells, "label": row.label}


@contextmanager
def _table_writer(path: Path) -> Iterator[Callable[[dict[str, str]], None]]:
    """A function that writes rows to `path`, the columns being those of the first."""
    suffix = path.suffix.lower()
    if suffix not in {*TABLE_SUFFIXES, ".jsonl"}:
        raise SettingsError(
            f"the name {path.name!r} says no format of a table", hint="end it with .csv, .tsv or .jsonl"
        )
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        if suffix == ".jsonl":
            yield lambda cells: _write_line(stream, cells)
            return
        writer = csv.writer(stream, delimiter=TABLE_SUFFIXES[suffix], lineterminator="\n")
        header: list[str] = []

        def write(cells: dict[str, str]) -> None:
            if not header:
                header.extend(cells)
                writer.writerow(header)
            writer.writerow(cells.values())

        yield write


def _write_line(stream: Any, value: Any) -> None:
    stream.write(json.dumps(value, ensure_ascii=False) + "\n")


def instruct(task: Task, examples: Iterable[Example]) -> Iterator[Instruction]:
    """The examples of a task as instructions, in the words of its prompt."""
    for example in examples:
        *parts, _ = prompt_parts(task, example.sequences)
        yield Instruction(example.id, tuple(parts), example.answer or "")


def write_instructions(
    instructions: Iterable[Instruction], path: Path, form: InstructionForm, *, tags: bool = False
) -> int:
    """Write instructions as one JSON array (`.json`) or one object a line (`.jsonl`); returns how many.

    Args:
        instructions: What to write.
        path: The file.
        form: `alpaca`: `instruction` is the first line of the prompt and `input` the rest. `chat`: two `messages`.
        tags: Write each sequence between its tags, so that any length of it is found again; else bare, as other
            programs expect it.

    Raises:
        SettingsError: The name of the file ends with neither.
        FormatError: There is no instruction; nothing is written.
    """
    if path.suffix.lower() not in {".json", ".jsonl"}:
        raise SettingsError(f"the name {path.name!r} says no form of JSON", hint="end it with .json or .jsonl")
    is_array = path.suffix.lower() == ".json"
    num = 0
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8") as stream:
        for instruction in instructions:
            stream.write(("[\n" if num == 0 else ",\n") if is_array else "")
            prompt = render(instruction.parts) if tags else _bare(instruction.parts)
            answer = instruction.answer if tags else _bare(split_text(instruction.answer))
            value = {"id": instruction.id, **(_as_alpaca if form == "alpaca" else _as_chat)(prompt, answer)}
            stream.write(json.dumps(value, ensure_ascii=False) + ("" if is_array else "\n"))
            num += 1
        if num == 0:
            raise FormatError("no instruction is left to write", where=path, hint=_NOTHING)
        stream.write("\n]\n" if is_array else "")
    return num


def _bare(parts: Sequence[str | Span]) -> str:
    return "".join(part if isinstance(part, str) else part.sequence for part in parts)


def _as_alpaca(prompt: str, answer: str) -> dict[str, Any]:
    question, _, rest = prompt.partition("\n")
    return {"instruction": question, "input": rest, "output": answer}


def _as_chat(prompt: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
