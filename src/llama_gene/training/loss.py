"""The loss of packed rows."""

from typing import TYPE_CHECKING, Any

from llama_gene.corpus.pack import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


def packed_loss(
    model: Any,
    batch: dict[str, "Tensor"],
    num_targets: Any = None,
    *,
    chunked: bool | None = None,
    sequence_weight: float = 0.0,
) -> "Tensor":
    """The mean loss of a packed batch, in nats a target token; only positions that predict go through the head.

    Args:
        model: A causal language model, with adapters or without.
        batch: ``input_ids``, ``labels``, ``position_ids``, int64[rows, block]; labels of -100 are no targets. And
            ``sequence_labels``, where there are targets of a second kind, and ``target_weights``, float[rows, block],
            where those of the first do not weigh the same.
        num_targets: Targets in the whole step, over all its micro-batches; this batch's own if not given.
        chunked: Whether its head is one that ``model.head`` can take over; found out if not given. For others
            the model makes all logits at once.
        sequence_weight: What the loss on a target of the second kind weighs. They add to the sum, and not to the number
            that it is divided by: that is of the first kind alone.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812 - its name everywhere

    from llama_gene.model.convolution import document_inputs
    from llama_gene.model.head import find_head, hidden_states, read_head

    kinds = [(batch["labels"][:, 1:], batch["target_weights"][:, 1:] if "target_weights" in batch else None)]
    if sequence_weight and "sequence_labels" in batch:
        targets = batch["sequence_labels"][:, 1:]
        kinds.append((targets, torch.full(targets.shape, sequence_weight, device=targets.device)))
    positions = batch["position_ids"]
    inputs = {"input_ids": batch["input_ids"], "position_ids": positions, **document_inputs(model, positions)}
    head = find_head(model) if chunked is None else read_head(model) if chunked else None
    if head is not None:
        hidden = hidden_states(model, **inputs)[:, :-1]
        sums = []
        for targets, weights in kinds:
            chosen = targets != IGNORE
            sums.append(head.summed_loss(hidden[chosen], targets[chosen], None if weights is None else weights[chosen]))
    else:
        predicts = torch.stack([(targets != IGNORE).any(dim=0) for targets, _ in kinds]).any(dim=0)
        kept = predicts.nonzero().squeeze(-1)
        # Without a cache, or the document mask would not be made from the positions.
        logits = model(**inputs, use_cache=False, logits_to_keep=kept).logits.flatten(0, 1).float()
        sums = []
        for targets, weights in kinds:
            losses = F.cross_entropy(logits, targets[:, kept].flatten(), ignore_index=IGNORE, reduction="none")
            sums.append((losses if weights is None else losses * weights[:, kept].flatten()).sum())
    mean: Tensor = torch.stack(sums).sum() / (num_targets if num_targets is not None else (kinds[0][0] != IGNORE).sum())
    return mean
