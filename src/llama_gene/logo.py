"""Sequence logos: letters as high as a number says, above a line where it is positive and below it where not."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from llama_gene.page import WIDTH, Scale, svg_line, svg_text, tick_text
from llama_gene.sequences.alphabet import Kind

LETTERS_A_ROW: Final = 40  # of a row that is as wide as a phone, so that each letter can be read there

_FLAT = 1e-12  # numbers that lie closer are drawn as one: no tick is so fine
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, WIDTH - 4, 6, 92
_CAP_HEIGHT = 7.2  # of capital letters at the ten pixels of `page.css`, in common sans serif fonts
_LEAST = 0.25  # lower letters are not drawn: they could not be seen
# Bases by their usual colours; residues by what their side chains are like. What is not listed has the text's colour.
_COLOURS: Final[dict[Kind, dict[str, str]]] = {
    "dna": {"A": "1", "C": "2", "G": "3", "T": "4"},
    "protein": dict.fromkeys("GSTYCNQ", "1") | dict.fromkeys("KRH", "2") | dict.fromkeys("DE", "4"),
}


def sequence_logo(letters: str, heights: Sequence[float], *, kind: Kind, first: int, title: str, unit: str) -> Markup:
    """A logo of letters, in rows that stand beside each other where there is room.

    Args:
        letters: The letters.
        heights: A finite number for each.
        kind: What the letters are, which decides their colours.
        first: The number of the first letter, counted from 1.
        title: What the logo shows.
        unit: What the numbers are.

    Raises:
        ValueError: There are not as many numbers as letters.
    """
    if len(letters) != len(heights):
        raise ValueError(f"{len(letters)} letters and {len(heights)} heights")
    low, high = min(0.0, *heights, 0.0), max(0.0, *heights, 0.0)
    up = Scale(low, high if high - low > _FLAT else low + 1.0, _BOTTOM, _TOP)
    rows = [
        _row(letters[start : start + LETTERS_A_ROW], heights[start : start + LETTERS_A_ROW], kind, first + start, up)
        for start in range(0, len(letters), LETTERS_A_ROW)
    ]
    spoken = f"{title}: {unit} of letters {first} to {first + len(letters) - 1}. {_spoken(letters, heights, first)}"
    frame = Markup('<div class="logo" role="img" aria-label="{}">{}</div>')
    return frame.format(spoken, Markup("\n").join(rows))


def _spoken(letters: str, heights: Sequence[float], first: int) -> str:
    """The strongest letters in words, for those who do not see the drawing."""
    order = sorted(range(len(letters)), key=lambda place: -abs(heights[place]))[:5]
    return "Strongest: " + ", ".join(f"{letters[place]}{first + place} {heights[place]:+.2f}" for place in order)


def _row(letters: str, heights: Sequence[float], kind: Kind, first: int, up: Scale) -> Markup:
    slot = (_RIGHT - _LEFT) / LETTERS_A_ROW
    right = round(_LEFT + slot * len(letters), 1)
    shapes = []
    for tick in up.ticks(3):
        shapes.append(svg_line(_LEFT, up(tick), right, up(tick), "axis" if tick == 0 else "grid"))
        shapes.append(svg_text(_LEFT - 5, up(tick) + 4, tick_text(tick), "tick", "end"))
    for place, (letter, height) in enumerate(zip(letters, heights, strict=True)):
        middle = round(_LEFT + slot * (place + 0.5), 2)
        if (first + place) % 10 == 0:
            shapes.append(svg_text(middle, _BOTTOM + 15, str(first + place), "tick", "middle"))
        shapes.append(_letter(letter, height, kind, first + place, middle, slot, up))
    frame = Markup('<svg class="chart" viewBox="0 0 {} {}" aria-hidden="true">\n{}\n</svg>')
    return frame.format(WIDTH, _BOTTOM + 20, Markup("\n").join(shapes))


def _letter(letter: str, height: float, kind: Kind, number: int, middle: float, slot: float, up: Scale) -> Markup:
    """A capital that reaches from the line to its height; an empty drawing where that is too little to be seen."""
    top, foot = up(max(height, 0.0)), up(min(height, 0.0))
    if foot - top < _LEAST:
        return Markup("")
    stretch = round((foot - top) / _CAP_HEIGHT, 3)
    # All letters but the thin I are as wide as their place; which font a browser takes does not matter then.
    fitted = (
        Markup("")
        if letter == "I"
        else Markup(' textLength="{}" lengthAdjust="spacingAndGlyphs"').format(round(slot - 0.6, 2))
    )
    shape = Markup(
        '<text class="letter letter-{}" transform="translate({} {}) scale(1 {})" text-anchor="middle"{}>'
        "{}<title>{}{}: {}</title></text>"
    )
    colour = _COLOURS[kind].get(letter, "0")
    return shape.format(colour, middle, foot, stretch, fitted, letter, letter, number, f"{height:+.3f}")
