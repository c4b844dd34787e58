"""The base of every part of a recipe."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """The base of every section: an unknown key is an error, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
