"""Low-rank adaptation through PEFT."""

from typing import TYPE_CHECKING

from llama_gene.config import LoraSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def add_lora(model: "PreTrainedModel", settings: LoraSettings) -> "PeftModel":
    """Wrap `model` so that adapters on all its linear projections train, and its rows too where that is asked for.

    Tied rows stay tied: PEFT's ``modules_to_save`` alone would copy them apart.
    """
    from peft import LoraConfig, get_peft_model

    rows: list[str] = []
    tied = bool(model.config.tie_word_embeddings)
    if settings.embeddings == "train":
        names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
        rows = [names[id(model.get_input_embeddings())]]
        if not tied:
            rows.append(names[id(model.get_output_embeddings())])
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        target_modules="all-linear",
        modules_to_save=rows or None,
        ensure_weight_tying=tied and bool(rows),
    )
    return get_peft_model(model, config)
