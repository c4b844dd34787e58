from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.config import CorpusSettings
from llama_gene.corpus.mix import draw_mix, source_shares

lengths = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6).map(np.array), min_size=1, max_size=4)


def test_a_source_without_a_token_raises() -> None:
    with pytest.raises(ValueError, match="source 1 has no token"):
        draw_mix([np.array([3]), np.array([], dtype=np.int64)], [1.0, 1.0], 6, seed=1)


@given(lengths=lengths, num_tokens=st.integers(1, 200), seed=st.integers(0, 99), data=st.data())
def test_no_document_comes_twice_before_all_came_once(
    lengths: list[np.ndarray], num_tokens: int, seed: int, data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 9), min_size=len(lengths), max_size=len(lengths)))
    mix = draw_mix(lengths, weights, num_tokens, seed=seed)
    for index, source in enumerate(lengths):
        drawn = mix.documents[mix.sources == index].tolist()
        for start in range(0, len(drawn), len(source)):
            epoch = drawn[start : start + len(source)]
            assert max(Counter(epoch).values()) == 1
            assert set(epoch) <= set(range(len(source)))


@given(lengths=lengths, num_tokens=st.integers(1, 200), seed=st.integers(0, 99), data=st.data())
def test_each_source_gives_its_share_and_no_document_more(
    lengths: list[np.ndarray], num_tokens: int, seed: int, data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(lengths), max_size=len(lengths)))
    mix = draw_mix(lengths, weights, num_tokens, seed=seed)
    for index, source in enumerate(lengths):
        wanted = num_tokens * weights[index] / sum(weights)
        drawn = source[mix.documents[mix.sources == index]]
        assert drawn[:-1].sum() < wanted <= drawn.sum() + 1e-6
        assert mix.epochs[index] == pytest.approx(wanted / source.sum())


def test_the_order_is_the_seeds_alone() -> None:
    lengths = [np.arange(1, 30), np.arange(1, 20)]
    one, same, other = (draw_mix(lengths, [2.0, 1.0], 900, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.sources, same.sources)
    assert np.array_equal(one.documents, same.documents)
    assert not np.array_equal(one.documents, other.documents)


def test_sources_are_mixed_all_along() -> None:
    mix = draw_mix([np.ones(1000, dtype=int), np.ones(1000, dtype=int)], [1.0, 1.0], 2000, seed=1)
    assert [(mix.sources[start : start + 500] == 0).mean() for start in range(0, 2000, 500)] == pytest.approx(
        [0.5] * 4, abs=0.08
    )


@pytest.mark.parametrize(
    ("weights", "shares"),
    [(None, [0.1, 0.3, 0.2, 0.4]), ({"dna": 1, "protein": 1, "text": 2}, [0.0625, 0.1875, 0.25, 0.5])],
)
def test_weights_of_modalities_decide_over_those_of_sources(weights: dict[str, float], shares: list[float]) -> None:
    kinds = ("dna", "dna", "protein", "text")
    source = [
        {"name": f"s{n}", "kind": kind, "files": ["a"], "weight": w}
        for n, (kind, w) in enumerate(zip(kinds, (1, 3, 2, 4), strict=True))
    ]
    settings = CorpusSettings(source=source, weights=weights)  # type: ignore[arg-type]
    assert source_shares(settings) == pytest.approx(shares)
