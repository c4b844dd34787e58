from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.config import Recipe, find_files, load_recipe, validate
from llama_gene.errors import SettingsError

RECIPE = """
name = "tiny"

[vocabulary.dna]
files = ["*.fa"]

[corpus]
[[corpus.source]]
name = "words"
kind = "text"
files = ["*.txt"]
[[corpus.source]]
name = "bases"
kind = "dna"
files = ["*.fa"]
weight = 2

[pretrain]
tokens = 1000

[tasks]
use = ["splice"]

[finetune]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.tokns=5", "unknown key 'pretrain.tokns'\n  did you mean 'tokens'?"),
        ("pretrian.tokens=5", "unknown key 'pretrian'\n  did you mean 'pretrain'?"),
        ("pretrain.lora.rnk=5", "unknown key 'pretrain.lora.rnk'\n  did you mean 'rank'?"),
        ("vocabulary.dna.sizes=5", "did you mean 'size'?"),
        ("data.xyz=5", "unknown key 'data.xyz'\n  known keys: root"),
        ("tokens", "not an override: 'tokens'\n  write it as section.key=value"),
        ("=5", "not an override: '=5'"),
        ("name.first=5", "'name' is not a section"),
        ("corpus.source.0.weight=3", "'source' is not a section\n  edit the recipe for lists"),
        ("pretrain.tokens=many", r"pretrain.tokens: .* valid integer.* \(got 'many'\)"),
        ("pretrain.tokens=0", "pretrain.tokens: .* greater than or equal to 1"),
        ("pretrain.tokens=1.5", "pretrain.tokens: .* integer"),
        ("pretrain.precision=fp8", "pretrain.precision: .*'fp32' or 'bf16'"),
        ("pretrain.learning_rate=nan", "pretrain.learning_rate: .* greater than 0"),
        ("tasks.use=splice", r"tasks.use: .* valid list"),
        ("tasks.use=[]", "tasks.use: .* at least 1"),
        ("corpus.validation=0.7", "corpus.validation: .* less than 0.5"),
        ("name=a b", "name: .* pattern"),
        ("seed=-1", "seed: "),
        ("vocabulary.scheme=mixed", "vocabulary.scheme: .*'typed'"),
    ],
)
def test_an_override_that_does_not_hold_raises(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_recipe(recipe, [override])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("weight = 2", "wieght = 2"), "unknown key 'corpus.source.1.wieght'\n  did you mean 'weight'?"),
        (("[tasks]\nuse", "[pretrain.lora]\nrnak = 1\n[tasks]\nuse"), "did you mean 'rank'?"),
        (('name = "bases"', 'name = "words"'), "corpus: two sources have one name: words, words"),
        (('[tasks]\nuse = ["splice"]', ""), r"\[finetune\] needs \[tasks\]"),
        (('kind = "text"', 'kind = "protein"'), 'base = "scratch" learns its English'),
        (('kind = "text"', 'kind = "rna"'), "corpus.source.0.kind: .*'dna', 'protein' or 'text'"),
        (('[vocabulary.dna]\nfiles = ["*.fa"]', ""), "what is the model to learn"),
        (('name = "tiny"', ""), "'name' is missing"),
        (('name = "tiny"', "name = tiny"), "not a TOML recipe"),
    ],
)
def test_a_recipe_that_does_not_hold_raises(recipe: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in RECIPE
    recipe.write_text(RECIPE.replace(*change))
    with pytest.raises(SettingsError, match=message):
        load_recipe(recipe)


def test_a_recipe_that_is_no_file_raises(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: no such recipe"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="not a TOML recipe"):
        load_recipe(tmp_path)
    (tmp_path / "odd.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(SettingsError, match="not a TOML recipe"):
        load_recipe(tmp_path / "odd.toml")


def test_several_mistakes_are_told_and_counted(recipe: Path) -> None:
    with pytest.raises(SettingsError, match=r"name: .*\(got 'a b'\); seed: .*\(got -1\); and 1 more"):
        load_recipe(recipe, ["seed=-1", "name=a b", "model.context=1"])


def test_defaults_and_what_follows_from_them(recipe: Path) -> None:
    tiny = load_recipe(recipe)
    assert (tiny.seed, tiny.folder, tiny.data_root) == (17, Path("runs/tiny"), Path())
    assert tiny.corpus is not None
    assert [(source.name, source.weight) for source in tiny.corpus.source] == [("words", 1.0), ("bases", 2.0)]
    assert tiny.pretrain is not None
    assert tiny.pretrain.lora is None
    simulated = load_recipe(recipe, ["simulate.num_train=20", "output=here", "data.root=elsewhere"])
    assert (simulated.folder, simulated.data_root) == (Path("here"), Path("here/data"))


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("pretrain.tokens=1_000", ("pretrain", "tokens"), 1000),
        ("pretrain.learning_rate=3e-4", ("pretrain", "learning_rate"), 3e-4),
        ("pretrain.lora.rank=4", ("pretrain", "lora", "rank"), 4),
        ("pretrain.lora.rslora=true", ("pretrain", "lora", "rslora"), True),
        ("evaluation.baselines=false", ("evaluation", "baselines"), False),
        ("model.base=owner/name", ("model", "base"), "owner/name"),
        ('model.base="owner/name"', ("model", "base"), "owner/name"),
        ("output=../a=b", ("output",), Path("../a=b")),
        ('tasks.use=["a", "b"]', ("tasks", "use"), ["a", "b"]),
        ("pretrain.precision=bf16", ("pretrain", "precision"), "bf16"),
    ],
)
def test_overrides_are_typed(recipe: Path, override: str, place: tuple[str, ...], value: object) -> None:
    settings: Any = load_recipe(recipe, [override])
    for name in place:
        settings = getattr(settings, name)
    assert settings == value
    assert type(settings) is type(value) or isinstance(value, Path)


def test_the_last_override_holds(recipe: Path) -> None:
    assert load_recipe(recipe, ["seed=3", "seed=4"]).seed == 4


def test_a_recipe_cannot_be_changed(recipe: Path) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="frozen"):
        load_recipe(recipe).seed = 4


@given(tokens=st.integers(1, 10**12), rate=st.floats(1e-9, 1e3))
def test_a_recipe_survives_its_own_dump(tokens: int, rate: float) -> None:
    values = {
        "name": "x",
        "vocabulary": {"dna": {"files": ["a"]}},
        "corpus": {"source": [{"name": "t", "kind": "text", "files": ["t"]}]},
        "pretrain": {"tokens": tokens, "learning_rate": rate},
    }
    recipe = validate(Recipe, values, where="here")
    assert validate(Recipe, recipe.model_dump(mode="json"), where="here") == recipe


def test_files_are_found_once_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b.fa", "a.fa", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.fa").mkdir()
    with pytest.raises(SettingsError, match=r"no file matches '\*.gz' under .*\n  set data.root=FOLDER"):
        find_files(["*.fa", "*.gz"], tmp_path)
    with pytest.raises(SettingsError, match="no file matches"):
        find_files([str(tmp_path / "none.fa")], tmp_path)
    found = find_files(["c.txt", "*.fa", str(tmp_path / "a.fa")], tmp_path)
    assert [path.name for path in found] == ["c.txt", "a.fa", "b.fa"]


@pytest.mark.parametrize(
    ("overrides", "train", "rank"),
    [
        ([], "all", None),
        (["pretrain.lora.rank=4"], "lora+embeddings", 4),
        (["pretrain.train=lora"], "lora", 8),
        (["pretrain.train=lora+new-rows"], "lora+new-rows", 8),
        (["pretrain.train=lora+new-rows", "pretrain.lora.rank=4"], "lora+new-rows", 4),
        (["pretrain.train=all", "pretrain.lora.rank=4"], "all", None),
    ],
)
def test_what_trains_is_said_or_follows_from_a_lora_section(
    recipe: Path, overrides: list[str], train: str, rank: int | None
) -> None:
    pretrain = load_recipe(recipe, overrides).pretrain
    assert pretrain is not None
    assert pretrain.train == train
    assert (pretrain.adapters.rank if pretrain.adapters else None) == rank


def test_four_bits_cannot_train_whole(recipe: Path) -> None:
    overrides = ["pretrain.train=all", "pretrain.lora.load_in_4bit=true"]
    with pytest.raises(SettingsError, match='load_in_4bit freezes the weights, and train = "all": take one of the'):
        load_recipe(recipe, overrides)
