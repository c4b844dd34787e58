"""What is written is a sequence: only its letters, an end at the limit, the same by the same seed."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import SequenceError, SettingsError
from llama_gene.inference import writing
from llama_gene.inference.constraint import SpanConstraint
from llama_gene.inference.decode import Sampling
from llama_gene.inference.engine import Engine
from llama_gene.inference.writing import write_sequences, write_text
from llama_gene.tokenizer import GeneTokenizer

from .test_likelihood import hybrid

DRAWN = Sampling(temperature=1.0, seed=3)


@pytest.fixture(scope="module", params=["llama", "lfm2"])
def engine(request: pytest.FixtureRequest, nano_folder: Path) -> Engine:
    loaded = Engine.load(nano_folder)
    if request.param == "llama":
        return loaded
    return Engine(hybrid(loaded), loaded.tokenizer, loaded.record, loaded.folder)


def after(genes: GeneTokenizer, text: str, max_length: int = 100, max_letters: int | None = None) -> set[str]:
    """What may come after a text, each as it reads."""
    mask = SpanConstraint(genes, max_length, max_letters).allowed(genes.encode(text))
    return {genes.decode([token]) for token in np.flatnonzero(mask).tolist()}


def test_inside_a_span_its_letters_and_its_end(nano_tokenizer: GeneTokenizer) -> None:
    pieces = {"A", "C", "G", "T", "AC", "GT", "ACGT", "TA", "TATA", "CC"}
    assert after(nano_tokenizer, "<dna>") == pieces
    assert after(nano_tokenizer, "A gene: <dna>ACG") == {*pieces, "</dna>"}
    assert after(nano_tokenizer, "<dna>ACG", max_letters=5) == {"A", "C", "G", "T", "AC", "GT", "TA", "CC", "</dna>"}
    assert after(nano_tokenizer, "<dna>ACG", max_letters=3) == {"</dna>"}
    length = len(nano_tokenizer.encode("<dna>ACG"))
    assert after(nano_tokenizer, "<dna>ACG", max_length=length + 1) == {"</dna>"}
    assert after(nano_tokenizer, "<dna>ACG", max_length=length + 2) == {*pieces, "</dna>"}
    residues = after(nano_tokenizer, "<dna>ACG</dna> <protein>M")
    assert residues == {*"ACDEFGHIKLMNPQRSTVWY", "MK", "LL", "</protein>"}


def test_outside_no_pieces_and_no_ends(nano_tokenizer: GeneTokenizer) -> None:
    for text in ("The gene", "<dna>ACG</dna>", ""):
        mask = SpanConstraint(nano_tokenizer, 100).allowed(nano_tokenizer.encode(text))
        may = set(np.flatnonzero(mask).tolist())
        assert may.isdisjoint(nano_tokenizer.spellings())
        assert may.isdisjoint([*nano_tokenizer.closing("dna"), *nano_tokenizer.closing("protein")])
        assert {*nano_tokenizer.opening("dna"), nano_tokenizer.eos_id, *nano_tokenizer.encode(" gene")} <= may


def test_it_is_a_logits_processor_of_transformers(nano_folder: Path) -> None:
    import torch

    engine = Engine.load(nano_folder)
    ids = torch.tensor([engine.tokenizer.encode("<dna>ACG")] * 4)
    torch.manual_seed(0)
    out = engine.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=True, temperature=5.0,
        eos_token_id=engine.tokenizer.closing("dna"), pad_token_id=engine.tokenizer.pad_id,
        logits_processor=[SpanConstraint(engine.tokenizer, ids.shape[1] + 12)],
    )  # fmt: skip
    for row in out.tolist():
        text = engine.tokenizer.decode([token for token in row if token != engine.tokenizer.pad_id])
        assert re.fullmatch("<dna>ACG[ACGT]*</dna>", text)


@pytest.mark.parametrize("kind", ["dna", "protein"])
def test_sequences_begin_with_the_prompt_and_keep_the_limits(engine: Engine, kind: str) -> None:
    letters = "ACGT" if kind == "dna" else "ACDEFGHIKLMNPQRSTVWY"
    found = write_sequences(engine, kind, "acg", num=6, max_letters=20, sampling=DRAWN)  # type: ignore[arg-type]
    assert len(set(found)) > 1
    for sequence in found:
        assert re.fullmatch(f"ACG[{letters}]*", sequence)
        assert len(sequence) <= 20
    assert write_sequences(engine, kind, "acg", num=6, max_letters=20, sampling=DRAWN) == found  # type: ignore[arg-type]
    third = write_sequences(engine, kind, "acg", max_letters=20, sampling=Sampling(1.0, seed=5))  # type: ignore[arg-type]
    assert third == [found[2]]


def test_the_most_probable_is_one_whatever_the_seed(engine: Engine) -> None:
    found = {tuple(write_sequences(engine, "dna", "", max_tokens=9, sampling=Sampling(seed=seed))) for seed in (1, 2)}
    assert len(found) == 1


@given(st.integers(1, 12), st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_text_closes_what_it_opens(nano_folder: Path, max_tokens: int, seed: int) -> None:
    engine = _engine(nano_folder)
    ids = engine.tokenizer.encode("The gene <dna>TATA")
    text = "".join(write_text(engine, ids, max_tokens=max_tokens, sampling=Sampling(3.0, seed=seed)))
    assert re.match("[ACGT]*</dna>", text)


_engines: dict[Path, Engine] = {}


def _engine(folder: Path) -> Engine:
    if folder not in _engines:
        _engines[folder] = Engine.load(folder)
    return _engines[folder]


def test_text_comes_piece_by_piece_and_in_whole_characters(nano_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _engine(nano_folder)
    said = [*engine.tokenizer.encode("Größe 蛋"), engine.tokenizer.eos_id, *engine.tokenizer.encode("more")]
    monkeypatch.setattr(writing, "_tokens", lambda *_: ([token] for token in said))
    pieces = list(write_text(engine, [5], sampling=DRAWN))
    assert "".join(pieces) == "Größe 蛋"
    assert {"ö", "ß", "蛋"} <= set(pieces)


def test_what_does_not_hold(engine: Engine) -> None:
    ask = {"kind": "dna", "sampling": DRAWN}
    with pytest.raises(SequenceError, match="outside the DNA alphabet"):
        write_sequences(engine, prompt="MEF", **ask)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="--max-letters 3: the prompt has 4"):
        write_sequences(engine, prompt="ACGT", max_letters=3, **ask)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"the prompt has .* tokens, the model's context 160"):
        write_sequences(engine, prompt="ACTTG" * 200, **ask)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="an empty prompt"):
        list(write_text(engine, [], sampling=DRAWN))
    for sampling, problem in ((Sampling(-1.0), "--temperature -1.0"), (Sampling(1.0, 0.0), "--top-p 0.0")):
        with pytest.raises(SettingsError, match=problem):
            write_sequences(engine, "dna", sampling=sampling)
