"""Write answers where they cannot be listed: text and sets of labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def generate_answers(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], max_tokens: int, *, eos_id: int, pad_id: int
) -> list[list[int]]:
    """The most probable continuation of each prompt, token by token, without the end of sequence.

    Args:
        model: The model, in evaluation mode.
        prompts: One batch; best of similar lengths.
        max_tokens: At most so many tokens are written.
        eos_id: Ends an answer.
        pad_id: Fills up shorter prompts on the left.
    """
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[*[pad_id] * (width - len(prompt)), *prompt] for prompt in prompts], device=model.device)
    real = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=real,
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=eos_id,
            pad_token_id=pad_id,
        )
    answers = []
    for row in out[:, width:].tolist():
        stop = row.index(eos_id) if eos_id in row else len(row)
        answers.append([token for token in row[:stop] if token != pad_id])
    return answers
