"""An executed notebook as a Markdown page."""

import json
from pathlib import Path
from typing import Any


def to_markdown(path: Path) -> str:
    """The cells of the notebook at `path`, each with what it printed."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(_cell(cell) for cell in cells) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    language = "sh" if source.startswith("%%bash") else "python"
    code = source.removeprefix("%%bash").strip("\n")
    return "\n\n".join([f"```{language}\n{code}\n```", *map(_output, cell["outputs"])])


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _printed("".join(output["text"]))
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">{"".join(data["text/html"])}</div>'
    return _printed("".join(data["text/plain"]))


def _printed(text: str) -> str:
    return f"```text {{.output}}\n{text.rstrip()}\n```"
