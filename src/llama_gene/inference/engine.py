"""An engine: a loaded model that answers the tasks it was tuned on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_gene.inference.local import LocalModel
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.tuned import TunedFolder
from llama_gene.model.folder import load_folder
from llama_gene.tokenizer import GeneTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Engine", "Prediction"]


class Engine(TunedFolder, LocalModel):
    """A model, its tokenizer and its tasks.

    Args:
        model: The model; it is put on the GPU, if there is one, and into evaluation mode.
        tokenizer: Its tokenizer.
        record: Its record, with the prompt hash of every task under ``tasks``.
        folder: Where it was loaded from.
    """

    def __init__(
        self, model: "PreTrainedModel", tokenizer: GeneTokenizer, record: dict[str, Any], folder: Path
    ) -> None:
        super().__init__(model, record, folder, tokenizer.pad_id)
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> "Engine":
        """Load a model folder of ours."""
        return cls(*load_folder(folder), folder)
