"""Extending bases: what is refused, ids and rows, and what the rest of the ecosystem makes of the result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models

from llama_gene.errors import FormatError, TokenizerError
from llama_gene.sequences.alphabet import Kind
from llama_gene.tokenizer import GeneTokenizer, Span
from llama_gene.vocabulary.base import load_base
from llama_gene.vocabulary.extend import PAD, extend
from llama_gene.vocabulary.train import SequenceVocabulary

from .conftest import ENGLISH, World, rewrite

Vocabularies = dict[Kind, SequenceVocabulary]
DNA_LETTERS = SequenceVocabulary("dna", ())


def set_model(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda spec: spec["model"].update(values)


def add_token(content: str) -> Callable[[dict[str, Any]], None]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}

    def change(spec: dict[str, Any]) -> None:
        spec["added_tokens"].append({"id": len(spec["model"]["vocab"]), "content": content, **flags})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_model(end_of_word_suffix="</w>"), "its end_of_word_suffix is '</w>'"),
        (set_model(dropout=0.1), "its dropout is 0.1"),
        (lambda spec: spec.update(decoder=None), "no decoder"),
        (add_token("<dna>"), "collides with the tag '<dna>'"),
        (add_token("dna"), "collides with the tag"),
    ],
)
def test_bases_that_cannot_be_extended(
    byte_level: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    base = rewrite(byte_level, tmp_path / "base", change)
    with pytest.raises(TokenizerError, match=message):
        extend(base, [DNA_LETTERS], tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_a_unigram_base_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("a", -1.0), ("b", -1.5)], unk_id=0))
    tokenizer.decoder = decoders.Fuse()
    base = tmp_path / "base"
    base.mkdir()
    tokenizer.save(str(base / "tokenizer.json"))
    config = {"tokenizer_class": "TokenizersBackend", "eos_token": "</s>", "unk_token": "<unk>"}
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(TokenizerError, match="its model is Unigram, not BPE"):
        extend(base, [DNA_LETTERS], tmp_path / "output")


def test_what_is_no_base(byte_level: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no such folder"):
        extend(tmp_path / "absent", [DNA_LETTERS], tmp_path / "output")
    with pytest.raises(TokenizerError, match="cannot extend with no vocabulary"):
        extend(byte_level, [], tmp_path / "output")
    with pytest.raises(TokenizerError, match="cannot extend with"):
        extend(byte_level, [DNA_LETTERS, DNA_LETTERS], tmp_path / "output")
    with pytest.raises(TokenizerError, match="its own extension"):
        extend(byte_level, [DNA_LETTERS], byte_level)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokenizerError, match="transformers cannot load the tokenizer"):
        extend(tmp_path / "empty", [DNA_LETTERS], tmp_path / "output")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{")
    with pytest.raises(FormatError, match="not valid JSON"):
        extend(tmp_path / "broken", [DNA_LETTERS], tmp_path / "output")


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"not a model", b"\x0a\x7fcut"])
def test_a_damaged_sentencepiece_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "tokenizer.model").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.model: (not a SentencePiece model|no pieces)"):
        extend(tmp_path / "base", [DNA_LETTERS], tmp_path / "output")


def test_a_base_without_end_of_text(byte_level: Path, tmp_path: Path) -> None:
    base = rewrite(byte_level, tmp_path / "base", lambda spec: None, eos_token=None)
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        extend(base, [DNA_LETTERS], tmp_path / "output")


@pytest.mark.parametrize("name", ["sentencepiece", "byte_level", "legacy", "like_llama3", "padded"])
def test_one_kind_after_the_other_is_both_at_once(
    make_base: Callable[[str], Path], vocabularies: Vocabularies, tmp_path: Path, name: str
) -> None:
    base = make_base(name)
    extend(base, list(vocabularies.values()), tmp_path / "both")
    before = extend(base, [vocabularies["dna"]], tmp_path / "dna")
    # The model's rows are rounded up, which must not move the ids of the second kind.
    (tmp_path / "dna" / "config.json").write_text('{"model_type": "llama", "vocab_size": 9984}')
    result = extend(tmp_path / "dna", [vocabularies["protein"]], tmp_path / "then")
    both, then = (GeneTokenizer.load(tmp_path / folder) for folder in ("both", "then"))
    assert then.fingerprint == both.fingerprint
    assert (tmp_path / "then" / "tokenizer.json").read_text() == (tmp_path / "both" / "tokenizer.json").read_text()
    assert result.base_size == both.base_size == then.base_size == before.first_new
    assert result.first_new == before.num_tokens == then.open_id("protein")
    with pytest.raises(TokenizerError, match="has dna spans already"):
        extend(tmp_path / "dna", [vocabularies["dna"]], tmp_path / "twice")


def test_a_kind_that_was_not_added_has_no_tags(byte_level: Path, tmp_path: Path) -> None:
    extend(byte_level, [DNA_LETTERS], tmp_path / "dna")
    genes = GeneTokenizer.load(tmp_path / "dna")
    base = Tokenizer.from_file(str(byte_level / "tokenizer.json"))
    text = "<protein>MKV</protein>"
    assert genes.kinds == ("dna",)
    assert genes.encode(text) == base.encode(text).ids
    with pytest.raises(TokenizerError, match="no protein spans"):
        genes.encode_parts([Span("protein", "MKV")])


def test_rows_without_a_token_get_names(make_base: Callable[[str], Path], tmp_path: Path) -> None:
    result = extend(make_base("padded"), [DNA_LETTERS], tmp_path / "output")
    vocab = Tokenizer.from_file(str(tmp_path / "output" / "tokenizer.json")).get_vocab()
    assert result.base_size == 448
    assert result.num_tokens == len(vocab) == max(vocab.values()) + 1
    assert vocab["<|reserved_447|>"] == 447
    assert vocab["<dna>"] > 447


def test_padding_is_never_the_end_of_text(byte_level: Path, tmp_path: Path) -> None:
    base = rewrite(byte_level, tmp_path / "base", lambda spec: None, pad_token="<|endoftext|>")
    assert extend(base, [DNA_LETTERS], tmp_path / "output").added_pad
    genes = GeneTokenizer.load(tmp_path / "output")
    assert genes.decode([genes.pad_id, genes.eos_id]) == f"{PAD}<|endoftext|>"


def test_a_block_that_the_base_merges_is_passed_over(byte_level: Path, tmp_path: Path) -> None:
    def merge_private(spec: dict[str, Any]) -> None:
        # U+E001 is EE 80 81 in UTF-8; these are the symbols of its last two bytes.
        spec["model"]["vocab"]["Ģģ"] = len(spec["model"]["vocab"])
        spec["model"]["merges"].append(["Ģ", "ģ"])

    base = rewrite(byte_level, tmp_path / "base", merge_private)
    assert extend(base, [DNA_LETTERS], tmp_path / "output").block == 0xE040


# What follows is what stock transformers makes of an extended folder, without code of ours.


def stock(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


TYPED = [
    "<dna>ACGTTGCA</dna> and <protein>MKVLA</protein>",
    *ENGLISH,
    "the <dna> tag and <dna>\nAC GT\n</dna> x",
    "<protein>MKV",
]


def test_autotokenizer_gives_the_same_ids(world: World, tmp_path: Path) -> None:
    loaded = stock(world.genes.folder)
    assert type(loaded).__name__ == "TokenizersBackend"
    assert len(loaded) == world.genes.num_tokens
    assert (loaded.eos_token_id, loaded.pad_token_id) == (world.genes.eos_id, world.genes.pad_id)
    assert loaded.bos_token_id == world.genes.bos_id
    for index, token in world.base.get_added_tokens_decoder().items():
        assert loaded.convert_tokens_to_ids(token.content) == index
    for text in TYPED:
        ids = world.genes.encode(text)
        assert loaded(text, add_special_tokens=False)["input_ids"] == ids
        assert loaded.decode(ids) == world.genes.decode(ids)
    loaded.save_pretrained(tmp_path / "again")
    again = GeneTokenizer.load(tmp_path / "again")
    assert [again.encode(text) for text in TYPED] == [world.genes.encode(text) for text in TYPED]
    assert (again.base_size, again.kinds) == (world.genes.base_size, world.genes.kinds)


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen3"])
def test_a_model_beside_the_tokenizer_changes_nothing(world: World, tmp_path: Path, model_type: str) -> None:
    folder = tmp_path / model_type
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((world.genes.folder / name).read_bytes())
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert [stock(folder)(text, add_special_tokens=False)["input_ids"] for text in TYPED] == [
        world.genes.encode(text) for text in TYPED
    ]


def test_where_transformers_forces_a_class_ours_loads_the_right_one(
    byte_level: Path, vocabularies: Vocabularies, tmp_path: Path
) -> None:
    extend(byte_level, list(vocabularies.values()), tmp_path / "output")
    (tmp_path / "output" / "config.json").write_text('{"model_type": "qwen2"}')
    genes = GeneTokenizer.load(tmp_path / "output")
    assert genes.to_transformers()(TYPED[0], add_special_tokens=False)["input_ids"] == genes.encode(TYPED[0])
    # The day this fails, transformers has been mended, and the model card need not warn any more.
    assert stock(genes.folder)(TYPED[0], add_special_tokens=False)["input_ids"] != genes.encode(TYPED[0])


def test_batches_are_padded_and_special_tokens_skipped(world: World) -> None:
    loaded = world.genes.to_transformers()
    batch = loaded(["<dna>ACGT</dna>", TYPED[0]], padding=True, add_special_tokens=False)["input_ids"]
    assert len(batch[0]) == len(batch[1])
    assert world.genes.pad_id in batch[0]
    ids = [*world.genes.encode("<dna>ACGT</dna>"), world.genes.eos_id, world.genes.pad_id]
    assert loaded.decode(ids, skip_special_tokens=True) == "<dna>ACGT</dna>"


def test_offsets_point_into_the_text(world: World) -> None:
    text = "x <dna>ac gt</dna> y"
    encoding = world.genes._full.encode(text, add_special_tokens=False)
    kinds = world.genes.token_kinds()
    spans = [offsets for index, offsets in zip(encoding.ids, encoding.offsets, strict=True) if kinds[index]]
    assert (spans[0][0], spans[-1][1]) == (7, 12)
    assert text[slice(*encoding.offsets[encoding.ids.index(world.genes.close_id("dna"))])] == "</dna>"


def test_the_base_is_what_stock_transformers_loads(shared_data: Path) -> None:
    base = load_base(shared_data / "base" / "stories260K-hf")
    loaded = stock(base.folder)
    assert json.loads(loaded.backend_tokenizer.to_str()) == base.spec
    assert (base.config["eos_token"], base.num_rows) == ("</s>", 512)


def test_the_chat_template_is_kept(byte_level: Path, tmp_path: Path) -> None:
    template = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    base = rewrite(byte_level, tmp_path / "base", lambda spec: None)
    (base / "chat_template.jinja").write_text(template)
    extend(base, [DNA_LETTERS], tmp_path / "output")
    chat = [{"role": "user", "content": "What is <dna>ACGT</dna>?"}]
    text = stock(tmp_path / "output").apply_chat_template(chat, tokenize=False)
    assert text == "[user] What is <dna>ACGT</dna>?\n"
