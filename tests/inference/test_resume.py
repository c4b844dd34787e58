"""A file of rows that was cut off anywhere goes on, and ends in the bytes of one that was not."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import LlamaGeneError
from llama_gene.inference.resume import grow

BLOCKS = ["a\nb\n", "c\n", "dé\nf\n", "g\n"]


def write(output: Path, identity: str | None, fail_before: int | None = None) -> list[int]:
    """Write the blocks that are left; returns their numbers. Before block `fail_before` the process ends."""
    written = []
    with grow(output, identity) as file:
        rows = 0
        for number, block in enumerate(BLOCKS):
            if rows >= file.num_rows:
                if number == fail_before:
                    raise KeyboardInterrupt
                file.append(block, block.count("\n"))
                written.append(number)
            rows += block.count("\n")
    return written


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_written_is_not_written_again(tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    with pytest.raises(KeyboardInterrupt):
        write(output, "x", fail_before=2)
    assert left(tmp_path) == {".out.tsv.partial", ".out.tsv.journal"}
    # A kill in the middle of a write leaves half a row behind what counts.
    with (tmp_path / ".out.tsv.partial").open("a") as stream:
        stream.write("half a r")
    assert write(output, "x") == [2, 3]
    assert output.read_text() == "".join(BLOCKS)
    assert left(tmp_path) == {"out.tsv"}


@pytest.mark.parametrize("journal", ["", "[]", '{"identity": "x"}', '{"identity": "x", "rows": "a", "bytes": 1}'])
def test_another_question_and_a_broken_journal_begin_anew(journal: str, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    with pytest.raises(KeyboardInterrupt):
        write(output, "x", fail_before=2)
    (tmp_path / ".out.tsv.journal").write_text(journal)
    assert write(output, "x") == [0, 1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        write(output, "x", fail_before=1)
    assert output.read_text() == "".join(BLOCKS)  # what stood there stays until the new one is whole
    assert write(output, "other") == [0, 1, 2, 3]


def test_rows_that_nobody_can_know_again_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.tsv", None, fail_before=2)
    assert left(tmp_path) == set()


def test_a_second_process_is_turned_away(tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    with grow(output, "x") as file:
        file.append("a\n", 1)
        with pytest.raises(LlamaGeneError, match=r"out.tsv: another process is writing this file"), grow(output, "x"):
            pass
    assert output.read_text() == "a\n"


@given(st.lists(st.integers(1, len(BLOCKS) - 1), max_size=3))
@settings(max_examples=20, deadline=None)  # it waits for the disk
def test_any_number_of_kills(tmp_path_factory: pytest.TempPathFactory, places: list[int]) -> None:
    folder = tmp_path_factory.mktemp("killed")
    for place in sorted(set(places)):
        with pytest.raises(KeyboardInterrupt):
            write(folder / "out", "x", fail_before=place)
        rows = "".join(BLOCKS[:place]).count("\n")
        assert json.loads((folder / ".out.journal").read_text())["rows"] == rows
    write(folder / "out", "x")
    assert (folder / "out").read_text() == "".join(BLOCKS)
