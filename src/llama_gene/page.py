"""Self-contained HTML: a page shell and a few charts as inline SVG. No script, no font, no file from elsewhere.

Charts take their colours from CSS variables of the page (`page.css`), so one drawing serves light, dark and print; they
are drawn `WIDTH` units wide, which is a phone's width, so that their text stays legible there. Nothing is told by
colour alone. All text from outside is escaped: by `Markup.format` here and by Jinja's autoescape in templates.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

WIDTH = 360
MAX_LINE_POINTS = 300  # more than that cannot be told apart on a screen, and makes a page of megabytes

_PAD = 8  # between a plot's edge and its outermost mark


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
    return files("llama_gene").joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to pixels, with round tick values.

    >>> scale = Scale(0.0, 10.0, 100.0, 200.0)
    >>> scale(5.0), scale.ticks(4)
    (150.0, [0.0, 5.0, 10.0])
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> "Scale":
        """The scale that just holds the finite ones of `values` between the pixels `start` and `end`."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        magnitude = max(abs(low), abs(high))
        if high - low <= 1e-9 * max(magnitude, 1e-3):  # one value, as far as floats can tell: put it in the middle
            slack = 0.05 * magnitude if magnitude > 1e-9 else 0.05
            low, high = low - slack, high + slack
        return cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self, about: int) -> list[float]:
        """Round values inside the scale, some `about` of them."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        # Through text, so that 3 * 0.1 is 0.3.
        return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def _tick_text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _svg(title: str, description: str, height: float, shapes: Iterable[Markup]) -> Markup:
    """The frame of a chart; screen readers hear `title` and `description` in its place."""
    frame = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">'
        "<title>{}</title><desc>{}</desc>\n{}\n</svg>"
    )
    return frame.format(WIDTH, round(height), title, description, title, description, Markup("\n").join(shapes))


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> Markup:
    shape = Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>')
    return shape.format(x, y, style, anchor, text)


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, style)


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a `dot_interval_chart`: a value between `low` and `high`; `main` is the one the chart is about."""

    label: str
    value: float
    low: float
    high: float
    main: bool = False


def dot_interval_chart(
    dots: Sequence[Dot], *, title: str, unit: str = "", reference: tuple[str, float] | None = None
) -> Markup:
    """Dots with error bars, one a row, and a dashed line at `reference` (its name and value).

    A row whose value is NaN keeps its label, with a dash for its number.
    """
    left, right, row_height = 118, WIDTH - 52, 26
    top = 22 if reference else 6
    bottom = top + row_height * len(dots)
    values = [value for dot in dots for value in (dot.low, dot.value, dot.high)]
    scale = Scale.around([*values, *([reference[1]] if reference else [])], left + _PAD, right - _PAD)
    shapes = [_line(left, bottom, right, bottom, "axis")]
    for tick in scale.ticks(4):
        shapes += [_line(scale(tick), top, scale(tick), bottom, "grid")]
        shapes += [_text(scale(tick), bottom + 15, _tick_text(tick), "tick", "middle")]
    shapes.append(_text(left - 8, bottom + 15, unit, "tick", "end"))
    if reference and math.isfinite(reference[1]):
        x = scale(reference[1])
        shapes += [_line(x, top - 4, x, bottom, "reference")]
        # Inside the drawing, on whichever side of the line has room.
        anchor = "end" if x > WIDTH / 2 else "start"
        name = f"{reference[0]} {format_number(reference[1])}"
        shapes.append(_text(x + (4 if anchor == "end" else -4), top - 9, name, "reference-label", anchor))
    for index, dot in enumerate(dots):
        shapes.append(_dot_row(dot, scale, top + row_height * (index + 0.5), left, right))
    spoken = "; ".join(f"{dot.label} {format_number(dot.value)}" for dot in dots)
    return _svg(title, spoken, bottom + 22, shapes)


def _dot_row(dot: Dot, scale: Scale, y: float, left: float, right: float) -> Markup:
    style = "main" if dot.main else "other"
    shapes = [
        _text(left - 8, y + 4, dot.label, style, "end"),
        _text(right + 6, y + 4, format_number(dot.value), style),
    ]
    if math.isfinite(dot.value):
        if math.isfinite(dot.low) and math.isfinite(dot.high):
            shapes.append(_line(scale(dot.low), y, scale(dot.high), y, f"bar {style}"))
        circle = Markup('<circle cx="{}" cy="{}" r="{}" class="dot {}"/>')
        shapes.append(circle.format(scale(dot.value), y, 5.5 if dot.main else 4.5, style))
    return Markup("").join(shapes)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Curves over a common x axis, each with its name and last value below; points that are not finite are left out.

    Args:
        series: Name -> (x, y) points in order of x; long ones are thinned to `MAX_LINE_POINTS`.
        title: What the chart shows.
        x_label: Name of the x axis.
        y_label: Name of the y axis.
    """
    curves = {name: _thinned([p for p in points if all(map(math.isfinite, p))]) for name, points in series.items()}
    left, right, top, bottom = 46, WIDTH - 8, 22, 172
    across = Scale.around((x for points in curves.values() for x, _ in points), left + _PAD, right - _PAD)
    up = Scale.around((y for points in curves.values() for _, y in points), bottom - _PAD, top + _PAD)
    shapes = [*_axes(across, up, left, right, top, bottom), _text(left, 12, y_label, "tick")]
    shapes.append(_text(right, bottom + 30, x_label, "tick", "end"))
    legend = bottom + 34
    for index, (name, points) in enumerate(curves.items()):
        style = f"series series-{index % 4 + 1}"
        path = " ".join(f"{across(x)},{up(y)}" for x, y in points)
        shapes.append(Markup('<polyline points="{}" class="{}"/>').format(path, style))
        y = legend + 18 * index
        last = f", last {points[-1][1]:.4g}" if points else ", no points"
        shapes += [_line(left, y, left + 24, y, style), _text(left + 30, y + 4, name + last, "legend")]
    spoken = f"{y_label} over {x_label}: " + ", ".join(curves)
    return _svg(title, spoken, legend + 18 * len(curves), shapes)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MAX_LINE_POINTS` of the points, evenly taken, the last one always among them."""
    stride = max(1, math.ceil(len(points) / MAX_LINE_POINTS))
    return points[::-1][::stride][::-1]


def scatter(points: Sequence[tuple[float, float]], *, title: str, x_label: str, y_label: str) -> Markup:
    """Points over equal axes, with the diagonal on which y equals x; points that are not finite are left out."""
    finite = [point for point in points if all(map(math.isfinite, point))]
    left, right, top, bottom = 46, WIDTH - 8, 22, 308
    both = [value for point in finite for value in point]
    across, up = Scale.around(both, left + _PAD, right - _PAD), Scale.around(both, bottom - _PAD, top + _PAD)
    shapes = [*_axes(across, up, left, right, top, bottom), _text(left, 12, y_label, "tick")]
    shapes.append(_text(right, bottom + 30, x_label, "tick", "end"))
    shapes.append(_line(across(across.low), up(up.low), across(across.high), up(up.high), "reference"))
    circle = Markup('<circle cx="{}" cy="{}" r="2.5" class="point"/>')
    shapes += [circle.format(across(x), up(y)) for x, y in finite]
    return _svg(title, f"{len(finite)} points of {y_label} against {x_label}", bottom + 36, shapes)


def _axes(across: Scale, up: Scale, left: float, right: float, top: float, bottom: float) -> list[Markup]:
    shapes = [_line(left, bottom, right, bottom, "axis"), _line(left, top, left, bottom, "axis")]
    for tick in across.ticks(5):
        shapes += [_line(across(tick), bottom, across(tick), bottom + 4, "axis")]
        shapes += [_text(across(tick), bottom + 16, _tick_text(tick), "tick", "middle")]
    for tick in up.ticks(4):
        shapes += [_line(left, up(tick), right, up(tick), "grid")]
        shapes += [_text(left - 5, up(tick) + 4, _tick_text(tick), "tick", "end")]
    return shapes


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
