"""``[evaluation]``: how it is scored."""

from typing import Literal

from pydantic import Field

from llama_gene.config.section import Settings


class LeakageSettings(Settings):
    """When a test row counts as seen: at least a share of its distinct k-mers stands in one training row."""

    dna_k: int = Field(16, ge=1, le=32, description="letters of a k-mer of DNA, taken on either strand")
    protein_k: int = Field(5, ge=1, le=14, description="letters of a k-mer of protein")
    threshold: float = Field(0.5, gt=0, le=1, description="the share of its k-mers; in a pair that of either partner")

    def k_of(self, kind: Literal["dna", "protein"]) -> int:
        """The letters of a k-mer of `kind`."""
        return self.dna_k if kind == "dna" else self.protein_k


class EvaluationSettings(Settings):
    """Scoring on the dev split."""

    batch_tokens: int = Field(16_384, ge=1, description="prompt tokens scored at a time")
    wording_rows: int = Field(
        100,
        ge=0,
        description="dev rows a task that are asked in other words, too, of the model before and after tuning",
    )
    explained_rows: int = Field(
        2,
        ge=0,
        description="dev rows a task whose deciding letters are shown: the surest right one, the worst one, ...",
    )
    baselines: bool = Field(True, description="train the baselines on the same rows and report them beside the model")
    leakage: LeakageSettings = LeakageSettings()
