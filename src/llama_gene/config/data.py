"""``[data]`` and ``[simulate]``: where sequences and rows come from."""

from pathlib import Path

from pydantic import Field

from llama_gene.config.section import Settings


class DataFileSettings(Settings):
    """A file that the recipe reads and does not bring: where it comes from, and how much is in it."""

    path: str = Field(min_length=1, description="where it has to lie, relative to root")
    origin: str = Field(min_length=1, description="where to get it: an address, or how it is made")
    size: int = Field(ge=1, description="bytes as it lies there, packed or not")
    letters: int = Field(ge=1, description="bases, residues or bytes of text in it, for plans")


class DataSettings(Settings):
    """Where the data lies."""

    root: Path = Field(Path(), description="the folder that paths in the recipe are relative to")
    file: list[DataFileSettings] = Field(default=[], description="large public files, so that a dry run can name them")


class SimulateSettings(Settings):
    """Simulated data with a known best score, instead of data of yours; it becomes the data root."""

    num_train: int = Field(3000, ge=10, description="training rows of each task")
    num_dev: int = Field(500, ge=10, description="dev rows of each task")
