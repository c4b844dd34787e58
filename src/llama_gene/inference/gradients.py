"""Integrated gradients (Sundararajan, Taly and Yan, ICML 2017): what each token of a prompt adds to an output.

The tokens asked about are led from a baseline to what they are, in a straight line through the space of embeddings; the
gradients met on the way, times the way itself, are what each token adds. They sum to the output's whole change.

The candidates are scored without a cache, each longest branch of their trie after a prompt of its own, so that any
causal model will do, and gradients flow. This module imports torch; import it where it is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from numpy.typing import NDArray
from torch import Tensor

from llama_gene.inference.trie import AnswerTrie

NUM_POINTS = 32
# Activations of all layers are kept for the way back: as many bytes as so many tokens of a pass without gradients.
_COST_OF_GRADIENTS = 8

Output = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class IntegratedGradients:
    """What tokens add to an output.

    Attributes:
        values: float64[tokens].
        at_baseline: The output where all tokens are the baseline.
        at_input: The output of the prompt itself.
    """

    values: NDArray[np.float64]
    at_baseline: float
    at_input: float

    @property
    def gap(self) -> float:
        """How far the values are from summing to the whole change: the error of the numeric integration."""
        return float(self.values.sum()) - (self.at_input - self.at_baseline)


class _Branches:
    """The longest branches of a trie, as rows to be read after a prompt."""

    def __init__(self, trie: AnswerTrie) -> None:
        branches = trie.branches or [[]]
        self.rows = [[trie.tokens[node] for node in branch] for branch in branches]
        self.depth = max(map(len, self.rows))
        # Each inner node is read in one row that runs through it; the end of the prompt in the first one.
        seen_at = {-1: (0, 0)} | {
            node: (row, depth) for row, branch in enumerate(branches) for depth, node in enumerate(branch, start=1)
        }
        steps = [(*seen_at[node], token) for node, token in trie.edges]
        self.step_rows, self.step_depths, self.step_tokens = (list(column) for column in zip(*steps, strict=True))
        # float[edges, candidates]: which steps make up which answer.
        self.membership = torch.zeros(len(trie.edges), len(trie.paths))
        for candidate, path in enumerate(trie.paths):
            self.membership[list(path), candidate] = 1


def integrate_gradients(
    model: Any,
    prompt: Sequence[int],
    places: Sequence[int],
    baseline: Sequence[Sequence[int]],
    trie: AnswerTrie,
    output: Output,
    *,
    batch_tokens: int = 16_384,
    num_points: int = NUM_POINTS,
) -> IntegratedGradients:
    """What the tokens at `places` add to `output`.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        prompt: Its ids.
        places: The tokens asked about.
        baseline: For each place the tokens whose mean embedding it starts from.
        trie: The candidate answers.
        output: The log-probabilities of the candidates, float[n, candidates], to the number explained, float[n].
        batch_tokens: As for a pass without gradients; less is taken, since gradients need more memory.
        num_points: Points on the way, at which gradients are taken (Gauss and Legendre's).
    """
    branches = _Branches(trie)
    alone = model.get_input_embeddings()
    # Where n-grams are remembered, what is known of them stands beside the vector of the letter they end at.
    embed = getattr(getattr(model, "model", None), "embed", alone)
    device = model.device
    with torch.no_grad():
        asked = embed(torch.tensor([list(prompt)], device=device))[0]
        answers = embed(_padded(branches.rows, branches.depth, prompt[0]).to(device))
        means = {key: alone(torch.tensor(list(key), device=device)).mean(0) for key in set(map(tuple, baseline))}
        start = torch.stack([means[tuple(tokens)] for tokens in baseline])
        start = F.pad(start, (0, asked.shape[-1] - start.shape[-1]))  # and at the baseline nothing is
    here = torch.tensor(list(places), device=device)
    way = asked[here] - start

    def outputs(tokens: Tensor) -> Tensor:
        """The output where the tokens at `places` are embedded as `tokens`, float[points, places, width]."""
        points = len(tokens)
        prompts = asked.expand(points, -1, -1).index_copy(1, here, tokens)
        rows = torch.cat(
            [
                prompts.repeat_interleave(len(branches.rows), 0),
                answers.repeat(points, 1, 1),
            ],
            dim=1,
        )
        logits = model(inputs_embeds=rows, use_cache=False, logits_to_keep=branches.depth + 1).logits
        logs = logits.float().log_softmax(-1).unflatten(0, (points, len(branches.rows)))
        steps = logs[:, branches.step_rows, branches.step_depths, branches.step_tokens]
        return output(steps @ branches.membership.to(device))

    with torch.no_grad():
        at_baseline, at_input = (float(outputs((start + share * way)[None])[0]) for share in (0, 1))
    nodes, weights = np.polynomial.legendre.leggauss(num_points)
    shares = torch.tensor((nodes + 1) / 2, dtype=asked.dtype, device=device)
    total = torch.zeros(way.shape, dtype=torch.float64, device=device)
    cost = _COST_OF_GRADIENTS * len(branches.rows) * (len(prompt) + branches.depth)
    size = max(1, batch_tokens // cost)
    for first in range(0, num_points, size):
        chosen = slice(first, first + size)
        points = (start + shares[chosen, None, None] * way).detach().requires_grad_()
        with torch.enable_grad():
            (slopes,) = torch.autograd.grad(outputs(points).sum(), points)
        total += torch.einsum("p,pnw->nw", torch.tensor(weights[chosen] / 2, device=device), slopes.double())
    values: NDArray[np.float64] = (total * way.double()).sum(-1).cpu().numpy()
    return IntegratedGradients(values, at_baseline, at_input)


def _padded(rows: Sequence[Sequence[int]], width: int, filler: int) -> Tensor:
    """Rows of one length; what fills them up comes last, where a causal model does not see it."""
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long)
