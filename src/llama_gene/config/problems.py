"""Values against settings: what does not hold is told in plain words, once."""

import difflib
import types
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from llama_gene.errors import SettingsError

_Model = TypeVar("_Model", bound=BaseModel)
_MAX_PROBLEMS = 2  # of a broken file that are told at once


def validate(model: type[_Model], values: Any, *, where: str) -> _Model:
    """Build `model` from `values`; what does not hold becomes one SettingsError in plain words."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem, hint = explain(error, model)
        raise SettingsError(problem, where=where, hint=hint) from None


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str, str | None]:
    """A validation error in one line: each key with what is wrong there; and for a wrong key the nearest right one."""
    details = error.errors(include_url=False)
    # A list with a broken entry is reported once more as too short; the entry says it better.
    places = [detail["loc"] for detail in details]
    details = [d for d in details if not any(len(p) > len(d["loc"]) and p[: len(d["loc"])] == d["loc"] for p in places)]
    problems, hint = [], None
    for detail in details[:_MAX_PROBLEMS]:
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            known = keys_at(model, detail["loc"][:-1])
            near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            problems.append(f"unknown key {key!r}")
        elif detail["type"] == "missing":
            problems.append(f"{key!r} is missing")
        else:
            message = detail["msg"].removeprefix("Value error, ")
            problems.append(f"{key}: {message} (got {detail['input']!r:.60})" if key else message)
    if len(details) > _MAX_PROBLEMS:
        problems.append(f"and {len(details) - _MAX_PROBLEMS} more")
    return "; ".join(problems), hint


def keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at `location` knows.

    >>> from llama_gene.config import Recipe
    >>> keys_at(Recipe, ("data",))
    ['root', 'file']
    """
    current: Any = model
    for part in location:
        if isinstance(part, str):
            current = current.model_fields[part].annotation
        current = settings_in(current)
    return list(current.model_fields)


def settings_in(annotation: Any) -> Any:
    """The Settings class inside ``X | None``, ``list[X]`` or ``tuple[X, ...]``."""
    if get_origin(annotation) in (Union, types.UnionType, list, tuple):
        return next(settings_in(part) for part in get_args(annotation) if part is not type(None))
    return annotation
