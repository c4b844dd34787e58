"""A logo's letters are as high as their numbers, and nothing from outside gets into the page as more than text."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llama_gene.logo import LETTERS_A_ROW, sequence_logo

NASTY = "<script>alert(\"1\")</script> & 'x'"


def drawn(letters, heights, kind="dna", first=1, title="t", unit="u"):
    return ElementTree.fromstring(str(sequence_logo(letters, heights, kind=kind, first=first, title=title, unit=unit)))


def letters_of(logo):
    """Each letter drawn with its place, foot and height."""
    found = []
    for text in logo.iter("text"):
        if (text.get("class") or "").startswith("letter"):
            place = re.fullmatch(r"translate\((\S+) (\S+)\) scale\(1 (\S+)\)", text.get("transform"))
            x, foot, stretch = map(float, place.groups())
            found.append((text.text, x, foot, stretch * 7.2))
    return found


def test_heights_are_the_numbers():
    (a, g, t) = letters_of(drawn("ACGT", [2.0, 0.0, -1.0, 1.0]))
    assert [a[0], g[0], t[0]] == ["A", "G", "T"]  # of no height, C is not drawn
    # From -1 to 2 there are 86 pixels, and the line is a third of the way up.
    zero = 92 - 86 / 3
    assert (a[2], t[2], g[2]) == pytest.approx((zero, zero, 92), abs=0.1)
    assert (a[3], t[3], g[3]) == pytest.approx((172 / 3, 86 / 3, 86 / 3), abs=0.1)
    assert g[1] - a[1] == pytest.approx(2 * (t[1] - g[1]), abs=0.02)


def test_colours_go_with_letters_and_kind():
    style = {
        kind: [t.get("class") for t in drawn("ACGTN", [1.0] * 5, kind=kind).iter("text")] for kind in ("dna", "protein")
    }
    assert [one for one in style["dna"] if one.startswith("letter")] == [
        "letter letter-1", "letter letter-2", "letter letter-3", "letter letter-4", "letter letter-0",
    ]  # fmt: skip
    assert "letter letter-0" in style["protein"]  # alanine


def test_long_sequences_have_rows_that_are_numbered_on_one_scale():
    logo = drawn("A" * 90, [1.0] * 89 + [-1.0], first=101)
    rows = logo.findall("svg")
    assert len(rows) == 3 == -(-90 // LETTERS_A_ROW)
    numbers = [
        [t.text for t in row.iter("text") if t.get("text-anchor") == "middle" and t.get("class") == "tick"]
        for row in rows
    ]
    assert numbers == [["110", "120", "130", "140"], ["150", "160", "170", "180"], ["190"]]
    assert len({height for _, _, _, height in letters_of(logo)}) == 1
    assert [title.text for title in rows[2].iter("title")][-1] == "A190: -1.000"
    assert logo.get("aria-label").startswith("t: u of letters 101 to 190. Strongest: A101 +1.00, A102 +1.00")


def test_text_from_outside_is_text():
    logo = sequence_logo("A<", [1.0, 1.0], kind="dna", first=1, title=NASTY, unit=NASTY)
    assert "<script" not in logo
    assert ElementTree.fromstring(str(logo)).get("aria-label").startswith(f"{NASTY}: {NASTY} of letters")


def test_a_number_for_each_letter():
    with pytest.raises(ValueError, match="2 letters and 1 heights"):
        sequence_logo("AC", [1.0], kind="dna", first=1, title="t", unit="u")


@example([5e-324], "dna")
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100),
    st.sampled_from(["dna", "protein"]),
)
def test_any_numbers_stay_inside(heights, kind):
    logo = drawn("I" * len(heights), heights, kind=kind)
    for _, x, foot, height in letters_of(logo):
        assert 36 <= x <= 356
        assert 5.5 <= foot - height <= foot <= 92.5
