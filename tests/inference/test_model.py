"""The Python face says what the commands say."""

from pathlib import Path

import numpy as np
import pytest

import llama_gene
from llama_gene.errors import SequenceError, SettingsError, TaskError
from llama_gene.inference.model import Model
from llama_gene.sequences.record import Record
from nano import CONFORM, PAIR, examples


@pytest.fixture(scope="module")
def model(tuned_folder: Path) -> Model:
    return llama_gene.load(tuned_folder)


def test_predictions_are_those_of_the_engine(model: Model, tmp_path: Path) -> None:
    rows = examples(CONFORM, 5)
    expected = list(model.engine.predict(CONFORM, rows))
    records = [Record(row.id, row.sequences[0], "dna") for row in rows]
    assert list(model.predict("conform", records)) == expected
    (tmp_path / "a.fa").write_text("".join(f">{row.id}\n{row.sequences[0]}\n" for row in rows))
    found = model.predict("conform", tmp_path / "a.fa")
    assert list(found) == expected
    assert found.rows[0][:2] == ["row0", expected[0].answer]
    assert list(found[1:3]) == expected[1:3]
    pairs = examples(PAIR, 3)
    assert [one.probabilities for one in model.predict("pair", [row.sequences for row in pairs])] == [
        one.probabilities for one in model.engine.predict(PAIR, pairs)
    ]


def test_what_does_not_hold(model: Model) -> None:
    with pytest.raises(TaskError, match="not tuned on task 'splice'"):
        model.predict("splice", ["ACGT"])
    with pytest.raises(SequenceError, match="record '1' has 1 sequences, task 'pair' takes 2"):
        model.predict("pair", ["ACGT"])
    with pytest.raises(SequenceError, match="outside the DNA alphabet"):
        model.predict("conform", ["MEF"])
    with pytest.raises(SettingsError, match="--layer 9: the model has 2"):
        model.embed(["ACGT"], layer=9)
    with pytest.raises(SettingsError, match="one of: mean, last, none"):
        model.embed(["ACGT"], pool="max")  # type: ignore[arg-type]
    assert list(model.predict("conform", [])) == []


def test_a_notebook_shows_a_table_and_a_plot_and_runs_nothing(model: Model) -> None:
    found = model.predict("conform", [Record("<script>alert(1)</script>", "ACGTACGT", "dna")] * 30)
    shown = found._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    assert "<script" not in shown
    assert "&amp;lt;script&amp;gt;" in shown  # escaped for the page, and the page for the frame
    assert "30 predictions of conform, the first 20 below" in shown
    assert "&lt;svg" in shown
    assert shown.count("&lt;tr&gt;") == 21
    assert repr(found) == "<30 predictions of conform>"
    assert "&lt;svg" in model.predict("strength", ["ACGT", "TTTT"])._repr_html_()


def test_states_are_those_of_the_model_read_alone(model: Model) -> None:
    import torch

    sequences = ["ACGTACGTTA", "TTATACC"]
    tokens, transformer = model.engine.tokenizer, model.engine.model
    for layer in (0, 1, -1):
        by_piece = model.embed(sequences, pool="none", layer=layer)
        for letters, found in zip(sequences, by_piece, strict=True):
            ids = tokens.encode(f"<dna>{letters}")
            with torch.inference_mode():
                out = transformer(input_ids=torch.tensor([ids]), output_hidden_states=True)
            assert found == pytest.approx(out.hidden_states[layer][0, 1:].numpy(), abs=1e-4)
        assert model.embed(sequences, layer=layer) == pytest.approx(
            np.stack([found.mean(axis=0) for found in by_piece]), abs=1e-6
        )
        assert model.embed(sequences, pool="last", layer=layer) == pytest.approx(
            np.stack([found[-1] for found in by_piece]), abs=1e-6
        )
