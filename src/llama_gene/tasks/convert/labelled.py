"""Labelled sequences without a task's definition: what a converter takes from one form to another."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_gene.errors import FormatError, SequenceError, SettingsError
from llama_gene.sequences.alphabet import PROTEIN, Kind, Policy
from llama_gene.sequences.compression import data_suffix, display_name, open_bytes
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.table import Row, scan_rows
from llama_gene.sequences.uniprot import Entry, from_row, is_uniprot, read_entries
from llama_gene.sequences.uniprot_xml import is_uniprot_xml, read_xml_entries
from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.convert.lucaone import TYPE_NAMES
from llama_gene.tasks.convert.read import read_examples
from llama_gene.tasks.convert.table import scan_table
from llama_gene.tasks.task import Input, Layout, Task, default_row
from llama_gene.tokenizer.parts import Span

OnReject = Callable[[Reject], None] | None


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """Sequences and what is known of them.

    Args:
        id: Its name, or its line in the file.
        spans: One sequence or more, canonical.
        label: The label as it stood there.
        note: One thing more: the species of a protein, the instruction of an Alpaca row.
    """

    id: str
    spans: tuple[Span, ...]
    label: str
    note: str = ""


def read_layout(path: str | Path, layout: Layout, policy: Policy, on_reject: OnReject) -> Iterator[LabelledRow]:
    """The rows of a table in a layout that fixes its columns: `gue`, `lucaone`, `lucaone_pair`.

    What the sequences are is said by the first row; a row that is something else is set aside.

    Raises:
        FormatError: The first row does not say it, or the file is standard input; see also `read_examples`.
    """
    if layout == "gue":
        return read_columns(path, [("sequence", "dna")], "label", policy, on_reject, layout=layout)
    names = ["seq"] if layout == "lucaone" else ["seq_a", "seq_b"]
    if str(path) == "-":
        raise FormatError("it is read twice, so not from standard input", where=layout, hint="give a file")
    first = next((row for row in scan_table(path) if isinstance(row, Row)), Row(1, {}))
    kinds = [dict(TYPE_NAMES).get(first.cells.get(name.replace("seq", "seq_type"), "").strip()) for name in names]
    columns = [(name, kind) for name, kind in zip(names, kinds, strict=True) if kind is not None]
    if len(columns) < len(names):
        hint = f"it has the columns {', '.join(name.replace('seq', 'seq_type') for name in names)}: gene or prot"
        raise FormatError(f"the first row is not of the layout {layout!r}", where=f"{path}:{first.line}", hint=hint)
    return read_columns(path, columns, "label", policy, on_reject, layout=layout)


def read_columns(
    path: str | Path,
    columns: Sequence[tuple[str, Kind]],
    label_column: str,
    policy: Policy,
    on_reject: OnReject,
    *,
    layout: Layout = "table",
) -> Iterator[LabelledRow]:
    """The rows of any table, of which `columns` hold sequences; see `read_examples` for the errors."""
    kinds = [kind for _, kind in columns]
    inputs = tuple(Input(role=name, kind=kind, column=name) for name, kind in columns)
    # A label of which nothing is known is what a task of free text takes for its answer.
    task = Task(
        name="rows", kind="text", row=default_row("text", kinds), title="rows", question="?", layout=layout,
        data=".", metric="rouge_l", label_column=label_column, max_answer_tokens=1, inputs=inputs,
    )  # fmt: skip
    for example in read_examples(task, path, policy=policy, on_reject=on_reject):
        spans = tuple(map(Span, kinds, example.sequences))
        yield LabelledRow(example.id, spans, example.answer or "")


def read_headers(
    path: str | Path, kind: Kind, pattern: str | None, policy: Policy, on_reject: OnReject
) -> Iterator[LabelledRow]:
    """The records of a FASTA file whose headers hold a label: `>id label`, else `>id|label`.

    Args:
        path: Any sequence file.
        kind: What the sequences are.
        pattern: A regular expression that finds the label in the whole header, as its first group.
        policy: What letters outside the alphabet get.
        on_reject: Called with each record that does not hold, or has no label.

    Raises:
        SettingsError: The pattern is none, or has no group.
        FormatError: Without `on_reject`, a header without a label.
    """
    try:
        search = re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise SettingsError(f"--header {pattern!r} is no regular expression ({error})") from None
    if search is not None and search.groups < 1:
        raise SettingsError(f"--header {pattern!r} has no group", hint="put the label in brackets: 'class=(\\w+)'")
    for record in read_records(path, kind, policy=policy, on_reject=on_reject):
        identity, bar, last = record.id.rpartition("|")
        if search is not None:
            found = search.search(f"{record.id} {record.description}".strip())
            name, label = record.id, found[1] if found and found[1] else ""
        elif record.description or not bar:
            name, label = record.id, record.description
        else:
            name, label = identity, last
        if label.strip():
            yield LabelledRow(name, (Span(kind, record.sequence),), label.strip())
        else:
            problem = f"record {record.id!r}: no label in its header"
            if on_reject is None:
                raise FormatError(problem, where=path, hint="write '>name label', or say where it is with --header")
            on_reject(Reject(record.id, display_name(path), problem))


def read_functions(path: str | Path, policy: Policy, on_reject: OnReject) -> Iterator[LabelledRow]:
    """What UniProt says of the function of each protein, from a flat file, XML, or a TSV of its site.

    The label is the text of the FUNCTION comments without their evidence, the note is the species. An entry without
    such a comment is set aside like one that is broken.

    Raises:
        FormatError: None of the three forms; without `on_reject`, an entry that does not hold.
        SequenceError: Without `on_reject`, letters that are none of a protein.
    """
    name = display_name(path)
    with open_bytes(path) as stream:
        for entry in _entries(stream, name, data_suffix(path)):
            where = f"{name}:{entry.line}"
            try:
                row = _function_row(entry, policy)
            except (FormatError, SequenceError) as error:
                if on_reject is None:
                    raise type(error)(error.problem, where=where, hint=error.hint) from None
                on_reject(Reject(entry.accession, where, error.problem))
            else:
                yield row


def _entries(stream: io.BufferedReader, name: str, suffix: str) -> Iterator[Entry]:
    start = stream.peek(1).removeprefix(b"\xef\xbb\xbf").lstrip()
    if is_uniprot(start):
        yield from read_entries(stream, name)
    elif is_uniprot_xml(start):
        yield from read_xml_entries(stream, name)
    elif start.startswith(b"<"):
        raise FormatError("this is XML, but not UniProt's", where=name, hint="download it with format=xml")
    else:
        for row in scan_rows(stream, name, suffix or ".tsv"):
            if isinstance(row, Row):
                yield from_row(row)
            else:
                raise row


def _function_row(entry: Entry, policy: Policy) -> LabelledRow:
    if not entry.accession or not entry.sequence:
        raise FormatError("UniProt: an entry without accession or sequence", hint="download it again")
    if entry.length not in {None, len(entry.sequence)}:
        raise FormatError(f"UniProt: it says {entry.length:,} residues, and there are {len(entry.sequence):,}")
    if not entry.function:
        raise FormatError("UniProt: no FUNCTION comment")
    span = Span("protein", PROTEIN.clean(entry.sequence, policy))
    return LabelledRow(entry.accession, (span,), entry.function, entry.organism)


def from_instructions(
    instructions: Iterable[Instruction], on_reject: Callable[[Reject], None]
) -> Iterator[LabelledRow]:
    """The sequences of each instruction with its answer as their label; its words are the note.

    An instruction in which not one or two sequences are found is set aside.
    """
    for instruction in instructions:
        spans = tuple(instruction.spans)
        if 1 <= len(spans) <= 2:
            words = " ".join(part for part in instruction.parts if isinstance(part, str))
            label = " ".join(instruction.answer.split())
            yield LabelledRow(instruction.id, spans, label, " ".join(words.split()))
        else:
            on_reject(Reject(instruction.id, "", f"{len(spans)} sequences in the instruction, not one or two"))
