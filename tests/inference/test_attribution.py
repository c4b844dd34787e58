"""Attribution names the letters that decide, by numbers that are known."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import ModelError, TaskError
from llama_gene.inference.attribution import Target, attribute
from llama_gene.inference.engine import Engine
from llama_gene.inference.gradients import integrate_gradients
from llama_gene.inference.letters import locate_letters
from llama_gene.inference.mutagenesis import effects_of_letters, mutate
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.readout import Readout
from llama_gene.inference.score import CandidateScorer
from llama_gene.inference.trie import build_trie
from llama_gene.model.folder import load_folder
from llama_gene.sequences.alphabet import ALPHABETS
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import PromptEncoder
from llama_gene.tokenizer import GeneTokenizer
from nano import CONFORM, FLAGS, PAIR, STRENGTH, dna, examples, protein

# Log-odds that each letter adds at each of four places; what is no base adds nothing.
WEIGHTS = [
    {"A": 2.0, "C": -1.0, "G": 0.0, "T": 0.5},
    {"A": 0.0, "C": 0.0, "G": 3.0, "T": 0.0},
    {"A": -2.0, "C": 1.0, "G": 1.0, "T": 4.0},
    {"A": 0.0, "C": 0.0, "G": 0.0, "T": 0.0},
]


def by_weights(rows: Iterable[Example]) -> Iterator[Prediction]:
    """A model of the first sequence's four letters."""
    for row in rows:
        odds = sum(weights.get(letter, 0.0) for weights, letter in zip(WEIGHTS, row.sequences[0], strict=True))
        probability = 1 / (1 + np.exp(-odds))
        answer = CONFORM.candidates[int(odds > 0)]
        yield Prediction(row.id, answer, None, (1 - probability, probability), 0)


@pytest.fixture(scope="module")
def engine(tuned_folder: Path) -> Engine:
    return Engine.load(tuned_folder)


@pytest.fixture(scope="module")
def lfm2() -> Any:
    """Two layers of convolutions, and one of attention between them."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(1)
    config = Lfm2Config(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention", "conv"],
        block_multiple_of=8,
        initializer_range=0.15,
    )
    return Lfm2ForCausalLM(config).eval()


def spread(model: Any) -> Any:
    """A random model whose outputs move."""
    torch.manual_seed(2)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


@pytest.fixture(scope="module")
def llama(nano_folder: Path) -> Any:
    return spread(load_folder(nano_folder)[0].eval())


def test_mutations_of_a_weight_matrix_are_its_differences() -> None:
    target = Target(CONFORM, "Conform")
    changes = mutate(by_weights, Example("x", ("AGTA", "MK")), 0, "dna", range(4), target.of_prediction)
    assert changes == pytest.approx(
        np.array([[0, -3, -2, -1.5], [-3, -3, 0, -3], [-6, -3, -3, 0], [0, 0, 0, 0]]), abs=1e-9
    )
    assert effects_of_letters("AGTA", "dna", changes) == pytest.approx([6.5 / 3, 3, 4, 0], abs=1e-9)
    # Of the other label all is the other way round.
    other = mutate(
        by_weights, Example("x", ("AGTA",)), 0, "dna", range(4), Target(CONFORM, "Conform not").of_prediction
    )
    assert other == pytest.approx(-changes, abs=1e-9)
    # A letter that may be any base has four alternatives.
    inside = mutate(by_weights, Example("x", ("ANTA",)), 0, "dna", range(1, 3), target.of_prediction)
    assert inside == pytest.approx(np.array([[0, 0, 3, 0], [-6, -3, -3, 0]]), abs=1e-9)
    assert effects_of_letters("NT", "dna", inside) == pytest.approx([-0.75, 4], abs=1e-9)


def test_mutations_of_the_second_sequence() -> None:
    def count_lysine(rows: Iterable[Example]) -> Iterator[Prediction]:
        for row in rows:
            assert row.sequences[0] == "ACGT"
            yield Prediction(row.id, "", float(row.sequences[1].count("K")), (), 0)

    changes = mutate(count_lysine, Example("x", ("ACGT", "MK")), 1, "protein", range(2), lambda one: one.value or 0.0)
    lysine = ALPHABETS["protein"].letters.index("K")
    assert changes[0].tolist() == [float(place == lysine) for place in range(20)]
    assert changes[1].tolist() == [-float(place != lysine) for place in range(20)]


ids = st.integers(2, 50)


@settings(max_examples=4, deadline=None)
@given(
    prompt=st.lists(ids, min_size=4, max_size=12),
    answers=st.lists(st.lists(st.integers(2, 6), min_size=1, max_size=3), min_size=2, max_size=5, unique_by=tuple),
)
@pytest.mark.parametrize("architecture", ["llama", "lfm2"])
def test_gradients_sum_to_the_change_of_the_output(
    request: pytest.FixtureRequest,
    architecture: str,
    prompt: list[int],
    answers: list[list[int]],
) -> None:
    model = request.getfixturevalue(architecture)
    trie = build_trie([[*answer, 0] for answer in answers])
    places = [1, 3]
    baseline = [[7, 8, 9], [10]]

    def odds(logs: torch.Tensor) -> torch.Tensor:
        return logs[:, 0] - logs[:, 1:].logsumexp(-1)

    found = integrate_gradients(model, prompt, places, baseline, trie, odds, num_points=40)
    assert found.values.shape == (2,)
    assert abs(found.gap) < 1e-3 + 1e-2 * np.abs(found.values).sum()
    # The scorer that predictions come from says the same.
    logs = torch.tensor(CandidateScorer(Readout(model, 1), trie).score([prompt]))
    assert found.at_input == pytest.approx(float(odds(logs)[0]), abs=1e-3)


class Straight:
    """A model whose next token depends on what was read by a weight for each place and token alone."""

    device = torch.device("cpu")

    def __init__(self, weights: torch.Tensor) -> None:
        self._weights = weights  # [places, tokens]

    def get_input_embeddings(self) -> Any:
        return lambda ids: torch.nn.functional.one_hot(ids, self._weights.shape[1]).float()

    def __call__(self, inputs_embeds: torch.Tensor, use_cache: bool, logits_to_keep: int) -> Any:
        said = (inputs_embeds * self._weights[: inputs_embeds.shape[1]]).sum((1, 2))
        logits = torch.stack([torch.zeros_like(said), said], -1)[:, None].expand(-1, logits_to_keep, -1)
        return SimpleNamespace(logits=logits)


def test_gradients_of_a_weight_matrix_are_its_differences() -> None:
    weights = torch.zeros(4, 6)
    for place, of_letters in enumerate(WEIGHTS):
        weights[place, 2:] = torch.tensor([of_letters[letter] for letter in "ACGT"])
    found = integrate_gradients(
        Straight(weights),
        [2, 4, 5, 2],
        [0, 1, 2],
        [[2, 3, 4, 5]] * 3,
        build_trie([[0, 9], [1, 9]]),
        lambda logs: logs[:, 1] - logs[:, 0],
    )
    # Each letter's weight less the mean of all four.
    assert found.values == pytest.approx([2 - 0.375, 3 - 0.75, 4 - 1.0], abs=1e-5)
    assert (found.at_input, found.at_baseline) == pytest.approx((9.0, 2.125), abs=1e-5)


def test_the_size_of_a_batch_does_not_matter(llama: Any) -> None:
    trie = build_trie([[5, 0], [5, 6, 0], [7, 8, 0]])
    one, other = (
        integrate_gradients(
            llama, [2, 3, 4, 9], [1, 2], [[5], [8]], trie, lambda logs: logs[:, 0], batch_tokens=batch, num_points=9
        )
        for batch in (1, 300)
    )
    assert one.values == pytest.approx(other.values, abs=1e-5)


def test_a_token_that_is_its_own_baseline_adds_nothing(llama: Any) -> None:
    trie = build_trie([[5, 0], [6, 0]])
    found = integrate_gradients(llama, [2, 3, 4, 9], [1, 2], [[3], [8]], trie, lambda logs: logs[:, 0] - logs[:, 1])
    assert found.values[0] == 0
    assert found.values[1] != 0
    assert found.at_input - found.at_baseline == pytest.approx(found.values[1], rel=1e-2)


@pytest.mark.parametrize("shorten", ["centre", "head"])
@pytest.mark.parametrize("task", [CONFORM, PAIR], ids=lambda task: task.name)
def test_letters_are_found_where_they_stand(nano_tokenizer: GeneTokenizer, task: Any, shorten: Any) -> None:
    encoder = PromptEncoder(task, nano_tokenizer, 80, shorten)
    for length in (20, 300):
        example = examples(task, 1, length)[0]
        prompt, found = locate_letters(encoder, nano_tokenizer, example)
        assert prompt == encoder.encode([Example("x", example.sequences)])[0].prompt
        spelling = nano_tokenizer.spellings()
        for sequence, whole in zip(found, example.sequences, strict=True):
            pieces = [spelling[prompt[place]] for place in sequence.places]
            assert "".join(pieces) == whole[sequence.seen.start : sequence.seen.stop]
            assert [len(piece) for piece in pieces] == list(sequence.sizes)
            assert (len(sequence.seen) == len(whole)) == (length == 20)
            assert sequence.first == 0 or shorten == "centre"


@pytest.mark.parametrize("task", [CONFORM, STRENGTH, PAIR], ids=lambda task: task.name)
def test_an_answer_is_explained_in_letters(engine: Engine, task: Any) -> None:
    example = examples(task, 1)[0]
    found = attribute(engine, engine.task(task.name), example)
    (prediction,) = engine.predict(task, [example])
    assert found.answer == prediction.answer
    assert found.probability == (None if task is STRENGTH else prediction.probability)
    assert [one.letters for one in found.sequences] == list(example.sequences)
    assert [one.role for one in found.sequences] == [given.role for given in task.inputs]
    total = sum(one.gradients.sum() for one in found.sequences)
    assert total == pytest.approx(found.output - found.at_baseline + found.gap, abs=1e-4)
    assert abs(found.gap) < 1e-3
    for one, part in zip(found.sequences, task.inputs, strict=True):
        assert one.changes.shape == (len(one.letters), 4 if part.kind == "dna" else 20)
        (name, change) = one.strongest(3)[0]
        place = int(name[1:-1]) - 1
        assert one.letters[place] == name[0]
        assert change == one.changes[place, ALPHABETS[part.kind].letters.index(name[-1])]
        assert abs(change) == np.abs(one.changes).max()


def test_of_a_long_sequence_the_strongest_letters_are_explained(engine: Engine) -> None:
    example = Example("long", (dna(300, 1),))
    whole = attribute(engine, CONFORM, example).sequences[0]
    part = attribute(engine, CONFORM, example, max_letters=10).sequences[0]
    assert whole.length == part.length == 300
    assert 10 < len(whole.letters) <= 200
    assert part.letters == example.sequences[0][part.first : part.first + 10]
    shift = part.first - whole.first
    sums = np.convolve(np.abs(whole.gradients), np.ones(10), mode="valid")
    assert shift == sums.argmax()
    assert part.gradients == pytest.approx(whole.gradients[shift : shift + 10], abs=1e-6)
    assert part.changes == pytest.approx(whole.changes[shift : shift + 10], abs=1e-4)


def test_another_label_than_the_answer(engine: Engine) -> None:
    example = examples(CONFORM, 1)[0]
    one, other = (attribute(engine, CONFORM, example, label=label) for label in CONFORM.label_names)
    assert one.output == pytest.approx(-other.output)
    assert one.sequences[0].effects == pytest.approx(-other.sequences[0].effects)
    assert one.target.unit == "log-odds of Conform not"
    with pytest.raises(TaskError, match="no label 'maybe'\n  its labels: Conform not, Conform"):
        attribute(engine, CONFORM, example, label="maybe")
    with pytest.raises(TaskError, match="it is a regression"):
        attribute(engine, STRENGTH, example, label="maybe")


def test_answers_that_are_written_cannot_be_explained(engine: Engine) -> None:
    with pytest.raises(TaskError, match=r"'flags' \(multilabel\) cannot be explained: its answers are written"):
        attribute(engine, FLAGS, examples(FLAGS, 1)[0])


def test_a_broken_model_is_said_to_be_broken(tuned_folder: Path) -> None:
    engine = Engine.load(tuned_folder)
    with torch.no_grad():
        engine.model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(ModelError, match="answers NaN to 'row0'"):
        attribute(engine, CONFORM, examples(CONFORM, 1)[0])


def test_a_pair_without_its_own_letters_is_left_alone(engine: Engine) -> None:
    """Rare letters stand in a sequence like any other."""
    found = attribute(engine, PAIR, Example("rare", ("ACGNRT", "MXK" + protein(3, 1))))
    assert (found.sequences[0].letters, found.sequences[1].letters[:3]) == ("ACGNRT", "MXK")
    assert np.count_nonzero(found.sequences[0].changes[3]) == 4
