"""Nothing that shares a k-mer with what is kept out gets into the corpus."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.corpus.contamination import HeldOutFile, collect
from llama_gene.errors import FormatError
from llama_gene.sequences.alphabet import Kind, reverse_complement
from nano import dna, protein


def guard_of(path: Path, sequences: list[str], kind: Kind, k: int):  # type: ignore[no-untyped-def]
    path.write_text("sequence,label\n" + "".join(f"{sequence},0\n" for sequence in sequences))
    return collect([HeldOutFile(path, kind)], kind, k)


def test_literal(tmp_path: Path) -> None:
    out = guard_of(tmp_path / "dev.csv", ["ACGTTGCAAT", "ACGTTGCAAT", "ACG"], "dna", 8)
    assert (out.num_sequences, out.num_short, len(out.guard.codes)) == (3, 1, 3)
    # The k-mer itself, its other strand, one letter changed, cut by an N, shorter than k.
    windows = ["GGGACGTTGCAGGG", reverse_complement("ACGTTGCA"), "ACGTTGGA", "ACGTNGCAAT", "ACGTTGC"]
    assert out.guard.hits(windows) == [True, True, False, False, False]
    assert out.guard.hits(["ACGT", "TGCA"]) == [False, False]  # not across two windows
    assert out.guard.hits([]) == []


@given(
    kept_out=st.lists(st.text("ACGT", max_size=20), max_size=4),
    windows=st.lists(st.text("ACGTN", max_size=30), max_size=6),
    k=st.integers(2, 9),
)
def test_hits_are_those_of_sets_of_strings(
    tmp_path_factory: pytest.TempPathFactory, kept_out: list[str], windows: list[str], k: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "dev.fa"
    path.write_text("".join(f">r{n}\n{sequence}\n" for n, sequence in enumerate([*kept_out, "A"]) if sequence))
    found = collect([HeldOutFile(path, "dna")], "dna", k).guard.hits(windows)

    def kmers(text: str) -> set[str]:
        return {text[i : i + k] for i in range(len(text) - k + 1) if "N" not in text[i : i + k]}

    held = {kmer for sequence in kept_out for kmer in kmers(sequence) | kmers(reverse_complement(sequence))}
    assert found == [bool(kmers(window) & held) for window in windows]


def test_columns_and_their_kinds(tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    gene, prot = dna(40, 1), protein(40, 2)
    path.write_text(f"seq_id_a,seq_id_b,seq_type_a,seq_type_b,seq_a,seq_b,label\na,b,gene,prot,{gene},{prot},1\n")
    for columns in ((), ("seq_a", "seq_b")):
        assert list(HeldOutFile(path, "dna", columns).sequences()) == [gene]
        assert list(HeldOutFile(path, "protein", columns).sequences()) == [prot]
    assert collect([HeldOutFile(path, "protein")], "protein", 12).guard.hits([prot[5:20], gene]) == [True, False]
    path.write_text("name,label\na,1\n")
    with pytest.raises(FormatError, match=r"dev\.csv:2: no column of sequences\n  the columns are name, label"):
        list(HeldOutFile(path, "dna").sequences())
    with pytest.raises(FormatError, match="no column 'seq_a'"):
        list(HeldOutFile(path, "dna", ("seq_a",)).sequences())


def test_odd_letters_of_a_task_are_masked(tmp_path: Path) -> None:
    out = guard_of(tmp_path / "dev.csv", ["ACGTTGCA-ACGTTGCC"], "dna", 8)
    assert out.guard.hits(["ACGTTGCC", "TTGCAACG"]) == [True, False]
