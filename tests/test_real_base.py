"""A real, tiny LLaMA learns real DNA and protein, and keeps its English: `recipes/stories.toml`, much shortened."""

from pathlib import Path

import numpy as np
import pytest

from llama_gene.config import load_recipe
from llama_gene.files import read_json
from llama_gene.model.folder import RECORD, load_folder
from llama_gene.pipeline import Run
from nano import logits_of

pytestmark = pytest.mark.slow  # a minute of CPU time
ROOT = Path(__file__).parents[1]
SHORTER = ("pretrain.tokens=60_000", "pretrain.validate_every=1000", "pretrain.track=[]", "corpus.workers=1")
PROMPT = "Once upon a time <dna>ACGTTATACCGNATTA</dna> made <protein>MKLLVAGGH</protein> for"


@pytest.fixture(scope="module")
def run(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories") / "run"
    overrides = [f"data.root={stories.parents[1]}", f'model.base="{stories}"', f"output={folder}", *SHORTER]
    recipe = load_recipe(ROOT / "recipes" / "stories.toml", overrides)
    assert recipe.pretrain is not None
    assert recipe.pretrain.train == "lora+new-rows"
    Run(recipe).execute(lambda _: None, until="pretrain")
    return folder


def test_it_learns_both_and_keeps_its_english(run: Path) -> None:
    bits = read_json(run / "pretrained" / RECORD)["pretrain"]["bits"]
    assert bits["dna"]["after"] < 0.85 * bits["dna"]["before"]
    assert bits["protein"]["after"] < 0.85 * bits["protein"]["before"]
    assert bits["text"]["after"] < 1.05 * bits["text"]["before"]


def test_merging_and_loading_again_change_no_logit(run: Path) -> None:
    """The trained adapter on its base, the merged model as saved, and what stock transformers loads of it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, tokenizer, _ = load_folder(run / "base")
    ids = tokenizer.encode(PROMPT)
    untrained = logits_of(base, ids)
    adapted = logits_of(PeftModel.from_pretrained(base, run / "pretrained-adapter"), ids)
    merged = logits_of(load_folder(run / "pretrained")[0], ids)
    stock = logits_of(AutoModelForCausalLM.from_pretrained(run / "pretrained"), ids)
    assert AutoTokenizer.from_pretrained(run / "pretrained")(PROMPT, add_special_tokens=False).input_ids == ids
    assert np.abs(merged - adapted).max() < 1e-4
    assert np.abs(stock - adapted).max() < 1e-4
    assert np.abs(adapted - untrained).max() > 1  # there was something to merge
