"""The files that a recipe names."""

from pathlib import Path

from llama_gene.errors import SettingsError


def find_files(patterns: list[str], root: Path) -> list[Path]:
    """The files that `patterns` name under `root`, each once, in a stable order.

    Raises:
        SettingsError: A pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        absolute = Path(pattern).is_absolute()
        matches = [Path(pattern)] if absolute else sorted(root.glob(pattern))
        files = [path for path in matches if path.is_file()]
        if not files:
            raise SettingsError(
                f"no file matches {pattern!r} under {root}", hint="set data.root=FOLDER, or mend the pattern"
            )
        found.update(dict.fromkeys(files))
    return list(found)
