"""The reference, made from the code whenever the site is built: every command, recipe key and public Python name."""

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docstrings import to_markdown
from llama_gene.cli import app
from llama_gene.config import Recipe, settings_in

# What Python code outside of the package is meant to use; the names are those of each module's `__all__`.
MODULES = (
    "llama_gene",
    "llama_gene.sequences",
    "llama_gene.vocabulary",
    "llama_gene.tokenizer",
    "llama_gene.tasks.convert",
    "llama_gene.simulate",
    "llama_gene.metrics",
)
# What `llama_gene.load` gives, what that gives, and a task, whose arguments are the keys of a task file.
CLASSES = (
    ("llama_gene.inference.model", "Model"),
    ("llama_gene.inference.model", "Predictions"),
    ("llama_gene.inference.predictor", "Prediction"),
    ("llama_gene.inference.likelihood", "Likelihood"),
    ("llama_gene.tasks.task", "Task"),
    ("llama_gene.tasks.task", "Input"),
)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, ``"corpus build"``, as typer has it."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            yield from ((f"{name} {word}", one) for word, one in inner.items())


def commands_page() -> str:
    """``reference/commands.md``."""
    lines = [
        "# Commands",
        "",
        "Made from the program itself: `llama-gene COMMAND --help` says the same. A mistake of yours ends with exit "
        "code 2 and one message, Ctrl-C with 130; 1 is a bug of ours.",
    ]
    for name, command in commands():
        lines += [
            "",
            f"## {name}",
            "",
            to_markdown(command.help or ""),
            "",
            "```text",
            _usage(name, command),
            "```",
            "",
        ]
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        lines += ["| | | default |", "|---|---|---|", *rows] if rows else []
    return "\n".join(lines) + "\n"


def _usage(name: str, command: Any) -> str:
    words = ["llama-gene", name]
    for parameter in command.params:
        shown = _placeholder(parameter)
        if parameter.param_type_name == "argument":
            words.append(shown if parameter.required or shown.startswith("[") else f"[{shown}]")
        elif parameter.required:
            words.append(f"{parameter.opts[0]} {shown}")
    optional = any(one.param_type_name == "option" and not one.required for one in command.params)
    return " ".join([*words, "[OPTIONS]"] if optional else words)


def _placeholder(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(one.value for one in annotation)
    return {Path: "PATH", int: "NUMBER", float: "NUMBER"}.get(annotation, "TEXT")


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        left = f"`{_placeholder(parameter)}`"
    else:
        flags = [*parameter.opts, *parameter.secondary_opts]
        left = ", ".join(f"`{flag}`" for flag in flags)
        if not (parameter.is_flag or parameter.is_bool_flag):
            left = f"`{parameter.opts[0]} {_placeholder(parameter)}`"
    given = parameter.default
    default = "needed" if parameter.required else "" if given in (None, False, "", ()) else f"`{_toml(given)}`"
    return f"| {left} | {_cell(parameter.help or '')} | {default} |"


def recipe_keys(
    model: type[BaseModel] = Recipe, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, type[BaseModel], str]]:
    """Every key of a recipe: its full name with dots, the settings it stands in, its own name."""
    sections = []
    for name, field in model.model_fields.items():
        inner = settings_in(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            sections.append((inner, (*above, name)))
        else:
            yield ".".join((*above, name)), model, name
    # As TOML wants it: the keys of a section stand before the sections inside it.
    for inner, place in sections:
        yield from recipe_keys(inner, place)


def recipe_page() -> str:
    """``reference/recipe.md``."""
    lines = [
        "# Recipe keys",
        "",
        "Made from the settings themselves. A recipe is one TOML file; any key can be changed on the command line as "
        "`section.key=value`. An unknown key is an error that names the nearest right one.",
    ]
    last = None
    for key, model, name in recipe_keys():
        section = key.rpartition(".")[0]
        if section != last:
            lines += ["", f"## {_header(section)}", "", to_markdown(model.__doc__ or ""), ""]
            lines += ["| key | value | default | |", "|---|---|---|---|"]
            last = section
        lines.append(_key_row(key, model, name))
    return "\n".join(lines) + "\n"


def _header(section: str) -> str:
    if not section:
        return "The recipe"
    model: Any = Recipe
    for part in section.split("."):
        annotation = model.model_fields[part].annotation
        model = settings_in(annotation)
    return f"\\[\\[{section}\\]\\]" if _is_list(annotation) else f"\\[{section}\\]"


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list


def _key_row(key: str, model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    missing = field.default is PydanticUndefined
    default = "needed" if missing else "" if field.default is None else f"`{_toml(field.default)}`"
    # The anchor is the whole key, so that a page can link to it.
    kind, said = _kind(field.annotation, field.metadata), _cell(field.description or "")
    return f'| <span id="{key}"></span>`{name}` | {kind} | {default} | {said} |'


def _kind(annotation: Any, metadata: list[Any]) -> str:
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in arguments)
    if get_origin(annotation) is list:
        return f"list of {_kind(arguments[0], [])}"
    if get_origin(annotation) is dict:
        return f"table of {_kind(arguments[1], [])}"
    if arguments:
        return _kind(arguments[0], metadata)
    name = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`", Path: "path"}.get(
        annotation, ""
    )
    signs = (("ge", "≥"), ("gt", "above"), ("le", "≤"), ("lt", "below"))
    limits = [
        f"{sign} {value:g}"
        for one in metadata
        for limit, sign in signs
        if (value := getattr(one, limit, None)) is not None
    ]
    return ", ".join([name, *limits])


def _toml(value: Any) -> str:
    """A value as TOML writes it.

    >>> _toml(True), _toml("typed"), _toml(Path())
    ('true', '"typed"', '"."')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str | Path):
        return f'"{value}"'
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f"{value:_}" if isinstance(value, int) else f"{value:g}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def python_page() -> str:
    """``reference/python.md``."""
    lines = [
        "# Python",
        "",
        "Made from the docstrings. `import llama_gene` loads nothing heavy; `llama_gene.load` does.",
        "",
    ]
    for name in MODULES:
        module = importlib.import_module(name)
        lines += [f"## {name}", "", to_markdown((module.__doc__ or "").partition("\n")[0]), ""]
        for one in module.__all__:
            lines += _entry(f"llama_gene.{one}" if name == "llama_gene" else one, getattr(module, one))
        if name == "llama_gene":
            for home, one in CLASSES:
                lines += _entry(one, getattr(importlib.import_module(home), one))
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any, level: int = 3) -> list[str]:
    title = name.replace("__", r"\_\_")
    lines = [f"{'#' * level} {title}", ""]
    if isinstance(value, str | int | float):
        return [*lines, f"`{value!r}`", ""]
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return [*lines, f"`{_short(repr(value))}`", ""]
    signature = _signature(name.rpartition(".")[2], value)
    lines += ["```python", signature, "```", ""] if signature else []
    lines += [to_markdown(value.__doc__ or ""), ""]
    if inspect.isclass(value):
        for one, member in vars(value).items():
            if not one.startswith("_") and (inspect.isfunction(member) or isinstance(member, property | classmethod)):
                lines += _member(f"{name.rpartition('.')[2]}.{one}", member)
    return lines


def _member(name: str, member: Any) -> list[str]:
    if isinstance(member, property):
        return [f"#### {name}", "", to_markdown(member.__doc__ or ""), ""]
    return _entry(name, member.__func__ if isinstance(member, classmethod) else member, level=4)


def _signature(name: str, value: Any) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    # Annotations are shown by their own names, without the modules that hold them.
    text = re.sub(
        r"<(?:class|function|object) '?([\w.]+)[^>]*>", r"\1", re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text)
    )
    return f"{name}{re.sub(r'[(](?:self|cls)(?:, )?', '(', text, count=1)}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
