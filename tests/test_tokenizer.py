"""The tokenizer as the later stages use it; its contract is in `tests/vocabulary/test_contract.py`."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from llama_gene.errors import FormatError, SequenceError, TokenizerError
from llama_gene.tokenizer import GeneTokenizer, Span, neutralise, render
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.text import train_text_tokenizer
from llama_gene.vocabulary.train import SequenceVocabulary

DNA = SequenceVocabulary("dna", (("A", "C"), ("G", "T"), ("AC", "GT")))
PROTEIN = SequenceVocabulary("protein", (("M", "K"),))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_text_tokenizer(["is this a promoter", "yes or no"], 258, tmp_path_factory.mktemp("tokenizer") / "text")


@pytest.fixture(scope="module")
def genes(text: Path) -> GeneTokenizer:
    return GeneTokenizer.load(extend(text, [DNA, PROTEIN], text.parent / "genes").folder)


def test_what_is_no_tokenizer_of_ours(text: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json in it"):
        GeneTokenizer.load(tmp_path)
    with pytest.raises(TokenizerError, match="without typed spans"):
        GeneTokenizer.load(text)
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(FormatError, match="not a tokenizer"):
        GeneTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eos_token": None}, "no eos_token"),
        ({"pad_token": "<|endoftext|>"}, "are the same"),
        ({"pad_token": "?!"}, "no pad"),
    ],
)
def test_special_tokens_that_do_not_hold(
    genes: GeneTokenizer, tmp_path: Path, change: dict[str, str | None], message: str
) -> None:
    config = json.loads((genes.folder / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | change))
    (tmp_path / "tokenizer.json").write_bytes((genes.folder / "tokenizer.json").read_bytes())
    with pytest.raises(TokenizerError, match=message):
        GeneTokenizer.load(tmp_path)


def test_where_everything_stands(genes: GeneTokenizer) -> None:
    # 258 text tokens, one merge of two bytes, then for each kind two tags, 26 letters and its pieces.
    assert (genes.eos_id, genes.pad_id, genes.bos_id) == (0, 1, None)
    assert genes.base_size == 258
    assert (genes.open_id("dna"), genes.close_id("dna")) == (259, 260)
    assert (genes.open_id("protein"), genes.close_id("protein")) == (290, 291)
    assert genes.num_tokens == 292 + 26 + 1
    assert genes.kinds == ("dna", "protein")


def test_tokens_know_their_letters_and_kind(genes: GeneTokenizer) -> None:
    letters, kinds = genes.letters_of(), genes.token_kinds()
    assert (letters.dtype, letters.shape) == (np.int32, (genes.num_tokens,))
    assert (kinds.dtype, kinds.shape) == (np.int8, (genes.num_tokens,))
    assert letters[261:290].tolist() == [1] * 26 + [2, 2, 4]
    assert letters[:261].sum() == 0
    assert np.bincount(kinds).tolist() == [genes.num_tokens - 29 - 27, 29, 27]
    assert [genes.spellings()[index] for index in (261, 289, 318)] == ["A", "ACGT", "MK"]


def test_a_prompt_as_ids(genes: GeneTokenizer) -> None:
    ids = genes.encode_parts(["a", Span("dna", "ACGTAC"), Span("protein", "mkv")])
    acgt, ac, mk, v = 289, 287, 318, 292 + 21
    assert ids == [*genes.encode("a"), 259, acgt, ac, 260, 290, mk, v, 291]
    assert genes.decode(ids) == "a<dna>ACGTAC</dna><protein>MKV</protein>"


def test_bulk_encoding(genes: GeneTokenizer) -> None:
    assert genes.encode_spans("dna", []) == []
    assert genes.encode_spans("dna", ["ACGT", "", "ac\ngu", "N"]) == [[289], [], [289], [261 + 13]]
    with pytest.raises(SequenceError, match="position 3 of a dna sequence of 5: '-' is not a letter"):
        genes.encode_spans("dna", ["AC-GT"])


def test_a_long_sequence(genes: GeneTokenizer) -> None:
    sequence = "ACGTTGCAAC" * 5_000
    (ids,) = genes.encode_spans("dna", [sequence])
    assert genes.letters_of()[ids].sum() == len(sequence)
    assert genes.encode(render([Span("dna", sequence)]))[1:-1] == ids


def test_texts_are_cached(genes: GeneTokenizer) -> None:
    for _ in range(3):
        genes.encode_parts(["only here: ", Span("dna", "AC"), " and here"])
    assert genes._encode_text.cache_info().hits >= 4  # type: ignore[attr-defined]


def test_the_fingerprint_follows_the_ids(genes: GeneTokenizer, text: Path, tmp_path: Path) -> None:
    same = GeneTokenizer.load(extend(text, [DNA, PROTEIN], tmp_path / "same").folder)
    other = GeneTokenizer.load(extend(text, [DNA.prefix(6), PROTEIN], tmp_path / "other").folder)
    assert genes.fingerprint == same.fingerprint != other.fingerprint


def test_it_travels_to_other_processes(genes: GeneTokenizer) -> None:
    copy = pickle.loads(pickle.dumps(genes))  # noqa: S301
    assert copy.encode("<dna>ACGT</dna>") == genes.encode("<dna>ACGT</dna>")


@pytest.mark.parametrize(
    ("outside", "harmless", "count"),
    [
        ("a <b> and <DNA>", "a <b> and <DNA>", 0),
        ("<dna>AC</dna>", "< dna>AC< /dna>", 2),
        ("<<protein>dna>", "<< protein>dna>", 1),
    ],
)
def test_tags_from_outside_are_made_harmless(genes: GeneTokenizer, outside: str, harmless: str, count: int) -> None:
    assert neutralise(outside) == (harmless, count)
    assert neutralise(harmless) == (harmless, 0)
    assert max(genes.encode(harmless)) < genes.base_size


def test_nothing_heavy_is_imported() -> None:
    import subprocess
    import sys

    code = "import sys, llama_gene.tokenizer; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
