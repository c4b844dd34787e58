"""What all values of a report have in common."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A plain immutable value with one JSON form."""

    # JSON has no NaN: it is written as the string "NaN", which is read back as the number where one is expected.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
