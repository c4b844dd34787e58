"""Log-likelihoods add up, of short and long sequences, of attention and of convolutions, and of variants."""

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.inference.engine import Engine
from llama_gene.inference.likelihood import likelihoods
from llama_gene.inference.reading import SequenceReader
from llama_gene.inference.stream import BatchSize
from llama_gene.inference.variants import ScoredVariants
from llama_gene.sequences.read import Reject
from llama_gene.sequences.reference import open_reference
from llama_gene.sequences.variants import read_variants
from nano import dna, logits_of


def hybrid(engine: Engine) -> Any:
    """Short convolutions and attention in turn, with random weights, for the same tokenizer."""
    import transformers

    config = transformers.Lfm2Config(
        vocab_size=engine.model.config.vocab_size, hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64, initializer_range=0.3, max_position_embeddings=160,
        layer_types=["conv", "full_attention", "conv", "full_attention"], block_auto_adjust_ff_dim=False,
    )  # fmt: skip
    transformers.set_seed(1)
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="module", params=["llama", "lfm2"])
def engine(request: pytest.FixtureRequest, nano_folder: Path) -> Engine:
    loaded = Engine.load(nano_folder)
    if request.param == "llama":
        return loaded
    return Engine(hybrid(loaded), loaded.tokenizer, loaded.record, loaded.folder)


def reader_of(engine: Engine, batch_tokens: int = 1000) -> SequenceReader:
    return SequenceReader(engine, "dna", BatchSize(batch_tokens, print))


def alone(engine: Engine, letters: str) -> float:
    ids = engine.tokenizer.encode(f"<dna>{letters}")
    logits = logits_of(engine.model, ids)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(sum(logits[place, token] for place, token in enumerate(ids[1:])))


def test_each_is_what_the_model_says_of_it_alone(engine: Engine) -> None:
    sequences = [dna(length, length) for length in (1, 5, 40, 12)]
    for batch_tokens in (1, 30, 1000):
        found = likelihoods(reader_of(engine, batch_tokens), sequences)
        assert [one.letters for one in found] == [1, 5, 40, 12]
        for letters, one in zip(sequences, found, strict=True):
            assert one.log_likelihood == pytest.approx(alone(engine, letters), abs=1e-3)
            assert one.bits_per_letter == pytest.approx(-one.log_likelihood / len(letters) / math.log(2))
            assert one.tokens == len(engine.tokenizer.encode(f"<dna>{letters}")) - 1


def test_a_sequence_longer_than_the_context_is_read_in_windows(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = dna(60, 3)
    ids = engine.tokenizer.encode(f"<dna>{letters}")
    monkeypatch.setattr(engine.model.config, "max_position_embeddings", 11)  # the tag and ten pieces
    open_tag, pieces = ids[0], ids[1:]
    expected, done, start = 0.0, 0, 0
    while done < len(pieces):
        window = [open_tag, *pieces[start : start + 10]]
        logits = logits_of(engine.model, window)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        places = range(done - start, len(window) - 1)
        expected += sum(logits[place, window[place + 1]] for place in places)
        done, start = start + len(window) - 1, start + 5
    (found,) = likelihoods(reader_of(engine), [letters])
    assert found.tokens == len(pieces) > 20
    assert found.log_likelihood == pytest.approx(expected, abs=1e-3)


def test_a_kind_that_the_model_cannot_spell(engine: Engine) -> None:
    with pytest.raises(SettingsError, match="the model cannot spell rna\n  it knows: dna, protein"):
        SequenceReader(engine, "rna", BatchSize(10, print))  # type: ignore[arg-type]


GENOME = ">chr1 some words\nACGTACGTAC\nGTACGTTTGG\nCCA\n>chr2\nGGGGCCCC\n"


@pytest.fixture(params=["plain", "packed"])
def genome(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / ("genome.fa" if request.param == "plain" else "genome.fa.gz")
    path.write_bytes(GENOME.encode() if request.param == "plain" else gzip.compress(GENOME.encode()))
    return path


def test_any_part_of_a_genome(genome: Path) -> None:
    letters = "ACGTACGTACGTACGTTTGGCCA"
    with open_reference(genome) as reference:
        assert reference.length("chr1") == 23
        for start in range(-2, 25):
            for stop in range(start, 26):
                assert reference.fetch("chr1", start, stop) == letters[max(0, start) : max(0, stop)]
        assert reference.fetch("chr2", 2, 6) == "GGCC"
        with pytest.raises(FormatError, match=r"no sequence '1'\n  it has, for example, 'chr"):
            reference.fetch("1", 0, 1)


BAD_GENOMES = {
    "a longer line": (">a\nAC\nACG\n", ":3: lines of unequal length"),
    "a short line inside": (">a\nACG\nA\nACG\n", ":4: lines of unequal length"),
    "a blank line inside": (">a\nACG\n\nACG\n", ":4: lines of unequal length"),
    "a name twice": (">a\nA\n>a\nC\n", ":3: a sequence without a name of its own"),
    "no name": (">\nA\n", ":1: a sequence without a name of its own"),
    "no FASTA": ("ACGT\n", ":1: no FASTA"),
}


@pytest.mark.parametrize("case", BAD_GENOMES)
def test_a_genome_that_does_not_hold(case: str, tmp_path: Path) -> None:
    text, problem = BAD_GENOMES[case]
    (tmp_path / "a.fa").write_text(text)
    with pytest.raises(FormatError, match=problem), open_reference(tmp_path / "a.fa"):
        pass


VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"


def scored(engine: Engine, genome: Path, lines: str, flank: int = 5) -> tuple[list[list[Any]], list[Reject]]:
    vcf = genome.with_name("a.vcf")
    vcf.write_text(VCF + lines)
    aside: list[Reject] = []
    with open_reference(genome) as reference:
        rows = ScoredVariants(reader_of(engine), read_variants(vcf, aside.append), reference, flank)
        return [row for block in rows(0) for row in block], aside


def test_either_allele_stands_among_the_same_letters(engine: Engine, genome: Path) -> None:
    rows, aside = scored(engine, genome, "chr1\t7\trs1\tG\tA,C,<DEL>\tq\nchr2\t1\t.\tGG\tG\n")
    assert [row[:5] for row in rows] == [
        ["chr1", 7, "rs1", "G", "A"], ["chr1", 7, "rs1", "G", "C"], ["chr2", 1, ".", "GG", "G"],
    ]  # fmt: skip
    assert [(one.id, one.reason) for one in aside] == [("rs1", "ALT '<DEL>' is not spelled out")]
    for row, before, after in zip(
        rows,
        ["CGTACGTACGT", "CGTACGTACGT", "GGGGCCC"],
        ["CGTACATACGT", "CGTACCTACGT", "GGGCCC"],
        strict=True,
    ):
        assert row[5] == pytest.approx(alone(engine, before), abs=1e-3)
        assert row[6] == pytest.approx(alone(engine, after), abs=1e-3)
        assert row[7] == pytest.approx(row[6] - row[5], abs=1e-9)


BAD_VARIANTS = {
    "another letter": (
        "chr1\t7\t.\tA\tC\n",
        "a.vcf:3: REF 'A', but the reference has 'G' at chr1:7\n  is it the assembly",
    ),
    "behind the end": ("chr2\t9\t.\tA\tC\n", "a.vcf:3: REF 'A', but the reference has ''"),
    "no such place": ("chr9\t1\t.\tA\tC\n", "a.vcf:3: no sequence 'chr9'"),
    "too few columns": ("chr1\t7\t.\tG\n", "a.vcf:3: 4 columns"),
    "no number": ("chr1\tx\t.\tG\tC\n", "a.vcf:3: POS 'x' is no position"),
    "from 0": ("chr1\t0\t.\tG\tC\n", "a.vcf:3: POS '0' is no position"),
    "no letters": ("chr1\t7\t.\t-\tC\n", "a.vcf:3: REF '-' is no DNA"),
    "nothing": ("", "a.vcf: no variants"),
}


@pytest.mark.parametrize("case", BAD_VARIANTS)
def test_a_variant_that_does_not_hold_is_named_by_its_line(case: str, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_text(GENOME)
    lines, problem = BAD_VARIANTS[case]
    with pytest.raises(LlamaGeneError) as raised:
        scored(engine, tmp_path / "genome.fa", lines)
    assert problem in str(raised.value)
