"""A model of an OpenAI-compatible server that is given ids, not texts: whoever made them knows what every token is.

vLLM takes prompts so. What is asked for is part of OpenAI's completions: ``prompt`` as lists of ids, ``echo`` with
``logprobs``, ``stream``.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import ModelError
from llama_gene.inference.client import Refused
from llama_gene.inference.decode import Sampling
from llama_gene.inference.server import Server
from llama_gene.tokenizer import GeneTokenizer

_AT_ONCE = 64  # prompts in one request
_PROBE = "A <dna>ACGT</dna> and a <protein>MKV</protein>"


@dataclass(frozen=True, slots=True)
class Piece:
    """What a server wrote since the last piece.

    Attributes:
        text: The text.
        tokens: Its tokens with their log-probabilities in nats; of a server that does not tell, the text at 0.
        finish: Why the text ends; None if it goes on.
    """

    text: str
    tokens: tuple[tuple[str, float], ...]
    finish: str | None


class IdServer(Server):
    """One model of a server, asked by ids; see `Server`."""

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and what follows it, where the server tells."""
        try:
            listed = self.client.ask("/models").get("data")
        except Refused:
            return None
        for entry in listed if isinstance(listed, list) else []:
            if (
                isinstance(entry, dict)
                and entry.get("id") == self.model
                and isinstance(entry.get("max_model_len"), int)
            ):
                return int(entry["max_model_len"])
        return None

    def require_tokens_of(self, tokenizer: GeneTokenizer) -> None:
        """Check that the server takes ids, tells how probable they are, and has the tokens of `tokenizer`.

        Raises:
            ModelError: It does not.
        """
        hint = "serve the folder that is named here, with an engine that takes ids and gives their logprobs: vllm serve"
        try:
            by_ids, by_text = (self._echoed([given])[0]["tokens"] for given in (tokenizer.encode(_PROBE), _PROBE))
        except Refused as refusal:
            raise ModelError(f"it cannot be a backend: {refusal}", where=self.client.address, hint=hint) from None
        # Before a text it may put a beginning of text of its own; and the first token of all may be spelled otherwise.
        if by_text[1 - len(by_ids) :] != by_ids[1:]:
            problem = f"its model {self.model!r} has other tokens than the folder's tokenizer"
            raise ModelError(problem, where=self.client.address, hint=hint)

    def score(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The log-probability of each answer after a prompt, float64[num_answers], in nats.

        Raises:
            Refused: The server does not take the prompt, or does not tell.
            ModelError: It does not answer.
        """
        scores = []
        for start in range(0, len(answers), _AT_ONCE):
            part = answers[start : start + _AT_ONCE]
            for answer, told in zip(part, self._echoed([[*prompt, *answer] for answer in part]), strict=True):
                scores.append(sum(map(float, told["token_logprobs"][len(prompt) : len(prompt) + len(answer)])))
        return np.array(scores)

    def stream(
        self, prompt: Sequence[int], max_tokens: int, sampling: Sampling, stop: Sequence[str], ends: Sequence[int]
    ) -> Generator[Piece]:
        """What the server writes after a prompt, as it comes.

        Args:
            prompt: Its ids.
            max_tokens: At most so many tokens.
            sampling: How they are drawn.
            stop: Texts that end it.
            ends: Tokens that end it, beside the model's own.

        Raises:
            Refused: The server does not take the prompt.
            ModelError: It does not answer, or breaks off.
        """
        question: dict[str, Any] = {
            "model": self.model,
            "prompt": list(prompt),
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "logprobs": 1,
        }
        question |= {} if sampling.seed is None else {"seed": sampling.seed}
        question |= {"stop": list(stop)} if stop else {}
        question |= {"stop_token_ids": list(ends)} if ends else {}
        for event in self.client.stream("/completions", question):
            if "error" in event:
                raise ModelError(f"the server breaks off: {event['error']}"[:300], where=self.client.address)
            choices = event.get("choices")
            if not isinstance(choices, list) or not choices:
                continue  # what the text has cost
            text, told = str(choices[0].get("text") or ""), choices[0].get("logprobs")
            finish = choices[0].get("finish_reason")
            tokens = tuple(zip(told["tokens"], told["token_logprobs"], strict=True)) if told else ((text, 0.0),)
            if finish == "stop" and not text:
                tokens = ()  # what ends a text is no part of it
            yield Piece(text, tokens, finish)

    def _echoed(self, prompts: Sequence[Sequence[int] | str]) -> list[dict[str, Any]]:
        """The tokens of each prompt, and their log-probabilities."""
        # One token more is written: some servers refuse to write none.
        question = {"prompt": list(prompts), "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        choices = self.client.ask("/completions", {"model": self.model, **question}).get("choices")
        if not isinstance(choices, list) or len(choices) != len(prompts):
            raise ModelError("the server does not answer every prompt", where=self.client.address)
        found = [choice.get("logprobs") for choice in sorted(choices, key=lambda choice: choice.get("index", 0))]
        for told, prompt in zip(found, prompts, strict=True):
            logprobs = told.get("token_logprobs") if isinstance(told, dict) else None
            if not isinstance(logprobs, list) or len(logprobs) <= (0 if isinstance(prompt, str) else len(prompt)):
                raise Refused("it gives no log-probabilities of a prompt")
            told["tokens"] = told["tokens"][:-1]
        return found
