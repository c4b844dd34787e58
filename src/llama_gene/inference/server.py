"""What an OpenAI-compatible server says of a text: its tokens' probabilities, its next token, its continuation."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Self

from llama_gene.errors import ModelError, SettingsError
from llama_gene.inference.client import Client, Refused

Scoring = Literal["texts", "first token", "writing"]

_NUM_TOP = 20  # most that servers give; OpenAI's old completions give 5, and say no to more
_FEW_TOP = 5
_PROBE = "A probe."


@dataclass(frozen=True)
class ReadText:
    """A text as a server reads it.

    Attributes:
        ends: Where each token ends, in characters of the text.
        logprobs: The log-probability of each token after those before it, in nats; 0 of the first, which has none.
    """

    ends: tuple[int, ...]
    logprobs: tuple[float, ...]

    def start_beyond(self, place: int) -> int:
        """Where the first token begins that reaches beyond `place`."""
        starts = (0, *self.ends)
        return next(starts[index] for index, end in enumerate(self.ends) if end > place)

    def beyond(self, place: int) -> tuple[float, int]:
        """The log-probability of what reaches beyond `place`, and of how many tokens that is."""
        kept = [logprob for end, logprob in zip(self.ends, self.logprobs, strict=True) if end > place]
        return sum(kept), len(kept)


class Server:
    """One model of a server.

    Args:
        client: The server.
        model: The model's name there.
        chat: Whether it is asked as a user of a chat, in the template that the server puts around.
    """

    def __init__(self, client: Client, model: str, *, chat: bool) -> None:
        self.client, self.model, self._chat = client, model, chat

    @classmethod
    def find(cls, client: Client, model: str | None, *, chat: bool = False) -> Self:
        """A model by its name, or the only one there.

        Raises:
            SettingsError: There is none of that name, or there are several and none is named.
            ModelError: The server does not answer.
        """
        try:
            listed = client.ask("/models").get("data")
        except Refused as refusal:
            if model is not None:  # it has no list, but may have the model
                return cls(client, model, chat=chat)
            raise SettingsError(f"the server lists no models: {refusal}", hint="name one with --model NAME") from None
        entries = listed if isinstance(listed, list) else []
        names = [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]
        if model is None and len(names) == 1:
            return cls(client, names[0], chat=chat)
        if model not in names:
            problem = f"no model {model!r} on the server" if model else f"the server has {len(names)} models"
            shown = ", ".join(names[:12]) or "none"
            raise SettingsError(problem, where=client.address, hint=f"name one with --model NAME: {shown}")
        return cls(client, model, chat=chat)

    @cached_property
    def scoring(self) -> Scoring:
        """The best way in which this server tells how probable an answer is; found by asking."""
        if not self._chat:
            with suppress(Refused):
                self.read(_PROBE)
                return "texts"
        return "first token" if self._num_top else "writing"

    def read(self, text: str) -> ReadText:
        """The tokens of a text with their log-probabilities.

        Raises:
            Refused: The server does not tell.
        """
        # One token more is written: some servers refuse to write none.
        told = self._complete(text, max_tokens=1, logprobs=1, echo=True).get("logprobs")
        tokens, logprobs = (told.get("tokens"), told.get("token_logprobs")) if isinstance(told, dict) else (None, None)
        if not isinstance(tokens, list) or not isinstance(logprobs, list) or len(tokens) != len(logprobs):
            raise Refused("it gives no log-probabilities of a prompt")
        # Before the text may stand its beginning of text, after it what was written.
        start = "".join(map(str, tokens)).find(text)
        if start < 0:
            raise Refused("it gives no log-probabilities of a prompt")
        ends, kept, place = [], [], -start
        for token, logprob in zip(tokens, logprobs, strict=True):
            if 0 <= place < len(text):
                ends.append(place + len(token))
                kept.append(0.0 if logprob is None else float(logprob))
            place += len(token)
        return ReadText(tuple(ends), tuple(kept))

    def next_tokens(self, text: str) -> dict[str, float]:
        """The most probable next tokens, and their log-probabilities in nats; the most probable first.

        Raises:
            Refused: The server does not take the text.
        """
        return self._next_tokens(text, self._num_top)

    def write(self, text: str, max_tokens: int) -> str:
        """The most probable continuation of a text, token by token.

        Raises:
            Refused: The server does not take the text.
        """
        if not self._chat:
            return str(self._complete(text, max_tokens=max_tokens).get("text") or "")
        message = self._converse(text, max_tokens=max_tokens).get("message")
        return str((message.get("content") if isinstance(message, dict) else None) or "")

    @cached_property
    def knows_spans(self) -> bool:
        """Whether the tag that opens a span of DNA is one token there; known only where texts can be scored."""
        if self.scoring != "texts":
            return False
        ends = self.read("A <dna>A</dna>").ends
        return (2, 7) in pairwise(ends)

    @cached_property
    def _num_top(self) -> int:
        """How many next tokens the server tells of; 0 if none."""
        for num in (_NUM_TOP, _FEW_TOP):
            try:
                if self._next_tokens(_PROBE, num):
                    return num
            except Refused:
                continue
        return 0

    def _next_tokens(self, text: str, num: int) -> dict[str, float]:
        if self._chat:
            told = self._converse(text, max_tokens=1, logprobs=True, top_logprobs=num).get("logprobs")
            content = told.get("content") if isinstance(told, dict) else None
            listed = content[0].get("top_logprobs") if content and isinstance(content[0], dict) else None
            entries = listed if isinstance(listed, list) else []
            found = [(one.get("token"), one.get("logprob")) for one in entries if isinstance(one, dict)]
        else:
            told = self._complete(text, max_tokens=1, logprobs=num).get("logprobs")
            listed = told.get("top_logprobs") if isinstance(told, dict) else None
            found = list(listed[0].items()) if listed and isinstance(listed[0], dict) else []
        known = {str(token): float(value) for token, value in found if isinstance(value, int | float)}
        return dict(sorted(known.items(), key=lambda one: -one[1]))

    def _complete(self, text: str, **options: Any) -> dict[str, Any]:
        return self._choice("/completions", {"prompt": text, **options})

    def _converse(self, text: str, **options: Any) -> dict[str, Any]:
        return self._choice("/chat/completions", {"messages": [{"role": "user", "content": text}], **options})

    def _choice(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        choices = self.client.ask(path, {"model": self.model, "temperature": 0, **question}).get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            raise ModelError("the server answers without any choice", where=self.client.address + path)
        return choice
