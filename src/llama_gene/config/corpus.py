"""``[corpus]``: what pre-training reads."""

from typing import Literal, Self

from pydantic import Field, model_validator

from llama_gene.config.section import Settings

Modality = Literal["dna", "protein", "text"]


class SourceSettings(Settings):
    """One source of the pre-training corpus."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="how messages and summaries call it")
    kind: Modality = Field(description="what its records are")
    files: list[str] = Field(min_length=1, description="files or patterns")
    weight: float = Field(
        1.0,
        gt=0,
        description="share of the training tokens, relative to the other sources; with [corpus.weights] to the other "
        "sources of its kind",
    )
    text_field: str = Field(
        "text",
        description="the field of a JSONL source that holds its text, a.b for b inside a; without it papers give their "
        "title, abstract and body",
    )
    both_strands: bool = Field(False, description="each window of DNA, and its reverse complement as another document")

    @model_validator(mode="after")
    def _only_dna_has_strands(self) -> Self:
        if self.both_strands and self.kind != "dna":
            raise ValueError(f"both_strands is for DNA: {self.kind} has no reverse complement")
        return self


class ModalityWeights(Settings):
    """The share of the training tokens that each modality gets, relative to the others."""

    dna: float | None = Field(None, gt=0, description="of all sources of DNA")
    protein: float | None = Field(None, gt=0, description="of all sources of protein")
    text: float | None = Field(None, gt=0, description="of all sources of text")


class DecontaminateSettings(Settings):
    """What the corpus must not teach: windows that share a k-mer with these files are left out."""

    dna: list[str] = Field([], description="tables or sequence files whose DNA is kept out, on either strand")
    protein: list[str] = Field([], description="tables or sequence files whose proteins are kept out")
    tasks: bool = Field(True, description="keep out the dev and test rows of the recipe's tasks, too")
    dna_k: int = Field(32, ge=8, le=32, description="letters of a k-mer of DNA; one in common is enough")
    protein_k: int = Field(12, ge=4, le=14, description="letters of a k-mer of protein; one in common is enough")


class CorpusSettings(Settings):
    """The pre-training corpus: sources become encoded shards."""

    source: list[SourceSettings] = Field(min_length=1)
    weights: ModalityWeights | None = Field(None, description="shares of DNA, protein and text, whatever their sources")
    window: int = Field(1000, ge=50, description="longest document of DNA, in bases; longer records are windowed")
    min_length: int = Field(50, ge=2, description="shortest run of clean letters kept")
    bad_letters: Literal["refuse", "drop", "mask"] = Field("refuse", description="refused records go to the side file")
    validation: float = Field(
        0.01, gt=0, lt=0.5, description="share of the letters of each modality that is held out, drawn by record"
    )
    deduplicate: bool = Field(True, description="keep one of documents that are equal, over all sources")
    decontaminate: DecontaminateSettings | None = None
    task_size: int = Field(
        64_000_000,
        ge=1000,
        description="bytes of a plain file that are encoded as one task; a compressed file is one task",
    )
    # These two do not decide the result, so they are left out where settings are compared or written down.
    executor: Literal["local", "ray"] = Field("local", exclude=True, description="where tasks are done")
    workers: int | None = Field(None, ge=1, exclude=True, description="processes at a time; all cores if not given")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.source]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources have one name: {', '.join(sorted(names))}")
        return self

    @model_validator(mode="after")
    def _weights_are_of_the_sources(self) -> Self:
        if self.weights:
            given = {kind for kind, weight in self.weights if weight is not None}
            kinds = {source.kind for source in self.source}
            for kind in sorted(given ^ kinds):
                lack = f"has sources but no weight: add {kind} = 1" if kind in kinds else "has a weight but no source"
                raise ValueError(f"weights: {kind} {lack}")
        return self
