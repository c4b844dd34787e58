"""The rows of embedding and head: which they are, and how to train the new ones alone.

To train new rows only, a matrix is split into a frozen block and a block that trains. A mask on the gradient of the
whole matrix would cost the gradient, and the optimizer its two moments, of every frozen row; PEFT's
``trainable_token_indices`` copies the whole matrix at each step.

This module imports torch; import it where it is used.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from torch import Tensor, nn

from llama_gene.errors import ModelError


class SplitEmbedding(nn.Module):
    """An embedding in two blocks: the base's rows, which are frozen, and the new rows.

    Attributes:
        base: float[first_new, width], frozen.
        new: float[rows - first_new, width].
    """

    def __init__(self, whole: nn.Embedding, first_new: int) -> None:
        super().__init__()
        self.base, self.new = _blocks(whole.weight, first_new)
        self._scale = getattr(whole, "embed_scale", None)  # Gemma multiplies what it looks up

    def forward(self, ids: Tensor) -> Tensor:
        """The rows of `ids`: float[*ids.shape, width]."""
        first_new = len(self.base)
        is_new = ids >= first_new
        found = F.embedding(ids.masked_fill(is_new, 0), self.base)
        # Rows are put in where new ids are, so that only they reach the gradient of the new block.
        found = found.index_put((is_new,), F.embedding(ids[is_new] - first_new, self.new).to(found.dtype))
        return found if self._scale is None else found * self._scale


class SplitHead(nn.Module):
    """An output projection in two blocks: the base's rows, which are frozen, and the new rows.

    Attributes:
        base: float[first_new, width], frozen.
        new: float[rows - first_new, width].
        bias: float[rows], frozen, or None.
    """

    def __init__(self, base: nn.Parameter, new: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.base, self.new = base, new
        self.bias = None if bias is None else bias.requires_grad_(False)

    def forward(self, hidden: Tensor) -> Tensor:
        """All logits; training never asks for them."""
        logits = torch.cat([F.linear(hidden, self.base), F.linear(hidden, self.new)], dim=-1)
        return logits if self.bias is None else logits + self.bias


def _blocks(weight: Tensor, first_new: int) -> tuple[nn.Parameter, nn.Parameter]:
    # Copies, since a part of the old matrix would keep all of it in memory.
    whole = weight.detach()
    base = nn.Parameter(whole[:first_new].clone(), requires_grad=False)
    return base, nn.Parameter(whole[first_new:].clone())


def row_modules(model: Any) -> tuple[nn.Module, nn.Module]:
    """Embedding and head of a causal language model."""
    return model.get_input_embeddings(), model.get_output_embeddings()


def find_memory(model: Any) -> Any:
    """The `NGramMemory` of a plain causal language model; None where it has none."""
    return getattr(model.get_decoder(), "ngrams", None)


def row_parameters(model: Any) -> list[nn.Parameter]:
    """The parameters of embedding and head, those of a tied pair once."""
    return list({id(value): value for part in row_modules(model) for value in part.parameters()}.values())


def split_rows(model: Any, first_new: int) -> None:
    """Freeze the rows below `first_new` of embedding and head, and let the rows from there on train. In place.

    Args:
        model: A plain causal language model; adapters may be in it already.
        first_new: Number of rows to freeze.

    Raises:
        ModelError: The model looks its tokens up, or makes its logits, in a way of its own; or it has no new rows.
    """
    embedding, head = row_modules(model)
    own = type(embedding) is not nn.Embedding and not hasattr(embedding, "embed_scale")
    if not isinstance(embedding, nn.Embedding) or own or type(head) is not nn.Linear:
        problem = f"its rows ({type(embedding).__name__}, {type(head).__name__}) cannot be split into old and new ones"
        raise ModelError(problem, where=model.name_or_path, hint='take train = "lora+embeddings"')
    if not 0 <= first_new < len(embedding.weight):
        raise ModelError(f"no row of {len(embedding.weight)} is new: the first would be {first_new}")
    tied = head.weight is embedding.weight
    split = SplitEmbedding(embedding, first_new)
    base, new = (split.base, split.new) if tied else _blocks(head.weight, first_new)
    model.set_input_embeddings(split)
    model.set_output_embeddings(SplitHead(base, new, head.bias))


def joined_state(model: Any) -> dict[str, Tensor]:
    """The state of a model as if its rows had never been split: one matrix under the name it had."""
    state: dict[str, Tensor] = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, SplitEmbedding | SplitHead):
            parts = [state.pop(f"{name}.{block}") for block in ("base", "new")]
            state[f"{name}.weight"] = torch.cat(parts)
    return state
