"""The model that is asked where none is named."""

from pathlib import Path

import llama_gene
from llama_gene.errors import ModelError

QUICKSTART_MODEL = Path("runs/quickstart/model")
_SHIPPED = Path(llama_gene.__file__).parent / "models" / "mini"


def default_model() -> Path:
    """The model that `llama-gene quickstart` left in this folder; where there is none, the one in the package.

    Raises:
        ModelError: There is neither: this installation came without a model.
    """
    for folder in (QUICKSTART_MODEL, _SHIPPED):
        if (folder / "config.json").is_file():
            return folder
    hint = "name one with --model FOLDER, or make one here in some minutes: llama-gene quickstart"
    raise ModelError("no model was named, and none came with this installation", hint=hint)
