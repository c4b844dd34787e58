"""The shell of a page, and the words and tables in it."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup


def format_number(value: float | None, digits: int = 3) -> str:
    """A number for people: whole ones with thousands separators, others with `digits` decimals, none as a dash.

    >>> format_number(41498), format_number(0.81249), format_number(None), format_number(-0.00001)
    ('41,498', '0.812', '–', '0.000')
    >>> format_number(0.00001234), format_number(5.0), format_number(2300000.5), format_number(0.00001, 1)
    ('0.000', '5.000', '2,300,000.500', '0.0')
    """
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def render(template: str, **values: object) -> Markup:
    """Fill a Jinja template; values are escaped unless they are `Markup`. The filter `number` is `format_number`.

    >>> print(render("<b>{{ name }}</b>: {{ n | number }}", name="a < b", n=1200))
    <b>a &lt; b</b>: 1,200
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = format_number
    return Markup(environment.from_string(template).render(**values))


def render_page(title: str, body: Markup, *, language: str = "en") -> str:
    """A whole HTML page with the style sheet inside."""
    style = Markup(_asset("page.css"))
    return str(render(_asset("page.html"), title=title, body=body, style=style, language=language)) + "\n"


@cache
def _asset(name: str) -> str:
    return files("llama_gene.page").joinpath(name).read_text(encoding="utf-8")


def confusion_matrix(labels: Sequence[str], counts: Sequence[Sequence[int]], *, title: str) -> Markup:
    """A table of counts, rows the truth and columns the guess, each cell shaded by its share of the row.

    Raises:
        ValueError: The counts are not a square of as many rows as there are labels.
    """
    if len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        raise ValueError(f"a confusion matrix of {len(labels)} labels needs as many rows and columns")
    rows = [
        {"label": label, "cells": [{"count": count, "share": count / (sum(row) or 1)} for count in row]}
        for label, row in zip(labels, counts, strict=True)
    ]
    return render(_CONFUSION, title=title, labels=labels, rows=rows)


_CONFUSION = """\
<div class="scroll"><table class="confusion{{ ' many' if labels | length > 3 }}"><caption>{{ title }}</caption>
<thead><tr><th scope="col">truth&nbsp;↓ guess&nbsp;→</th>
{% for label in labels %}<th scope="col"><span>{{ label }}</span></th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row.label }}</th>
{% for cell in row.cells %}
<td style="--share:{{ '%.2f' % cell.share }}">{{ cell.count | number }}
<small>{{ '%.0f' % (100 * cell.share) }} %</small></td>
{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
"""
