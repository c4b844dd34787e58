"""The tokenizer as the later stages use it; its contract is in `tests/vocabulary/test_contract.py`."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers

from llama_gene.errors import FormatError, SequenceError, TokenizerError
from llama_gene.tokenizer import GeneTokenizer, Span, neutralise, render
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.shared import extend_shared
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


# The shared scheme: the same interface, and sequences that stand bare.

PIECES = ["<unk>", "</s>", "▁", *"\n:abcxABCDEFGHIJKLMNOPQRSTUVWXYZ", "ab", ":A", "CG"]
TOKEN = {piece: index for index, piece in enumerate([*PIECES, "<|pad|>", "AC", "GT", "ACGT", "MK"])}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "base"
    folder.mkdir()
    vocab = {piece: index for index, piece in enumerate(PIECES)}
    bpe = Tokenizer(models.BPE(vocab, [("a", "b"), (":", "A"), ("C", "G")], unk_token="<unk>"))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bpe.add_special_tokens(["<unk>", "</s>"])
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend", "eos_token": "</s>"}')
    return folder


@pytest.fixture(scope="module")
def bare(base: Path) -> GeneTokenizer:
    return GeneTokenizer.load(extend_shared(base, [DNA, PROTEIN], base.parent / "shared").folder)


def ids(*pieces: str) -> list[int]:
    return [TOKEN[piece] for piece in pieces]


def test_a_bare_sequence_in_text(bare: GeneTokenizer) -> None:
    assert (bare.kinds, bare.base_size, bare.num_tokens) == (("dna", "protein"), len(PIECES), len(TOKEN))
    assert (bare.eos_id, bare.pad_id, bare.bos_id) == (1, TOKEN["<|pad|>"], None)
    assert bare.encode("ab ACGTC") == ids("▁", "ab", "▁", "ACGT", "C")
    assert bare.decode(bare.encode("ab ACGTC")) == "ab ACGTC"
    assert (bare.opening("dna"), bare.closing("protein")) == ([], [])


def test_a_sequence_has_its_ids_wherever_it_stands(bare: GeneTokenizer) -> None:
    assert bare.encode_spans("dna", ["acgu\ncg", ""]) == [ids("ACGT", "CG"), []]
    parts = ["ab\nx:", Span("dna", "acgtcg"), "\nc:", Span("protein", "AMK"), "\nb"]
    texts = [ids("▁", "ab", "\n", "x", ":"), ids("\n", "c", ":"), ids("\n", "b")]
    assert bare.encode_texts(parts) == texts
    assert bare.encode_parts(parts) == [*texts[0], *ids("ACGT", "CG"), *texts[1], *ids("A", "MK"), *texts[2]]
    # As a whole, a piece of the base reaches from the text into the protein.
    assert ids(":A", "MK")[0] in bare.encode("ab\nx:ACGTCG\nc:AMK\nb")
    # What begins with a sequence gets no space before it; what is no sequence is taken for text.
    assert bare.encode_parts([Span("dna", "AC"), "a"]) == ids("AC", "a")
    assert bare.encode_parts(["a", Span("dna", "A:a")]) == ids("▁", "a", "A", ":", "a")


def test_shared_tokens_know_their_letters(bare: GeneTokenizer) -> None:
    letters, kinds = bare.letters_of(), bare.token_kinds()
    assert letters[ids("A", "CG", "ACGT", "MK", "ab", ":A", "▁", "<|pad|>")].tolist() == [1, 2, 4, 2, 0, 0, 0, 0]
    assert kinds[ids("A", "CG", "AC", "ACGT", "MK")].tolist() == [0, 0, 1, 1, 2]
    assert bare.spellings()[TOKEN["CG"]] == "CG"
    # The letters of a sequence are those of its tokens: so bits per base can be counted.
    (sequence,) = bare.encode_spans("dna", ["ACGTCGTTNACG"])
    assert letters[sequence].sum() == 12
    assert bare.tokens_of("dna")[sequence].all()
    assert bare.tokens_of("text").all()
    assert not bare.tokens_of("protein")[ids("ab", "▁")].any()


def test_how_the_base_spells_a_new_piece(bare: GeneTokenizer, genes: GeneTokenizer) -> None:
    assert bare.base_spelling(TOKEN["ACGT"], bare.base_size) == ids("A", "CG", "T")
    assert bare.base_spelling(TOKEN["MK"], TOKEN["MK"]) == ids("M", "K")
    assert bare.base_spelling(bare.pad_id, bare.base_size) == []
    assert genes.base_spelling(289, genes.base_size) == genes.encode("ACGT")


def test_tokens_that_count_in_typed_documents(genes: GeneTokenizer) -> None:
    dna, text = genes.tokens_of("dna"), genes.tokens_of("text")
    assert np.flatnonzero(dna).tolist() == list(range(261, 290))
    assert not (dna & text).any()
    assert text[259]


def test_shared_kinds_that_are_not_there(base: Path, tmp_path: Path) -> None:
    bases_only = GeneTokenizer.load(extend_shared(base, [DNA], tmp_path / "dna").folder)
    for call in (bases_only.opening, bases_only.closing, lambda kind: bases_only.encode_spans(kind, ["MK"])):
        with pytest.raises(TokenizerError, match=r"no protein spans\n.*--scheme shared .*--protein"):
            call("protein")
    with pytest.raises(TokenizerError, match="no protein"):
        bases_only.encode_parts(["a", Span("protein", "MK")])
    with pytest.raises(SequenceError, match="position 3 of a dna sequence of 5"):
        bases_only.encode_spans("dna", ["AC-GT"])


def test_a_shared_tokenizer_travels_too(bare: GeneTokenizer) -> None:
    copy = pickle.loads(pickle.dumps(bare))  # noqa: S301
    assert copy.encode_spans("dna", ["ACGT"]) == bare.encode_spans("dna", ["ACGT"])
    assert copy.fingerprint == bare.fingerprint


def test_typed_spans_on_a_shared_table(bare: GeneTokenizer, tmp_path: Path) -> None:
    typed = GeneTokenizer.load(extend(bare.folder, [DNA], tmp_path / "typed").folder)
    assert typed.encode("ab ACGTC") == bare.encode("ab ACGTC")
    assert len(typed.encode("<dna>ACGT</dna>")) == 3
