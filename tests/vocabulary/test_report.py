"""The vocabulary report: every kind of folder side by side, as a page and as numbers."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli.conftest import Cli, cli
from llama_gene.errors import LlamaGeneError, SettingsError, TokenizerError
from llama_gene.files import hash_file
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.report import to_html, write
from llama_gene.vocabulary.shared import extend_shared
from llama_gene.vocabulary.subject import open_subject
from llama_gene.vocabulary.survey import Survey, survey
from llama_gene.vocabulary.train import SequenceVocabulary

from .conftest import ENGLISH, simulate

__all__ = ["cli"]

VOID = {"meta", "br"}


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, vocabularies: dict[Kind, SequenceVocabulary], sentencepiece_model: Path
) -> dict[str, Path]:
    """One folder of each form, and the base of the tokenizers."""
    root = tmp_path_factory.mktemp("subjects")
    for kind, vocabulary in vocabularies.items():
        vocabulary.save(root / kind)
    extend(sentencepiece_model, list(vocabularies.values()), root / "typed")
    extend_shared(sentencepiece_model, list(vocabularies.values()), root / "shared")
    return {name: root / name for name in ("dna", "protein", "typed", "shared")} | {"base": sentencepiece_model}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("texts")
    for kind in ("dna", "protein"):
        sequences = simulate(kind, 40, 600, seed=7)
        (root / kind).write_text("".join(f">{kind}{n}\n{sequence}\n" for n, sequence in enumerate(sequences)))
    (root / "english").write_text("\n".join(line.replace("\n", " ") for line in [*ENGLISH, "MKVL ACGTAC KRAS"]))
    return {name: root / name for name in ("dna", "protein", "english")}


@pytest.fixture(scope="module")
def whole(folders: dict[str, Path], texts: dict[str, Path]) -> Survey:
    subjects = [folders[name] for name in ("dna", "protein", "typed", "shared", "base")]
    files = {"dna": [texts["dna"]], "protein": [texts["protein"]]}
    return survey(subjects, files, [texts["english"]], base=folders["base"], sizes=[64, 32], sample=10**6)


def html_of(measured: Survey) -> str:
    return to_html(measured, version="1.2.3", created="today")


class Words(HTMLParser):
    """The words of a page; fails on a tag that is closed in the wrong place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data.split()


def words(page: str) -> str:
    return " ".join(Words(page).words)


def test_every_form_has_its_column(whole: Survey) -> None:
    dna64, protein64 = "dna, first 64", "protein, first 64"
    names = ["dna", dna64, "dna, first 32", "protein", protein64, "protein, first 32", "typed", "shared"]
    assert [column.name for column in whole.columns[:-1]] == names
    by_name = {column.name: column for column in whole.columns}
    assert [column.form for column in whole.columns[-3:]] == ["typed spans", "shared pieces", "plain tokenizer"]
    assert by_name["dna"].sequences["dna"].size == 200
    assert by_name[dna64].sequences["dna"].size == 64
    assert list(by_name["dna"].sequences) == ["dna"]
    assert list(by_name["dna"].curves) == ["dna"]
    assert not by_name[dna64].curves
    # Between its tags a typed tokenizer is its vocabulary.
    assert by_name["typed"].sequences == {k: by_name[k].sequences[k] for k in ("dna", "protein")}


def test_typed_spans_keep_what_shared_pieces_change(whole: Survey) -> None:
    by_name = {column.name: column for column in whole.columns}
    typed, shared, base = by_name["typed"], by_name["shared"], whole.columns[-1]
    for kind in ("dna", "protein"):
        kept = typed.agreement[kind]
        assert kept.num_kept == kept.num_lines > 0
        assert kept.extra_tokens == 0
        changed = shared.agreement[kind]
        assert changed.num_kept < changed.num_lines == kept.num_lines
        assert changed.num_own == kept.num_own
        assert shared.sequences[kind].size == by_name[kind].sequences[kind].size
    assert typed.english is not None
    assert typed.english.num_lines == 5
    assert typed.english.num_changed == base.english.num_changed == 0
    assert typed.english.num_tokens == typed.english.num_base == base.english.num_tokens
    assert shared.english.num_changed >= shared.english.num_caps_changed >= 1
    examples = {example.text: example for example in shared.english.examples}
    assert {"ACGTAC", "MKVL"} <= set(examples)
    cuts = examples["ACGTAC"]
    assert cuts.base != cuts.ours
    # The small base has no C, and writes its byte.
    assert "".join(cuts.base) == "▁A<0x43>GTA<0x43>"
    assert "".join(cuts.ours) == "▁ACGTAC"
    assert [clash[:2] for clash in shared.collisions] == [("base", "dna"), ("base", "protein"), ("dna", "protein")]
    assert not typed.collisions
    # Nobody wrote down which of its pieces are DNA, so there is nothing it could agree with.
    assert not base.agreement


def test_a_merged_table_finds_its_vocabularies_by_their_pieces(
    folders: dict[str, Path], texts: dict[str, Path]
) -> None:
    alone = survey([folders["shared"]], {"dna": [texts["dna"]]}, sample=10**6)
    assert not alone.columns[0].agreement
    beside = survey([folders["shared"], folders["dna"]], {"dna": [texts["dna"]]}, sample=10**6)
    assert list(beside.columns[0].agreement) == ["dna"]


def test_the_page_stands_alone_and_is_well_formed(whole: Survey) -> None:
    page = html_of(whole)
    text = words(page)
    assert not re.search(r"(src|href)=|url\(|@import|https?://|<script", page)
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    # Five of each kind, and piece lengths of all columns that know the kind.
    assert len(charts) == 2 * 5 + 2 * (3 + 3)
    assert all(ElementTree.fromstring(chart) is not None for chart in charts)
    assert "Made by llama-gene 1.2.3 on today" in text
    assert "Measured on" in text
    assert "best by letters alone (order" in text
    assert "Words that shared changes" in text
    assert "Words that typed changes" not in text
    assert "Not held out" not in text
    assert "give --" not in text


def test_the_numbers_stand_beside_it(whole: Survey, tmp_path: Path) -> None:
    beside = write(whole, tmp_path / "out" / "page.html", version="1.2.3", created="today")
    assert beside == tmp_path / "out" / "page.json"
    assert sorted(path.name for path in beside.parent.iterdir()) == ["page.html", "page.json"]
    numbers = json.loads(beside.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert numbers["version"] == "1.2.3"
    assert numbers["columns"][0]["sequences"]["dna"]["bigram_bits"] == whole.columns[0].sequences["dna"].bigram_bits
    assert numbers["texts"]["dna"]["letter_bits"] == list(whole.texts["dna"].letter_bits)
    with pytest.raises(SettingsError, match=r"page\.json: the report is a page"):
        write(whole, tmp_path / "page.json", version="", created="")


def test_what_was_not_given_is_a_dash_and_says_how(folders: dict[str, Path], texts: dict[str, Path]) -> None:
    measured = survey([folders["typed"]], {"dna": [texts["dna"]]}, sample=10**6)
    text = words(html_of(measured))
    assert "No protein text was given, so there is nothing to say: give --protein FILE" in text
    assert "typed – – – – – – – –" in text
    assert "No English was given, so there is nothing to say about typed: give --english FILE" in text
    without_base = survey([folders["typed"]], {}, [texts["english"]], sample=10**6)
    text = words(html_of(without_base))
    assert "give --base FOLDER" in text
    assert "give --dna FILE" in text


def test_text_that_a_vocabulary_was_learned_from_is_named(texts: dict[str, Path], tmp_path: Path) -> None:
    sources = ({"file": "renamed.fa", "sha256": hash_file(texts["dna"])},)
    SequenceVocabulary("dna", (("A", "C"),), sources).save(tmp_path / "v")
    measured = survey([tmp_path / "v"], {"dna": [texts["dna"]]}, sizes=[4], sample=10**6)
    assert [column.learned_from for column in measured.columns] == [("dna",), ("dna",)]
    text = words(html_of(measured))
    assert "Not held out. Measured here on text that they were learned from, which flatters them: v (1 file)." in text


def test_two_folders_of_one_name_are_told_apart(texts: dict[str, Path], tmp_path: Path) -> None:
    for place in ("one", "two"):
        SequenceVocabulary("dna", (("A", "C"),)).save(tmp_path / place / "<b>")
    measured = survey([tmp_path / "one" / "<b>", tmp_path / "two" / "<b>"], {"dna": [texts["dna"]]}, sample=10**6)
    assert [column.name for column in measured.columns] == [f"{tmp_path}/one/<b>", f"{tmp_path}/two/<b>"]
    assert "<b>" not in html_of(measured).replace("<b>Letters alone</b>", "")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"files": {}}, SettingsError, "no text to measure on"),
        ({"files": {"protein": [Path("-")]}}, SettingsError, "standard input cannot be measured"),
        ({"sizes": [5]}, SettingsError, r"--size 5: .*\n *there is 20 to 150 of protein"),
        ({"sizes": [100_000]}, SettingsError, "20 to 150"),
        ({"sample": 0}, SettingsError, "a sample of 0 letters"),
        ({"base": Path("nowhere")}, TokenizerError, "nowhere"),
    ],
)
def test_options_that_do_not_hold(folders, texts, changes, error: type[LlamaGeneError], message: str) -> None:
    settings = {"files": {"protein": [texts["protein"]]}, "sample": 10**6, **changes}
    with pytest.raises(error, match=message):
        survey([folders["protein"]], **settings)


def test_folders_that_hold_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokenizerError, match="no vocabulary in it"):
        open_subject(tmp_path / "empty")
    with pytest.raises(TokenizerError, match="no such folder"):
        open_subject(tmp_path / "missing")
    (tmp_path / "empty" / "tokenizer.json").write_text("[]")
    with pytest.raises(LlamaGeneError, match="not a tokenizer"):
        open_subject(tmp_path / "empty")


def test_a_bare_sentencepiece_model_can_be_measured(sentencepiece_model: Path) -> None:
    subject = open_subject(sentencepiece_model)
    assert subject.form == "plain tokenizer"
    assert subject.vocabulary is None
    assert set(subject.cutters) == {"dna", "protein"}


def test_the_command(cli: Cli, folders: dict[str, Path], texts: dict[str, Path], tmp_path: Path) -> None:
    files = ("--dna", texts["dna"], "--protein", texts["protein"], "--english", texts["english"])
    subjects = (folders["dna"], folders["shared"])
    page = tmp_path / "report.html"
    call: Callable[..., object] = lambda *more: cli("vocabulary", "report", *subjects, *files, *more)  # noqa: E731
    outcome = call("--base", folders["base"], "--size", 16, "--output", page)
    assert outcome.code == 0, outcome
    assert "3 vocabularies" in outcome.out
    assert page.is_file()
    assert page.with_suffix(".json").is_file()
    refused = call("--output", tmp_path / "other")
    assert refused.code == 2
    assert refused.message[0].endswith("other: the report is a page")
    wrong = cli("vocabulary", "report", folders["dna"], "--dna", texts["english"], "--output", tmp_path / "x.html")
    assert wrong.code == 2
    assert not (tmp_path / "x.html").exists()
