"""A stranger's table: what is read off it, and how its rows are shared out."""

import csv
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError, SettingsError, TaskError
from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.tasks.check import check_table
from llama_gene.tasks.draft import Column, Grid, guess_grid, guess_label, guess_labels, guess_sequences, look_at
from llama_gene.tasks.prepare import write_task
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.rows import load_rows
from nano import CONFORM, PAIR, dna, protein

DNA, PROTEIN = dna(30, 1), protein(40, 2)


def column(cells: list[str], name: str = "x") -> Column:
    found = Column(name)
    for cell in cells:
        found.add(cell)
    return found


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([dna(30, i) for i in range(9)], "dna"),
        ([dna(30, i).lower().replace("t", "u") for i in range(9)], "dna"),
        ([dna(29, i) + "N" for i in range(9)], "dna"),
        ([protein(40, i) for i in range(9)], "protein"),
        ([protein(40, i) + "*" for i in range(9)], "protein"),
        (["POSITIVE", "NEGATIVE"] * 9, None),  # all letters of a protein
        (["Binds zinc and DNA.", "Cuts sugar."] * 3, None),
        (["0.25", "1.5"], None),
        (["ACGT", "ACG"] * 3, None),  # too short
        ([""], None),
    ],
)
def test_sequences_are_known_by_their_letters(cells: list[str], kind: str | None) -> None:
    assert column(cells).sequence_kind == kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["0", "1"] * 5, "classification"),
        (list("0123456") * 2, "classification"),
        (["membrane", "nucleus"] * 5, "classification"),
        (["0.5", "1.25", "3"], "regression"),
        ([str(number) for number in range(30)], "regression"),
        (["0;1;0", "1; 0;0"], "multilabel"),
        ([f"It binds {number} ions." for number in range(9)], "text"),
    ],
)
def test_answers_are_known_by_their_cells(cells: list[str], kind: str) -> None:
    assert column(cells).task_kind == kind


def test_a_name_tells_few_sequences_from_words() -> None:
    assert column([dna(30, 1), dna(30, 2)] * 9).sequence_kind is None
    assert column([dna(30, 1), dna(30, 2)] * 9, "promoter_seq").sequence_kind == "dna"


def test_the_columns_of_a_table() -> None:
    names = {"id": ["a", "b"], "dna": [DNA, dna(30, 3)], "linker": [dna(30, 4), dna(30, 5)], "y": ["1", "0"]}
    columns = [column(cells, name) for name, cells in names.items()]
    assert guess_sequences(columns) == [("dna", "dna")]  # the other one is not called a sequence
    assert guess_label(columns, ["dna"]) == "y"
    with pytest.raises(TaskError, match=r"0 columns look like sequences.*\n  name them: --column .* columns: y"):
        guess_sequences(columns[3:])
    with pytest.raises(TaskError, match=r"2 columns could be the labels\n  name it: --label-column"):
        guess_label([column(["1"], "a"), column(["2"], "b")], [])
    with pytest.raises(TaskError, match="no column looks like labels"):
        guess_label(columns[:2], ["dna"])


def test_label_names() -> None:
    assert guess_labels(column(["1", "0"])) == {"0": "no", "1": "yes"}
    assert list(guess_labels(column(["10", "9", "b", "a  c"]))) == ["9", "10", "a  c", "b"]
    assert guess_labels(column(["a  c", "b"]))["a  c"] == "a c"
    assert guess_labels(column(["0;1;1"]), several=True) == {"0": "label 0", "1": "label 1", "2": "label 2"}
    with pytest.raises(TaskError, match="has 1 different labels"):
        guess_labels(column(["1", "1"]))
    with pytest.raises(TaskError, match=r"more than 200 different labels\n  .*--kind text or --kind regression"):
        guess_labels(column([str(number) for number in range(300)]))


@pytest.mark.parametrize(
    ("cells", "grid"),
    [
        (["0.0", "1.0", "0.53"], Grid(1, 0.0, 1.0)),
        (["0", "100"], Grid(0, 0.0, 100.0)),
        (["-1.97", "4.36"], Grid(1, -2.0, 4.4)),
        (["0.001", "0.004"], Grid(4, 0.001, 0.004)),
        ([*(str(i / 10) for i in range(500)), "1e9"], Grid(0, 0.0, 50.0)),  # one of 501 is left outside
    ],
)
def test_the_grid_of_answers(cells: list[str], grid: Grid) -> None:
    assert guess_grid(column(cells)) == grid


@pytest.mark.parametrize(
    ("cells", "message"),
    [(["1", "1.0"], "no two different numbers"), (["1", "99999"], r"too many answers\n  .*logarithm")],
)
def test_numbers_that_make_no_grid(cells: list[str], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        guess_grid(column(cells))


def write(path: Path, rows: list[tuple[str, ...]], header: str = "sequence,label") -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])
    return path


def test_a_table_is_looked_through_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [(dna(20, i), str(i % 3)) for i in range(50)])
    sequences, labels = look_at(path)
    assert (sequences.num_cells, sequences.num_dna, sequences.values) == (50, 50, sequences.values)
    assert labels.values == {"0": 17, "1": 17, "2": 16}
    path.write_text("sequence,label\nACGT\n")
    with pytest.raises(FormatError, match=r"a\.csv:2: 1 cells"):
        look_at(path)
    path.write_bytes("sequence,label\nACGT,1\n".encode("utf-16-le"))
    with pytest.raises(FormatError, match=r"a.csv:1: not UTF-8 text\n  .*iconv -f UTF-16"):
        look_at(path)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.9), pair=st.booleans())
def test_no_sequence_stands_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, pair: bool
) -> None:
    generator = random.Random(seed)
    folder = tmp_path_factory.mktemp("task")
    task = (PAIR if pair else CONFORM).model_copy(update={"layout": "table", "data": "."})
    different = [dna(12, seed * 20 + i) for i in range(8)]
    rows = []
    for sequence in (generator.choice(different) for _ in range(40)):
        strand = sequence if generator.random() < 0.5 else reverse_complement(sequence)
        rows.append((strand, *(["MKV"] if pair else []), generator.choice(list(task.labels))))
    header = ",".join([part.column for part in task.inputs] + [task.label_column])
    data = write(folder / "data.csv", rows, header)
    rejects: list[object] = []
    num_train, num_dev = write_task(task, data, share, folder, seed=seed, policy="skip", on_reject=rejects.append)
    assert (num_train + num_dev, rejects) == (40, [])
    made = load_task(folder / "task.toml")
    sides = []
    for name, number in (("train", num_train), ("dev", num_dev)):
        loaded = load_rows(made, folder / f"{name}.csv")
        assert len(loaded.examples) == number > 0
        sides.append({min(row.sequences[0], reverse_complement(row.sequences[0])) for row in loaded.examples})
    assert not sides[0] & sides[1]
    held = sides[0] | sides[1]
    assert len(sides[1]) == min(max(1, round(share * len(held))), len(held) - 1)
    again = folder / "again"
    write_task(task, data, share, again, seed=seed, policy="skip", on_reject=rejects.append)
    assert (again / "dev.csv").read_bytes() == (folder / "dev.csv").read_bytes()


def test_dev_rows_of_ones_own_are_kept_out_of_the_training_rows(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", [(DNA, "0"), (dna(30, 7), "1"), ("AC-GT", "1"), (dna(30, 8), "7")])
    dev = write(tmp_path / "b.csv", [(reverse_complement(DNA), "0")])
    task = CONFORM.model_copy(update={"layout": "table", "data": "."})
    reasons: list[str] = []
    numbers = write_task(
        task, train, dev, tmp_path / "t", seed=1, policy="skip", on_reject=lambda reject: reasons.append(reject.reason)
    )
    assert numbers == (1, 1)
    assert sorted(reasons) == [
        "column 'sequence': 1 letter outside the DNA alphabet: '-' (1)",
        "its sequences are among the dev rows, too",
        "unknown label '7'",
    ]


def test_rows_that_cannot_be_shared_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [(DNA, "0"), (DNA, "1")])
    task = CONFORM.model_copy(update={"layout": "table", "data": "."})
    with pytest.raises(TaskError, match=r"a.csv: not two rows with different sequences hold\n  .*--dev FILE"):
        write_task(task, path, 0.5, tmp_path / "t", seed=1, policy="skip", on_reject=print)
    with pytest.raises(SettingsError, match=r"--dev 1\.5"):
        write_task(task, path, 1.5, tmp_path / "t", seed=1, policy="skip", on_reject=print)
    assert not (tmp_path / "t").exists()


def test_what_a_check_finds(tmp_path: Path) -> None:
    rows = [("ACGT", "0"), ("ACGT", "0"), ("ACGT", "1"), ("TTTTTT", "1"), ("", "1"), ("ACGT", "x")]
    reasons: list[str] = []
    found = check_table(
        CONFORM, write(tmp_path / "a.csv", rows), on_reject=lambda reject: reasons.append(reject.reason)
    )
    assert (found.num_rows, found.num_rejected, found.num_duplicates, found.num_contradicting) == (4, 2, 1, 1)
    assert found.contradictions == [("row2", "row4", CONFORM.labels["1"])]
    assert found.answers == {CONFORM.labels["0"]: 2, CONFORM.labels["1"]: 2}
    assert found.lengths == [(4, 4, 6)]
    assert reasons == ["column 'sequence' is empty", "unknown label 'x'"]


def test_the_other_strand_contradicts_where_strands_are_alike(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [("AACG", "0"), ("CGTT", "1")])
    alike = CONFORM.model_copy(update={"strand_symmetric": True})
    assert check_table(CONFORM, path, on_reject=print).num_contradicting == 0
    assert check_table(alike, path, on_reject=print).num_contradicting == 1
