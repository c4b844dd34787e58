"""Free instructions and their answers, from Alpaca and chat files, with the sequences in them put into spans.

Two forms are read, each as one JSON object a line or as one array:

- Alpaca: `instruction`, `input` (may be empty or absent) and `output`; LLaMA-Gene's own training files have it.
- chat: `messages` of `role` and `content`; ShareGPT's `conversations` of `from` and `value` as well. Each answer of the
  assistant is one instruction, and what was said before it, a paragraph each, is its prompt.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError, SequenceError
from llama_gene.sequences.alphabet import ALPHABETS
from llama_gene.sequences.compression import display_name, open_bytes
from llama_gene.sequences.read import Reject
from llama_gene.sequences.spans import find_spans
from llama_gene.tasks.convert.json_objects import scan_objects
from llama_gene.tokenizer.parts import Span, neutralise, render
from llama_gene.vocabulary.normalizer import KINDS

_TAGGED = re.compile(r"<(" + "|".join(KINDS) + r")>([A-Za-z*\s]+)</\1>")
_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a model is told, and what it should answer.

    Args:
        id: Its own name, or its line in the file.
        parts: The prompt: text and spans in turn, without any template around it.
        answer: The answer; a sequence in it stands between its tags.
    """

    id: str
    parts: tuple[str | Span, ...]
    answer: str

    @property
    def spans(self) -> list[Span]:
        """The sequences of the prompt, in order."""
        return [part for part in self.parts if isinstance(part, Span)]


def split_text(text: str) -> tuple[str | Span, ...]:
    """Text from outside as text and spans: none of the text is changed, and the letters of a span are those it had.

    A sequence between its tags is a span, whatever its length. Elsewhere `find_spans` decides. A literal tag that is no
    part of that is made harmless by a space after its bracket.

    >>> split_text("Is <dna>acgt</dna> like TAG?")
    ('Is ', Span(kind='dna', sequence='ACGT'), ' like TAG?')
    """
    parts: list[str | Span] = []
    place = 0
    for match in _TAGGED.finditer(text):
        kind = next(known for known in KINDS if known == match[1])
        try:
            sequence = ALPHABETS[kind].clean(match[2])
        except SequenceError:
            continue
        parts += [*_split_untagged(text[place : match.start()]), Span(kind, sequence)]
        place = match.end()
    return (*parts, *_split_untagged(text[place:]))


def _split_untagged(text: str) -> Iterator[str | Span]:
    place = 0
    for found in find_spans(text):
        if found.start > place:
            yield neutralise(text[place : found.start])[0]
        yield Span(found.kind, ALPHABETS[found.kind].canonical(text[found.start : found.end]))
        place = found.end
    if place < len(text):
        yield neutralise(text[place:])[0]


def read_instructions(path: str | Path, *, on_reject: Callable[[Reject], None] | None = None) -> Iterator[Instruction]:
    """Read instructions one at a time; memory is bounded by the longest one.

    Args:
        path: Alpaca or chat, as JSON or JSONL, plain or packed; `"-"` is standard input. Each object says by its keys
            which of the two it is.
        on_reject: Called with each object that is neither or lacks a part, and reading goes on. Without it that raises.

    Raises:
        FormatError: With file and line: no JSON, a broken array, nothing in it; without `on_reject`, a bad object.
    """
    name = display_name(path)
    empty = True
    with open_bytes(path) as stream:
        for found in scan_objects(stream, name):
            empty = False
            line = 0
            try:
                if isinstance(found, FormatError):
                    raise found
                line, values = found
                instructions = list(_instructions(values, line))
            except FormatError as error:
                where = error.where or f"{name}:{line}"
                if on_reject is None:
                    raise FormatError(error.problem, where=where, hint=error.hint) from None
                on_reject(Reject("", where, error.problem))
            else:
                yield from instructions
    if empty:
        raise FormatError("no instructions in it", where=name, hint="see docs/tasks.md for the forms that are read")


def _instructions(values: dict[str, Any], line: int) -> Iterator[Instruction]:
    identity = values.get("id")
    name = str(identity) if isinstance(identity, str | int) and str(identity).strip() else f"row{line}"
    if "instruction" in values:
        prompt = "\n".join(filter(None, (text_of(values, key).strip() for key in ("instruction", "input"))))
        yield _checked(name, prompt, text_of(values, "output"))
        return
    turns = values.get("messages", values.get("conversations"))
    if not isinstance(turns, list):
        known = "'instruction' and 'output', or 'messages'"
        raise FormatError(f"keys {', '.join(map(repr, values))}", hint=f"an instruction has {known}")
    said: list[str] = []
    num_answers = 0
    for turn in turns:
        if not isinstance(turn, dict):
            raise FormatError("a message that is no object", hint='write {"role": "user", "content": "..."}')
        role = _ROLES.get(str(turn.get("role", turn.get("from"))))
        text = text_of(turn, "content" if "content" in turn else "value").strip()
        if role is None:
            raise FormatError(
                f"a message of {turn.get('role', turn.get('from'))!r}", hint=f"known: {', '.join(_ROLES)}"
            )
        if role == "assistant":
            num_answers += 1
            yield _checked(name if num_answers == 1 else f"{name}.{num_answers}", "\n\n".join(said), text)
        said.append(text)
    if not num_answers:
        raise FormatError("a conversation without an answer of the assistant")


def _checked(name: str, prompt: str, answer: str) -> Instruction:
    if not prompt.strip() or not answer.strip():
        missing = "instruction" if not prompt.strip() else "answer"
        raise FormatError(f"the {missing} is empty", hint="give it its text, or remove the row")
    return Instruction(name, split_text(prompt), render(split_text(answer)))


def text_of(values: dict[str, Any], key: str) -> str:
    """The text of a field; only `input` may be absent.

    Raises:
        FormatError: It is not there, no text, or half of a character.
    """
    text = values.get(key)
    if text is None and key == "input":
        return ""
    if key not in values:
        raise FormatError(f"no {key!r}", hint=f"its keys: {', '.join(map(repr, [*values][:8]))}"[:200])
    if not isinstance(text, str):
        raise FormatError(f"{key!r} is {type(text).__name__}, not text", hint="put it into quotes")
    try:
        text.encode()
    except UnicodeEncodeError:
        hint = "write characters beyond U+FFFF as both of their \\u escapes, or as UTF-8"
        raise FormatError(f"half of a surrogate pair in {key!r}", hint=hint) from None
    return text
