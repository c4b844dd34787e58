"""Every family of bases keeps the contract, and stock transformers, without our code, agrees."""

import json
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llama_gene.errors import TokenizerError
from llama_gene.model import stock as script
from llama_gene.model.export import Answer, Question, ask_stock
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.tokenizer import GeneTokenizer, Span, render
from llama_gene.vocabulary.base import load_base
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.train import SequenceVocabulary

from .conftest import ENGLISH, World
from .families import CHAT_TEMPLATE, FAMILIES, added, byte_level, sentencepiece_style, write

# The same properties as for the plain bases, collected here once more with the `world` of this module.
from .test_contract import (
    any_text,
    few,
    letters,
    test_base_ids_and_decoding_are_kept,
    test_every_token_of_the_base_is_in_its_place,
    test_ids_in_a_span_are_its_own_bpe,
    test_parts_are_their_rendered_text,
    test_reserved_characters_in_a_text_cannot_pass_for_letters,
    test_which_letters_are_taken_for_a_sequence,
    without_reserved,
)

__all__ = [
    "test_base_ids_and_decoding_are_kept",
    "test_every_token_of_the_base_is_in_its_place",
    "test_ids_in_a_span_are_its_own_bpe",
    "test_parts_are_their_rendered_text",
    "test_reserved_characters_in_a_text_cannot_pass_for_letters",
    "test_which_letters_are_taken_for_a_sequence",
]

Vocabularies = dict[Kind, SequenceVocabulary]
DNA_LETTERS = SequenceVocabulary("dna", ())
# transformers 5.23 forces its own class on these, and is right about the others.
FORCED, RIGHT = ("qwen2", "qwen3_5"), ("llama", "mistral", "gemma", "phi3", "qwen3", "qwen2_moe", "gpt2", "gpt_neox")
TYPED = (
    "<dna>ACGTTGCA</dna> and <protein>MKVLA</protein>",
    "the <dna> tag and <dna>\nacgu NN\nGT\n</dna> x",
    "<dna><protein>AC</dna></protein>",
    "<protein>MKV",
    *ENGLISH,
)
CHAT = ({"role": "user", "content": "Is <dna>ACGT</dna> in <protein>MKV</protein>?"},)


def stock(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("families")

    def base(name: str) -> Path:
        return root / name if (root / name).is_dir() else FAMILIES[name](root / name)

    return base


@pytest.fixture(scope="module")
def make_world(
    bases: Callable[[str], Path], vocabularies: Vocabularies, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], World]:
    root, worlds = tmp_path_factory.mktemp("extended"), {}

    def make(name: str) -> World:
        if name not in worlds:
            extend(bases(name), list(vocabularies.values()), root / name)
            base = stock(bases(name)).backend_tokenizer
            worlds[name] = World(name, bases(name), base, GeneTokenizer.load(root / name), vocabularies)
        return worlds[name]

    return make


@pytest.fixture(scope="module", params=FAMILIES)
def world(request: pytest.FixtureRequest, make_world: Callable[[str], World]) -> World:
    return make_world(request.param)


@few
@given(text=any_text, more=any_text, span=st.builds(Span, st.sampled_from(list(ALPHABETS)), letters))
def test_decoding_gives_back_what_the_base_does_and_the_canonical_sequence(
    world: World, text: str, more: str, span: Span
) -> None:
    assume(without_reserved(world, text + more) and "▁" not in text + more)
    # A combining mark would join the bracket of the tag before it.
    assume(unicodedata.normalize("NFC", ">" + more) == ">" + unicodedata.normalize("NFC", more))
    canonical = Span(span.kind, ALPHABETS[span.kind].canonical(span.sequence))
    genes = world.genes

    def through_the_base(part: str) -> str:
        # Behind a letter, so that what a base does at the beginning of a text stays out of it.
        there = world.base.encode(f"x{part}", add_special_tokens=False).ids
        return world.base.decode(there, skip_special_tokens=False)[1:]

    wanted = render([f"x{through_the_base(text)}", canonical, through_the_base(more)])
    assert genes.decode(genes.encode_parts([f"x{text}", span, more])) == wanted
    assert genes.decode(genes.encode(render([f"x{text}", span, more]))) == wanted


def test_one_kind_after_the_other_is_both_at_once(world: World, vocabularies: Vocabularies, tmp_path: Path) -> None:
    for first, second in (("dna", "protein"), ("protein", "dna")):
        both, one, then = (tmp_path / f"{first}-{name}" for name in ("both", "one", "then"))
        extend(world.folder, [vocabularies[first], vocabularies[second]], both)
        extend(world.folder, [vocabularies[first]], one)
        # The model's folder, too, can be extended, with its rows rounded up.
        (one / "config.json").write_text('{"model_type": "llama", "vocab_size": 9984}')
        extend(one, [vocabularies[second]], then)
        assert (then / "tokenizer.json").read_bytes() == (both / "tokenizer.json").read_bytes()
        assert (then / "tokenizer_config.json").read_bytes() == (both / "tokenizer_config.json").read_bytes()


def test_every_id_is_where_it_was_and_none_is_unused(world: World) -> None:
    base, loaded = stock(world.folder), world.genes.to_transformers()
    for token, index in base.get_vocab().items():
        assert loaded.convert_tokens_to_ids(token) == index
    for index, token in base.added_tokens_decoder.items():
        kept = loaded.added_tokens_decoder[index]
        assert (kept.content, kept.special, kept.lstrip, kept.rstrip) == (
            token.content,
            token.special,
            token.lstrip,
            token.rstrip,
        )
    assert len(loaded) == world.genes.num_tokens == max(loaded.get_vocab().values()) + 1
    rows = json.loads((world.folder / "config.json").read_text())["vocab_size"]
    assert world.genes.base_size == max(rows, len(base))
    assert loaded.convert_ids_to_tokens(list(range(len(base), rows))) == [
        f"<|reserved_{index}|>" for index in range(len(base), rows)
    ]


def test_batches_are_padded_and_special_tokens_skipped(world: World) -> None:
    genes, loaded = world.genes, world.genes.to_transformers()
    texts = ["<dna>ACGT</dna>", TYPED[0]]
    batch = loaded(texts, padding=True, add_special_tokens=False)
    for text, row, mask in zip(texts, batch["input_ids"], batch["attention_mask"], strict=True):
        assert [index for index, seen in zip(row, mask, strict=True) if seen] == genes.encode(text)
        assert {index for index, seen in zip(row, mask, strict=True) if not seen} <= {genes.pad_id}
    assert len(batch["input_ids"][0]) == len(batch["input_ids"][1])
    ids = [*genes.encode("<dna>ACGT</dna>"), genes.eos_id, genes.pad_id]
    assert loaded.decode(ids, skip_special_tokens=True) == "<dna>ACGT</dna>"
    # What the base puts before a text of its own, it still does.
    base = stock(world.folder)
    assert loaded("ACGT")["input_ids"] == base("ACGT")["input_ids"]


# Stock transformers in a process of its own, in which there is no llama_gene. All folders are asked about at once,
# since its import takes seconds.


def with_type(world: World, model_type: str, root: Path) -> Path:
    """The extended tokenizer in the folder of a model of `model_type`."""
    folder = root / f"{world.name}-as-{model_type}"
    shutil.copytree(world.genes.folder, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.fixture(scope="module")
def answers(make_world: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Answer]:
    """What it makes of every family in a folder of its own type, and of Qwen 3's in folders of every type there is."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    root = tmp_path_factory.mktemp("stock")
    asked = []
    for name in FAMILIES:
        model_type = json.loads((make_world(name).folder / "config.json").read_text())["model_type"]
        asked.append(with_type(make_world(name), model_type, root))
    for name, model_types in (("qwen3", MODEL_FOR_CAUSAL_LM_MAPPING_NAMES), ("mistral", ())):
        for model_type in {*model_types, *FORCED, *RIGHT}:
            if not (root / f"{name}-as-{model_type}").exists():
                asked.append(with_type(make_world(name), model_type, root))
    found = ask_stock([Question(folder, TYPED, CHAT if "qwen3-as" in folder.name else ()) for folder in asked])
    return dict(zip(asked, found, strict=True))


def verdicts(answers: dict[Path, Answer], world: World) -> dict[str, bool]:
    """Model type -> whether stock transformers gets the right ids."""
    wanted = [world.genes.encode(text) for text in TYPED]
    return {
        folder.name.partition("-as-")[2]: list(answer.ids) == wanted
        for folder, answer in answers.items()
        if folder.name.startswith(f"{world.name}-as-")
    }


def test_a_family_beside_its_own_model(world: World, answers: dict[Path, Answer]) -> None:
    """transformers#27279: no slow and fast form that drift apart; stock transformers has one, and the same ids."""
    model_type = json.loads((world.folder / "config.json").read_text())["model_type"]
    assert verdicts(answers, world)[model_type] == (model_type not in FORCED)


@pytest.mark.parametrize("name", ["qwen3", "mistral"])
def test_model_types_for_which_transformers_takes_its_own_class(
    name: str, make_world: Callable[[str], World], answers: dict[Path, Answer]
) -> None:
    found = verdicts(answers, make_world(name))
    assert all(found[model_type] for model_type in RIGHT)
    # The day this fails, transformers has been mended: shorten the list.
    assert not any(found[model_type] for model_type in FORCED)
    # A class of its own, and nothing else, is what goes wrong; some types have no model without further settings.
    for folder, answer in answers.items():
        kind, _, model_type = folder.name.partition("-as-")
        if kind == name and not answer.error:
            assert (answer.class_name == "TokenizersBackend") == found[model_type], (model_type, answer)
    assert sum(bool(answer.error) for answer in answers.values()) < 5


def test_a_conversation_has_the_same_ids(make_world: Callable[[str], World], answers: dict[Path, Answer]) -> None:
    genes = make_world("qwen3").genes
    text = genes.to_transformers().apply_chat_template(list(CHAT), tokenize=False)
    assert text == "<|im_start|>user\nIs <dna>ACGT</dna> in <protein>MKV</protein>?<|im_end|>\n"
    assert genes.to_transformers().chat_template == CHAT_TEMPLATE
    (answer,) = [answer for folder, answer in answers.items() if folder.name == "qwen3-as-qwen3"]
    assert list(answer.chat_ids) == genes.encode(text)


def test_the_process_has_no_llama_gene() -> None:
    """It is installed, also for ``python -I``, so it has to be hidden."""
    code = f"import runpy; hide = runpy.run_path({script.__file__!r})['_hide']; "
    for hidden, wanted in (("", 0), ("hide('llama_gene'); ", 1)):
        command = [sys.executable, "-I", "-c", code + hidden + "import llama_gene.errors"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == wanted
        assert ("No module named 'llama_gene" in done.stderr) == bool(wanted)


# What is special about one family.


def test_a_fasta_body_inside_a_base_with_tokens_of_line_breaks(make_world: Callable[[str], World]) -> None:
    """Gemma has tokens of one to 31 line breaks, which are cut out of the raw text."""
    world = make_world("gemma")
    genes = world.genes
    assert genes.encode("<dna>\nACGT\n\nAC\n</dna>") == genes.encode("<dna>ACGTAC</dna>")
    text = "one\n\n\ntwo\n \n<b>three</b>\n\n<start_of_turn>user\n"
    ids = world.base.encode(text, add_special_tokens=False).ids
    assert genes.encode(text) == ids == genes.encode_parts([text])
    assert world.base.token_to_id("\n\n\n") in ids


def private_token(spec: dict[str, Any]) -> None:
    spec["model"]["vocab"]["\ue005"] = len(spec["model"]["vocab"])


def private_added(spec: dict[str, Any]) -> None:
    added(spec, ["<\ue03f>"])


def private_merge(spec: dict[str, Any]) -> None:
    """A byte-level base that has learned U+E000 to U+E03F: the symbols of the bytes EE 80."""
    spec["model"]["vocab"]["îĢ"] = len(spec["model"]["vocab"])
    spec["model"]["merges"].append(["î", "Ģ"])


@pytest.mark.parametrize("change", [private_token, private_added])
def test_a_block_that_a_sentencepiece_base_uses_is_passed_over(
    change: Callable[[dict[str, Any]], None], vocabularies: Vocabularies, tmp_path: Path
) -> None:
    spec = sentencepiece_style(["<unk>", "<s>", "</s>"])
    change(spec)
    base = write(tmp_path / "base", spec, "PreTrainedTokenizerFast", "llama", eos_token="</s>")
    assert extend(base, [vocabularies["dna"]], tmp_path / "output").block == 0xE040
    ids = stock(base)("\ue005 <\ue03f>", add_special_tokens=False)["input_ids"]
    assert GeneTokenizer.load(tmp_path / "output").encode("\ue005 <\ue03f>") == ids


def test_a_block_whose_first_bytes_a_base_merges_is_passed_over(vocabularies: Vocabularies, tmp_path: Path) -> None:
    spec = byte_level(None)
    private_merge(spec)
    added(spec, ["<|endoftext|>"])
    base = write(tmp_path / "base", spec, "PreTrainedTokenizerFast", "gpt2", eos_token="<|endoftext|>")
    # All 64 blocks from U+E000 on that share these two bytes with it.
    assert extend(base, [vocabularies["dna"]], tmp_path / "output").block == 0xE040
    assert GeneTokenizer.load(tmp_path / "output").encode("\ue001") == stock(base)("\ue001")["input_ids"]


def test_tokens_beside_a_bare_sentencepiece_model_keep_their_ids(
    sentencepiece_model: Path, vocabularies: Vocabularies, tmp_path: Path
) -> None:
    """Folders of the first LLaMA models: added tokens stand in a file of their own, behind the vocabulary."""
    base = tmp_path / "base"
    shutil.copytree(sentencepiece_model, base)
    (base / "added_tokens.json").write_text('{"[PAD]": 400, "<extra>": 402}')
    special = {"pad_token": "[PAD]", "eos_token": {"content": "</s>", "lstrip": False}, "mask_token": "<mask>"}
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", **special}))
    result = extend(base, [vocabularies["dna"]], tmp_path / "output")
    genes = GeneTokenizer.load(tmp_path / "output")
    loaded = stock(tmp_path / "output")
    assert (genes.pad_id, genes.base_size, result.added_pad) == (400, 403, False)
    assert loaded.convert_ids_to_tokens([400, 401, 402]) == ["[PAD]", "<|reserved_401|>", "<extra>"]
    assert genes.encode("<extra>") == [402]
    assert genes.encode("a<extra>b").count(402) == 1
    # A name for a token that is not there would be added on loading, behind our own.
    assert len(loaded) == genes.num_tokens


def test_rows_of_a_model_of_text_and_images_count(tmp_path: Path) -> None:
    base = FAMILIES["qwen3"](tmp_path / "base")
    (base / "config.json").write_text('{"model_type": "qwen3_5", "text_config": {"vocab_size": 1024}}')
    assert load_base(base).num_rows == 1024
    assert extend(base, [DNA_LETTERS], tmp_path / "output").base_size == 1024


def test_an_end_of_text_that_is_no_token_raises(tmp_path: Path) -> None:
    spec = sentencepiece_style(["<unk>", "<s>", "</s>"])
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(TokenizerError, match="no end-of-text token\n  name one of its tokens"):
        extend(tmp_path / "base", [DNA_LETTERS], tmp_path / "output")
