"""Bases of every shape, extended once a session."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import Tokenizer

from llama_gene.sequences.alphabet import DNA, PROTEIN, Kind
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.base import load_base
from llama_gene.vocabulary.draft import dump
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.sentencepiece import convert
from llama_gene.vocabulary.text import train_text_tokenizer
from llama_gene.vocabulary.train import SequenceVocabulary, train

ENGLISH = [
    "The promoter of the gene is bound by the transcription factor in the liver of the mouse.",
    "We measured the expression of 25 proteins; the differences were significant (p < 0.05).",
    "def main():\n\treturn {'key': [1, 2, 3]}\n\nThe    end... KRAS, TAG and ATG are names.",
    "naïve Größe 蛋白质 – 🧬 Ω≈ç√ don't we'll",
]


@dataclass
class World:
    """One base, its extension by both kinds, and what it was extended with."""

    name: str
    folder: Path
    base: Tokenizer
    genes: GeneTokenizer
    vocabularies: dict[Kind, SequenceVocabulary]


def find_shared_data() -> Path | None:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("LLAMA_GENE_DATA", root.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = find_shared_data()
    if folder is None:
        pytest.skip("no real data: set LLAMA_GENE_DATA to its folder")
    return folder


def simulate(kind: Kind, num: int, length: int, seed: int = 0) -> list[str]:
    """Random sequences with repeated motifs, so that there are pieces to learn."""
    rng = random.Random(seed)
    letters = DNA.letters if kind == "dna" else PROTEIN.letters
    motifs = ["".join(rng.choices(letters, k=rng.randrange(2, 12))) for _ in range(60)]
    return ["".join(rng.choices([*motifs, *letters], k=length // 4)) for _ in range(num)]


@pytest.fixture(scope="session")
def vocabularies() -> dict[Kind, SequenceVocabulary]:
    return {
        "dna": train(simulate("dna", 100, 600), "dna", 200),
        "protein": train(simulate("protein", 100, 600), "protein", 150),
    }


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_text_tokenizer(ENGLISH * 3, 420, tmp_path_factory.mktemp("bases") / "byte_level")


@pytest.fixture(scope="session")
def sentencepiece_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases") / "sentencepiece"
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(ENGLISH).replace("\n", " ").split(".") * 3),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return folder


def rewrite(source: Path, target: Path, change: Callable[[dict[str, Any]], None], **config: Any) -> Path:
    """A copy of a base whose tokenizer.json went through `change`."""
    spec = load_base(source).spec
    change(spec)
    target.mkdir()
    (target / "tokenizer.json").write_text(dump(spec))
    special = {key: value for key, value in load_base(source).config.items() if key.endswith("_token")}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"} | special | config
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
    return target


def like_llama3(spec: dict[str, Any]) -> None:
    """Added tokens after the vocabulary with a gap before them, whole words first, a beginning-of-text token."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    first = len(spec["model"]["vocab"]) + 3
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"]
    spec["added_tokens"] += [{"id": first + place, "content": name, **flags} for place, name in enumerate(names)]
    # `tokenizers` numbers added tokens by the length of the vocabulary, so a gap needs names, as in published files.
    spec["model"]["vocab"] |= {f"<gap{index}>": index for index in range(first - 3, first)}
    spec["model"]["ignore_merges"] = True
    bos = {"SpecialToken": {"id": names[0], "type_id": 0}}
    a, b = ({"Sequence": {"id": name, "type_id": place}} for place, name in enumerate("AB"))
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [bos, a],
        "pair": [bos, a, b],
        "special_tokens": {names[0]: {"id": names[0], "ids": [first], "tokens": [names[0]]}},
    }


def always_prefixed(spec: dict[str, Any]) -> None:
    spec["normalizer"] = None
    step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    spec["pre_tokenizer"] = step


def stripped(spec: dict[str, Any]) -> None:
    spec["normalizer"] = {"type": "Strip", "strip_left": False, "strip_right": True}


NAMES = ("llama2", "stories", "sentencepiece", "legacy", "always", "byte_level", "like_llama3", "padded", "stripped")


@pytest.fixture(scope="session")
def make_base(
    tmp_path_factory: pytest.TempPathFactory, byte_level: Path, sentencepiece_model: Path
) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        target = tmp_path_factory.mktemp("bases") / name
        if name in {"llama2", "stories"}:
            data = find_shared_data()
            if data is None:
                pytest.skip("no real tokenizers: set LLAMA_GENE_DATA to the folder of the real data")
            return data / "base" / {"llama2": "llama2-tokenizer", "stories": "stories260K-hf"}[name]
        if name == "legacy":
            return rewrite(sentencepiece_model, target, lambda spec: None)
        if name == "always":
            return rewrite(sentencepiece_model, target, always_prefixed)
        if name == "like_llama3":
            special = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
            return rewrite(byte_level, target, like_llama3, **special, pad_token=None)
        if name == "padded":
            folder = rewrite(byte_level, target, lambda spec: None)
            (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 448}))
            return folder
        if name == "stripped":
            return rewrite(byte_level, target, stripped)
        return {"sentencepiece": sentencepiece_model, "byte_level": byte_level}[name]

    return make


@pytest.fixture(scope="session", params=NAMES)
def world(
    request: pytest.FixtureRequest,
    make_base: Callable[[str], Path],
    vocabularies: dict[Kind, SequenceVocabulary],
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    folder = make_base(request.param)
    output = tmp_path_factory.mktemp("extended") / request.param
    extend(folder, list(vocabularies.values()), output)
    if (folder / "tokenizer.json").is_file():
        base = Tokenizer.from_str(dump(load_base(folder).spec))
    else:
        base = Tokenizer.from_str(json.dumps(convert(folder / "tokenizer.model")[0]))
    return World(request.param, folder, base, GeneTokenizer.load(output), vocabularies)
