"""Grow a model's embedding and head to the rows of an extended tokenizer."""

from typing import TYPE_CHECKING, Literal

from llama_gene.tokenizer import GeneTokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Initialisation = Literal["subword", "mean", "random"]

ROWS_MULTIPLE = 64  # the rows are rounded up to this: matrix kernels are fastest on such sizes

# Of the base rows' standard deviation: enough that no two new rows are equal, small beside what they mean.
NOISE = 0.1


def num_rows(tokenizer: GeneTokenizer) -> int:
    """Rows for `tokenizer`, rounded up to a multiple of 64."""
    rows: int = -(-tokenizer.num_tokens // ROWS_MULTIPLE) * ROWS_MULTIPLE
    return rows


def grow(
    model: "PreTrainedModel",
    tokenizer: GeneTokenizer,
    num_base: int,
    start: Initialisation,
    *,
    seed: int,
    noise: float = NOISE,
) -> None:
    """Grow `model` in place and start its new rows; the base's rows keep their values.

    Input and output rows are started apart, each from its own matrix, unless the model ties them.

    Args:
        model: The base model.
        tokenizer: The extended tokenizer.
        num_base: Tokens of the base's tokenizer; rows from here on are new.
        start: ``subword``: the mean over the base pieces that spell the new piece; ``mean``: over all base rows;
            ``random``: as far apart as the base's rows.
        seed: Decides the noise.
        noise: On rows that start as a mean, in standard deviations of the base's rows. Without it, rows with
            equal means would stay equal for as long as they are used alike.
    """
    import torch

    rows = max(num_rows(tokenizer), model.get_input_embeddings().weight.shape[0])
    model.resize_token_embeddings(rows, mean_resizing=False)
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    matrices = [inputs] if outputs is inputs else [inputs, outputs]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for matrix in matrices:
            _start_rows(matrix, tokenizer, num_base, start, noise, generator)
    model.config.eos_token_id = tokenizer.eos_id
    model.config.pad_token_id = tokenizer.pad_id
    if model.generation_config is not None:
        model.generation_config.eos_token_id = tokenizer.eos_id
        model.generation_config.pad_token_id = tokenizer.pad_id


def _start_rows(
    matrix: "torch.Tensor",
    tokenizer: GeneTokenizer,
    num_base: int,
    start: Initialisation,
    noise: float,
    generator: "torch.Generator",
) -> None:
    """Start the rows from `num_base` on, those that pad the matrix too: they are in the sum of every prediction."""
    import torch

    base = matrix[:num_base].float()
    new = torch.zeros(len(matrix) - num_base, matrix.shape[1])
    scale: torch.Tensor | float
    if start == "random":
        scale = float(base.std())
    else:
        scale = noise * base.std(dim=0)
        new += base.mean(dim=0)
    if start == "subword":
        for row in range(num_base, tokenizer.num_tokens):
            if pieces := tokenizer.base_spelling(row, num_base):
                new[row - num_base] = base[pieces].mean(dim=0)
    new += torch.randn(new.shape, generator=generator) * scale
    matrix[num_base:] = new.to(matrix.dtype)
