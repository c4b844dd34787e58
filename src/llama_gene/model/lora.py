"""What trains: everything, or low-rank adapters through PEFT with none, some or all rows of embedding and head."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_gene.config import LoraSettings, TrainingSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def adapt(model: "PreTrainedModel", settings: TrainingSettings, first_new: int, *, seed: int = 0) -> Any:
    """Make `model` train what `settings.train` says.

    Args:
        model: The whole model; its modules are replaced in place.
        settings: What trains, and how adapters are made.
        first_new: The first row that the model's text base did not have.
        seed: Decides how adapters start.

    Returns:
        `model` where everything trains, else a PeftModel around it.

    Raises:
        ModelError: Only new rows are to train, and this architecture's rows cannot be split.
    """
    if settings.adapters is None:
        return model
    from transformers import set_seed

    from llama_gene.model.rows import row_parameters, split_rows

    set_seed(seed)
    adapted = add_lora(model, settings.adapters)
    # Not by PEFT's modules_to_save: it keeps a second copy of both matrices, and unties tied ones.
    if settings.train == "lora+embeddings":
        for rows in row_parameters(model):
            rows.requires_grad_(True)
    elif settings.train == "lora+new-rows":
        split_rows(model, first_new)
    return adapted


def add_lora(model: "PreTrainedModel", settings: LoraSettings) -> "PeftModel":
    """Wrap `model` with adapters on all its linear projections but the head; everything else is frozen."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        target_modules="all-linear",
    )
    with quiet_peft():
        return get_peft_model(model, config)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep from users that PEFT asks transformers for something by its older name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
