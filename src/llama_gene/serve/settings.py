"""What a server takes, and how much of it: every limit there is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server.

    Args:
        body_bytes: Largest body of a request.
        body_seconds: A client has so long to send it.
        records: Most records in a request.
        letters: Longest sequence; what is longer than the model's context is shortened, as in training.
        explained: Letters of a sequence that an explanation mutates; each costs as many predictions as it has
            alternatives.
        explaining: Most explanations that wait or are made; more are told to come again.
        waiting: Most requests that wait; more are told to come again.
        batch_tokens: Prompt tokens that are computed together.
        writing: Most texts that are written at the same time.
        new_tokens: Most tokens that a request may ask for.
        seconds: After so long a request is given up.
        rate: Requests a second that one address may send, in the mean; 0 for any number.
        drain_seconds: A server that is told to stop has so long to answer what it took.
    """

    body_bytes: int = 8 << 20
    body_seconds: float = 30.0
    records: int = 2_000
    letters: int = 1_000_000
    explained: int = 80
    explaining: int = 4
    waiting: int = 256
    batch_tokens: int = 16_384
    writing: int = 32
    new_tokens: int = 1_024
    seconds: float = 120.0
    rate: float = 100.0
    drain_seconds: float = 30.0
