"""Score every candidate answer exactly, in one pass over the prompt and as few as can be over the answers.

The candidates form a trie. The prompt's pass gives the log-probabilities of their first tokens; if any candidate goes
on after a token that is not its last, the inner nodes of the trie are fed in one more pass over the prompt's cache,
under a mask in which a node sees the prompt and its own ancestors. What all prompts begin with is read once.

That takes a decoder whose layers all attend, to whatever a mask lets them. Any other one (convolutions, state spaces,
sliding windows) reads each branch of the trie after each prompt as a text of its own; see `Readout.shares_caches`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.inference.readout import Readout
from llama_gene.inference.trie import AnswerTrie

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_LEAST_PREFIX = 8  # tokens that all prompts begin with: of fewer, a cache costs more than it saves


@dataclass(frozen=True)
class Prefix:
    """What all prompts begin with, read once.

    Attributes:
        length: How many tokens.
        cache: What the model remembers of them, for one row.
    """

    length: int
    cache: Any

    def beside(self, num_rows: int) -> dict[str, Any]:
        """What a model is called with, so that so many rows go on from here."""
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(num_rows)
        return {"use_cache": True, "past_key_values": cache}


class CandidateScorer:
    """Scores the same candidates after any number of prompts.

    Args:
        readout: The model.
        trie: The candidates.
        absolute: Whether scores are log-probabilities; else each row is so up to a constant of its own, which is all
            that it takes to compare candidates, and saves most of the vocabulary's rows.

    Attributes:
        trie: The candidates.
    """

    def __init__(self, readout: Readout, trie: AnswerTrie, *, absolute: bool = True) -> None:
        self.trie, self._readout, self._absolute = trie, readout, absolute
        self._roots = trie.children(of_prompt=True)
        inner = trie.children(of_prompt=False)
        self._steps = [
            (node, self._roots.index(token) if node < 0 else inner.index(token)) for node, token in trie.edges
        ]

    def read_prefix(self, prompts: Sequence[Sequence[int]]) -> Prefix | None:
        """Read what all of `prompts` begin with; None where that is little, or the model's cache cannot be shared."""
        import torch

        length = _shared_length(prompts)
        if length < _LEAST_PREFIX or len(prompts) < 2 or not self._readout.shares_caches:
            return None
        with torch.inference_mode():
            ids = self._readout.tensor([prompts[0][:length]])
            out = self._readout.model(input_ids=ids, use_cache=True, logits_to_keep=1)
        return Prefix(length, out.past_key_values)

    def score(self, prompts: Sequence[Sequence[int]], prefix: Prefix | None = None) -> NDArray[np.float64]:
        """The score of every candidate after every prompt.

        Args:
            prompts: One batch; best of similar lengths.
            prefix: What they begin with, if that was read.

        Returns:
            float64[num_prompts, num_candidates], in nats.
        """
        import torch

        with torch.inference_mode():
            if self.trie.tokens and (len(self.trie.branches) == 1 or not self._readout.shares_caches):
                first, inner = over_texts(self._readout, prompts, self.trie, prefix)
            else:
                first, cache, width = self._first(prompts, prefix)
                inner = first[:, :0]
                if self.trie.tokens:
                    inner = over_cache(self._readout, prompts, cache, width, self.trie)
            columns = [(first if node < 0 else inner[:, node])[:, column] for node, column in self._steps]
            steps = torch.stack(columns, dim=1).double().cpu().numpy()
        return np.stack([steps[:, list(path)].sum(axis=1) for path in self.trie.paths], axis=1)

    def _first(self, prompts: Sequence[Sequence[int]], prefix: Prefix | None) -> tuple["torch.Tensor", Any, int]:
        """The scores of the first tokens, [num_prompts, num_roots]; the cache, and the width of what is in it."""
        import torch

        skipped = 0 if prefix is None else prefix.length
        use = {"use_cache": bool(self.trie.tokens)} if prefix is None else prefix.beside(len(prompts))
        ids = self._readout.tensor([prompt[skipped:] for prompt in prompts])
        last = torch.tensor([[len(prompt) - skipped - 1] for prompt in prompts], device=ids.device)
        scores, cache = self._readout.read(last, self._roots, normalised=self._absolute, input_ids=ids, **use)
        return scores[:, 0], cache, skipped + ids.shape[1]


def score_candidates(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], trie: AnswerTrie, pad_id: int
) -> NDArray[np.float64]:
    """The log-probability of every candidate after every prompt.

    Args:
        model: The model, in evaluation mode.
        prompts: One batch; best of similar lengths.
        trie: The candidates.
        pad_id: Fills up shorter prompts on the right, where nothing that is causal sees it.

    Returns:
        float64[num_prompts, num_candidates], in nats.
    """
    return CandidateScorer(Readout(model, pad_id), trie).score(prompts)


def over_cache(
    readout: Readout, prompts: Sequence[Sequence[int]], cache: Any, width: int, trie: AnswerTrie
) -> "torch.Tensor":
    """What follows each inner node, by one pass over the cache of the prompts.

    Args:
        readout: The model.
        prompts: One batch.
        cache: What the model remembers of them, filled up on the right.
        width: How many positions that are, for each prompt.
        trie: The candidates.

    Returns:
        float32[num_prompts, num_nodes, num_children], in nats, for all tokens that follow any inner node, in order.
    """
    import torch

    num_nodes, num_prompts, device = len(trie.tokens), len(prompts), readout.model.device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    sees = torch.zeros(num_nodes, num_nodes, dtype=torch.bool)
    for node, parent in enumerate(trie.parents):
        if parent >= 0:
            sees[node] = sees[parent]
        sees[node, node] = True
    in_prompt = torch.arange(width, device=device)[None, :] < lengths[:, None]
    allowed = torch.cat(
        [
            in_prompt[:, None, :].expand(num_prompts, num_nodes, width),
            sees.to(device)[None].expand(num_prompts, num_nodes, num_nodes),
        ],
        dim=-1,
    )[:, None]
    # Additive, since not every attention implementation takes a boolean mask of four dimensions.
    mask = torch.zeros(allowed.shape, dtype=readout.model.dtype, device=device)
    mask.masked_fill_(~allowed, torch.finfo(readout.model.dtype).min)
    nodes = torch.arange(num_nodes, device=device)[None].expand(num_prompts, num_nodes)
    scores, _ = readout.read(
        nodes,
        trie.children(of_prompt=False),
        input_ids=torch.tensor(trie.tokens, device=device)[None].expand(num_prompts, num_nodes),
        position_ids=lengths[:, None] + torch.tensor(trie.depths, device=device)[None, :] - 1,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
    )
    return scores


def over_texts(
    readout: Readout, prompts: Sequence[Sequence[int]], trie: AnswerTrie, prefix: Prefix | None = None
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """The same by plain causal passes: each branch of the trie is read after each prompt, as a text of its own.

    Where there is one branch alone, no way is faster.

    Returns:
        What follows the prompts, float32[num_prompts, num_roots], and what follows each inner node, as `over_cache`.
    """
    import torch

    roots, children = trie.children(of_prompt=True), trie.children(of_prompt=False)
    rest = [prompt[0 if prefix is None else prefix.length :] for prompt in prompts]
    ends = torch.tensor([[len(prompt) - 1] for prompt in rest], device=readout.model.device)
    first = torch.zeros(len(prompts), len(roots), device=ends.device)
    inner = torch.zeros(len(prompts), len(trie.tokens), len(children), device=ends.device)
    for branch in trie.branches:
        ids = readout.tensor([[*prompt, *(trie.tokens[node] for node in branch)] for prompt in rest])
        use = {"use_cache": False} if prefix is None else prefix.beside(len(prompts))
        places = ends + torch.arange(len(branch) + 1, device=ends.device)
        scores, _ = readout.read(places, [*roots, *children], input_ids=ids, **use)
        first = scores[:, 0, : len(roots)]
        inner[:, branch] = scores[:, 1:, len(roots) :]
    return first, inner


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, at least one of each prompt left out."""
    ordered = sorted(map(tuple, prompts))
    first, last = ordered[0], ordered[-1]  # whatever lies between them begins as both do
    length = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        length += 1
    return min(length, min(map(len, prompts)) - 1)
