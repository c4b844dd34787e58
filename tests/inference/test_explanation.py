"""What --explain writes: the same numbers on a page, as JSON and as a table."""

import json
from pathlib import Path

import pytest

from llama_gene.inference.engine import Engine
from llama_gene.inference.explanation import FirstOnes, write_explanations
from llama_gene.tasks.task import Example
from nano import CONFORM, PAIR, STRENGTH, dna, examples

NASTY = "<script>alert(\"1\")</script>\t& 'x'"


@pytest.fixture(scope="module")
def engine(tuned_folder: Path) -> Engine:
    return Engine.load(tuned_folder)


def test_the_first_ones_are_kept_as_all_pass_by() -> None:
    rows = examples(CONFORM, 5)
    first = FirstOnes(iter(rows), 3)
    assert list(first) == rows
    assert (first.kept, first.are_all) == (rows[:3], False)
    first = FirstOnes(iter(rows), 5)
    assert (list(first), first.kept, first.are_all) == (rows, rows, True)


def written(
    engine: Engine, task: object, rows: list[Example], folder: Path, num: int = 9
) -> tuple[dict, list[str], str]:  # type: ignore[type-arg]
    first = FirstOnes(rows, num)
    list(first)
    write_explanations(engine, task, first, folder, max_letters=30, batch_tokens=4096)  # type: ignore[arg-type]
    assert {path.name for path in folder.iterdir()} == {"explanation.html", "explanation.json", "letters.tsv"}
    table = (folder / "letters.tsv").read_text().splitlines()
    return json.loads((folder / "explanation.json").read_text()), table, (folder / "explanation.html").read_text()


def test_page_json_and_table_say_the_same(engine: Engine, tmp_path: Path) -> None:
    rows = [Example(NASTY, (dna(40, 1),)), *examples(CONFORM, 2)]
    numbers, table, html = written(engine, CONFORM, rows, tmp_path / "out", num=2)
    one, other = numbers["records"]
    assert (one["id"], other["id"]) == (NASTY, "row0")
    (part,) = one["sequences"]
    assert part["letters"] == dna(40, 1)[part["first"] - 1 : part["first"] + 29]
    assert set(part["substitutions"]) == set("ACGT")
    for place, letter in enumerate(part["letters"]):
        others = [part["substitutions"][base][place] for base in "ACGT" if base != letter]
        assert part["substitutions"][letter][place] == 0
        assert part["mutagenesis"][place] == pytest.approx(-sum(others) / 3, abs=1e-5)
    assert table[0].split("\t") == ["id", "sequence", "position", "letter", "mutagenesis", "gradients"]
    first = table[1].split("\t")
    assert first[:4] == [NASTY.replace("\t", " "), "sequence", str(part["first"]), part["letters"][0]]
    assert [float(cell) for cell in first[4:]] == pytest.approx(
        [part["mutagenesis"][0], part["gradients"][0]], abs=1e-5
    )
    assert len(table) == 1 + 30 + len(other["sequences"][0]["letters"])
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "the first of the file" in html
    assert f"letters {part['first']} to {part['first'] + 29} of 40, the strongest part of the DNA" in html
    assert "http" not in html.replace("http-equiv", "")


def test_pairs_and_numbers(engine: Engine, tmp_path: Path) -> None:
    numbers, _, html = written(engine, PAIR, examples(PAIR, 1), tmp_path / "pair")
    assert [(part["role"], part["kind"]) for part in numbers["records"][0]["sequences"]] == [
        ("A", "dna"),
        ("B", "protein"),
    ]
    assert html.count('class="logo"') == 4
    assert "the first of the file" not in html
    numbers, _, html = written(engine, STRENGTH, examples(STRENGTH, 1), tmp_path / "strength")
    (one,) = numbers["records"]
    assert (one["probability"], one["output"]) == (None, "expected value")
    assert one["value"] == pytest.approx(float(one["answer"]), abs=1e-3)
