"""Charts of curves, points and bars, and dots with error bars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from llama_gene.page.drawing import NUM_STYLES, PAD, WIDTH, axes, drawing, svg_line, svg_text
from llama_gene.page.scale import AnyScale, LogScale, Scale, tick_text
from llama_gene.page.shell import format_number

MAX_LINE_POINTS = 300  # more than that cannot be told apart on a screen, and makes a page of megabytes

_NUM_COLUMN_STYLES = 2
_MAX_MARKED_POINTS = 24  # a curve of more has no dots on it
_MAX_BAR_LABELS = 10


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
    scale = Scale.around([*values, *([reference[1]] if reference else [])], left + PAD, right - PAD)
    shapes = [svg_line(left, bottom, right, bottom, "axis")]
    for tick in scale.ticks(4):
        shapes += [svg_line(scale(tick), top, scale(tick), bottom, "grid")]
        shapes += [svg_text(scale(tick), bottom + 15, tick_text(tick), "tick", "middle")]
    shapes.append(svg_text(left - 8, bottom + 15, unit, "tick", "end"))
    if reference and math.isfinite(reference[1]):
        x = scale(reference[1])
        shapes += [svg_line(x, top - 4, x, bottom, "reference")]
        # Inside the drawing, on whichever side of the line has room.
        anchor = "end" if x > WIDTH / 2 else "start"
        name = f"{reference[0]} {format_number(reference[1])}"
        shapes.append(svg_text(x + (4 if anchor == "end" else -4), top - 9, name, "reference-label", anchor))
    for index, dot in enumerate(dots):
        shapes.append(_dot_row(dot, scale, top + row_height * (index + 0.5), left, right))
    spoken = "; ".join(f"{dot.label} {format_number(dot.value)}" for dot in dots)
    return drawing(title, spoken, bottom + 22, shapes)


def _dot_row(dot: Dot, scale: Scale, y: float, left: float, right: float) -> Markup:
    style = "main" if dot.main else "other"
    shapes = [
        svg_text(left - 8, y + 4, dot.label, style, "end"),
        svg_text(right + 6, y + 4, format_number(dot.value), style),
    ]
    if math.isfinite(dot.value):
        if math.isfinite(dot.low) and math.isfinite(dot.high):
            shapes.append(svg_line(scale(dot.low), y, scale(dot.high), y, f"bar {style}"))
        circle = Markup('<circle cx="{}" cy="{}" r="{}" class="dot {}"/>')
        shapes.append(circle.format(scale(dot.value), y, 5.5 if dot.main else 4.5, style))
    return Markup("").join(shapes)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: Literal["", "x", "xy"] = "",
    references: Mapping[str, float] | None = None,
) -> Markup:
    """Curves over a common x axis, each with its name and last value below; points that are not finite are left out.

    A curve of few points shows each of them, so a series of one point is a dot.

    Args:
        series: Name -> (x, y) points in order of x; long ones are thinned to `MAX_LINE_POINTS`.
        title: What the chart shows.
        x_label: Name of the x axis.
        y_label: Name of the y axis.
        log: The axes that are logarithmic; points that are not positive there are left out.
        references: Names and values of dashed lines across; those not finite are left out.
    """
    curves = {
        name: _thinned([(x, y) for x, y in points if _can_stand(x, "x" in log) and _can_stand(y, "y" in log)])
        for name, points in series.items()
    }
    lines = {name: value for name, value in (references or {}).items() if _can_stand(value, "y" in log)}
    left, right, top, bottom = 46, WIDTH - 8, 22, 172
    across = _scale("x" in log).around((x for points in curves.values() for x, _ in points), left + PAD, right - PAD)
    heights = [y for points in curves.values() for _, y in points] + list(lines.values())
    up = _scale("y" in log).around(heights, bottom - PAD, top + PAD)
    shapes = [*axes(across, up, left, right, top, bottom), svg_text(left, 12, y_label, "tick")]
    shapes.append(svg_text(right, bottom + 30, x_label, "tick", "end"))
    shapes += [svg_line(left, up(value), right, up(value), "level") for value in lines.values()]
    legend = bottom + 48  # below the name of the x axis, which may be long
    for index, (name, points) in enumerate(curves.items()):
        style = f"series series-{index % NUM_STYLES + 1}"
        shapes += _curve(points, across, up, style)
        y = legend + 18 * index
        words = name + _last_of(points, "y" in log)
        shapes += [svg_line(left, y, left + 24, y, style), svg_text(left + 30, y + 4, words, "legend")]
    for index, (name, value) in enumerate(lines.items(), start=len(curves)):
        y = legend + 18 * index
        shapes += [svg_line(left, y, left + 24, y, "level")]
        shapes += [svg_text(left + 30, y + 4, f"{name} {format_number(value)}", "legend")]
    spoken = f"{y_label} over {x_label}: " + ", ".join([*curves, *lines])
    return drawing(title, spoken, legend - 8 + 18 * (len(curves) + len(lines)), shapes)


def _last_of(points: Sequence[tuple[float, float]], is_log: bool) -> str:
    if not points:
        return ", no points"
    # Over orders of magnitude the end of a curve says nothing.
    if is_log:
        return ""
    value = points[-1][1]
    return f"{', last' if len(points) > 1 else ''} " + (f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}")


def _can_stand(value: float, on_log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not on_log)


def _scale(is_log: bool) -> type[Scale] | type[LogScale]:
    return LogScale if is_log else Scale


def _curve(points: Sequence[tuple[float, float]], across: AnyScale, up: AnyScale, style: str) -> list[Markup]:
    places = [(across(x), up(y)) for x, y in points]
    path = " ".join(f"{x},{y}" for x, y in places)
    shapes = [Markup('<polyline points="{}" class="{}"/>').format(path, style)]
    if len(places) <= _MAX_MARKED_POINTS:
        circle = Markup('<circle cx="{}" cy="{}" r="2.5" class="{}"/>')
        shapes += [circle.format(x, y, f"mark {style}") for x, y in places]
    return shapes


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MAX_LINE_POINTS` of the points, evenly taken, the last one always among them."""
    stride = max(1, math.ceil(len(points) / MAX_LINE_POINTS))
    return points[::-1][::stride][::-1]


def scatter(points: Sequence[tuple[float, float]], *, title: str, x_label: str, y_label: str) -> Markup:
    """Points over equal axes, with the diagonal on which y equals x; points that are not finite are left out."""
    finite = [point for point in points if all(map(math.isfinite, point))]
    left, right, top, bottom = 46, WIDTH - 8, 22, 308
    both = [value for point in finite for value in point]
    across, up = Scale.around(both, left + PAD, right - PAD), Scale.around(both, bottom - PAD, top + PAD)
    shapes = [*axes(across, up, left, right, top, bottom), svg_text(left, 12, y_label, "tick")]
    shapes.append(svg_text(right, bottom + 30, x_label, "tick", "end"))
    shapes.append(svg_line(across(across.low), up(up.low), across(across.high), up(up.high), "reference"))
    circle = Markup('<circle cx="{}" cy="{}" r="2.5" class="point"/>')
    shapes += [circle.format(across(x), up(y)) for x, y in finite]
    return drawing(title, f"{len(finite)} points of {y_label} against {x_label}", bottom + 36, shapes)


def calibration_chart(curves: Mapping[str, Sequence[tuple[float, float, int]]], *, title: str) -> Markup:
    """How often answers of a confidence are right: on the diagonal both are equal. Bins of many rows have large dots.

    Args:
        curves: Name, which the legend shows -> (mean confidence, accuracy, rows) of each bin, from unsure to sure.
        title: What the chart shows.
    """
    left, right, top, bottom = 46, WIDTH - 8, 22, 308
    across, up = Scale(0.0, 1.0, left + PAD, right - PAD), Scale(0.0, 1.0, bottom - PAD, top + PAD)
    shapes = [*axes(across, up, left, right, top, bottom), svg_text(left, 12, "right", "tick")]
    shapes.append(svg_text(right, bottom + 30, "confidence", "tick", "end"))
    shapes.append(svg_line(across(0.0), up(0.0), across(1.0), up(1.0), "reference"))
    circle = Markup('<circle cx="{}" cy="{}" r="{}" class="{}"/>')
    for rank, (name, bins) in enumerate(curves.items()):
        style, y = f"series series-{rank % NUM_STYLES + 1}", bottom + 48 + 18 * rank
        most = max((n for _, _, n in bins), default=1)
        path = " ".join(f"{across(x)},{up(height)}" for x, height, _ in bins)
        shapes.append(Markup('<polyline points="{}" class="{}"/>').format(path, style))
        for x, height, n in bins:
            shapes.append(circle.format(across(x), up(height), round(2 + 4 * math.sqrt(n / most), 1), f"mark {style}"))
        shapes += [svg_line(left, y, left + 24, y, style), svg_text(left + 30, y + 4, name, "legend")]
    return drawing(title, "Accuracy over confidence: " + ", ".join(curves), bottom + 40 + 18 * len(curves), shapes)


def bar_chart(
    series: Mapping[str, Sequence[float]], labels: Sequence[str], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Bars beside each other, one of each series over each label; the first series is filled, others are hollow.

    Args:
        series: Name -> one height a label, 0 or above.
        labels: Names under the bars; where there are many only every second one is written.
        title: What the chart shows.
        x_label: What the labels are.
        y_label: What the heights are.
    """
    left, right, top, bottom = 46, WIDTH - 8, 22, 172
    up = Scale(0.0, max((height for heights in series.values() for height in heights), default=0.0) or 1.0, bottom, top)
    slot = (right - left) / max(len(labels), 1)
    width = 0.8 * slot / max(len(series), 1)
    shapes = [svg_line(left, bottom, right, bottom, "axis"), svg_text(left, 12, y_label, "tick")]
    for tick in up.ticks(4):
        shapes += [svg_line(left, up(tick), right, up(tick), "grid")]
        shapes += [svg_text(left - 5, up(tick) + 4, tick_text(tick), "tick", "end")]
    rectangle = Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"/>')
    for rank, heights in enumerate(series.values()):
        for place, height in enumerate(heights):
            x = left + slot * (place + 0.1) + width * rank
            size = (round(x, 1), up(height), round(width - 0.5, 1), round(bottom - up(height), 1))
            shapes.append(rectangle.format(*size, f"column column-{rank % _NUM_COLUMN_STYLES + 1}"))
    stride = max(1, math.ceil(len(labels) / _MAX_BAR_LABELS))
    for place in range(len(labels) - 1, -1, -stride):  # from the last one, which may say "or more"
        shapes.append(svg_text(round(left + slot * (place + 0.5), 1), bottom + 16, labels[place], "tick", "middle"))
    shapes.append(svg_text(right, bottom + 30, x_label, "tick", "end"))
    for rank, name in enumerate(series):
        y = bottom + 48 + 18 * rank
        style = f"column column-{rank % _NUM_COLUMN_STYLES + 1}"
        shapes += [rectangle.format(left, y - 5, 12, 10, style), svg_text(left + 18, y + 4, name, "legend")]
    spoken = f"{y_label} by {x_label}: " + ", ".join(series)
    return drawing(title, spoken, bottom + 40 + 18 * len(series), shapes)
