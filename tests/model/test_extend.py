"""Growing a base keeps every row it had (open-instruct#142: rows were rounded up before the tokens were added)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.config import ModelSettings
from llama_gene.errors import ModelError, TokenizerError
from llama_gene.model.base import load_model, new_model
from llama_gene.model.create import continue_base, extend_base
from llama_gene.model.extend import grow, num_rows
from llama_gene.model.folder import load_folder
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.text import train_text_tokenizer
from nano import DNA, PROTEIN, logits_of

TEXT = "Once upon a time, there was a little girl named Lily. She liked the gene."


@pytest.fixture(scope="module")
def grown_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[GeneTokenizer, int]:
    """A tokenizer of 258 text tokens and its extension; the number of its base's tokens."""
    folder = tmp_path_factory.mktemp("grown")
    text = train_text_tokenizer(["ACGT MK"], 258, folder / "text")
    extension = extend(text, [DNA, PROTEIN], folder / "typed")
    return GeneTokenizer.load(extension.folder), extension.first_new


def base_of(num_base: int, tied: bool) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return LlamaForCausalLM(LlamaConfig(vocab_size=num_base, tie_word_embeddings=tied, **sizes))


def rows_of(model: Any) -> list[np.ndarray]:
    return [
        part.weight.detach().numpy().copy() for part in (model.get_input_embeddings(), model.get_output_embeddings())
    ]


def test_a_base_that_cannot_be_extended_raises(tmp_path: Path, nano_folder: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}')
    with pytest.raises(ModelError, match="BertForMaskedLM is no causal language model"):
        extend_base(ModelSettings(base=str(tmp_path / "bert")), [DNA], tmp_path / "out", seed=1)
    with pytest.raises(TokenizerError, match="the base has dna spans already"):
        extend_base(ModelSettings(base=str(nano_folder)), [DNA], tmp_path / "out", seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["bert"]


@pytest.mark.parametrize("start", ["subword", "mean", "random"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_rows_of_the_base_keep_every_bit(
    grown_tokenizer: tuple[GeneTokenizer, int], tied: bool, start: Any
) -> None:
    genes, num_base = grown_tokenizer
    model = base_of(num_base, tied)
    before = rows_of(model)
    grow(model, genes, num_base, start, seed=1)
    after = rows_of(model)
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(new[:num_base], old)
        assert new.shape[0] == num_rows(genes) == model.config.vocab_size
        assert new.shape[0] % 64 == 0
        assert 0 <= new.shape[0] - genes.num_tokens < 64
        fresh = new[num_base:]
        assert np.isfinite(fresh).all()
        assert len(np.unique(fresh, axis=0)) == len(fresh)  # no two start equal
        assert fresh.std() < 2 * old.std()
    shared = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert shared == tied == model.config.tie_word_embeddings
    assert (model.config.eos_token_id, model.config.pad_token_id) == (genes.eos_id, genes.pad_id)


def test_growing_is_its_seed(grown_tokenizer: tuple[GeneTokenizer, int]) -> None:
    genes, num_base = grown_tokenizer
    grown = []
    for seed in (1, 1, 2):
        model = base_of(num_base, True)
        grow(model, genes, num_base, "subword", seed=seed)
        grown.append(rows_of(model)[0])
    assert np.array_equal(grown[0], grown[1])
    assert not np.array_equal(grown[0], grown[2])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("start", "noise"), [("mean", 0.0), ("mean", 0.3), ("subword", 0.02), ("random", 0.02)])
def test_the_noise_is_as_large_as_it_is_set(
    grown_tokenizer: tuple[GeneTokenizer, int], start: Any, noise: float, tied: bool
) -> None:
    genes, num_base = grown_tokenizer
    rows = {}
    for size in (noise, 0.0):
        model = base_of(num_base, tied)
        grow(model, genes, num_base, start, seed=1, noise=size)
        rows[size] = rows_of(model)
    for noisy, exact in zip(rows[noise], rows[0.0], strict=True):
        spread = noisy[:num_base].std(axis=0)
        if start == "random":  # it is noise already
            assert np.array_equal(noisy, exact)
            assert float(noisy[num_base:].std()) == pytest.approx(noisy[:num_base].std(), rel=0.2)
            assert np.abs(noisy[num_base:].mean(axis=0)).max() < spread.mean()
            continue
        added = (noisy - exact)[num_base:] / spread
        assert float(added.std()) == pytest.approx(noise, rel=0.2)
        # Those that only pad the matrix start as means too, also where the others have pieces.
        padding = exact[genes.num_tokens :]
        assert np.allclose(padding, exact[:num_base].mean(axis=0), atol=1e-6)
    if not tied:
        inputs, outputs = (part[num_base:] for part in rows[noise])
        assert not np.allclose(inputs, outputs)


def test_a_new_piece_starts_near_the_base_pieces_that_spell_it(grown_tokenizer: tuple[GeneTokenizer, int]) -> None:
    genes, num_base = grown_tokenizer
    model = base_of(num_base, False)
    grow(model, genes, num_base, "subword", seed=1)
    (acgt,) = genes.encode_spans("dna", ["ACGT"])[0]
    for rows in rows_of(model):
        spelled = rows[genes.encode("ACGT")].mean(axis=0)
        noise = 0.1 * rows[:num_base].std(axis=0)
        assert (np.abs(rows[acgt] - spelled) < 5 * noise).all()
        assert np.abs(rows[acgt] - rows[:num_base].mean(axis=0)).max() > 0.2 * rows[:num_base].std()


def test_a_base_with_padded_rows_loses_none(tmp_path: Path, grown_tokenizer: tuple[GeneTokenizer, int]) -> None:
    """A published base may have more rows than tokens; they were trained, or are counted on."""
    genes, num_base = grown_tokenizer
    model = new_model("nano", 640, 64, {}, seed=1)
    before = rows_of(model)[0]
    grow(model, genes, num_base, "subword", seed=1)
    assert rows_of(model)[0].shape == before.shape


def test_stories_loads_in_stock_transformers_and_reads_english_as_before(stories: Path, stories_genes: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, model = AutoModelForCausalLM.from_pretrained(stories), AutoModelForCausalLM.from_pretrained(stories_genes)
    before, tokenizer = AutoTokenizer.from_pretrained(stories), AutoTokenizer.from_pretrained(stories_genes)
    ids = before(TEXT, add_special_tokens=False)["input_ids"]
    assert tokenizer(TEXT, add_special_tokens=False)["input_ids"] == ids
    num_base = base.config.vocab_size
    assert np.abs(logits_of(model, ids)[:, :num_base] - logits_of(base, ids)).max() < 1e-5
    assert model.config.vocab_size % 64 == 0
    for old, new in zip(rows_of(base), rows_of(model), strict=True):
        assert np.array_equal(new[:num_base], old)
    typed = f"{TEXT} <dna>ACGTTATA</dna>"
    typed_ids = tokenizer(typed, add_special_tokens=False)["input_ids"]
    assert typed_ids == GeneTokenizer.load(stories_genes).encode(typed)
    assert np.isfinite(logits_of(model, typed_ids)).all()
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert load_folder(stories_genes)[2]["base"] == str(stories)


def test_a_base_that_knows_sequences_is_taken_as_it_is(stories_genes: Path, stories: Path, tmp_path: Path) -> None:
    continue_base(ModelSettings(base=str(stories_genes)), tmp_path / "again")
    model, genes, record = load_folder(tmp_path / "again")
    before, tokenizer, _ = load_folder(stories_genes)
    assert record["base"] == str(stories_genes)
    assert genes.fingerprint == tokenizer.fingerprint
    assert all(np.array_equal(old, new) for old, new in zip(rows_of(before), rows_of(model), strict=True))
    with pytest.raises(ModelError, match=r"this base knows no DNA or protein yet\n  say which pieces"):
        continue_base(ModelSettings(base=str(stories)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_second_kind_keeps_the_rows_of_the_first(stories: Path, stories_genes: Path, tmp_path: Path) -> None:
    """LLaMA to llama-dna to llama-gene: what the first kind has learned must not be started again."""
    import torch

    extend_base(ModelSettings(base=str(stories)), [DNA], tmp_path / "dna", seed=1)
    model, genes, _ = load_folder(tmp_path / "dna")
    with torch.no_grad():  # as if it had been trained
        for part in {model.get_input_embeddings(), model.get_output_embeddings()}:
            part.weight += torch.randn(part.weight.shape, generator=torch.Generator().manual_seed(1))
    model.save_pretrained(tmp_path / "dna")
    extend_base(ModelSettings(base=str(tmp_path / "dna")), [PROTEIN], tmp_path / "gene", seed=2)
    grown, both, _ = load_folder(tmp_path / "gene")
    for old, new in zip(rows_of(model), rows_of(grown), strict=True):
        assert np.array_equal(new[: genes.num_tokens], old[: genes.num_tokens])
    text = f"{TEXT} <dna>ACGTTATACCGN</dna>"
    assert both.encode(text) == genes.encode(text)
    old, new = (logits_of(of, genes.encode(text))[:, : genes.num_tokens] for of in (model, grown))
    assert np.abs(old - new).max() < 1e-5
    assert both.fingerprint == GeneTokenizer.load(stories_genes).fingerprint  # as if both had come at once
    # The first vocabulary's spare rows are the second's now, and were started for it.
    inputs = [rows_of(of)[0] for of in (model, grown)]
    spare = slice(genes.num_tokens, len(inputs[0]))
    assert not np.allclose(inputs[0][spare], inputs[1][spare])
    assert load_model(tmp_path / "gene").config.vocab_size % 64 == 0


def test_the_record_of_a_grown_model_is_checked(stories_genes: Path) -> None:
    model, genes, record = load_folder(stories_genes)
    assert record["tokenizer"] == genes.fingerprint
    assert model.get_input_embeddings().weight.shape[0] >= genes.num_tokens
