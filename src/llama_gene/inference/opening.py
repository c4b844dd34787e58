"""One door to whatever can be asked: a model folder of ours, any other model, a server."""

from pathlib import Path

from llama_gene.errors import SettingsError
from llama_gene.inference.predictor import Predictor
from llama_gene.tasks.style import StyleName


def open_predictor(
    model: str, *, style: StyleName | None = None, served: str | None = None, root: Path | None = None
) -> Predictor:
    """Open what `model` names.

    Args:
        model: A folder, a hub id, or the address of an OpenAI-compatible server, as ``http://localhost:8000/v1``.
        style: How it is asked; a model that was tuned on tasks is asked as it was tuned if None, any other one in
            ``llama-gene``.
        served: Which of a server's models; its only one if None.
        root: The data root, for tasks whose labels stand beside their tables.

    Raises:
        LlamaGeneError: It cannot be loaded or reached, or cannot be asked so.
    """
    from llama_gene.model.folder import RECORD

    if model.startswith(("http://", "https://")):
        from llama_gene.inference.remote import RemoteModel

        return RemoteModel.connect(model, served, style or "llama-gene", root)
    if served is not None:
        raise SettingsError(
            f"--model {served!r} names a model of a server", hint="give the server's address: http://..."
        )
    if style is None and (Path(model) / RECORD).is_file():
        from llama_gene.inference.engine import Engine

        return Engine.load(Path(model))
    from llama_gene.inference.stock import StockModel

    return StockModel.load(model, style or "llama-gene", root)
