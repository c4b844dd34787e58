"""A Google-style docstring as Markdown."""

import inspect
import re
import textwrap

_SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:")
_ITEM = re.compile(r"^(\*{0,2}\w[\w., ]*): (.*)$")


def to_markdown(text: str) -> str:
    r"""The docstring `text` as Markdown: sections become lists, examples blocks of code.

    >>> print(to_markdown("Add ``a``.\n\nArgs:\n    a: One\n        number."))
    Add `a`.
    <BLANKLINE>
    **Args**
    <BLANKLINE>
    - `a`: One number.
    """
    parts = [_paragraph(part) for part in re.split(r"\n\s*\n", inspect.cleandoc(text))]
    return "\n\n".join(part for part in parts if part)


def _paragraph(text: str) -> str:
    first, _, rest = text.partition("\n")
    if first.startswith(">>>"):
        return f"```python\n{text}\n```"
    if first.endswith("::"):
        return (
            f"{_inline(first[:-1])}\n\n```text\n{textwrap.dedent(rest).strip()}\n```" if rest else _inline(first[:-1])
        )
    if first.startswith("    "):
        return f"```text\n{textwrap.dedent(text).strip()}\n```"
    if first in _SECTIONS:
        content = textwrap.dedent(rest).strip()
        listed = first in {"Args:", "Attributes:", "Raises:"}
        return f"**{first[:-1]}**\n\n{_items(content) if listed else _inline(content)}"
    return _inline(text)


def _items(text: str) -> str:
    """The entries of a section; a line that is indented goes on with the one before."""
    lines = re.sub(r"\n\s+", " ", text).splitlines()
    return "\n".join(f"- `{item[1]}`: {_inline(item[2])}" if (item := _ITEM.match(line)) else line for line in lines)


def _inline(text: str) -> str:
    """Doubled ticks made single, and angle brackets escaped outside of code."""
    pieces = re.split(r"(`[^`]+`)", re.sub(r"``([^`]+)``", r"`\1`", text))
    return "".join(piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces)
