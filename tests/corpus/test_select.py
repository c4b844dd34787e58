"""Duplicates are dropped, and validation is drawn by record: over all parts, whatever their number."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llama_gene.config import CorpusSettings
from llama_gene.corpus import select
from llama_gene.corpus.build import build_corpus
from llama_gene.corpus.pack import open_split
from llama_gene.corpus.plan import freeze
from llama_gene.tokenizer import GeneTokenizer
from nano import dna


def build(root: Path, tokenizer: GeneTokenizer, files: dict[str, list[tuple[str, str]]], **changes: Any) -> Any:
    """A corpus of DNA with a source for each file."""
    for name, records in files.items():
        (root / f"{name}.fa").write_text("".join(f">{record}\n{sequence}\n" for record, sequence in records))
    source = [{"name": name, "kind": "dna", "files": [f"{name}.fa"]} for name in files]
    settings = CorpusSettings(**{"source": source, "window": 50, "min_length": 10, "validation": 0.2} | changes)
    return build_corpus(freeze(settings, root, tokenizer, root / "corpus", seed=7), settings)


def places(root: Path, manifest: Any, split: Any) -> list[tuple[str, str, int, int]]:
    found = []
    for name, task in manifest["tasks"].items():
        shard = open_split(root / "corpus", name, split)
        for place in map(shard.place, range(len(shard))):
            found.append((task["source"], place.record, place.start, place.end))
    return found


def test_duplicates_are_dropped_after_the_first(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    one, two = dna(50, 1), dna(50, 2)
    files = {"b": [("r1", one + two), ("r2", two.lower())], "a": [("r3", one), ("r4", dna(50, 3))]}
    manifest = build(tmp_path, nano_tokenizer, files)
    kept = places(tmp_path, manifest, "train") + places(tmp_path, manifest, "validation")
    # The order is that of the sources, not of their names.
    assert sorted(kept) == [("a", "r4", 0, 50), ("b", "r1", 0, 50), ("b", "r1", 50, 100)]
    assert {name: task["duplicates"] for name, task in manifest["tasks"].items()} == {"b-0000": 1, "a-0000": 1}
    whole = build(tmp_path, nano_tokenizer, files, deduplicate=False)
    assert sum(task[split]["documents"] for task in whole["tasks"].values() for split in ("train", "validation")) == 5


def test_duplicates_do_not_depend_on_the_memory_there_is(
    nano_tokenizer: GeneTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a": [(f"r{n}", dna(20, n % 17)) for n in range(60)], "b": [(f"s{n}", dna(20, n % 23)) for n in range(40)]}
    first = build(tmp_path, nano_tokenizer, files)
    monkeypatch.setattr(select, "_HASHES_AT_A_TIME", 7)
    assert build(tmp_path, nano_tokenizer, files) == first
    assert [first["tasks"][name]["duplicates"] for name in ("a-0000", "b-0000")] == [43, 34]


def test_both_strands_of_a_window_lie_on_one_side(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text("".join(f">r{n}\n{dna(100, n)}\n" for n in range(20)))
    source = [{"name": "a", "kind": "dna", "files": ["a.fa"], "both_strands": True}]
    settings = CorpusSettings(source=source, window=50, min_length=10, validation=0.2)  # type: ignore[arg-type]
    manifest = build_corpus(freeze(settings, tmp_path, nano_tokenizer, tmp_path / "corpus", seed=7), settings)
    sides = [places(tmp_path, manifest, split) for split in ("train", "validation")]
    for side in sides:
        records = Counter(record for _, record, _, _ in side)
        assert set(records.values()) == {4}
        assert sum(start < end for _, _, start, end in side) * 2 == len(side)
    assert len(sides[1]) == pytest.approx(16, abs=12)


def test_no_record_lies_on_both_sides(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    files = {
        "a": [(f"r{n}", dna(30 + 20 * (n % 9), n)) for n in range(90)],
        "b": [(f"r{n}", dna(90, 500 + n)) for n in range(30)],
    }
    manifest = build(tmp_path, nano_tokenizer, files, task_size=1000)
    assert len(manifest["tasks"]) > 9
    train, held_out = ({place[:2] for place in places(tmp_path, manifest, split)} for split in ("train", "validation"))
    assert train & held_out == set()
    assert len(train | held_out) == 120
    share = sum(task["validation"]["letters"] for task in manifest["tasks"].values()) / (90 * 30 + 20 * 4 * 90 + 2700)
    assert 0.1 < share < 0.4
    assert manifest["notes"] == {}
    # However the files are cut into tasks, the same records are held out.
    whole = build(tmp_path, nano_tokenizer, files)
    assert {place[:2] for place in places(tmp_path, whole, "validation")} == held_out


def test_a_record_stays_on_its_side_when_others_are_added(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    records = [(f"r{n}", dna(30, n)) for n in range(60)]
    some = build(tmp_path, nano_tokenizer, {"a": records[::2]})
    before = places(tmp_path, some, "validation")
    whole = build(tmp_path, nano_tokenizer, {"a": list(reversed(records))})
    assert set(before) < set(places(tmp_path, whole, "validation"))


def test_the_last_record_of_a_source_and_large_ones_stay(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    files = {"one": [("whole", dna(60, 1))], "some": [("large", dna(900, 2)), ("small", dna(100, 3))]}
    manifest = build(tmp_path, nano_tokenizer, files)
    assert {place[:2] for place in places(tmp_path, manifest, "validation")} == {("some", "small")}


def test_of_records_that_are_too_long_the_end_of_the_longest_is_held_out(
    nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    manifest = build(tmp_path, nano_tokenizer, {"a": [("chr1", dna(1000, 1)), ("chr2", dna(900, 2))]}, validation=0.1)
    assert places(tmp_path, manifest, "validation") == [
        ("a", "chr1", start, start + 50) for start in range(800, 1000, 50)
    ]
    note = "no record is short enough to be held out as a whole, so chr1 is from letter 800 on"
    assert manifest["notes"] == {"dna": note}


def test_of_one_document_nothing_is_held_out(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    manifest = build(tmp_path, nano_tokenizer, {"a": [("r", dna(40, 1))]})
    assert places(tmp_path, manifest, "validation") == []
    assert manifest["notes"] == {"dna": "nothing is held out, since there is but one document"}
