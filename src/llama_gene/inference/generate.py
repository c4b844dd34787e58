"""Write answers where they cannot be listed: text and sets of labels."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from llama_gene.errors import ModelError
from llama_gene.inference.readout import Readout

if TYPE_CHECKING:
    import torch


def generate_answers(
    readout: Readout, prompts: Sequence[Sequence[int]], max_tokens: int, *, eos_id: int
) -> list[list[int]]:
    """The most probable continuation of each prompt, token by token, without the end of sequence.

    Shorter prompts are filled up on the left; where a model would take that for text, those of one length are written
    together.

    Args:
        readout: The model.
        prompts: One batch; best of similar lengths.
        max_tokens: At most so many tokens are written.
        eos_id: Ends an answer.

    Raises:
        ModelError: The model gives no numbers, but NaN.
    """
    if readout.pads_left:
        return _write(readout, prompts, max_tokens, eos_id)
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    answers: list[list[int]] = [[] for _ in prompts]
    for _, group in groupby(order, key=lambda row: len(prompts[row])):
        rows = list(group)
        for row, answer in zip(rows, _write(readout, [prompts[row] for row in rows], max_tokens, eos_id), strict=True):
            answers[row] = answer
    return answers


def _write(readout: Readout, prompts: Sequence[Sequence[int]], max_tokens: int, eos_id: int) -> list[list[int]]:
    import torch

    ids, real = readout.padded_left(prompts)
    with torch.inference_mode():
        out = readout.model.generate(
            input_ids=ids,
            attention_mask=real,
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=eos_id,
            pad_token_id=readout.pad_id,
            logits_processor=[_require_numbers],
        )
    answers = []
    for row in out[:, ids.shape[1] :].tolist():
        stop = row.index(eos_id) if eos_id in row else len(row)
        answers.append([token for token in row[:stop] if token != readout.pad_id])
    return answers


def _require_numbers(_: "torch.Tensor", scores: "torch.Tensor") -> Any:
    """Called by transformers with the logits before each token; NaN would be written as token 0."""
    if scores.isnan().any():
        hint = "its weights are broken, or a training diverged: look at its loss, and tune it again"
        raise ModelError("the model answers NaN", hint=hint)
    return scores
