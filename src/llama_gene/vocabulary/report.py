"""A `Survey` for people: one self-contained HTML page, and all of its numbers as JSON beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from llama_gene import files, page
from llama_gene.errors import SettingsError
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.held_out import LINE_LETTERS
from llama_gene.vocabulary.measure import LONGEST_BIN, SequenceMeasure
from llama_gene.vocabulary.normalizer import KINDS
from llama_gene.vocabulary.survey import Column, Survey, TextFacts

UNITS: Mapping[Kind, str] = {"dna": "base", "protein": "residue"}
_NAMES: Mapping[Kind, str] = {"dna": "DNA", "protein": "Protein"}
_LENGTH_LABELS = [*(str(length) for length in range(1, LONGEST_BIN)), f"{LONGEST_BIN}+"]
_MAX_LABEL = 34  # characters; a longer name leaves its chart


@dataclass(frozen=True, slots=True)
class _Row:
    """A column of the report on one kind of text, as a row of that kind's tables; no measure where no text was."""

    column: Column
    measure: SequenceMeasure | None
    is_best: bool


@dataclass(frozen=True, slots=True)
class _Section:
    """One kind of sequence on the page."""

    kind: Kind
    name: str
    unit: str
    text: TextFacts | None
    rows: tuple[_Row, ...]
    charts: tuple[tuple[str, Markup], ...]


def write(survey: Survey, path: Path, *, version: str, created: str) -> Path:
    """Write the page to `path`, and the numbers as JSON beside it.

    Args:
        survey: What was measured.
        path: The page; its name has to end in ``.html``.
        version: Of llama-gene.
        created: When, in ISO form.

    Returns:
        The JSON file.

    Raises:
        SettingsError: For a page of another name.
    """
    require_page(path)
    beside = path.with_suffix(".json")
    files.write_text(path, to_html(survey, version=version, created=created))
    files.write_json(beside, {"version": version, "created": created, **_plain(asdict(survey))})
    return beside


def require_page(path: Path) -> None:
    """Check the name of a page before the work.

    Raises:
        SettingsError: If it does not end in ``.html``.
    """
    if path.suffix != ".html":
        hint = f"for example --output {path.with_suffix('.html')}; the numbers go into a .json beside it"
        raise SettingsError(f"--output {path}: the report is a page", hint=hint)


def to_html(survey: Survey, *, version: str, created: str) -> str:
    """The survey as one self-contained HTML page."""
    template = resources("llama_gene.vocabulary").joinpath("report.html").read_text(encoding="utf-8")
    # A prefix is learned from what its whole is.
    seen = {column.folder: column for column in reversed(survey.columns) if column.learned_from}
    body = page.render(
        template,
        survey=survey,
        sections=[section for kind in KINDS if (section := _section(survey, kind)).rows],
        english=[column for column in survey.columns if column.english is not None],
        without_english=[c.name for c in survey.columns if c.form != "sequence vocabulary" and c.english is None],
        clashing=[column for column in survey.columns if column.collisions],
        seen=list(reversed(seen.values())),
        line_letters=LINE_LETTERS,
        version=version,
        created=created,
        percent=percent,
        shortened=shortened,
    )
    return page.render_page("Vocabulary report", body)


def percent(share: float | None) -> str:
    r"""A share for people, with a space that no line is broken at.

    >>> [percent(share).replace("\xa0", " ") for share in (0.1234, 1.0, 0.00004, 0.0, None, -0.02, 0.9999)]
    ['12.3 %', '100 %', '< 0.1 %', '0 %', '–', '-2.0 %', '> 99.9 %']
    """
    if share is None or math.isnan(share):
        return "–"
    # All but a few of many is not all of them, and a few are not none.
    if 0 < abs(share) < 0.0005:
        return "< 0.1\xa0%" if share > 0 else "> -0.1\xa0%"
    if 0.9995 <= share < 1:
        return "> 99.9\xa0%"
    return f"{100 * share:.0f}\xa0%" if share in (0.0, 1.0) else f"{100 * share:.1f}\xa0%"


def shortened(piece: str, longest: int = 24) -> str:
    """A piece for people: a long one loses its middle.

    >>> shortened("ACGT"), shortened("A" * 40, 10)
    ('ACGT', 'AAAAA…AAAA (40)')
    """
    if len(piece) <= longest:
        return piece
    return f"{piece[: longest - longest // 2]}…{piece[-(longest // 2 - 1) :]} ({len(piece)})"


def _section(survey: Survey, kind: Kind) -> _Section:
    columns = [column for column in survey.columns if kind in column.kinds]
    bits = [column.sequences[kind].bigram_bits for column in columns if kind in column.sequences]
    rows = []
    for column in columns:
        measure = column.sequences.get(kind)
        rows.append(_Row(column, measure, measure is not None and len(bits) > 1 and measure.bigram_bits == min(bits)))
    text = survey.texts.get(kind)
    charts = _charts(kind, text, columns) if text is not None else ()
    return _Section(kind, _NAMES[kind], UNITS[kind], text, tuple(rows), charts)


def _charts(kind: Kind, text: TextFacts, columns: Sequence[Column]) -> tuple[tuple[str, Markup], ...]:
    """The drawings of a kind of text, each with its heading."""
    unit = UNITS[kind]
    bits, sizes = f"bits per {unit}", "pieces in the vocabulary"
    best = min(range(len(text.letter_bits)), key=lambda order: text.letter_bits[order])
    bar = {f"best by letters alone (order {best})": text.letter_bits[best]}
    drawn = []
    for heading, quantity in (("pairs of pieces", "bigram_bits"), ("single pieces", "unigram_bits")):
        heading, points = f"Bits per {unit} by {heading}", _against_size(kind, columns, quantity)
        chart = page.line_chart(points, title=heading, x_label=sizes, y_label=bits, log="x", references=bar)
        drawn.append((heading, chart))
    heading = f"Bits per {unit} by letters alone"
    orders = {"Markov models": list(enumerate(text.letter_bits))}
    drawn.append((heading, page.line_chart(orders, title=heading, x_label=f"{unit}s looked back at", y_label=bits)))
    heading, per = f"How many {unit}s a token has", f"{unit}s per token"
    points = _against_size(kind, columns, "letters_per_token")
    drawn.append((heading, page.line_chart(points, title=heading, x_label=sizes, y_label=per, log="x")))
    heading, rank = "How often pieces are used", "rank of the piece"
    ranks = {_label(column.name): column.sequences[kind].usage.ranks for column in columns}
    drawn.append((heading, page.line_chart(ranks, title=heading, x_label=rank, y_label="times", log="xy")))
    for column in columns:
        usage, heading = column.sequences[kind].usage, f"How long pieces are: {column.name}"
        shares = {"of the pieces": _shares(usage.lengths), "of the tokens of the text": _shares(usage.lengths_used)}
        chart = page.bar_chart(shares, _LENGTH_LABELS, title=heading, x_label=f"{unit}s in a piece", y_label="%")
        drawn.append((heading, chart))
    return tuple(drawn)


def _against_size(kind: Kind, columns: Sequence[Column], quantity: str) -> dict[str, list[tuple[float, float]]]:
    """A curve for each whole sequence vocabulary, a point for each tokenizer; prefixes are points of their curve."""
    series = {}
    for column in columns:
        name, curve = _label(column.name), column.curves.get(kind)
        if curve:
            series[name] = [(float(point.size), float(getattr(point, quantity))) for point in curve]
        elif column.form != "sequence vocabulary":
            measure = column.sequences[kind]
            series[name] = [(float(measure.size), float(getattr(measure, quantity)))]
    return series


def _shares(counts: Sequence[int]) -> list[float]:
    return [100 * count / max(sum(counts), 1) for count in counts]


def _label(name: str) -> str:
    return name if len(name) <= _MAX_LABEL else "…" + name[1 - _MAX_LABEL :]


def _plain(value: Any) -> Any:
    """Values as JSON has them: no NaN, which stands here for a share of nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
