"""A corpus is a pure function of its sources, however often its making is interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest

from llama_gene.config import CorpusSettings
from llama_gene.corpus import encode
from llama_gene.corpus.build import build_corpus, finish_corpus, load_manifest, verify_shards
from llama_gene.corpus.pack import open_rows, open_split
from llama_gene.corpus.plan import Plan, freeze
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.text import train_text_tokenizer
from nano import dna, failing, protein, tree

from .test_pack import write_shard

SOURCES: list[dict[str, Any]] = [
    {"name": "bases", "kind": "dna", "files": ["*.fa"], "weight": 2},
    {"name": "proteins", "kind": "protein", "files": ["proteins.csv"]},
    {"name": "words", "kind": "text", "files": ["words.txt"]},
]


def settings(sources: list[dict[str, Any]] | None = None, **changes: Any) -> CorpusSettings:
    values = {"source": sources or SOURCES, "window": 60, "min_length": 10, "validation": 0.2}
    return CorpusSettings(**values | changes)


def build(settings: CorpusSettings, root: Path, tokenizer: GeneTokenizer, output: Path, *, seed: int = 7) -> Any:
    return build_corpus(freeze(settings, root, tokenizer, output, seed=seed), settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    chromosome = dna(300, 1) + "N" * 20 + dna(155, 2) + "NN" + dna(5, 3)
    (root / "one.fa").write_text(f">chr1\n{chromosome}\n>bad\nACGT-ACGTACGTACGT\n>short\nACGTACG\n")
    (root / "two.fa").write_text("".join(f">r{i}\n{dna(40, i)}\n" for i in range(20)))
    rows = [f"p{i},{protein(30, i)}" for i in range(20)]
    (root / "proteins.csv").write_text("\n".join(["id,sequence", *rows, "tiny,MK", "odd,MK7KMKMKMKMKM"]) + "\n")
    lines = [f"The gene number {i} is open in the leaf." for i in range(20)]
    (root / "words.txt").write_text("\n".join([*lines, "a <dna>ACGT</dna> tag and <protein> too"]) + "\n")
    return root


@pytest.fixture(scope="module")
def corpus(data: Path, nano_tokenizer: GeneTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("corpus") / "corpus"
    build(settings(), data, nano_tokenizer, output)
    return output


def documents_of(corpus: Path, task: str) -> list[list[int]]:
    shards = [open_split(corpus, task, "train"), open_split(corpus, task, "validation")]
    return [shard.document(index).tolist() for shard in shards for index in range(len(shard))]


def test_a_source_that_gives_nothing_raises(data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    sources = [*SOURCES, {"name": "long", "kind": "dna", "files": ["two.fa"]}]
    with pytest.raises(
        LlamaGeneError, match=r"'bases' gave no training document\n  23 records set aside, 0 dup.*rejec"
    ):
        build(settings(sources, min_length=400, window=400), data, nano_tokenizer, tmp_path / "c")
    with pytest.raises(LlamaGeneError, match=r"'long' gave no training document\n  0 records set aside, 20 duplicates"):
        build(settings(sources), data, nano_tokenizer, tmp_path / "c")
    assert not (tmp_path / "c" / "manifest.json").exists()
    with pytest.raises(SettingsError, match="no file matches"):
        build(settings([{**SOURCES[0], "files": ["*.gb"]}]), data, nano_tokenizer, tmp_path / "c")


def test_a_corpus_of_another_tokenizer_raises(corpus: Path, tmp_path: Path) -> None:
    """open-instruct#1518: tokens that another tokenizer made, taken from a cache."""
    from nano import DNA

    text = train_text_tokenizer(["other words"], 258, tmp_path / "text")
    other = GeneTokenizer.load(extend(text, [DNA], tmp_path / "other").folder)
    with pytest.raises(FormatError, match=r"encoded by another tokenizer\n  build it again"):
        load_manifest(corpus, other)


def test_an_unfinished_corpus_raises(nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"manifest\.json: no such file"):
        load_manifest(tmp_path, nano_tokenizer)


def test_a_kind_that_the_tokenizer_cannot_spell_raises(data: Path, tmp_path: Path) -> None:
    from nano import DNA

    text = train_text_tokenizer(["some words"], 258, tmp_path / "text")
    bases_only = GeneTokenizer.load(extend(text, [DNA], tmp_path / "dna").folder)
    with pytest.raises(LlamaGeneError, match=r"knows no protein\n  add a \[vocabulary\.protein\]"):
        build(settings([SOURCES[1]]), data, bases_only, tmp_path / "corpus")


def test_a_row_longer_than_the_corpus_raises(corpus: Path, nano_tokenizer: GeneTokenizer) -> None:
    with pytest.raises(FormatError, match="10 tokens do not fill one row of 512"):
        open_rows(corpus, load_manifest(corpus, nano_tokenizer), 512, 10, seed=1)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_shard_is_found(data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path, damage: str) -> None:
    manifest = build(settings(), data, nano_tokenizer, tmp_path / "corpus")
    verify_shards(tmp_path / "corpus", manifest)
    shard = tmp_path / "corpus" / "parts" / "proteins-0000" / "documents.ids"
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    if damage == "remove":
        shard.unlink()
    else:
        shard.write_bytes(content if damage == "flip" else content[:-4])
    with pytest.raises(FormatError, match=r"documents\.ids: this shard is missing or damaged\n  remove .*corpus"):
        verify_shards(tmp_path / "corpus", manifest)


def test_two_builds_have_the_same_bytes(
    corpus: Path, data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    build(settings(), data, nano_tokenizer, tmp_path / "again")
    assert tree(tmp_path / "again") == tree(corpus)
    build(settings(), data, nano_tokenizer, tmp_path / "other", seed=8)
    assert tree(tmp_path / "other") != tree(corpus)


@pytest.mark.parametrize("task", [1, 2, 4])
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(
    corpus: Path, data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: int
) -> None:
    output, real, encoded = tmp_path / "corpus", encode.make_part, []
    with monkeypatch.context() as patch:
        # Killed with the shards written and the marker not.
        patch.setattr(encode, "write_sealed", failing(task, KeyboardInterrupt(), encode.write_sealed))
        with pytest.raises(KeyboardInterrupt):
            build(settings(), data, nano_tokenizer, output)
    assert len(list((output / "parts").iterdir())) == task - 1
    assert not (output / "manifest.json").exists()
    with pytest.raises(
        FormatError, match=r"parts/.*: this part of the corpus is missing\n  do it: llama-gene corpus work"
    ):
        finish_corpus(Plan.load(output))
    monkeypatch.setattr(encode, "make_part", lambda plan, task, *rest: encoded.append(task) or real(plan, task, *rest))
    build(settings(), data, nano_tokenizer, output)
    # The largest files first.
    sizes = [task.num_bytes for task in Plan.load(output).tasks]
    assert [task.num_bytes for task in encoded] == sorted(sizes, reverse=True)[task - 1 :]
    assert tree(output) == tree(corpus)


def test_a_task_without_its_marker_is_done_again(
    corpus: Path, data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    output = tmp_path / "corpus"
    build(settings(), data, nano_tokenizer, output)
    (output / "parts" / "words-0000" / "done.json").unlink()
    (output / "parts" / "words-0000" / "documents.ids").write_bytes(b"half")
    build(settings(), data, nano_tokenizer, output)
    assert tree(output) == tree(corpus)


def test_a_changed_file_is_encoded_again_when_the_corpus_is_planned_again(
    data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("one\n" * 30)
    source = [{"name": "words", "kind": "text", "files": ["words.txt"]}]
    first = build(settings(source, deduplicate=False), tmp_path, nano_tokenizer, tmp_path / "corpus")
    words.write_text("two two\n" * 30)
    second = build(settings(source, deduplicate=False), tmp_path, nano_tokenizer, tmp_path / "corpus")
    assert first["plan_hash"] != second["plan_hash"]
    assert nano_tokenizer.decode(documents_of(tmp_path / "corpus", "words-0000")[0]) == "two two<|endoftext|>"


def test_documents_know_where_they_are_from(corpus: Path, data: Path, nano_tokenizer: GeneTokenizer) -> None:
    record = (data / "one.fa").read_text().split("\n")[1]
    seen = 0
    for split in ("train", "validation"):
        shard = open_split(corpus, "bases-0000", split)
        for index in range(len(shard)):
            place = shard.place(index)
            assert place.record == "chr1"
            text = f"<dna>{record[place.start : place.end]}</dna><|endoftext|>"
            assert nano_tokenizer.decode(shard.document(index)) == text
            seen += 1
    assert seen == 8


def test_what_is_in_it(corpus: Path, nano_tokenizer: GeneTokenizer) -> None:
    genes = nano_tokenizer
    texts = {
        name: list(map(genes.decode, documents_of(corpus, name))) for name in load_manifest(corpus, genes)["tasks"]
    }
    runs = [dna(300, 1)[start : start + 60] for start in range(0, 300, 60)]
    runs += [dna(155, 2)[start : start + 60] for start in range(0, 155, 60)]
    assert sorted(texts["bases-0000"]) == sorted(f"<dna>{run}</dna><|endoftext|>" for run in runs)
    assert sorted(texts["bases-0001"]) == sorted(f"<dna>{dna(40, i)}</dna><|endoftext|>" for i in range(20))
    assert sorted(texts["proteins-0000"]) == sorted(
        f"<protein>{protein(30, i)}</protein><|endoftext|>" for i in range(20)
    )
    assert len(texts["words-0000"]) == 21
    manifest = load_manifest(corpus, genes)
    for name, task in manifest["tasks"].items():
        both = [task[split] for split in ("train", "validation")]
        assert sum(part["documents"] for part in both) == len(texts[name])
        assert sum(part["tokens"] for part in both) == sum(map(len, documents_of(corpus, name)))
    assert sum(task["validation"]["documents"] for task in manifest["tasks"].values()) > 5


def test_what_was_set_aside_is_told_with_its_reason_and_counted(corpus: Path, nano_tokenizer: GeneTokenizer) -> None:
    tasks = load_manifest(corpus, nano_tokenizer)["tasks"]

    def rejects(name: str) -> dict[str, str]:
        lines = (corpus / "parts" / name / "rejects.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert all(row["where"] for row in rows)
        assert len(rows) == tasks[name]["rejects"]
        return {row["id"]: row["reason"] for row in rows}

    assert rejects("bases-0000").keys() == {"bad", "short"}
    assert "1 letter outside the DNA alphabet: '-' (1)" in rejects("bases-0000")["bad"]
    assert rejects("bases-0000")["short"] == "no clean run of min_length = 10 bases"
    assert rejects("bases-0001") == {}
    assert rejects("proteins-0000").keys() == {"tiny", "odd"}
    assert rejects("proteins-0000")["tiny"] == "shorter than min_length = 10"


def test_bad_letters_can_be_dropped(data: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    manifest = build(settings(bad_letters="drop"), data, nano_tokenizer, tmp_path / "corpus")
    assert manifest["tasks"]["bases-0000"]["rejects"] == 1
    documents = map(nano_tokenizer.decode, documents_of(tmp_path / "corpus", "bases-0000"))
    assert "<dna>ACGTACGTACGTACGT</dna><|endoftext|>" in documents


def test_literal_tags_in_text_are_made_harmless_and_counted(corpus: Path, nano_tokenizer: GeneTokenizer) -> None:
    genes = nano_tokenizer
    assert load_manifest(corpus, genes)["tasks"]["words-0000"]["neutralised_tags"] == 3
    documents = documents_of(corpus, "words-0000")
    assert "a < dna>ACGT< /dna> tag and < protein> too<|endoftext|>" in map(genes.decode, documents)
    assert max(map(max, documents)) < genes.base_size


def test_rows_of_a_corpus_are_drawn_by_weight(corpus: Path, nano_tokenizer: GeneTokenizer) -> None:
    manifest = load_manifest(corpus, nano_tokenizer)
    rows, epochs = open_rows(corpus, manifest, 16, 4000, seed=1)
    assert set(epochs) == {"bases", "proteins", "words"}
    kinds = nano_tokenizer.token_kinds()
    shares = sum((kinds[rows[index]["input_ids"]] == 1).sum() for index in range(len(rows))) / (16 * len(rows))
    assert 0.38 < shares < 0.52  # half of the tokens, less tags and ends
    again, _ = open_rows(corpus, manifest, 16, 4000, seed=1)
    assert again[3]["input_ids"].tolist() == rows[3]["input_ids"].tolist()


def test_a_shard_holds_its_documents(tmp_path: Path) -> None:
    assert write_shard(tmp_path, "none", []).lengths.tolist() == []
    shard = write_shard(tmp_path, "some", [[1, 2**32 - 1], [3]])
    assert shard.lengths.tolist() == [2, 1]
    assert shard.document(0).tolist() == [1, 2**32 - 1]
