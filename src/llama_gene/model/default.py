"""The model that is asked where none is named."""

from pathlib import Path

import llama_gene
from llama_gene.errors import ModelError

QUICKSTART_MODEL = Path("runs/quickstart/model")
SHIPPED_MODEL = Path(llama_gene.__file__).parent / "models" / "mini"


def default_model(task: str | None = None) -> Path:
    """The model that `llama-gene quickstart` left in this folder, else the one in the package.

    Args:
        task: The first of the two that was tuned on it is meant, if either was.

    Raises:
        ModelError: There is neither: this installation came without a model.
    """
    found = [folder for folder in (QUICKSTART_MODEL, SHIPPED_MODEL) if (folder / "config.json").is_file()]
    if not found:
        hint = "name one with --model FOLDER, or make one here in some minutes: llama-gene quickstart"
        raise ModelError("no model was named, and none came with this installation", hint=hint)
    return next((folder for folder in found if (folder / "tasks" / f"{task}.toml").is_file()), found[0])
