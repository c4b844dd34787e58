"""The loss of a language model's head without its logits: never more than a chunk of them exists.

At a vocabulary of 92,000 the logits of 2,048 tokens are 750 MB, and cross-entropy holds three such matrices at once.
Here the positions go through the head a chunk at a time, and the gradients of a chunk are computed before the next
one. Nothing is computed twice, since the loss is where every backward pass begins.

This module imports torch; import it where it is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llama_gene.model.attention import attends_by_length, decode_in_one_line
from llama_gene.model.rows import SplitHead

_CHUNK_ELEMENTS = 1 << 25  # logits in a chunk: 128 MB in fp32
_PROBE_TOKENS = 3
_PROBE_TOLERANCE = 1e-3  # of the largest logit; what a head does beside is far above, what rounding does far below


@dataclass(frozen=True)
class Head:
    """How a model makes logits of hidden states: ``cap * tanh(scale * (hidden @ rows.T + bias) / cap)``.

    Attributes:
        blocks: The rows, float[rows of the block, width] each, in the order of their ids.
        bias: float[rows], or None.
        scale: What logits are multiplied by (Granite, Cohere).
        cap: What logits are bent to stay below (Gemma 2), or None.
    """

    blocks: tuple[Tensor, ...]
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def only(self, ids: Sequence[int]) -> "Head":
        """The head of some tokens alone, in the order of `ids`."""
        rows = self.blocks[0] if len(self.blocks) == 1 else torch.cat([block.detach() for block in self.blocks])
        chosen = torch.as_tensor(ids, device=rows.device)
        return Head((rows[chosen],), None if self.bias is None else self.bias[chosen], self.scale, self.cap)

    def summed_loss(self, hidden: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The sum of the losses in nats: float32[], differentiable in `hidden` and in the rows that train.

        Args:
            hidden: float[positions, width].
            targets: int64[positions].
            weights: What the loss of each counts, float32[positions]; 1 if not given.
        """
        rows = (self.bias, *self.blocks)
        if not torch.is_grad_enabled():  # a function of our own is asked for gradients all the same
            rows = tuple(None if one is None else one.detach() for one in rows)
        loss: Tensor = _SummedLoss.apply(hidden, targets, weights, self, *rows)  # type: ignore[no-untyped-call]
        return loss

    def logits(self, hidden: Tensor, blocks: Sequence[Tensor]) -> Iterator[tuple[slice, Tensor]]:
        """The logits by chunks of positions, float32[chunk, rows]; the next chunk overwrites the one before.

        Args:
            hidden: float[positions, width], of the type of `blocks`.
            blocks: The rows, in the type to compute in.
        """
        num_rows = sum(len(block) for block in blocks)
        length = chunk_length(num_rows, hidden.shape[-1])
        space = torch.empty(min(length, len(hidden)), num_rows, device=hidden.device)
        for start in range(0, len(hidden), length):
            part = hidden[start : start + length]
            logits = space[: len(part)]
            for block, place in zip(blocks, _places(blocks), strict=True):
                if block.dtype == logits.dtype:
                    torch.mm(part, block.T, out=logits[:, place])
                else:
                    logits[:, place] = part @ block.T
            if self.bias is not None:
                logits += self.bias
            if self.scale != 1.0:
                logits *= self.scale
            if self.cap is not None:
                logits.div_(self.cap).tanh_().mul_(self.cap)
            yield slice(start, start + len(part)), logits


def chunk_length(num_rows: int, width: int) -> int:
    """Positions in a chunk.

    Its logits are small, or at most half as large as the head: the gradient of the head is read and written once a
    chunk, which costs the more the shorter chunks are.

    >>> chunk_length(92_032, 288), chunk_length(92_032, 4096), chunk_length(600, 64)
    (364, 2048, 55924)
    """
    return max(_CHUNK_ELEMENTS // num_rows, width // 2, 1)


def _places(blocks: Sequence[Tensor]) -> list[slice]:
    """Which rows each block holds."""
    places, first = [], 0
    for block in blocks:
        places.append(slice(first, first + len(block)))
        first += len(block)
    return places


def _losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each position, and the sums that divide `logits`, which become exponentials, to probabilities."""
    logits -= logits.amax(dim=-1, keepdim=True)
    of_targets = logits.gather(-1, targets[:, None])[:, 0]  # a copy, so it survives the next line
    sums = logits.exp_().sum(dim=-1)
    return sums.log() - of_targets, sums


class _SummedLoss(torch.autograd.Function):
    """Losses and their gradients in one pass; the gradients wait until they are asked for."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        head: Head,
        bias: Tensor | None,
        *blocks: Tensor,
    ) -> Tensor:
        """The sum of the losses."""
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else blocks[0].dtype
        needs_hidden, _, _, _, needs_bias, *needs_block = ctx.needs_input_grad
        of_hidden = torch.empty_like(hidden) if needs_hidden else None
        of_bias = torch.zeros_like(bias) if needs_bias and bias is not None else None
        of_blocks = [torch.zeros_like(one) if needs else None for one, needs in zip(blocks, needs_block, strict=True)]
        total = torch.zeros((), device=hidden.device)
        with torch.autocast(device, enabled=False):
            inputs, rows = hidden.to(dtype), [block.to(dtype) for block in blocks]
            places = _places(blocks)
            for chosen, logits in head.logits(inputs, rows):
                slope = None if head.cap is None else (logits / head.cap).square_().neg_().add_(1)
                losses, sums = _losses(logits, targets[chosen])
                total += (losses if weights is None else losses * weights[chosen]).sum()
                if not any(ctx.needs_input_grad):
                    continue
                # d loss / d logits, but for the division by the sums: it is cheaper on what is multiplied with them.
                logits[torch.arange(len(logits), device=logits.device), targets[chosen]] -= sums
                if slope is not None:
                    logits *= slope
                shares = (head.scale / sums if weights is None else head.scale * weights[chosen] / sums)[:, None]
                if of_bias is not None:
                    of_bias += shares[:, 0] @ logits
                slopes = logits.to(dtype)
                if of_hidden is not None:
                    of_hidden[chosen] = _times_rows(slopes, rows) * shares
                weighted = (inputs[chosen] * shares).to(dtype)
                for of_block, place in zip(of_blocks, places, strict=True):
                    if of_block is not None:
                        _add_product(of_block, slopes[:, place].T, weighted)
        ctx.gradients = (of_hidden, None, None, None, of_bias, *of_blocks)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients; they are handed over, so this works once."""
        gradients, ctx.gradients = ctx.gradients, None
        return tuple(None if one is None else one.mul_(gradient.to(one.dtype)) for one in gradients)


def _times_rows(slopes: Tensor, rows: Sequence[Tensor]) -> Tensor:
    """The product of float[chunk, rows] with the rows of all blocks, in fp32: float32[chunk, width]."""
    first, *others = [slopes[:, place] @ block for place, block in zip(_places(rows), rows, strict=True)]
    total = first.float()
    for other in others:
        total += other
    return total


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``, without a copy where the types allow it."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:  # a sum over many chunks in bf16 would lose what each adds
        total += left @ right


def plain_model(model: Any) -> Any:
    """The model of transformers inside of what PEFT wrapped, with the adapters still in it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def hidden_states(model: Any, **inputs: Tensor) -> Tensor:
    """What the head is given: float[rows, positions, width]."""
    plain = plain_model(model)
    if "position_ids" in inputs and attends_by_length(plain):
        return decode_in_one_line(plain.get_decoder(), inputs)
    # Without a cache, or the document mask would not be made from the positions.
    hidden: Tensor = plain.get_decoder()(**inputs, use_cache=False).last_hidden_state
    return hidden


def read_head(model: Any) -> Head | None:
    """The head of a causal language model, by what it is made of; None if it is no plain projection."""
    plain = plain_model(model)
    head = plain.get_output_embeddings()
    if isinstance(head, SplitHead):
        blocks: tuple[Tensor, ...] = (head.base, head.new)
    elif type(head) is torch.nn.Linear:
        blocks = (head.weight,)
    else:
        return None
    config = plain.config.get_text_config()
    scale = getattr(plain, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
    return Head(blocks, head.bias, float(scale), getattr(config, "final_logit_softcapping", None))


def find_head(model: Any) -> Head | None:
    """The head of a causal language model; None where its logits are not what `Head` says.

    That is believed only after asking: on a few tokens the model's own logits must be the same.
    """
    head = read_head(model)
    return head if head is not None and _agrees(plain_model(model), head) else None


def _agrees(model: Any, head: Head) -> bool:
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            rows = head.blocks[0]
            ids = torch.arange(_PROBE_TOKENS, device=rows.device)[None]
            theirs = model(input_ids=ids, use_cache=False).logits[0].float()
            hidden = hidden_states(model, input_ids=ids)[0].to(rows.dtype)
            if hidden.shape[-1] != rows.shape[-1]:
                return False
            ours = torch.cat([logits.clone() for _, logits in head.logits(hidden, head.blocks)])
            tolerance = _PROBE_TOLERANCE * float(theirs.abs().max())
            return ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= tolerance
    finally:
        model.train(was_training)
