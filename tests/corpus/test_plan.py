"""A plan is frozen: what it says is what is done, or an error says what has changed."""

from pathlib import Path
from typing import Any

import pytest

from llama_gene.config import CorpusSettings, SourceSettings
from llama_gene.corpus import encode
from llama_gene.corpus.build import build_corpus, do_tasks, finish_corpus
from llama_gene.corpus.contamination import HeldOutFile
from llama_gene.corpus.executors import ThisProcess
from llama_gene.corpus.plan import Plan, freeze
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.text import train_text_tokenizer
from nano import DNA, PROTEIN, dna, protein, tree

SOURCES: list[dict[str, Any]] = [
    {"name": "bases", "kind": "dna", "files": ["bases.fa"]},
    {"name": "words", "kind": "text", "files": ["words.txt"]},
]


def settings(**changes: Any) -> CorpusSettings:
    values = {"source": SOURCES, "window": 60, "min_length": 10, "validation": 0.2, "task_size": 1000}
    return CorpusSettings(**values | changes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "bases.fa").write_text("".join(f">r{n}\n{dna(50 + n, n)}\n" for n in range(80)))
    (folder / "words.txt").write_text("".join(f"The gene number {n} is open in the leaf.\n" for n in range(100)))
    return folder


def test_no_plan_raises(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"no plan of a corpus in it\n  make one first: llama-gene corpus plan RECIPE"
    ):
        Plan.load(tmp_path)


def test_a_plan_comes_back_as_it_was_frozen(root: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    plan = freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    again = Plan.load(tmp_path / "corpus")
    assert (again.content, again.hash, again.tasks) == (plan.content, plan.hash, plan.tasks)
    assert again.settings == settings()
    assert len(plan.tasks) > 8
    assert [plan.path(task) for task in plan.tasks[:1]] == [root / "bases.fa"]
    assert {task.name for task in plan.tasks} > {"bases-0000", "bases-0001", "words-0000", "words-0001"}


@pytest.mark.parametrize("change", ["edit", "cut", "remove"])
def test_a_source_that_changed_under_the_plan_is_refused(
    root: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path, change: str
) -> None:
    plan = freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    path = root / "bases.fa"
    content = path.read_bytes()
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(content.replace(b">r70", b">r7O") if change == "edit" else content[:-1])
    message = "cannot be read" if change == "remove" else "this file has changed since the corpus was planned"
    with pytest.raises(FormatError, match=rf"bases\.fa: {message}.*\n  put .*back, or plan the corpus again"):
        do_tasks(plan, plan.tasks, ThisProcess())
    path.write_bytes(content)
    do_tasks(plan, plan.tasks, ThisProcess())
    finish_corpus(plan)


def test_a_source_that_changes_while_it_is_read_is_refused(
    root: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    real = encode.read_documents

    def read(source: SourceSettings, path: Path, *rest: Any) -> Any:
        yield from real(source, path, *rest)
        path.write_text(path.read_text().lower())

    monkeypatch.setattr(encode, "read_documents", read)
    with pytest.raises(FormatError, match="has changed since the corpus was planned"):
        do_tasks(plan, plan.tasks, ThisProcess())
    assert list((tmp_path / "corpus" / "parts").iterdir()) == []


def test_another_tokenizer_in_its_place_is_refused(root: Path, tmp_path: Path) -> None:
    text = train_text_tokenizer(["some words"], 258, tmp_path / "text")
    folder = extend(text, [DNA], tmp_path / "tokenizer").folder
    plan = freeze(settings(), root, GeneTokenizer.load(folder), tmp_path / "corpus", seed=7)
    extend(text, [DNA, PROTEIN], folder)
    with pytest.raises(FormatError, match=r"not the tokenizer that the corpus was planned with\n  plan it again"):
        do_tasks(plan, plan.tasks, ThisProcess())


def test_what_still_holds_is_not_encoded_again(root: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"

    def build(**changes: Any) -> list[str]:
        """Build; returns the tasks that had to be done."""
        changed = settings(**changes)
        plan = freeze(changed, root, nano_tokenizer, corpus, seed=7)
        left = [task.name for task in plan.tasks if not plan.is_done(task)]
        if left:
            assert not (corpus / "manifest.json").exists()
        build_corpus(plan, changed)
        return left

    assert len(build()) > 8
    first = tree(corpus)
    assert build() == []
    assert tree(corpus) == first
    weighted = [SOURCES[0] | {"weight": 9}, SOURCES[1]]
    assert build(source=weighted, validation=0.3, weights={"dna": 1, "text": 2}) == []
    assert {task.split("-")[0] for task in build(source=[SOURCES[0] | {"both_strands": True}, SOURCES[1]])} == {"bases"}
    # A source that is gone leaves nothing behind.
    assert build(source=SOURCES[1:]) == []
    assert {part.name.split("-")[0] for part in (corpus / "parts").iterdir()} == {"words"}
    build()
    assert tree(corpus) == first


def test_windows_that_share_a_kmer_with_a_task_are_left_out_and_counted(
    root: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    (root / "dev.csv").write_text(f"sequence,label\n{dna(60, 10)[5:45]},1\nACGT,0\n")
    (root / "dev.fa").write_text(f">a\n{protein(30, 1)}\n")
    asked = settings(decontaminate={"dna": ["dev.csv"], "protein": ["dev.fa"], "dna_k": 24})
    held_out = [HeldOutFile(root / "dev.csv", "dna")]
    plan = freeze(asked, root, nano_tokenizer, tmp_path / "corpus", seed=7, held_out=held_out)
    assert {kind: guard["too_short"] for kind, guard in plan.content["held_out"].items()} == {"dna": 2, "protein": 0}
    manifest = build_corpus(plan, asked)
    kept_out = {name: task["contaminated"] for name, task in manifest["tasks"].items() if task["contaminated"]}
    assert len(kept_out) == 1
    assert set(kept_out.values()) == {1}
    # Damaged or gone, the k-mers are missed.
    path = tmp_path / "corpus" / "held-out" / "dna.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"dna\.npy: missing or damaged"):
        _ = Plan.load(tmp_path / "corpus").guards
    with pytest.raises(SettingsError, match="names nothing to keep out"):
        freeze(settings(decontaminate={}), root, nano_tokenizer, tmp_path / "corpus", seed=7)


def test_weights_of_modalities_without_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="weights: protein has a weight but no source"):
        settings(weights={"dna": 1, "text": 1, "protein": 1})
    with pytest.raises(ValueError, match="weights: text has sources but no weight: add text = 1"):
        settings(weights={"dna": 1})


def test_a_broken_part_says_so(root: Path, nano_tokenizer: GeneTokenizer, tmp_path: Path) -> None:
    plan = freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    do_tasks(plan, plan.tasks, ThisProcess())
    (plan.part(plan.tasks[3]) / "documents.hashes").write_bytes(b"odd")
    with pytest.raises(LlamaGeneError, match=r"documents\.hashes: this shard is missing or damaged"):
        finish_corpus(plan)
