"""Mix sources by weight: which documents, how often, in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mix:
    """The order of the documents of a training run.

    Attributes:
        sources: int32[num_documents], the index of each document's source.
        documents: int64[num_documents], its index within the source.
        epochs: How often each source is repeated, as a fraction.
    """

    sources: NDArray[np.int32]
    documents: NDArray[np.int64]
    epochs: tuple[float, ...]


def draw_mix(lengths: Sequence[NDArray[np.int64]], weights: Sequence[float], num_tokens: int, *, seed: int) -> Mix:
    """Draw documents until each source has given its share of `num_tokens`, and mix the sources evenly.

    A source is run through in a new random order each epoch, so no document is seen twice before all are seen once.

    Args:
        lengths: For each source, the tokens in each of its documents.
        weights: For each source, its share, relative to the others.
        num_tokens: Tokens wanted in all; the last document of each source may overshoot.
        seed: Decides every order.

    Raises:
        ValueError: A source has no token.

    >>> mix = draw_mix([np.array([5, 5]), np.array([10])], [1.0, 1.0], 20, seed=1)
    >>> sorted(zip(mix.sources.tolist(), mix.documents.tolist()))
    [(0, 0), (0, 1), (1, 0)]
    """
    generator = np.random.default_rng(seed)
    sources, documents, epochs = [], [], []
    for index, (document_lengths, weight) in enumerate(zip(lengths, weights, strict=True)):
        wanted = num_tokens * weight / sum(weights)
        available = int(document_lengths.sum())
        if available == 0:
            raise ValueError(f"source {index} has no token")
        num_epochs = int(np.ceil(wanted / available))
        order = np.concatenate([generator.permutation(len(document_lengths)) for _ in range(num_epochs)])
        last = int(np.searchsorted(document_lengths[order].cumsum(), wanted))
        drawn = order[: last + 1]
        sources.append(np.full(len(drawn), index, dtype=np.int32))
        documents.append(drawn)
        epochs.append(wanted / available)
    # The sources are shuffled among each other, and each keeps its own order: so its epochs follow one another.
    mixed = generator.permutation(np.concatenate(sources))
    order = np.empty(len(mixed), dtype=np.int64)
    for index, drawn in enumerate(documents):
        order[mixed == index] = drawn
    return Mix(mixed, order, tuple(epochs))
