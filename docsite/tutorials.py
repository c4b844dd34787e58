"""Runs the notebooks of docs/tutorials in empty folders, and keeps what they print.

``python docsite/tutorials.py [NAME...]`` runs those named, or all.

Each needs nothing but the package, and about a minute of one CPU core.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
# Widths and colours as a page shows them; one thread and no network, so that all machines do the same.
ENVIRONMENT = {
    "COLUMNS": "110",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYTHONWARNINGS": "ignore",
    "TQDM_DISABLE": "1",
}
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def execute(path: Path, folder: Path, timeout: int = 900) -> Any:
    """The notebook at `path` with what it prints when it is run in `folder`.

    Raises:
        CellExecutionError: A cell fails, or takes more than `timeout` seconds.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    # The commands are those of this environment.
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, coalesce_streams=True
    )
    client.execute(cwd=str(folder), env={**os.environ, **ENVIRONMENT, "PATH": search})
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = "\n".join(map(str.rstrip, _STYLES.sub("", output["text"]).splitlines())) + "\n"
    return notebook


def main(names: list[str]) -> None:
    """Run the named notebooks, or all, and write them with their outputs."""
    import nbformat

    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder))
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number}"
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]
        print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
