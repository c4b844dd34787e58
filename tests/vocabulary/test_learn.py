"""From files to a vocabulary: what is drawn, what memory it takes, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_gene.vocabulary.learn
import llama_gene.vocabulary.sample
from llama_gene.errors import SequenceError, SettingsError, TokenizerError
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.record import Record
from llama_gene.vocabulary.learn import learn_vocabulary
from llama_gene.vocabulary.memory import available_memory, estimate_memory, require_memory
from llama_gene.vocabulary.sample import Share, sample_sequences, share_out
from llama_gene.vocabulary.train import train

from .conftest import simulate


def write(path: Path, *sequences: str) -> Path:
    path.write_text("".join(f">r{number}\n{sequence}\n" for number, sequence in enumerate(sequences)))
    return path


def drawn(paths: list[Path], num_letters: int, seed: int = 0) -> list[str]:
    return list(sample_sequences(paths, "dna", num_letters, [], seed=seed))


def test_a_file_that_fits_is_drawn_whole(tmp_path: Path) -> None:
    records = simulate("dna", 3, 10_000)
    assert drawn([write(tmp_path / "a.fa", *records)], 10**9) == records


def test_every_file_gives_the_same_and_a_short_one_what_it_has(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{base}.fa", base * length) for base, length in [("A", 10_000), ("C", 10**6), ("G", 10**6)]
    ]
    text = "".join(drawn(files, 410_000))
    assert text.count("A") == 10_000
    assert text.count("C") == pytest.approx(200_000, abs=4096)
    assert text.count("G") == pytest.approx(200_000, abs=4096)


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 10**6), max_size=6), wanted=st.integers(1, 10**6))
def test_shares_add_up(lengths: list[int], wanted: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("shares")
    lengths = [max(1, length % 3000) for length in lengths]
    files = [write(folder / f"{number}.fa", "A" * length) for number, length in enumerate(lengths)]
    shares = share_out(files, "dna", wanted, on_reject=lambda _: None)
    assert [share.num_letters for share in shares] == lengths
    assert all(share.num_drawn <= share.num_letters for share in shares)
    num_drawn = sum(share.num_drawn for share in shares)
    assert min(wanted, sum(lengths)) - len(lengths) < num_drawn <= wanted or not lengths


def test_the_seed_moves_the_sample(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fa", *simulate("dna", 1, 400_000))
    assert drawn([file], 20_000, seed=1) == drawn([file], 20_000, seed=1)
    assert drawn([file], 20_000, seed=1) != drawn([file], 20_000, seed=2)


def test_bad_records_are_set_aside_once(tmp_path: Path) -> None:
    rejects: list[Reject] = []
    file = write(tmp_path / "a.fa", "ACGTACGT", "ACGT-", "ACGGACGG")
    assert list(sample_sequences([file], "dna", 1000, rejects)) == ["ACGTACGT", "ACGGACGG"]
    assert [reject.id for reject in rejects] == ["r1"]


def test_too_much_for_the_memory_names_a_sample_that_fits(tmp_path: Path) -> None:
    shares = [Share(tmp_path / "a.fa", 10**10, 1000, 10**10)]
    needed = estimate_memory(shares, "dna", both_strands=False)
    require_memory(shares, "dna", both_strands=False, available=needed)
    with pytest.raises(SettingsError, match=r"takes about 24\.4 GiB, and 4\.0 are free") as error:
        require_memory(shares, "dna", both_strands=False, available=4 << 30)
    sample = int(str(error.value.hint).split()[2].rstrip(","))
    fits = [Share(tmp_path / "a.fa", 10**10, 1000, sample)]
    require_memory(fits, "dna", both_strands=False, available=4 << 30)
    assert sample > 10**9
    assert estimate_memory(fits, "dna", both_strands=True) > estimate_memory(fits, "dna", both_strands=False)
    with pytest.raises(SettingsError, match="more memory"):
        require_memory(shares, "dna", both_strands=False, available=1 << 20)
    assert available_memory() > 0


def test_a_sequence_vocabulary_says_what_it_was_learned_from(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.fa", *simulate("dna", 20, 2000)), write(tmp_path / "b.fa", *simulate("dna", 9, 2000))]
    vocabulary, rejects = learn_vocabulary(files, "dna", 100, tmp_path / "dna", sample=30_000)
    assert vocabulary.size == 100
    assert rejects == []
    assert [(source["file"], source["letters"]) for source in vocabulary.sources] == [("a.fa", 15000), ("b.fa", 15000)]


@pytest.mark.parametrize(("less", "num_readings"), [(0, 1), (1, 2)])
def test_what_fits_the_sample_is_read_once_and_as_a_whole(
    less: int, num_readings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = simulate("dna", 3, 10_000)
    file, wanted = write(tmp_path / "a.fa", *records), sum(map(len, records)) - less
    expected = train(drawn([file], wanted), "dna", 300)
    readings: list[Path] = []

    def read(path: Path, *args: Any, **kwargs: Any) -> Iterator[Record]:
        readings.append(path)
        return read_records(path, *args, **kwargs)

    monkeypatch.setattr(llama_gene.vocabulary.sample, "read_records", read)
    vocabulary, _ = learn_vocabulary([file], "dna", 300, tmp_path / "dna", sample=wanted)
    assert vocabulary == expected
    assert readings == [file] * num_readings


def test_what_does_not_fit_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.fa", "ACGT" * 75_000)
    needed = estimate_memory([Share(file, 300_000, 300_000, 300_000)], "dna", both_strands=False)
    monkeypatch.setattr(llama_gene.vocabulary.learn, "available_memory", lambda: needed - 1)
    with pytest.raises(SettingsError, match="learning from 300,000 letters takes about"):
        learn_vocabulary([file], "dna", 300, tmp_path / "dna", sample=10**6)


def test_a_size_that_cannot_be_is_found_before_any_reading(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="below the 4 letters"):
        learn_vocabulary([tmp_path / "absent.fa"], "dna", 3, tmp_path / "dna", sample=1000)


def test_records_that_do_not_hold_are_named_where_none_does(tmp_path: Path) -> None:
    file = tmp_path / "a.fa"
    file.write_bytes(">a\nACéGT\n".encode())
    with pytest.raises(SequenceError, match=r"none of the records hold: .* 1 letter outside the DNA") as error:
        learn_vocabulary([file], "dna", 10, tmp_path / "dna", sample=1000)
    assert error.value.where == f"{file}:1"


def test_ctrl_c_ends_learning_with_its_own_exit_code_and_leaves_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fa", *simulate("dna", 60, 400_000))
    command = [str(Path(sys.executable).with_name("llama-gene")), "vocabulary", "train", str(file), "--kind", "dna"]
    process = subprocess.Popen(
        [*command, "--size", "60000", "--output", str(tmp_path / "dna")], stderr=subprocess.PIPE, text=True
    )
    # In the middle of its work.
    while process.poll() is None and psutil.Process(process.pid).cpu_times().user < 0.6:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "Traceback" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fa"]
