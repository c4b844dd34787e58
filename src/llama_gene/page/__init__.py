"""Self-contained HTML: a page shell and a few charts as inline SVG. No script, no font, no file from elsewhere.

Charts take their colours from CSS variables of the page (`page.css`), so one drawing serves light, dark and print; they
are drawn `WIDTH` units wide, which is a phone's width, so that their text stays legible there. Nothing is told by
colour alone. All text from outside is escaped: by `Markup.format` here and by Jinja's autoescape in templates.
"""

from llama_gene.page.charts import (
    MAX_LINE_POINTS,
    Dot,
    bar_chart,
    calibration_chart,
    dot_interval_chart,
    line_chart,
    scatter,
)
from llama_gene.page.drawing import WIDTH, svg_line, svg_text
from llama_gene.page.scale import LogScale, Scale, tick_text
from llama_gene.page.shell import confusion_matrix, format_number, render, render_page

__all__ = [
    "MAX_LINE_POINTS",
    "WIDTH",
    "Dot",
    "LogScale",
    "Scale",
    "bar_chart",
    "calibration_chart",
    "confusion_matrix",
    "dot_interval_chart",
    "format_number",
    "line_chart",
    "render",
    "render_page",
    "scatter",
    "svg_line",
    "svg_text",
    "tick_text",
]
