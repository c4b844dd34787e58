"""Models that are no plain attention decoders are scored and write as they do one row at a time."""

from typing import Any

import numpy as np
import pytest

from llama_gene.inference.generate import generate_answers
from llama_gene.inference.readout import Readout
from llama_gene.inference.score import CandidateScorer
from llama_gene.inference.trie import build_trie
from nano import logits_of

ROWS, EOS, PAD = 40, 0, 1
SINGLE = [[5, EOS], [7, EOS], [9, EOS]]
LONG = [[5, EOS], [5, 7, EOS], [6, 7, 8, 9, EOS], [6, 7, 3, EOS]]
PROMPTS = [[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, *range(2, 2 + more)] for more in (1, 4, 9, 9, 20)]


def new_model(name: str) -> Any:
    """A tiny model with random weights, large enough that its answers differ."""
    import transformers

    sizes = {
        "vocab_size": ROWS, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "initializer_range": 0.3, "max_position_embeddings": 128,
        "bos_token_id": None, "eos_token_id": EOS, "pad_token_id": PAD,
    }  # fmt: skip
    mixed = ["conv", "full_attention", "conv", "full_attention"]
    configs = {
        "llama": lambda: transformers.LlamaConfig(**sizes),
        "lfm2": lambda: transformers.Lfm2Config(**sizes, layer_types=mixed, block_auto_adjust_ff_dim=False),
        "window": lambda: transformers.MistralConfig(**sizes, sliding_window=6),
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=ROWS, n_embd=32, n_layer=3, n_head=4, n_positions=128, initializer_range=0.3,
            bos_token_id=None, eos_token_id=EOS, pad_token_id=PAD,
        ),
        "mamba": lambda: transformers.MambaConfig(
            vocab_size=ROWS, hidden_size=32, num_hidden_layers=3, state_size=4, initializer_range=0.3,
            bos_token_id=None, eos_token_id=EOS, pad_token_id=PAD,
        ),
        "bloom": lambda: transformers.BloomConfig(
            vocab_size=ROWS, hidden_size=32, n_layer=3, n_head=4, initializer_range=0.3,
            bos_token_id=None, eos_token_id=EOS, pad_token_id=PAD,
        ),
    }  # fmt: skip
    transformers.set_seed(1)
    return transformers.AutoModelForCausalLM.from_config(configs[name]()).eval()


@pytest.fixture(scope="module", params=["llama", "lfm2", "window", "gpt2", "mamba", "bloom"])
def readout(request: pytest.FixtureRequest) -> Readout:
    return Readout(new_model(request.param), PAD)


def one_by_one(model: Any, candidates: list[list[int]]) -> np.ndarray:
    """Every candidate after every prompt, each as a text that is read alone."""
    scores = np.zeros((len(PROMPTS), len(candidates)))
    for row, prompt in enumerate(PROMPTS):
        for column, answer in enumerate(candidates):
            logits = logits_of(model, prompt + answer)[len(prompt) - 1 : -1]
            sums = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
            scores[row, column] = (logits[range(len(answer)), answer] - sums).sum()
    return scores


@pytest.mark.parametrize("candidates", [SINGLE, LONG], ids=["single", "long"])
@pytest.mark.parametrize("shared", [False, True])
def test_scores_are_those_of_texts_read_alone(readout: Readout, candidates: list[list[int]], shared: bool) -> None:
    # No single token begins another answer, so that its end decides nothing, and is left out.
    wanted = one_by_one(readout.model, candidates if candidates is LONG else [answer[:-1] for answer in candidates])
    assert np.ptp(wanted, axis=0).min() > 0.05  # the prompts matter
    scorer = CandidateScorer(readout, build_trie(candidates))
    prefix = scorer.read_prefix(PROMPTS) if shared else None
    found = scorer.score(PROMPTS, prefix)
    assert found == pytest.approx(wanted, abs=1e-4)
    one_prompt = np.concatenate([scorer.score([prompt], prefix) for prompt in PROMPTS])
    assert one_prompt == pytest.approx(wanted, abs=1e-4)
    relative = CandidateScorer(readout, build_trie(candidates), absolute=False).score(PROMPTS, prefix)
    assert relative - relative[:, :1] == pytest.approx(wanted - wanted[:, :1], abs=1e-4)


def test_only_plain_decoders_share_a_cache() -> None:
    """A convolution, a state, a window and a bias by distance all look at what a mask should hide."""
    names = ("llama", "gpt2", "lfm2", "mamba", "window", "bloom")
    assert [Readout(new_model(name), PAD).shares_caches for name in names] == [True, True, False, False, False, False]


def test_what_is_written_does_not_depend_on_the_neighbours(readout: Readout) -> None:
    together = generate_answers(readout, PROMPTS, 6, eos_id=EOS)
    assert together == [generate_answers(readout, [prompt], 6, eos_id=EOS)[0] for prompt in PROMPTS]
    assert len({tuple(answer) for answer in together}) > 1


def test_a_model_that_cannot_be_padded_on_the_left_writes_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    readout = Readout(new_model("lfm2"), PAD)
    together = generate_answers(readout, PROMPTS, 6, eos_id=EOS)
    readout.__dict__["pads_left"] = False
    widths = []
    padded_left = readout.padded_left

    def watched(rows: list[list[int]]) -> Any:
        widths.append([len(row) for row in rows])
        return padded_left(rows)

    monkeypatch.setattr(readout, "padded_left", watched)
    assert generate_answers(readout, PROMPTS, 6, eos_id=EOS) == together
    assert widths == [[11], [14], [19, 19], [30]]
