"""Mix sources by weight: which documents, how often, in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import CorpusSettings

# Up to about four epochs, tokens that are seen again are worth nearly as much as new ones; far beyond, nothing
# (Muennighoff et al. 2023, Scaling Data-Constrained Language Models).
MOST_EPOCHS = 4.0


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


def source_shares(settings: CorpusSettings) -> list[float]:
    """The share of the training tokens that each source gets; they sum to 1.

    Weights of modalities, where given, decide how much each modality gets, and the weights of its sources how these
    share it. Otherwise the weights of all sources are relative to each other.
    """
    weights = [source.weight for source in settings.source]
    if settings.weights is not None:
        of_kind = dict(settings.weights)
        sums = {kind: sum(s.weight for s in settings.source if s.kind == kind) for kind in of_kind}
        weights = [of_kind[source.kind] * source.weight / sums[source.kind] for source in settings.source]
    return [weight / sum(weights) for weight in weights]


def repeated_too_often(epochs: Mapping[str, float]) -> list[str]:
    """A warning for each source that is seen more than `MOST_EPOCHS` times.

    >>> repeated_too_often({"phage": 12.5, "human": 0.2})
    ["source 'phage' is repeated 12.5 times: lower its weight, add to it, or train on fewer tokens"]
    """
    return [
        f"source {name!r} is repeated {times:.1f} times: lower its weight, add to it, or train on fewer tokens"
        for name, times in epochs.items()
        if times > MOST_EPOCHS
    ]


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
