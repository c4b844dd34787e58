from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import FormatError, TaskError
from llama_gene.tasks.rows import load_rows, load_training_rows
from nano import CONFORM, STRENGTH, dna


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.csv"
    rows = [f"{dna(20, i)},{i % 2}" for i in range(30)]
    path.write_text("\n".join(["sequence,label", *rows, "ACGT-,1", "ACGT,maybe"]) + "\n")
    return path


def test_a_table_of_which_nothing_is_left_raises(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("sequence,label\nAC-GT,1\nACGT,maybe\n")
    with pytest.raises(TaskError, match=r"bad\.csv: no row holds for task 'conform'; the first of 2 set aside: .*'-'"):
        load_rows(CONFORM, path)


def test_a_table_of_contradictions_alone_raises(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("sequence,label\nACGT,1\nacgt,0\n")
    with pytest.raises(TaskError, match=r"every row for task 'conform' contradicts another: .*\n  mend the labels"):
        load_rows(CONFORM, path, contradictions="drop")


def test_a_table_without_the_column_raises(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("dna,label\nACGT,1\n")
    with pytest.raises(FormatError, match="'sequence'"):
        load_rows(CONFORM, path)


def test_rows_that_do_not_hold_are_set_aside_and_counted(table: Path) -> None:
    rows = load_rows(CONFORM, table)
    assert (len(rows.examples), rows.num_available, len(rows.rejects)) == (30, 30, 2)
    assert "unknown label 'maybe'" in rows.rejects[1].reason
    assert {key: rows.record[key] for key in ("num_rows", "num_available", "num_rejected", "cap")} == {
        "num_rows": 30,
        "num_available": 30,
        "num_rejected": 2,
        "cap": None,
    }
    assert len(load_rows(CONFORM, table, bad_letters="drop").rejects) == 1


def test_some_of_the_rows_have_both_labels_where_labels_take_turns(table: Path) -> None:
    rows = load_rows(CONFORM, table)
    some = rows.drawn(15)
    assert len(some) == 15
    assert {example.answer for example in some} == {"Conform not", "Conform"}
    assert [example for example in rows if example in some] == list(some)
    assert rows.drawn(30) == rows.drawn(99) == rows.examples


def test_rows_that_contradict_each_other_are_counted_and_dropped_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("sequence,label\nACGT,1\nTTTT,0\nACGT,0\nTTTT,0\nACGT,1\nGGGG,1\n")
    rows = load_rows(CONFORM, path)
    assert (len(rows), rows.num_duplicates, rows.num_contradicting) == (6, 2, 3)
    kept = load_rows(CONFORM, path, contradictions="drop")
    assert [example.sequences[0] for example in kept] == ["TTTT", "TTTT", "GGGG"]
    assert (kept.num_available, kept.num_contradicting, kept.record["contradictions"]) == (6, 3, "drop")


def test_numbers_do_not_contradict_each_other(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("sequence,label\nACGT,0.1\nACGT,0.7\n")
    assert len(load_rows(STRENGTH, path, contradictions="drop")) == 2


@given(cap=st.integers(1, 40), seed=st.integers(0, 9))
def test_a_cap_draws_by_the_seed_and_keeps_the_order_of_the_file(table: Path, cap: int, seed: int) -> None:
    everything = load_rows(CONFORM, table).examples
    drawn = load_rows(CONFORM, table, cap=cap, seed=seed).examples
    assert len(drawn) == min(cap, 30)
    assert drawn == load_rows(CONFORM, table, cap=cap, seed=seed).examples
    assert [example for example in everything if example in drawn] == list(drawn)
    if cap in range(5, 25):
        assert drawn != load_rows(CONFORM, table, cap=cap, seed=seed + 10).examples


def test_a_models_rows_are_drawn_again_or_not_at_all(table: Path, tmp_path: Path) -> None:
    copy = tmp_path / "train.csv"
    copy.write_bytes(table.read_bytes())
    rows = load_rows(CONFORM, copy, cap=7, seed=3, bad_letters="drop")
    again = load_training_rows(CONFORM, rows.record)
    assert again is not None
    assert (again.examples, again.record) == (rows.examples, rows.record)
    copy.write_text(copy.read_text() + "ACGT,1\n")
    assert load_training_rows(CONFORM, rows.record) is None
    copy.unlink()
    assert load_training_rows(CONFORM, rows.record) is None
