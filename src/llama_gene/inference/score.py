"""Score every candidate answer exactly, in one pass over the prompt and at most one over the answers.

The candidates form a trie. The prompt's pass gives the probabilities of their first tokens; if any candidate goes on
after a token that is not its last, the inner nodes of the trie are fed in one more pass over the prompt's cache, under
a mask in which a node sees the prompt and its own ancestors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class AnswerTrie:
    """Candidate answers as a trie.

    Attributes:
        tokens: The token of each inner node, parents before children.
        parents: The inner node above each inner node; -1 is the end of the prompt.
        depths: Depth of each inner node; 1 stands right after the prompt.
        edges: (inner node or -1, token) of every step from a node to a child.
        paths: For each candidate, the indices of its edges.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    paths: tuple[tuple[int, ...], ...]


def build_trie(candidates: Sequence[Sequence[int]]) -> AnswerTrie:
    """The trie of candidates that each end with the end of sequence.

    The end of sequence is left out where no candidate begins another one: there it decides nothing, and saves a pass.

    Raises:
        ValueError: Two candidates are equal, or one is empty.

    >>> build_trie([[5, 0], [7, 0]]).tokens
    ()
    >>> build_trie([[5, 0], [5, 7, 0]]).edges
    ((-1, 5), (0, 0), (0, 7), (1, 0))
    """
    answers = [tuple(candidate) for candidate in candidates]
    if len(set(answers)) < len(answers) or not all(len(answer) > 1 for answer in answers):
        raise ValueError("candidates must differ, and hold a token before the end of sequence")
    bare = [answer[:-1] for answer in answers]
    if not any(longer[: len(shorter)] == shorter for shorter in bare for longer in bare if longer is not shorter):
        answers = bare
    nodes: dict[tuple[int, ...], int] = {(): -1}
    for answer in answers:
        for length in range(1, len(answer)):
            nodes.setdefault(answer[:length], len(nodes) - 1)
    edges: dict[tuple[int, int], int] = {}
    paths = []
    for answer in answers:
        steps = [(nodes[answer[:place]], token) for place, token in enumerate(answer)]
        paths.append(tuple(edges.setdefault(step, len(edges)) for step in steps))
    inner = list(nodes)[1:]
    return AnswerTrie(
        tokens=tuple(prefix[-1] for prefix in inner),
        parents=tuple(nodes[prefix[:-1]] for prefix in inner),
        depths=tuple(len(prefix) for prefix in inner),
        edges=tuple(edges),
        paths=tuple(paths),
    )


def score_candidates(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], trie: AnswerTrie, pad_id: int
) -> NDArray[np.float64]:
    """The log-probability of every candidate after every prompt.

    Args:
        model: The model, in evaluation mode.
        prompts: One batch; best of similar lengths.
        trie: The candidates.
        pad_id: Fills up shorter prompts on the right, where causal attention does not see it.

    Returns:
        float64[num_prompts, num_candidates], in nats.
    """
    import torch

    lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
    width = int(lengths.max())
    ids = torch.tensor([[*prompt, *[pad_id] * (width - len(prompt))] for prompt in prompts], device=model.device)
    with torch.inference_mode():
        # Only the last position of each prompt is projected to the vocabulary.
        last, place = torch.unique(lengths - 1, return_inverse=True)
        out = model(input_ids=ids, use_cache=bool(trie.tokens), logits_to_keep=last)
        first = out.logits[torch.arange(len(prompts)), place].float().log_softmax(-1)
        after = [first]
        if trie.tokens:
            inner = _inner_logits(model, out.past_key_values, lengths, width, trie)
            after += list(inner.float().log_softmax(-1).unbind(1))
        steps = torch.stack([after[node + 1][:, token] for node, token in trie.edges], dim=1).double().cpu().numpy()
    return np.stack([steps[:, list(path)].sum(axis=1) for path in trie.paths], axis=1)


def _inner_logits(
    model: "PreTrainedModel", cache: object, lengths: "torch.Tensor", width: int, trie: AnswerTrie
) -> "torch.Tensor":
    """The logits after each inner node: [num_prompts, num_nodes, num_rows]."""
    import torch

    num_nodes, num_prompts = len(trie.tokens), len(lengths)
    sees = torch.zeros(num_nodes, num_nodes, dtype=torch.bool)
    for node, parent in enumerate(trie.parents):
        if parent >= 0:
            sees[node] = sees[parent]
        sees[node, node] = True
    device = model.device
    in_prompt = torch.arange(width, device=device)[None, :] < lengths[:, None]
    allowed = torch.cat(
        [
            in_prompt[:, None, :].expand(num_prompts, num_nodes, width),
            sees.to(device)[None].expand(num_prompts, num_nodes, num_nodes),
        ],
        dim=-1,
    )[:, None]
    # Additive, since not every attention implementation takes a boolean mask of four dimensions.
    mask = torch.zeros(allowed.shape, dtype=model.dtype, device=device)
    mask.masked_fill_(~allowed, torch.finfo(model.dtype).min)
    positions = lengths[:, None] + torch.tensor(trie.depths, device=device)[None, :] - 1
    tokens = torch.tensor(trie.tokens, device=device)[None].expand(num_prompts, num_nodes)
    out = model(input_ids=tokens, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True)
    logits: torch.Tensor = out.logits
    return logits
