"""The part of OpenAI's interface that is spoken here; what is not is refused, and not passed over."""

import time
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import ConfigDict, Field, StringConstraints

from llama_gene.serve.schema import Name, Request

Stop = Annotated[str, StringConstraints(min_length=1, max_length=100)]
# What would change nothing may be said.
_Zero = Annotated[float, Field(ge=0, le=0)]
_One = Annotated[int, Field(ge=1, le=1)]


class StreamOptions(Request):
    """What comes with a stream."""

    include_usage: bool = False


class WriteRequest(Request):
    """What both ways of asking for text have."""

    model: Name = Field(description="The id from `/v1/models`.")
    max_tokens: int | None = Field(None, ge=1, description="Most new tokens.")
    temperature: float = Field(1.0, ge=0, le=2, description="0 takes the most probable token each time.")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=1000, description="Not looked at.")
    n: _One = 1
    presence_penalty: _Zero = 0.0
    frequency_penalty: _Zero = 0.0

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionRequest(WriteRequest):
    """Go on with a text. A sequence stands between its tags, `<dna>ACGT`, and is written on inside of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"model": "quickstart", "prompt": "<dna>ACGTTGCA", "max_tokens": 16}]},
    )

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=64)]
    logprobs: int | None = Field(None, ge=0, le=1, description="With it the log-probability of each token comes, too.")
    echo: Literal[False] = False
    best_of: _One = 1

    @property
    def prompts(self) -> list[str]:
        """Every text to go on with."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class Message(Request):
    """Something that was said."""

    role: Literal["system", "user", "assistant"]
    content: str
    name: str | None = Field(None, max_length=100, description="Not looked at.")


class ChatRequest(WriteRequest):
    """Answer a conversation. Sequences in it are found, with or without tags around them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "model": "quickstart",
                    "messages": [{"role": "user", "content": "Is there a promoter?\n<dna>GGGCGGTATAAAAGGC</dna>"}],
                    "temperature": 0,
                }
            ]
        },
    )

    messages: list[Message] = Field(min_length=1, max_length=200)
    max_completion_tokens: int | None = Field(None, ge=1, description="As `max_tokens`.")


def frame(kind: str, model: str) -> dict[str, Any]:
    """What every answer, or piece of one, begins with."""
    prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
    return {"id": f"{prefix}-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def usage(num_prompt: int, num_new: int) -> dict[str, int]:
    """Tokens read and written."""
    return {"prompt_tokens": num_prompt, "completion_tokens": num_new, "total_tokens": num_prompt + num_new}
