"""The loss of packed rows."""

from typing import TYPE_CHECKING, Any

from llama_gene.corpus.pack import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


def packed_loss(
    model: Any, batch: dict[str, "Tensor"], num_targets: Any = None, *, chunked: bool | None = None
) -> "Tensor":
    """The mean loss of a packed batch, in nats a target token; only positions that predict go through the head.

    Args:
        model: A causal language model, with adapters or without.
        batch: ``input_ids``, ``labels``, ``position_ids``, int64[rows, block]; labels of -100 are no targets.
        num_targets: Targets in the whole step, over all its micro-batches; this batch's own if not given.
        chunked: Whether its head is one that ``model.head`` can take over; found out if not given. For others
            the model makes all logits at once.
    """
    import torch.nn.functional as F  # noqa: N812 - its name everywhere

    from llama_gene.model.head import find_head, hidden_states, read_head

    targets = batch["labels"][:, 1:]
    inputs = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"]}
    head = find_head(model) if chunked is None else read_head(model) if chunked else None
    if head is not None:
        wanted = targets != IGNORE
        loss = head.summed_loss(hidden_states(model, **inputs)[:, :-1][wanted], targets[wanted])
    else:
        kept = (targets != IGNORE).any(dim=0).nonzero().squeeze(-1)
        # Without a cache, or the document mask would not be made from the positions.
        logits = model(**inputs, use_cache=False, logits_to_keep=kept).logits
        chosen = targets[:, kept].flatten()
        loss = F.cross_entropy(logits.flatten(0, 1).float(), chosen, ignore_index=IGNORE, reduction="sum")
    mean: Tensor = loss / (num_targets if num_targets is not None else (targets != IGNORE).sum())
    return mean
