"""What a run will take, from its recipe alone, from data that is there, and from both."""

import json
import lzma
import re
from pathlib import Path

import pytest

from llama_gene.config import load_recipe
from llama_gene.errors import SettingsError
from llama_gene.pipeline.amounts import letters_per_token
from llama_gene.pipeline.forecast import Forecast, forecast

ROOT = Path(__file__).parents[1]

RECIPE = """
name = "planned"

[vocabulary.dna]
size = 4
files = ["dna/*.fa"]

[model]
base = "scratch"
size = "nano"
text_vocabulary = 300

[corpus]
weights = { dna = 3, text = 1 }

[[corpus.source]]
name = "here"
kind = "dna"
files = ["dna/*.fa"]

[[corpus.source]]
name = "far"
kind = "dna"
files = ["far/*.fa.gz"]
weight = 2

[[corpus.source]]
name = "words"
kind = "text"
files = ["*.txt"]

[pretrain]
tokens = 8000
block_size = 64
batch_size = 2

[tasks]
use = ["tf_0"]
max_train_rows = 10

[finetune]
epochs = 2
block_size = 128
batch_size = 2

[[data.file]]
path = "far/genome.fa.gz"
origin = "somewhere far away"
size = 300
letters = 1000
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dna").mkdir()
    (tmp_path / "dna" / "a.fa").write_text(">a record\n" + "ACGT" * 100 + "\n>b\n" + "A" * 100 + "\n")
    (tmp_path / "words.txt").write_text("a word " * 100)
    path = tmp_path / "planned.toml"
    path.write_text(RECIPE)
    return path


def test_letters_are_counted_or_as_declared(recipe: Path) -> None:
    found = forecast(load_recipe(recipe))
    assert {file.path: file.letters for file in found.files if file.path != "words.txt"} == {
        "dna/a.fa": 500,
        "far/genome.fa.gz": 1000,
    }
    assert [(file.path, file.size, file.origin) for file in found.missing] == [
        ("far/genome.fa.gz", 300, "somewhere far away")
    ]
    here, far, words = found.sources
    assert (here.tokens, far.tokens) == (500, 1000)  # DNA by letters
    assert (here.share, far.share, words.share) == (0.25, 0.5, 0.25)
    assert (here.epochs, far.epochs) == (4.0, 4.0)  # of 8,000 tokens
    assert [stage.name for stage in found.stages] == ["vocabulary", "model", "corpus", "pretrain", "finetune"]


def test_what_will_not_work_is_said(recipe: Path) -> None:
    warnings = forecast(load_recipe(recipe)).warnings
    assert any("no file matches 'tasks/GUE/tf/0/train.*'" in warning for warning in warnings)
    assert any(re.search(r"source 'words' is read \d", warning) for warning in warnings)
    large = ["model.size=7b", "pretrain.batch_size=64", "plan.gpu=V100-32GB", "pretrain.precision=bf16"]
    warnings = forecast(load_recipe(recipe, large)).warnings
    (does_not,) = [warning for warning in warnings if warning.startswith("pretrain does not fit: ")]
    assert "V100-32GB has 32; what would: train=lora+new-rows, gradient_checkpointing=true, batch_size=8" in does_not
    # Rows of half a million tokens fit no GPU, however little of the model trains.
    hopeless = forecast(load_recipe(recipe, [*large, "pretrain.block_size=500000"])).warnings
    (does_not,) = [warning for warning in hopeless if warning.startswith("pretrain does not fit: ")]
    assert does_not.endswith("take more GPUs, a smaller base, or QLoRA (lora.load_in_4bit)")
    assert any("V100-32GB has no bf16" in warning for warning in warnings)


def test_task_rows_are_counted_to_the_cap(recipe: Path) -> None:
    folder = recipe.parent / "tasks" / "GUE" / "tf" / "0"
    folder.mkdir(parents=True)
    rows = "".join(f"{'ACGTA' * 20},{number % 2}\n" for number in range(40))
    (folder / "train.csv.xz").write_bytes(lzma.compress(f"sequence,label\n{rows}".encode()))
    found = forecast(load_recipe(recipe))
    # Ten rows, twice: 100 bases with their prompt fill a block of 128.
    assert found.stages[-1].tokens == 10 * 2 * 128


def test_the_base_of_another_recipe_has_its_rows(recipe: Path) -> None:
    first = forecast(load_recipe(recipe))
    text = RECIPE.replace('name = "planned"', 'name = "second"').replace(
        "[vocabulary.dna]\nsize = 4", "[vocabulary.protein]\nsize = 20"
    )
    text = text.replace('base = "scratch"', 'base = "runs/planned/pretrained"\nmade_by = "planned.toml"')
    second = recipe.parent / "second.toml"
    second.write_text(text)
    found = forecast(load_recipe(second))
    assert found.num_base_rows == first.num_base_rows == 300
    assert found.architecture.rows == first.architecture.rows + 64
    assert "the base runs/planned/pretrained is not there yet: llama-gene run planned.toml" in found.warnings
    with pytest.raises(SettingsError, match=r"is not made by planned\.toml\n  it makes runs/planned/pretrained"):
        forecast(load_recipe(second, ["model.base=runs/other/pretrained"]))


def test_a_run_that_goes_on_from_another_learns_no_pieces_and_spells_with_the_first_ones(recipe: Path) -> None:
    text = RECIPE.replace('name = "planned"', 'name = "second"').replace(
        '[vocabulary.dna]\nsize = 4\nfiles = ["dna/*.fa"]\n', ""
    )
    second = recipe.parent / "second.toml"
    second.write_text(text.replace('base = "scratch"', 'base = "runs/planned/model"\nmade_by = "planned.toml"'))
    first, found = forecast(load_recipe(recipe)), forecast(load_recipe(second))
    assert [stage.name for stage in found.stages] == [stage.name for stage in first.stages[1:]]
    assert found.architecture.rows == first.architecture.rows
    assert found.sources == first.sources


def test_pieces_spell_more_letters_the_more_there_are() -> None:
    for kind in ("dna", "protein", "text"):
        sizes = [300, 400, 512, 5000, 30_000, 200_000]
        rates = [letters_per_token(kind, size) for size in sizes]
        assert rates == sorted(rates)


# the recipes at full size


@pytest.fixture(scope="module")
def planned() -> dict[str, Forecast]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        names = ("paper-dna", "paper-gene", "llama3-gene")
        return {name: forecast(load_recipe(Path("recipes") / f"{name}.toml", ["data.root=/nowhere"])) for name in names}


def test_the_papers_models_have_the_papers_size(planned: dict[str, Forecast]) -> None:
    dna, gene = planned["paper-dna"], planned["paper-gene"]
    assert (dna.architecture.rows, gene.architecture.rows) == (62_016, 92_032)  # theirs: 61,972 and 91,597
    training = gene.stages[3].training
    assert training is not None
    assert 0.10 < training.share < 0.11
    assert training.trainable.adapters == 19_988_480
    assert training.num_gpus == 8


def test_the_papers_data_are_planned_by_name(planned: dict[str, Forecast]) -> None:
    dna = {source.kind: 0.0 for source in planned["paper-dna"].sources}
    for source in planned["paper-dna"].sources:
        dna[source.kind] += source.letters
        assert source.epochs == pytest.approx(1, abs=0.02)
    assert 15e9 < dna["dna"] < 16.5e9
    gene = {source.name: source for source in planned["paper-gene"].sources}
    read = {name: source.letters * source.epochs for name, source in gene.items()}
    assert read["swissprot"] + read["uniref50"] == pytest.approx(16e9, rel=0.02)
    assert read["s2orc"] == pytest.approx(16e9, rel=0.02)
    missing = {file.path: file.size for file in planned["paper-gene"].missing}
    assert missing["tasks/text/uniprot_function/train.csv"] == 300_000_000
    assert sum(path.startswith("tasks/GUE/") for path in missing) == 16


def test_the_full_recipes_fit_their_machines(planned: dict[str, Forecast]) -> None:
    for found in planned.values():
        for stage in found.stages:
            assert stage.training is None or "DDP" in stage.training.fits()
        assert not [warning for warning in found.warnings if "not fit" in warning or "no file" in warning]


def test_a_folder_with_only_a_configuration_can_be_planned(recipe: Path) -> None:
    base = recipe.parent / "base"
    base.mkdir()
    config = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    text = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 100, **config}
    (base / "config.json").write_text(json.dumps(text))
    found = forecast(load_recipe(recipe, ["model.base=base"]))
    assert (found.num_base_rows, found.architecture.num_layers, found.download) == (100, 2, 0)
