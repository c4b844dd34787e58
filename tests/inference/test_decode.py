"""Texts that are written together are those that would be written alone, whoever comes and goes."""

import pytest
import torch

from llama_gene.inference.decode import Row, RunningBatch
from llama_gene.model.base import new_model
from llama_gene.sequences import Kind
from nano import awake

NUM_TOKENS = 40
LETTERS: dict[Kind, list[int]] = {"dna": [2, 3, 4, 5], "protein": list(range(6, 26))}
PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [8, 9], [7, 9, 3, 2, 3]]


@pytest.mark.parametrize("size", ["nano", "hybrid-nano", "gene-mini"])
def test_texts_come_and_go(size: str) -> None:
    model = awake(new_model(size, NUM_TOKENS, 64, {"eos_token_id": 0, "pad_token_id": 1}, LETTERS, seed=3)).eval()
    wanted = [greedy(model, prompt, 6) for prompt in PROMPTS]
    found: list[list[int]] = [[], [], []]
    batch = RunningBatch(model, NUM_TOKENS)
    long, short, late = (Row(prompt) for prompt in PROMPTS)
    places = {id(row): place for place, row in enumerate((long, short, late))}
    batch.add([long, short])  # of two lengths
    for step in range(8):
        if step == 2:
            assert batch.mergeable
            batch.add([late])
        batch.draw()
        for row in batch.rows:
            found[places[id(row)]].append(row.token)
        batch.advance([len(found[places[id(row)]]) < (3 if row is long else 6) for row in batch.rows])
    assert batch.rows == []
    assert found == [wanted[0][:3], wanted[1], wanted[2]]


def greedy(model: torch.nn.Module, prompt: list[int], num: int) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        while len(ids) < len(prompt) + num:
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]
