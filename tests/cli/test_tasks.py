"""The commands of `tasks`, as somebody with a table of their own calls them."""

import csv
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llama_gene.tasks.registry import builtin_names, load_task
from nano import dna, protein

from .conftest import Cli

Refused = Callable[..., list[str]]
DOCS = Path(__file__).parents[2] / "docs" / "tasks.md"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def write(path: Path, header: str, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])
    return path


@pytest.fixture
def enhancers(tmp_path: Path) -> Path:
    rows = [(f"e{i}", dna(40, i), str(i % 2)) for i in range(40)]
    return write(tmp_path / "enhancers.csv", "name,promoter,active", [*rows, ("bad", "AC-GT", "1")])


# new


def test_a_table_becomes_a_task_in_one_command(cli: Cli, enhancers: Path, tmp_path: Path) -> None:
    outcome = cli("tasks", "new", enhancers, "--question", "Is this an enhancer?")
    assert outcome.code == 0, outcome
    folder = tmp_path / "enhancers"
    task = load_task(folder / "task.toml")
    assert (task.kind, task.row, task.labels) == ("classification", "classification DNA", {"0": "no", "1": "yes"})
    assert [part.column for part in task.inputs] == ["promoter"]
    assert task.label_column == "active"
    assert "train.csv: 36 rows; dev.csv: 4, with no sequence" in outcome.out
    assert "set aside" in outcome.err
    # The commands that come next, and what they say of files, are right as they stand.
    assert f"llama-gene tasks check {folder}/task.toml {folder}/train.csv" in outcome.out
    assert f"""'tasks.use=["{folder}/task.toml"]'""" in outcome.out
    checked = cli("tasks", "check", folder / "task.toml", folder / "train.csv")
    assert "36 rows hold, 0 do not" in checked.out


def test_seven_classes_a_regression_and_a_pair(cli: Cli, tmp_path: Path) -> None:
    places = ["nucleus", "golgi", "membrane", "er", "vacuole", "lysosome", "cell wall"]
    write(tmp_path / "where.csv", "protein,where", [(protein(40, i), places[i % 7]) for i in range(70)])
    assert cli("tasks", "new", tmp_path / "where.csv", "--question", "Where is it?", "--yes").code == 0
    assert load_task(tmp_path / "where" / "task.toml").label_names == tuple(sorted(places))
    rows = [(dna(30, i), protein(40, i), f"{i * 0.05:.2f}") for i in range(60)]
    pair = write(tmp_path / "a.b.csv", "dna,protein,affinity", rows)
    assert cli("tasks", "new", pair, "--question", "How strong?", "--name", "bind", "--dev", "0.2").code == 0
    task = load_task(tmp_path / "bind" / "task.toml")
    assert [(part.role, part.kind) for part in task.inputs] == [("DNA", "dna"), ("protein", "protein")]
    assert (task.kind, task.decimals, task.minimum, task.maximum) == ("regression", 1, 0.0, 3.0)


def test_what_is_given_wins(cli: Cli, enhancers: Path, tmp_path: Path) -> None:
    given = ("--column", "site=promoter:dna", "--label", "1=active", "--row", "structure DNA", "--strand-symmetric")
    words = ("tasks", "new", enhancers, "--question", "Is it?", "--output", tmp_path / "out", *given)
    assert cli(*words).code == 0
    task = load_task(tmp_path / "out" / "task.toml")
    assert (task.inputs[0].role, task.row, task.strand_symmetric) == ("site", "structure DNA", True)
    assert task.labels == {"0": "no", "1": "active"}
    assert cli(*words, "--force").code == 0


def test_an_earlier_task_is_not_written_over(refused: Refused, cli: Cli, enhancers: Path) -> None:
    words = ("tasks", "new", enhancers, "--question", "Is it?")
    assert cli(*words).code == 0
    refused(*words, parts=("task.toml is there already", "--force", "--output"))


WRONG = {
    "question": ([], ("what the model is asked", "--question")),
    "column": (["--column", "promotr:dna"], ("--column: no column 'promotr'", "name, promoter, active")),
    "kind": (["--column", "promoter:rna"], ("--column 'promoter:rna'", "COLUMN:dna")),
    "label column": (["--label-column", "x"], ("--label-column: no column 'x'",)),
    "label": (["--label", "2=x"], ("--label '2=x'", "VALUE=NAME; values: 0, 1")),
    "same names": (["--label", "0=yes"], ("labels: '0' and '1' have the same name 'yes'",)),
    "name": (["--name", "a b"], ("name: String should match",)),
    "row": (["--row", "structure"], ("row: Input should be", "'structure'")),
    "share": (["--dev", "2"], ("--dev 2", "between 0 and 1")),
    "dev": (["--dev", "nowhere.csv"], ("nowhere.csv: no such file",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_choice_names_its_flag(case: str, refused: Refused, enhancers: Path) -> None:
    flags, parts = WRONG[case]
    question = [] if case == "question" else ["--question", "Is it?"]
    refused("tasks", "new", enhancers, *question, *flags, parts=parts)


def test_standard_input_is_no_table_to_look_at(refused: Refused) -> None:
    refused("tasks", "new", "-", "--question", "Is it?", parts=("not from standard input", "give a file"))


def test_on_a_terminal_it_asks(enhancers: Path, tmp_path: Path) -> None:
    answers = ["", "", "", "Is this an enhancer?", "background", "enhancer"]
    main, terminal = pty.openpty()
    words = [sys.executable, "-c", "from llama_gene.cli import main; main()", "tasks", "new", str(enhancers)]
    asked = subprocess.Popen(words, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(main, "".join(f"{answer}\n" for answer in answers).encode())
    _, err = asked.communicate(timeout=60)
    os.close(main)
    os.close(terminal)
    assert asked.returncode == 0, err
    assert b"column of the answers [active]" in err
    assert load_task(tmp_path / "enhancers" / "task.toml").labels == {"0": "background", "1": "enhancer"}


# list, show, check


def test_list_can_be_narrowed_and_says_what_is_there(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "GUE" / "tf" / "4").mkdir(parents=True)
    (tmp_path / "tasks" / "GUE" / "tf" / "4" / "dev.csv").touch()
    listed = cli("tasks", "list", "--data", tmp_path, "--kind", "classification", "--row", "DNA").out
    rows = {line.split()[0]: line for line in listed.splitlines()[1:]}
    expected = {name for name in builtin_names() if "DNA" in load_task(name).row}
    assert set(rows) == {name for name in expected if load_task(name).kind == "classification"}
    assert re.search(r"classification DNA +dev +Human", rows["tf_4"])
    assert re.search(r"classification DNA +- +Human", rows["tf_0"])
    assert "no such task" in cli("tasks", "list", "--row", "lipid").out


def test_show_takes_a_real_row_and_a_tokenizer(cli: Cli, enhancers: Path, tmp_path: Path, nano_folder: Path) -> None:
    cli("tasks", "new", enhancers, "--question", "Is it?")
    folder = tmp_path / "enhancers"
    first = next(csv.DictReader((folder / "dev.csv").open()))
    for data in (folder / "dev.csv", tmp_path):
        out = cli("tasks", "show", folder / "task.toml", "--data", data, "--model", nano_folder).out
        assert f"Is it?\n<dna>{first['promoter']}</dna>\nAnswer:" in out
        assert f"its answer: {'yes' if first['active'] == '1' else 'no'}" in out
        # Without colours, the brackets tell the kinds apart; the letters are all there.
        assert "".join(re.findall(r"\[([ACGT]+)\]", out)) == first["promoter"]
        assert re.search(r"\d+ tokens: \d+ of text, \d+ of DNA, 0 of protein", out)
        assert "‹<dna>›[" in out
    refused = cli("tasks", "show", folder / "task.toml", "--model", tmp_path)
    assert refused.code == 2
    assert "no tokenizer.json in it" in refused.err


def test_show_says_where_unread_label_names_stand(cli: Cli) -> None:
    assert "answers: named in label.txt beside the tables" in cli("tasks", "show", "GenusTax").out


def test_check_says_what_is_odd(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sequence,label", [("ACGT", "0"), ("ACGT", "1"), ("ACGT", "0"), ("AC", "1")])
    out = cli("tasks", "check", "prom_core_all", path).out
    assert "no: 2, yes: 2" in out
    assert "sequence: 2 to 4 letters, median 4" in out
    assert "1 rows have the sequences and the answer of a row above" in out
    assert "1 rows contradict a row above with the same sequences: row3 says 'yes', unlike row2" in out
    header = "seq_id_a,seq_id_b,seq_type_a,seq_type_b,seq_a,seq_b,label"
    pair = write(tmp_path / "b.csv", header, [("a", "b", "prot", "prot", "MKV", "", "1")] * 2)
    outcome = cli("tasks", "check", "ppi_yeast_string", pair)
    assert outcome.code == 2
    assert outcome.message == [f"{pair}: 2 rows do not hold", "  2 x column 'seq_b' is empty"]


# convert


def test_convert_there_and_back(cli: Cli, enhancers: Path, tmp_path: Path) -> None:
    cli("tasks", "new", enhancers, "--question", "Is it?")
    dev, alpaca, table = tmp_path / "enhancers" / "dev.csv", tmp_path / "a.json", tmp_path / "b.csv"
    outcome = cli("tasks", "convert", dev, alpaca, "--to", "alpaca", "--task", tmp_path / "enhancers" / "task.toml")
    assert f"{alpaca}: 4 instructions, 0 set aside" in outcome.out
    outcome = cli("tasks", "convert", alpaca, table, "--from", "alpaca", "--to", "table")
    assert f"{table}: 4 rows, 0 set aside" in outcome.out
    names = {"no": "0", "yes": "1"}
    found = [(row["id"], row["sequence"], names[row["label"]]) for row in csv.DictReader(table.open())]
    assert found == [(row["id"], row["promoter"], row["active"]) for row in csv.DictReader(dev.open())]
    assert {row["question"] for row in csv.DictReader(table.open())} == {"Is it?"}


def test_convert_fasta_and_a_table(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a yes\nACGT\n>b\nAC\n")
    words = ("tasks", "convert", tmp_path / "a.fa", tmp_path / "a.csv", "--from", "fasta", "--to", "gue")
    outcome = cli(*words, "--kind", "dna")
    assert "1 rows, 1 set aside" in outcome.out
    assert "record 'b': no label in its header" in outcome.err
    assert (tmp_path / "a.csv").read_text() == "sequence,label\nACGT,yes\n"
    given = ("--column", "sequence:dna", "--label-column", "label")
    outcome = cli(
        "tasks", "convert", tmp_path / "a.csv", tmp_path / "b.tsv", "--from", "table", "--to", "lucaone", *given
    )
    assert (tmp_path / "b.tsv").read_text() == "seq_id\tseq_type\tseq\tlabel\nrow2\tgene\tACGT\tyes\n"


CONVERT = {
    "no form": (["--to", "table"], ("what the input is was not said", "--from table | gue")),
    "no task": (["--to", "chat", "--from", "gue"], ("a question and the names of the labels", "--task NAME_OR_FILE")),
    "no kind": (["--to", "gue", "--from", "fasta"], ("--kind dna or --kind protein",)),
    "no column": (["--to", "gue", "--from", "table"], ("--column sequence:dna",)),
    "bad column": (["--to", "gue", "--from", "table", "--column", "x"], ("--column 'x'", "COLUMN:dna")),
    "not json": (["--to", "chat", "--from", "alpaca"], ("neither a JSON array nor lines of JSON objects",)),
}


@pytest.mark.parametrize("case", CONVERT)
def test_convert_says_what_is_missing(case: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sequence,label\nACGT,1\n")
    flags, parts = CONVERT[case]
    refused("tasks", "convert", tmp_path / "a.csv", tmp_path / "b.jsonl", *flags, parts=parts)


# docs


def test_the_table_of_the_docs_is_the_built_in_tasks() -> None:
    rows = [
        f"| `{task.name}` | {task.row} | {task.title} | `{task.data}` |" for task in map(load_task, builtin_names())
    ]
    _, _, section = DOCS.read_text(encoding="utf-8").partition("\n## Built-in tasks\n")
    assert [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")] == rows
