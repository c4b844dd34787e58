"""The English tokenizer of a model from scratch."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from llama_gene.errors import FormatError, TokenizerError
from llama_gene.vocabulary.text import EOS, PAD, train_text_tokenizer

from .conftest import ENGLISH


def test_no_text_and_no_room_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no text to learn"):
        train_text_tokenizer(["", ""], 300, tmp_path / "text")
    with pytest.raises(TokenizerError, match="258 is bytes alone"):
        train_text_tokenizer(ENGLISH, 257, tmp_path / "text")
    assert not list(tmp_path.iterdir())


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(blacklist_categories=("Cs",))))
def test_every_text_comes_back(byte_level: Path, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(byte_level / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_a_digit_is_a_token_and_training_is_deterministic(tmp_path: Path) -> None:
    texts = ["12 12 12 the 12", "the 12 the"] * 5
    first = train_text_tokenizer(texts, 270, tmp_path / "first")
    second = train_text_tokenizer(iter(texts), 270, tmp_path / "second")
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    tokenizer = Tokenizer.from_file(str(first / "tokenizer.json"))
    assert tokenizer.encode("the 12").tokens == ["the", "Ġ", "1", "2"]
    assert [tokenizer.token_to_id(token) for token in (EOS, PAD)] == [0, 1]


def test_transformers_loads_it(byte_level: Path) -> None:
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(str(byte_level), local_files_only=True)
    assert (stock.eos_token, stock.pad_token, stock.bos_token) == (EOS, PAD, None)
    assert (
        stock(ENGLISH[0])["input_ids"] == Tokenizer.from_file(str(byte_level / "tokenizer.json")).encode(ENGLISH[0]).ids
    )
