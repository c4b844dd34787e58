"""Scores are the log-probabilities of whole answers, whatever the shape of the trie and whoever shares the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.inference.score import score_candidates
from llama_gene.inference.trie import build_trie
from llama_gene.model.folder import load_folder
from llama_gene.tasks.template import PromptEncoder
from llama_gene.tokenizer import GeneTokenizer
from nano import CONFORM, PAIR, STRENGTH, logits_of

Ids = list[int]
EOS, PAD = 0, 1
tokens = st.integers(2, 30)
answers = st.lists(st.lists(st.integers(2, 5), min_size=1, max_size=4), min_size=1, max_size=7, unique_by=tuple)
prompts = st.lists(st.lists(tokens, min_size=1, max_size=25), min_size=1, max_size=4)
few = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def model(nano_folder: Path) -> Any:
    return load_folder(nano_folder)[0].eval()


def one_begins_another(candidates: list[Ids]) -> bool:
    bare = [candidate[:-1] for candidate in candidates]
    return any(a != b and b[: len(a)] == a for a in bare for b in bare)


def one_by_one(model: Any, prompts: list[Ids], candidates: list[Ids]) -> np.ndarray:
    """Each answer after each prompt, as a sequence of its own."""
    scores = np.zeros((len(prompts), len(candidates)))
    # Where no name begins another, the end of sequence decides nothing and is left out.
    scored = candidates if one_begins_another(candidates) else [candidate[:-1] for candidate in candidates]
    for row, prompt in enumerate(prompts):
        for column, answer in enumerate(scored):
            logits = logits_of(model, prompt + answer)[len(prompt) - 1 : -1]
            steps = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
            steps -= logits.max(1, keepdims=True)
            scores[row, column] = steps[range(len(answer)), answer].sum()
    return scores


@pytest.mark.parametrize("candidates", [[[5, 0], [5, 0]], [[5, 0], [0]], [[]]])
def test_candidates_that_cannot_be_told_apart_raise(candidates: list[Ids]) -> None:
    with pytest.raises(ValueError, match="candidates must differ"):
        build_trie(candidates)


def test_single_tokens_need_no_second_pass() -> None:
    trie = build_trie([[5, EOS], [7, EOS]])
    assert (trie.tokens, trie.edges, trie.paths) == ((), ((-1, 5), (-1, 7)), ((0,), (1,)))


def test_a_name_that_begins_another_is_told_by_its_end() -> None:
    trie = build_trie([[5, EOS], [5, 7, EOS]])
    assert (trie.tokens, trie.parents, trie.depths) == ((5, 7), (-1, 0), (1, 2))
    assert [[trie.edges[edge] for edge in path] for path in trie.paths] == [
        [(-1, 5), (0, EOS)],
        [(-1, 5), (0, 7), (1, EOS)],
    ]


@few
@given(answers=answers)
def test_a_trie_holds_its_candidates_and_nothing_else(answers: list[Ids]) -> None:
    candidates = [[*answer, EOS] for answer in answers]
    trie = build_trie(candidates)
    ends = one_begins_another(candidates)
    for candidate, path in zip(candidates, trie.paths, strict=True):
        assert [trie.edges[edge][1] for edge in path] == (candidate if ends else candidate[:-1])
    assert {edge for path in trie.paths for edge in path} == set(range(len(trie.edges)))
    for node, parent in enumerate(trie.parents):
        assert parent < node  # parents before children
        assert trie.depths[node] == (trie.depths[parent] if parent >= 0 else 0) + 1


@few
@given(prompts=prompts, answers=answers)
def test_scores_are_those_of_whole_sequences(model: Any, prompts: list[Ids], answers: list[Ids]) -> None:
    candidates = [[*answer, EOS] for answer in answers]
    scores = score_candidates(model, prompts, build_trie(candidates), PAD)
    assert scores.shape == (len(prompts), len(candidates))
    assert scores == pytest.approx(one_by_one(model, prompts, candidates), abs=1e-4)


@few
@given(prompts=prompts, answers=answers)
def test_padding_does_not_matter(model: Any, prompts: list[Ids], answers: list[Ids]) -> None:
    trie = build_trie([[*answer, EOS] for answer in answers])
    together = score_candidates(model, [*prompts, [9] * 40], trie, PAD)[:-1]
    otherwise = score_candidates(model, [*prompts, [9] * 40], trie, 17)[:-1]
    alone = np.concatenate([score_candidates(model, [prompt], trie, PAD) for prompt in prompts])
    assert together == pytest.approx(alone, abs=1e-4)
    assert together == pytest.approx(otherwise, abs=1e-6)


@pytest.mark.parametrize("folder", ["nano_folder", "stories_genes"])
@pytest.mark.parametrize("task", [CONFORM, STRENGTH, PAIR], ids=lambda task: task.name)
def test_labels_and_numbers_are_scored_whole(request: pytest.FixtureRequest, folder: str, task: Any) -> None:
    """ "Conform" begins "Conform not", numbers have several tokens, "no" and "yes" are one or some."""
    model, genes, _ = load_folder(request.getfixturevalue(folder))
    model.eval()
    encoder = PromptEncoder(task, genes, 140)
    prompts = [encoded.prompt for encoded in encoder.encode(_examples(task))]
    scores = score_candidates(model, prompts, build_trie(encoder.candidate_ids), genes.pad_id)
    assert scores == pytest.approx(one_by_one(model, prompts, encoder.candidate_ids), abs=2e-4)
    assert one_begins_another(encoder.candidate_ids) == (task is CONFORM)


def _examples(task: Any) -> list[Any]:
    from nano import examples

    return examples(task, 3)[:2] + examples(task, 1, length=40)


def test_all_candidates_of_a_complete_set_share_one(model: Any, nano_tokenizer: GeneTokenizer) -> None:
    """Every first token there is: the probabilities sum to 1."""
    rows = model.get_output_embeddings().weight.shape[0]
    trie = build_trie([[token, nano_tokenizer.eos_id] for token in range(rows)])
    scores = score_candidates(model, [[4, 5, 6]], trie, nano_tokenizer.pad_id)
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-5)
