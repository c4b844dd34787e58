"""``doctor``: what this machine can do, and what to install."""

import json
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[Path, typer.Option(help="Where runs would be written.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what this machine can do: processor, GPUs, memory, disk, versions; and what to type for what is missing."""
    from llama_gene.doctor import examine

    found = examine(folder)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "", "found", "what to do", box=None)
    marks = {"ok": Text("ok", style="green"), "missing": Text("missing", style="bold red"), "note": Text("-")}
    for finding in found:
        table.add_row(finding.subject, marks[finding.verdict], Text(finding.found), Text(finding.remedy))
    Console().print(table)
    missing = [finding.subject for finding in found if finding.verdict == "missing"]
    typer.echo(f"missing: {', '.join(missing)}" if missing else "nothing that llama-gene needs is missing")
