"""``[model]``: the base and how it grows."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from llama_gene.config.section import Settings


class ModelSettings(Settings):
    """The base model and how it grows."""

    base: str = Field("scratch", description='"scratch", a Hugging Face folder, or a hub id')
    made_by: Path | None = Field(
        None, description="the recipe whose run makes the base, for plans while it is not there"
    )
    size: str = Field("micro", description="the named size of a model from scratch")
    remember: bool = Field(
        False,
        description="give a base of short convolutions and letters, such as a hybrid model of another run, a memory of "
        "n-grams; it starts empty",
    )
    text_vocabulary: int = Field(2048, ge=300, description="pieces of the English tokenizer of a model from scratch")
    context: int = Field(1024, ge=64, description="longest input of a model from scratch, in tokens")
    rows: Literal["subword", "mean", "random"] = Field("subword", description="how the rows of new pieces start")
    row_noise: float = Field(
        0.1, ge=0, description="noise on rows that start as a mean, in standard deviations of the base's rows"
    )

    @model_validator(mode="after")
    def _only_a_base_is_given_a_memory(self) -> Self:
        if self.remember and self.base == "scratch":
            raise ValueError('remember is for a base that was trained; from scratch take size = "gene-mini"')
        return self
