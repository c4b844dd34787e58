"""``[vocabulary]``: the pieces of DNA and protein."""

from typing import Literal, Self

from pydantic import Field, model_validator

from llama_gene.config.section import Settings

Scheme = Literal["typed", "shared"]


class PiecesSettings(Settings):
    """One learned sequence vocabulary."""

    size: int = Field(512, ge=4, description="pieces: the letters (4 or 20) and one for each merge")
    files: list[str] = Field(min_length=1, description="files or patterns to learn from")
    sample: int = Field(20_000_000, ge=1000, description="letters to learn from at most, drawn evenly over the files")
    both_strands: bool = Field(False, description="DNA pieces in twos, each with its reverse complement")


class VocabularySettings(Settings):
    """The pieces of DNA and protein, each learned on its own."""

    scheme: Scheme = Field(
        "typed",
        description="typed: sequences stand in typed spans with vocabularies of their own; shared: they stand bare, "
        "with their pieces in the base's SentencePiece table, as in the paper",
    )
    dna: PiecesSettings | None = None
    protein: PiecesSettings | None = None

    @model_validator(mode="after")
    def _protein_has_one_strand(self) -> Self:
        if self.protein and self.protein.both_strands:
            raise ValueError("both_strands is for [vocabulary.dna]: a protein has no reverse complement")
        return self

    @property
    def kinds(self) -> tuple[Literal["dna", "protein"], ...]:
        """What is learned; nothing where the base knows sequences already."""
        return tuple(kind for kind in ("dna", "protein") if getattr(self, kind))
