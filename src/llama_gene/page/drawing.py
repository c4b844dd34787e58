"""What every chart is made of: its frame, lines, text and axes."""

from collections.abc import Iterable

from markupsafe import Markup

from llama_gene.page.scale import AnyScale, tick_text

WIDTH = 360
NUM_STYLES = 6  # of curves that page.css tells apart
PAD = 8  # between a plot's edge and its outermost mark


def drawing(title: str, description: str, height: float, shapes: Iterable[Markup]) -> Markup:
    """The frame of a chart; screen readers hear `title` and `description` in its place."""
    frame = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">'
        "<title>{}</title><desc>{}</desc>\n{}\n</svg>"
    )
    return frame.format(WIDTH, round(height), title, description, title, description, Markup("\n").join(shapes))


def svg_text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> Markup:
    """Text of a chart; `anchor` says which of its ends, or its ``middle``, stands at `x`."""
    shape = Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>')
    return shape.format(x, y, style, anchor, text)


def svg_line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """A line of a chart."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, style)


def axes(across: AnyScale, up: AnyScale, left: float, right: float, top: float, bottom: float) -> list[Markup]:
    """Both axes of a plot with their ticks, and a line across at each tick of the upright one."""
    shapes = [svg_line(left, bottom, right, bottom, "axis"), svg_line(left, top, left, bottom, "axis")]
    for tick in across.ticks(5):
        shapes += [svg_line(across(tick), bottom, across(tick), bottom + 4, "axis")]
        shapes += [svg_text(across(tick), bottom + 16, tick_text(tick), "tick", "middle")]
    for tick in up.ticks(5):
        shapes += [svg_line(left, up(tick), right, up(tick), "grid")]
        shapes += [svg_text(left - 5, up(tick) + 4, tick_text(tick), "tick", "end")]
    return shapes
