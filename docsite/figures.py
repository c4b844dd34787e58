"""Draws the figures of the method pages: ``python docsite/figures.py`` writes docs/figures/*.svg.

Each follows light and dark: the system's where it stands alone, the page's where it is part of one.
"""

import json
from collections.abc import Iterator
from html import escape
from operator import itemgetter
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
FOLDER, RESULTS = DOCS / "figures", DOCS / "results.json"
SCORED = {"signal peptide": "signalp_binary", "TATA promoter": "prom_core_tata"}
_COLOURS = {
    "ink": ("#1b232c", "#e7ecf1"),
    "soft": ("#59646f", "#a9b5c1"),
    "line": ("#9aa5b0", "#66727e"),
    "panel": ("#f1f4f6", "#1f2830"),
    "dna": ("#0b6e99", "#5cc0f0"),
    "protein": ("#b3561f", "#ff9f5a"),
    "english": ("#6a4fb0", "#b9a4f5"),
    "good": ("#12784a", "#4fc78d"),
}
_LIGHT, _DARK = (";".join(f"--{name}:{pair[n]}" for name, pair in _COLOURS.items()) for n in (0, 1))
_KINDS = "".join(
    f".drawing .{kind}{{stroke:var(--{kind})}}"
    f".drawing text.{kind},.drawing .fill.{kind}{{fill:var(--{kind});stroke:none}}"
    for kind in ("dna", "protein", "english", "good")
)
_STYLE = f"""
.drawing{{{_LIGHT};max-width:100%;height:auto;font-family:system-ui,sans-serif}}
@media (prefers-color-scheme:dark){{.drawing{{{_DARK}}}}}
[data-md-color-scheme=default] .drawing{{{_LIGHT}}}
[data-md-color-scheme=slate] .drawing{{{_DARK}}}
.drawing text{{fill:var(--ink);font-size:14px}}
.drawing .soft{{fill:var(--soft);font-size:12px}}
.drawing .mono{{font-family:ui-monospace,monospace}}
.drawing .box{{fill:var(--panel);stroke:var(--line)}}
.drawing .line{{stroke:var(--line);fill:none;stroke-width:1.5}}
.drawing .fill{{opacity:.85}}
{_KINDS}"""


def drawing(width: int, height: int, title: str, *parts: str) -> str:
    """A whole SVG file."""
    marker = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:var(--line)"/></marker>'
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing" {size} role="img">'
    # One line and no blank ones, so that Markdown takes it as one block of HTML.
    body = "".join([f"<title>{escape(title)}</title><style>{_STYLE}</style><defs>{marker}</defs>", *parts])
    return f"{head}{body.replace(chr(10), '')}</svg>\n"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    """One line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    """A rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" class="{kind}"/>'


def box(x: float, y: float, width: float, name: str, note: str = "", kind: str = "") -> str:
    """A stage, 48 high, with its name and a note."""
    middle = x + width / 2
    words = text(middle, y + (21 if note else 29), name) + (text(middle, y + 38, note, "soft") if note else "")
    return rect(x, y, width, 48, f"box {kind}") + words


def arrow(*points: tuple[float, float]) -> str:
    """A line through `points` with a tip at its end."""
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="{path}" class="line" marker-end="url(#tip)"/>'


def pipeline() -> str:
    """All stages."""
    return drawing(
        760,
        330,
        "The pipeline",
        text(170, 20, "FASTA, FASTQ, GenBank, UniProt, CSV, JSONL", "soft"),
        text(590, 20, "tables of labelled sequences", "soft"),
        arrow((170, 28), (170, 48)),
        arrow((590, 28), (590, 128)),
        box(60, 50, 220, "vocabulary", "learn pieces, extend a base", "dna"),
        arrow((170, 98), (170, 128)),
        box(60, 130, 220, "corpus", "clean, mix, pack", "dna"),
        arrow((170, 178), (170, 208)),
        box(480, 130, 220, "tasks", "one template, one judge", "protein"),
        arrow((590, 178), (590, 208)),
        box(60, 210, 220, "pretrain", "what sequences are like", "english"),
        arrow((280, 234), (478, 234)),
        text(379, 226, "weights", "soft"),
        box(480, 210, 220, "finetune", "questions and answers", "english"),
        arrow((540, 258), (540, 278)),
        arrow((640, 258), (640, 278)),
        box(330, 280, 230, "evaluate", "error bars, baselines, leaks", "good"),
        box(580, 280, 120, "predict", "serve, explain", "good"),
    )


def _pieces(x: float, y: float, words: list[str], kind: str) -> Iterator[str]:
    for word in words:
        width = 9.2 * len(word) + 12
        yield rect(x, y, width, 26, f"box {kind}") + text(x + width / 2, y + 18, word, "mono")
        x += width + 4


def pieces() -> str:
    """How a DNA sequence becomes pieces."""
    rows = [
        ("letters", list("TATAAAAGGC")),
        ("after one merge", ["TA", "TA", "A", "A", "A", "G", "G", "C"]),
        ("after more", ["TATA", "AAA", "GG", "C"]),
    ]
    parts = []
    for number, (name, words) in enumerate(rows):
        y = 20 + 52 * number
        parts += [text(150, y + 18, name, "soft", "end"), *_pieces(165, y, words, "dna")]
        if number:
            parts.append(arrow((100, y - 20), (100, y)))
    return drawing(480, 165, "Letters that often stand together become pieces", *parts)


def spans() -> str:
    """Three languages in one prompt, each with ids of its own."""
    return drawing(
        740,
        215,
        "A typed span: each language has ids of its own",
        text(370, 22, "Is this a promoter? <dna>TATAAAAG</dna>", "mono"),
        arrow((250, 32), (150, 66)),
        arrow((440, 32), (440, 66)),
        *_pieces(40, 70, ["Is", "this", "a", "promoter", "?"], "english"),
        *_pieces(330, 70, ["<dna>", "TATA", "AAAG", "</dna>"], "dna"),
        arrow((150, 100), (150, 132)),
        arrow((440, 100), (440, 132)),
        rect(40, 136, 260, 34, "fill english"),
        rect(304, 136, 170, 34, "fill dna"),
        rect(478, 136, 170, 34, "fill protein"),
        rect(652, 136, 40, 34, "box"),
        text(170, 190, "the base's ids, none changed", "english"),
        text(389, 190, "DNA pieces", "dna"),
        text(563, 190, "protein pieces", "protein"),
        text(672, 190, "spare", "soft"),
        text(40, 208, "id 0", "soft", "start"),
        text(692, 208, "a multiple of 64", "soft", "end"),
    )


def rows() -> str:
    """What trains."""
    layers = "".join(rect(270, 40 + 34 * n, 200, 26) + rect(478, 40 + 34 * n, 12, 26, "fill good") for n in range(5))
    return drawing(
        700,
        250,
        "What trains with lora+new-rows",
        text(130, 26, "embedding", ""),
        rect(70, 40, 120, 110),
        text(130, 100, "base rows", "soft"),
        rect(70, 154, 120, 26, "fill dna"),
        rect(70, 184, 120, 26, "fill protein"),
        text(370, 26, "decoder layers"),
        layers,
        text(500, 130, "LoRA", "good", "start"),
        text(610, 26, "head"),
        rect(560, 40, 100, 110),
        text(610, 100, "base rows", "soft"),
        rect(560, 154, 100, 26, "fill dna"),
        rect(560, 184, 100, 26, "fill protein"),
        arrow((190, 125), (266, 125)),
        arrow((540, 125), (556, 125)),
        text(350, 238, "grey is frozen, colours train: DNA rows, protein rows, adapters", "soft"),
    )


def packing() -> str:
    """Documents in a row, and what each token may see."""
    lengths, kinds, step, parts = (3, 4, 2, 3), ("dna", "protein", "english", "dna"), 16, []
    start = 0
    for length, kind in zip(lengths, kinds, strict=True):
        x = 300 + step * start
        parts.append(rect(x, 30, step * length - 2, 18, f"fill {kind}"))
        for place in range(length):
            parts.append(rect(x, 60 + step * (start + place), step * (place + 1) - 2, step - 2, f"fill {kind}"))
        start += length
    return drawing(
        740,
        270,
        "A packed row and its mask",
        text(280, 44, "one row of the batch: four documents", "soft", "end"),
        *parts,
        text(280, 140, "a token sees what is before it", "", "end"),
        text(280, 160, "in its own document, and no other", "", "end"),
        text(510, 90, "positions restart with", "", "start"),
        text(510, 110, "each document; nothing is", "", "start"),
        text(510, 130, "padded, no token is lost", "", "start"),
    )


def trie() -> str:
    """How labels are scored."""
    return drawing(
        740,
        210,
        "All labels are scored under one prompt",
        rect(20, 80, 250, 44, "box dna"),
        text(145, 99, "question, sequences, Answer:", ""),
        text(145, 116, "read once", "soft"),
        arrow((270, 95), (338, 52)),
        arrow((270, 108), (338, 152)),
        *_pieces(342, 36, ["donor"], "english"),
        *_pieces(342, 140, ["no"], "english"),
        arrow((396, 153), (448, 120)),
        arrow((396, 153), (448, 182)),
        *_pieces(452, 106, ["site"], "english"),
        *_pieces(452, 170, ["end"], "english"),
        text(640, 54, "p(donor) = 0.72", "good"),
        text(640, 124, "p(no site) = 0.26", "good"),
        text(640, 188, "p(no) = 0.02", "good"),
        arrow((410, 49), (570, 49)),
        arrow((505, 119), (570, 119)),
        arrow((496, 183), (570, 183)),
    )


def score() -> str:
    """A score with its interval beside baselines: two rows of docs/results.json."""
    results = {one["name"]: one for one in json.loads(RESULTS.read_text())["results"]}
    parts = []
    for number, (name, task) in enumerate(SCORED.items()):
        ours = results[task]["scores"]["mcc"]
        baselines = [
            (label, scores["mcc"]["value"])
            for label, scores in results[task]["baselines"].items()
            if not label.startswith("majority")
        ]
        y = 60 + 90 * number
        parts += [text(150, y + 5, name, "", "end"), f'<path d="M170 {y}H710" class="line"/>']
        x0, x1, middle = (170 + 540 * ours[one] for one in ("low", "high", "value"))
        parts += [
            rect(x0, y - 8, x1 - x0, 16, "fill good"),
            f'<circle cx="{middle:g}" cy="{y}" r="5" style="fill:var(--ink)"/>',
        ]
        for place, (label, one) in enumerate(sorted(baselines, key=itemgetter(1))):
            x = 170 + 540 * one
            parts += [f'<path d="M{x:g} {y - 12}V{y + 12}" class="line protein" style="stroke-width:3"/>']
            parts += [text(x, y - 18 if place % 2 else y + 28, label, "protein")]
    axis = "".join(text(170 + 540 * one, 220, f"{one:g}", "soft") for one in (0, 0.25, 0.5, 0.75, 1))
    return drawing(
        740,
        250,
        "A score, its interval, and baselines",
        *parts,
        axis,
        text(440, 242, "MCC on dev rows; band: 95 % interval of the model", "soft"),
    )


FIGURES = {
    "pipeline": pipeline,
    "pieces": pieces,
    "spans": spans,
    "rows": rows,
    "packing": packing,
    "trie": trie,
    "score": score,
}


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
