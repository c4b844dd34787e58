"""``[model]``: the base and how it grows."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from llama_gene.config.section import Settings


class ModelSettings(Settings):
    """The base model and how it grows."""

    base: str = Field("scratch", description='"scratch", a Hugging Face folder, or a hub id')
    made_by: Path | None = Field(
        None, description="the recipe whose run makes the base, for plans while it is not there"
    )
    size: str = Field("micro", description="the named size of a model from scratch")
    text_vocabulary: int = Field(2048, ge=300, description="pieces of the English tokenizer of a model from scratch")
    context: int = Field(1024, ge=64, description="longest input of a model from scratch, in tokens")
    rows: Literal["subword", "mean", "random"] = Field("subword", description="how the rows of new pieces start")
    row_noise: float = Field(
        0.1, ge=0, description="noise on rows that start as a mean, in standard deviations of the base's rows"
    )
