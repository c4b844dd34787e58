"""``leakage``: test rows that stand in training; ``split``: a table as train, dev and test without any."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_gene.cli.rejects import Rejects
from llama_gene.cli.vocabulary import SequenceKind

if TYPE_CHECKING:
    from llama_gene.config import LeakageSettings
    from llama_gene.evaluation.leakage import Leakage
    from llama_gene.evaluation.leakage.rows import RowReader
    from llama_gene.evaluation.leakage.split import Table
    from llama_gene.sequences.alphabet import Kind
    from llama_gene.tasks.task import Example

_NUM_SHOWN = 5
_MAX_SHOWN_LETTERS = 60

TaskName = Annotated[
    str | None, typer.Option("--task", help="A built-in task or a task file: it says what the columns are.")
]
KindOption = Annotated[
    SequenceKind | None, typer.Option("--kind", help="What the sequences are, of FASTA or a column sequence or seq.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="A column of sequences, as COLUMN:dna or COLUMN:protein; give it twice for a pair."),
]
KmerLengths = Annotated[
    list[str] | None,
    typer.Option("--k", help="Letters of a k-mer: N, or dna=N, protein=N; 16 for DNA, 5 for protein if not given."),
]
Threshold = Annotated[float, typer.Option(help="The share of a row's k-mers that must stand in one other row.")]


def leakage(
    train: Annotated[Path, typer.Argument(help="Training rows; or a corpus folder of a run, or any sequence file.")],
    test: Annotated[Path, typer.Argument(help="The rows that should be new to the model.")],
    task: TaskName = None,
    kind: KindOption = None,
    column: Columns = None,
    k: KmerLengths = None,
    threshold: Threshold = 0.5,
    output: Annotated[Path | None, typer.Option(help="A .tsv file for the leaked rows.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found, as JSON.")] = False,
) -> None:
    """Find the rows of TEST that stand in TRAIN: copies, reverse complements, and rows that share most k-mers."""
    from llama_gene.evaluation.leakage.rows import find_leaks_in_files

    reader, rule = _reader(task, kind, column), _rule(k, threshold)
    rejects = Rejects()
    try:
        found, rows = find_leaks_in_files(train, test, reader, rule, rejects)
    finally:
        rejects.tell()
    if output is not None:
        _write(found, rows, output)
    if as_json:
        typer.echo(json.dumps(_as_json(found, rejects.total), indent=2))
        return
    _tell(found, rows, reader)
    if output is not None:
        typer.echo(f"leaked rows: {output}")


def split(
    table: Annotated[Path, typer.Argument(help="A table of labelled sequences.")],
    output: Annotated[Path, typer.Option(help="The folder for train, dev and test.")],
    task: TaskName = None,
    kind: KindOption = None,
    column: Columns = None,
    label_column: Annotated[
        str | None, typer.Option(help="Its labels are spread evenly; that of the task, or label, if not given.")
    ] = None,
    dev: Annotated[float, typer.Option(help="The share of the rows that becomes dev; 0 for none.")] = 0.1,
    test: Annotated[float, typer.Option(help="The share of the rows that becomes test; 0 for none.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Decides between clusters of one size.")] = 17,
    k: KmerLengths = None,
    threshold: Threshold = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Split a table so that nothing leaks: rows that share most k-mers, and their like, stay on one side."""
    from llama_gene.errors import SettingsError
    from llama_gene.evaluation.leakage.split import SIDES, output_suffix, read_table_to_split, split_rows, write_sides
    from llama_gene.files import hash_file

    reader, rule = _reader(task, kind, column), _rule(k, threshold)
    shares = (1 - dev - test, dev, test)
    files = {
        side: output / f"{side}{output_suffix(table)}" for side, share in zip(SIDES, shares, strict=True) if share > 0
    }
    there = [path for path in files.values() if path.exists()]
    if there and not force:
        raise SettingsError("it is there already", where=there[0], hint="choose another --output, or add --force")
    label = label_column or (reader.task.label_column if task and reader.task else "label")
    rejects = Rejects()
    try:
        rows = read_table_to_split(table, reader, label, rejects)
    finally:
        rejects.tell()
    sides, clusters = split_rows(rows, reader, rule, dev, test, seed)
    write_sides(rows, sides, files)
    typer.echo(f"{table} (sha256 {hash_file(table)[:16]}): {len(rows.rows):,} rows, {rejects.total:,} set aside")
    _tell_split(rows, sides.tolist(), clusters.tolist(), dict(zip(SIDES, shares, strict=True)), files, reader)
    _prove(rows, sides.tolist(), reader, rule)


def _reader(task: str | None, kind: SequenceKind | None, columns: list[str] | None) -> "RowReader":
    from llama_gene.errors import SettingsError
    from llama_gene.evaluation.leakage.rows import RowReader
    from llama_gene.tasks.registry import load_task

    if task is not None:
        if kind is not None or columns:
            raise SettingsError("--task says what the columns are", hint="leave --kind and --column out")
        return RowReader.of_task(load_task(task))
    if columns:
        return RowReader.of_columns([_column(text, kind) for text in columns])
    if kind is None:
        hint = "give --task NAME, --kind dna | protein, or --column COLUMN:dna"
        raise SettingsError("what the sequences are was not said", hint=hint)
    return RowReader((kind.value,))


def _column(text: str, kind: SequenceKind | None) -> "tuple[str, Kind]":
    from llama_gene.errors import SettingsError

    name, _, own = text.rpartition(":")
    if name and own in set(SequenceKind):
        return name, SequenceKind(own).value
    if kind is None:
        raise SettingsError(f"--column {text!r}", hint="write it as COLUMN:dna or COLUMN:protein, or add --kind")
    return text, kind.value


def _rule(lengths: list[str] | None, threshold: float) -> "LeakageSettings":
    from llama_gene.config import LeakageSettings, validate
    from llama_gene.errors import SettingsError

    values: dict[str, str | float] = {"threshold": threshold}
    for text in lengths or []:
        name, equals, number = text.rpartition("=")
        if not number.isdecimal() or (equals and name not in set(SequenceKind)):
            raise SettingsError(f"--k {text!r}", hint="write --k N, --k dna=N or --k protein=N")
        values |= {f"{one}_k": number for one in ([name] if equals else SequenceKind)}
    return validate(LeakageSettings, values, where="--k, --threshold")


def _tell(found: "Leakage", rows: "list[Example]", reader: "RowReader") -> None:
    num, rule = found.num_test, found.rule
    kinds = sorted(set(reader.kinds))
    lengths = " and ".join(f"k = {rule.k_of(kind)} ({'DNA' if kind == 'dna' else kind})" for kind in kinds)
    typer.echo(f"{num:,} test rows against {found.num_train:,} training rows; {lengths}, threshold {rule.threshold:g}")
    typer.echo(f"{len(found.leaks):,} leaked ({len(found.leaks) / num:.1%}); {num - len(found.leaks):,} are clean")
    for kind, count in found.counts.items():
        typer.echo(f"  {kind:<20} {count:>8,} {count / num:>7.1%}")
    if found.short:
        typer.echo(f"{len(found.short):,} rows have a sequence without a k-mer: compared for equality only")
    # The worst ones: of each kind first those that share the most.
    worst = sorted(found.leaks, key=lambda leak: -leak.share)[:_NUM_SHOWN]
    for leak in worst:
        typer.echo(f"  {leak.id} is in {leak.train_id}: {leak.kind}, {leak.share:.0%} of its k-mers")
        for sequence in rows[leak.row].sequences:
            cut = "..." if len(sequence) > _MAX_SHOWN_LETTERS else ""
            typer.echo(f"    {sequence[:_MAX_SHOWN_LETTERS]}{cut}")
    if found.leaks:
        typer.echo("a score on these rows says what the model remembers; make a clean split with llama-gene split")


def _as_json(found: "Leakage", num_rejected: int) -> dict[str, object]:
    return {
        "rule": found.rule.model_dump(),
        "num_test": found.num_test,
        "num_train": found.num_train,
        "num_short": len(found.short),
        "num_rejected": num_rejected,
        "num_leaked": len(found.leaks),
        "counts": found.counts,
        "leaks": [
            {"row": leak.row, "id": leak.id, "kind": leak.kind, "train_id": leak.train_id, "share": leak.share}
            for leak in found.leaks
        ],
    }


def _write(found: "Leakage", rows: "list[Example]", output: Path) -> None:
    import csv

    from llama_gene.files import atomic_path

    with atomic_path(output) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        names = ["sequence"] if len(rows[0].sequences) == 1 else ["seq_a", "seq_b"]
        writer.writerow(["row", "id", "kind", "train_id", "share", *names])
        for leak in found.leaks:
            share = f"{leak.share:.4f}"
            writer.writerow([leak.row, leak.id, leak.kind, leak.train_id, share, *rows[leak.row].sequences])


def _tell_split(
    table: "Table",
    sides: list[int],
    clusters: list[int],
    shares: dict[str, float],
    files: dict[str, Path],
    reader: "RowReader",
) -> None:
    from collections import Counter

    from llama_gene.evaluation.leakage.split import way_out

    sizes = Counter(clusters)
    largest = max(sizes.values())
    typer.echo(f"{len(sizes):,} clusters; the largest has {largest:,} rows, {largest / len(sides):.1%} of all")
    too_few = False
    for number, (side, share) in enumerate(shares.items()):
        if side not in files:
            continue
        mine = [place for place, one in enumerate(sides) if one == number]
        too_few |= len(mine) < share * len(sides) / 2
        labels = Counter(table.labels[place] for place in mine) if table.labels else Counter()
        spread = ", ".join(f"{label}: {count / len(mine):.1%}" for label, count in sorted(labels.items())[:8])
        if len(labels) > 8:
            spread = f"{len(labels):,} different labels"
        typer.echo(f"  {side:<6}{len(mine):>9,} rows, {len(mine) / len(sides):.1%} (wanted {share:.1%})  {spread}")
        typer.echo(f"        {files[side]}")
    if too_few:
        typer.echo(f"warning: too many rows hang together to hold out what was wanted; {way_out(reader)}", err=True)


def _prove(table: "Table", sides: list[int], reader: "RowReader", rule: "LeakageSettings") -> None:
    """Look for leaks between the sides, as `leakage` does, and say that there are none."""
    from llama_gene.evaluation.leakage import find_leaks
    from llama_gene.evaluation.leakage.split import SIDES

    rows = [
        [row for row, side in zip(table.rows, sides, strict=True) if side == number] for number in range(len(SIDES))
    ]
    for number in (1, 2):
        if rows[number]:
            earlier = [row for one in rows[:number] for row in one]
            leaks = len(find_leaks(rows[number], earlier, reader.kinds, rule).leaks)
            typer.echo(
                f"leakage of {' and '.join(SIDES[:number])} into {SIDES[number]}: {leaks} of {len(rows[number]):,} rows"
            )
