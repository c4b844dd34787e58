import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from llama_gene import page
from llama_gene.page import Dot, LogScale, Scale

NASTY = "<script>alert(\"1\")</script> & 'x'"
VOID = {"meta", "br", "hr", "img", "input", "link"}


def parse(svg):
    return ElementTree.fromstring(str(svg))


def texts(svg):
    return [element.text for element in parse(svg).iter("text")]


class Balanced(HTMLParser):
    """Fails on a tag that is closed in the wrong place."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_balanced(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []


def test_a_calibration_chart():
    drawn = page.calibration_chart({NASTY: [(0.5, 0.25, 1), (1.0, 1.0, 100)], "none": []}, title="calibration")
    circles = parse(drawn).findall("circle")
    assert [circle.get("r") for circle in circles] == ["2.4", "6.0"]
    # Both ends of the diagonal, and a sure answer that is always right, stand in the corners.
    (diagonal,) = [line for line in parse(drawn).findall("line") if line.get("class") == "reference"]
    assert (circles[1].get("cx"), circles[1].get("cy")) == (diagonal.get("x2"), diagonal.get("y2"))
    assert NASTY in texts(drawn)
    assert_balanced(str(drawn))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500"), (-0.0001, "0.000"), (-1.25, "-1.250"), (1234567, "1,234,567"), (None, "–"), (math.nan, "–")],
)
def test_format_number(value, text):
    assert page.format_number(value) == text


def test_scale_and_ticks():
    assert Scale(0.42, 0.93, 0, 100).ticks(5) == [0.6, 0.8]
    assert Scale(0.42, 0.93, 0, 100).ticks(6) == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert Scale(-2, 3000, 0, 100).ticks(4) == [0, 1000, 2000, 3000]
    flat = Scale.around([0.7, 0.7, math.nan], 0, 100)
    assert flat(0.7) == 50
    assert Scale.around([], 0, 10)(1.0) == 10


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_scale_keeps_its_values_and_ticks_inside(values):
    scale = Scale.around(values, 10, 90)
    assert all(10 <= scale(value) <= 90 for value in values)
    assert all(9.9 <= scale(tick) <= 90.1 for tick in scale.ticks(4))
    assert len(scale.ticks(4)) <= 10


def test_dot_chart():
    dots = [
        Dot("ours", 0.8, 0.7, 0.9, main=True),
        Dot("k-mer", 0.6, 0.5, 0.7),
        Dot("none", math.nan, math.nan, math.nan),
    ]
    svg = page.dot_interval_chart(dots, title="a task", unit="accuracy", reference=("best possible", 0.95))
    root = parse(svg)
    assert root.find("title").text == "a task"
    assert root.find("desc").text == "ours 0.800; k-mer 0.600; none –"
    assert {"ours", "k-mer", "none", "0.800", "0.600", "–", "accuracy", "best possible 0.950"} <= set(texts(svg))
    circles = list(root.iter("circle"))
    assert [circle.get("class") for circle in circles] == ["dot main", "dot other"]
    assert float(circles[0].get("cx")) > float(circles[1].get("cx"))


def test_line_chart_thins_and_leaves_out_what_is_not_finite():
    points = [(float(i), math.inf if i == 5 else 1.0 / (i + 1)) for i in range(5000)]
    svg = page.line_chart({"loss": points, "empty": []}, title="t", x_label="step", y_label="loss")
    first = parse(svg).find("polyline").get("points").split()
    assert len(first) <= page.MAX_LINE_POINTS
    assert "loss, last 0.0002" in texts(svg)
    assert "empty, no points" in texts(svg)


def test_scatter_leaves_out_what_is_not_finite():
    svg = page.scatter([(0.0, 1.0), (1.0, math.nan)], title="t", x_label="truth", y_label="guess")
    assert len(list(parse(svg).iter("circle"))) == 1
    assert parse(page.scatter([], title="t", x_label="x", y_label="y")) is not None


def test_confusion_matrix():
    html = page.confusion_matrix(["no", "yes"], [[1500, 500], [0, 0]], title="rows")
    assert_balanced(html)
    assert "1,500" in html
    assert "--share:0.75" in html
    with pytest.raises(ValueError, match="2 labels"):
        page.confusion_matrix(["no", "yes"], [[1, 2]], title="rows")


def test_all_text_is_escaped():
    made = [
        page.dot_interval_chart([Dot(NASTY, 1, 1, 1)], title=NASTY, unit=NASTY, reference=(NASTY, 1)),
        page.line_chart({NASTY: [(0, 1)]}, title=NASTY, x_label=NASTY, y_label=NASTY),
        page.scatter([(0, 1)], title=NASTY, x_label=NASTY, y_label=NASTY),
        page.line_chart({NASTY: [(1, 1)]}, title=NASTY, x_label="x", y_label="y", log="xy", references={NASTY: 1}),
        page.bar_chart({NASTY: [1]}, [NASTY], title=NASTY, x_label=NASTY, y_label=NASTY),
        page.confusion_matrix([NASTY], [[1]], title=NASTY),
    ]
    for drawing in made:
        assert "<script" not in drawing
        assert_balanced(drawing)
    whole = page.render_page(NASTY, Markup("").join(made))
    assert "<script" not in whole


def test_the_page_stands_alone():
    whole = page.render_page("title", Markup("<p>body</p>"))
    assert whole.startswith("<!DOCTYPE html>")
    assert 'name="viewport"' in whole
    assert "<p>body</p>" in whole
    assert "prefers-color-scheme: dark" in whole
    assert "@media print" in whole
    assert not re.search(r"(src|href)=|url\(|@import|https?://", whole)
    assert_balanced(whole)


def test_a_log_scale_and_its_ticks():
    assert LogScale.around([1, 10, math.nan, -3, 0, 100], 0, 100)(10) == 50
    assert LogScale(4, 30_000, 0, 1).ticks(5) == [10, 100, 1000, 10_000]
    assert LogScale(1.0, 1e12, 0, 1).ticks(3) == [1, 100, 10_000, 1e6, 1e8, 1e10, 1e12]
    assert LogScale.around([7, 7], 0, 100)(7) == 50
    assert LogScale.around([], 0, 10)(10.0) == 10


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_log_scale_keeps_its_values_and_ticks_inside(values):
    scale = LogScale.around(values, 10, 90)
    assert all(10 <= scale(value) <= 90 for value in values)
    assert 1 <= len(scale.ticks(4)) <= 12
    assert all(9.9 <= scale(tick) <= 90.1 for tick in scale.ticks(4))


def test_line_chart_on_log_axes_with_levels():
    series = {"curve": [(0, 5), (1, 10), (100, 1000)], "dot": [(10, 200_000)]}
    svg = page.line_chart(series, title="t", x_label="size", y_label="count", log="xy", references={"bar": 50.0})
    root = parse(svg)
    assert [len(line.get("points").split()) for line in root.iter("polyline")] == [2, 1]
    assert len(list(root.iter("circle"))) == 3
    assert {"curve", "dot", "bar 50.000", "100k"} <= set(texts(svg))
    across = page.line_chart(series, title="t", x_label="size", y_label="count", log="x", references={"no": math.inf})
    assert {"curve, last 1000", "dot 200,000"} <= set(texts(across))
    assert not any("no" in text for text in texts(across))


def test_bar_chart():
    svg = page.bar_chart({"a": [1, 3], "b": [2, 0]}, ["x", "y+"], title="t", x_label="length", y_label="%")
    bars = [(bar.get("class"), float(bar.get("height"))) for bar in parse(svg).iter("rect")]
    heights = [height for style, height in bars[:4]]
    assert [style for style, _ in bars] == ["column column-1"] * 2 + ["column column-2"] * 2 + ["column column-1"] + [
        "column column-2"
    ]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.2)
    assert heights[3] == 0
    assert {"x", "y+", "a", "b", "%", "length"} <= set(texts(svg))
    many = page.bar_chart({"a": [0] * 16}, [str(n) for n in range(16)], title="t", x_label="n", y_label="%")
    assert "15" in texts(many)
    assert "14" not in texts(many)
    assert parse(page.bar_chart({}, [], title="t", x_label="n", y_label="%")) is not None
