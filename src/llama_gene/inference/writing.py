"""Write DNA, protein or text after a prompt, token by token."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llama_gene.errors import SettingsError
from llama_gene.inference.constraint import SpanConstraint
from llama_gene.inference.decode import Row, RunningBatch, Sampling
from llama_gene.inference.engine import Engine
from llama_gene.sequences.alphabet import ALPHABETS, Kind

if TYPE_CHECKING:
    import torch

_UNFINISHED = "\ufffd"  # what a decoder shows for a character of which some bytes are still to come


def check_sampling(sampling: Sampling) -> Sampling:
    """The sampling, if it is one.

    Raises:
        SettingsError: A temperature below 0, or a top-p that is no share.
    """
    if not 0 <= sampling.temperature < float("inf"):
        raise SettingsError(f"--temperature {sampling.temperature}", hint="0 takes the most probable; 1 is the model's")
    if not 0 < sampling.top_p <= 1:
        raise SettingsError(f"--top-p {sampling.top_p}", hint="give a share: above 0, at most 1")
    return sampling


def write_sequences(
    engine: Engine,
    kind: Kind,
    prompt: str = "",
    *,
    num: int = 1,
    max_tokens: int = 256,
    max_letters: int | None = None,
    sampling: Sampling,
) -> list[str]:
    """Sequences that begin with `prompt`; each has an end, by the model's word or at the limit.

    Args:
        engine: The model.
        kind: What is written.
        prompt: The first letters; may be empty.
        num: How many.
        max_tokens: At most so many tokens are written, the closing tag included.
        max_letters: At most so many letters in all, the prompt's included.
        sampling: How tokens are drawn; sequence number i takes the seed plus i.

    Returns:
        The letters of each, the prompt's first.

    Raises:
        SettingsError: The model cannot write them, or the prompt leaves no room.
        SequenceError: The prompt has letters outside the alphabet.
    """
    if kind not in engine.tokenizer.kinds:
        hint = f"it knows: {', '.join(engine.tokenizer.kinds)}"
        raise SettingsError(f"the model cannot spell {kind}", where=engine.folder, hint=hint)
    letters = ALPHABETS[kind].clean(prompt) if prompt.strip() else ""
    if max_letters is not None and len(letters) >= max_letters:
        raise SettingsError(f"--max-letters {max_letters}: the prompt has {len(letters)}", hint="raise it")
    # Pieces are those that the whole sequence would begin with only by chance: the last one is cut off by the prompt.
    (pieces,) = engine.tokenizer.encode_spans(kind, [letters]) if letters else ([],)
    ids = [*engine.tokenizer.opening(kind), *pieces]
    max_tokens = _room(engine, ids, max_tokens)
    constraint = SpanConstraint(engine.tokenizer, len(ids) + max_tokens, max_letters)
    (end,) = engine.tokenizer.closing(kind)
    spellings = engine.tokenizer.spellings()
    samplings = [
        replace(sampling, seed=None if sampling.seed is None else sampling.seed + place) for place in range(num)
    ]
    written: list[list[int]] = [[] for _ in samplings]
    done = [False] * num
    for tokens in _tokens(engine, ids, samplings, max_tokens, constraint):
        for place, token in enumerate(tokens):
            done[place] = done[place] or token == end
            if not done[place]:
                written[place].append(token)
        if all(done):
            break
    return [letters + "".join(spellings[token] for token in tokens) for tokens in written]


def write_text(
    engine: Engine, ids: Sequence[int], *, max_tokens: int = 256, sampling: Sampling, ends: Sequence[int] = ()
) -> Iterator[str]:
    """The text after a prompt, as it comes; sequences in it stand between their tags.

    Args:
        engine: The model.
        ids: The prompt; not empty.
        max_tokens: At most so many tokens are written.
        sampling: How tokens are drawn.
        ends: Tokens that end the text; the end of text always does.

    Raises:
        SettingsError: The prompt leaves no room, or is empty.
    """
    if not ids:
        raise SettingsError("an empty prompt", hint="give a text to go on from")
    max_tokens = _room(engine, ids, max_tokens)
    typed = engine.tokenizer.scheme == "typed"
    constraint = SpanConstraint(engine.tokenizer, len(ids) + max_tokens) if typed else None
    written: list[int] = []
    shown = ""
    for (token,) in _tokens(engine, ids, [sampling], max_tokens, constraint):
        if token == engine.tokenizer.eos_id or token in ends:
            break
        written.append(token)
        text = engine.tokenizer.decode(written)
        if text.endswith(_UNFINISHED) or not text.startswith(shown):
            continue
        yield text[len(shown) :]
        shown = text
    text = engine.tokenizer.decode(written)
    if text != shown and text.startswith(shown):
        yield text[len(shown) :]


def _room(engine: Engine, ids: Sequence[int], max_tokens: int) -> int:
    if max_tokens < 1:
        raise SettingsError(f"--max-tokens {max_tokens}", hint="give 1 or more")
    context = getattr(engine.model.config, "max_position_embeddings", None) or len(ids) + max_tokens
    if len(ids) >= context:
        raise SettingsError(f"the prompt has {len(ids)} tokens, the model's context {context}", hint="shorten it")
    return min(max_tokens, context - len(ids))


def _tokens(
    engine: Engine,
    ids: Sequence[int],
    samplings: Sequence[Sampling],
    max_tokens: int,
    constraint: SpanConstraint | None,
) -> Iterator[list[int]]:
    """The next token of each text, step by step; all begin with the same ids, so nothing is padded."""
    import torch

    rows = [Row(ids, check_sampling(sampling)) for sampling in samplings]
    batch = RunningBatch(engine.model, engine.tokenizer.num_tokens)
    batch.add(rows)
    before = [list(ids) for _ in rows]

    def constrained(logits: "torch.Tensor") -> "torch.Tensor":
        return logits if constraint is None else constraint(torch.tensor(before), logits)

    for step in range(max_tokens):
        batch.draw(constrained)
        for told, row in zip(before, rows, strict=True):
            told.append(row.token)
        yield [row.token for row in rows]
        if step + 1 < max_tokens:
            batch.advance([True] * len(rows))
