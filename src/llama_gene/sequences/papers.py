"""The text of a paper in JSON, in the layouts of S2ORC, CORD-19 and their kin."""

from collections.abc import Mapping
from typing import Any

_ID_KEYS = ("id", "paper_id", "corpusid", "corpus_id", "pmcid", "doi")
# Where the releases of S2ORC keep the text, below the paper itself.
_INSIDE = ("content", "pdf_parse", "grobid_parse", "latex_parse")


def paper_text(cells: Mapping[str, Any]) -> str | None:
    r"""What is to be read of a paper: its title, its abstract and its body, a blank line between two paragraphs.

    An abstract and a body are a string, or a list of paragraphs with their text under ``text``. They stand in the
    object itself, or under ``content``, ``pdf_parse``, ``grobid_parse`` or ``latex_parse``; ``content.text`` is a whole
    paper. References, captions, section names and everything else are left out.

    Args:
        cells: The JSON object.

    Returns:
        None if there is neither an abstract nor a body, so that it is no paper.

    >>> paper_text({"title": "On p53", "abstract": [{"text": "We ask."}], "body_text": [{"text": "We find."}]})
    'On p53\n\nWe ask.\n\nWe find.'
    """
    for place in (cells, *(as_object(cells.get(key)) for key in _INSIDE)):
        if place is not cells and isinstance(place.get("text"), str):
            return str(place["text"])
        if "body_text" not in place and "abstract" not in place:
            continue
        title = cells.get("title") or as_object(cells.get("metadata")).get("title")
        abstract = place.get("abstract") or cells.get("abstract")
        parts = [*_paragraphs(title), *_paragraphs(abstract), *_paragraphs(place.get("body_text"))]
        return "\n\n".join(parts)
    return None


def paper_id(cells: Mapping[str, Any]) -> str:
    """The name of a paper, ``""`` if it has none."""
    found = (cells.get(key) for key in _ID_KEYS)
    return next((name.strip() for name in found if isinstance(name, str) and name.strip()), "")


def as_object(value: Any) -> Mapping[str, Any]:
    """The object that `value` is, empty if it is none; `parse_object` gives the ones inside others as lists of pairs.

    >>> as_object([("text", "We ask.")]), as_object(["We ask."])
    ({'text': 'We ask.'}, {})
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
        return dict(value)
    return {}


def _paragraphs(value: Any) -> list[str]:
    """The texts in a string or a list of paragraphs."""
    if isinstance(value, str):
        texts: list[Any] = [value]
    elif isinstance(value, list):
        texts = [part if isinstance(part, str) else as_object(part).get("text") for part in value]
    else:
        texts = []
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]
