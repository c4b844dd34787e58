"""What ``/metrics`` counts, in the form that Prometheus reads."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Telemetry:
    """Counts of one server, in a registry of its own.

    Attributes:
        requests: Answered requests by path, as the route has it, and status.
        seconds: From the first byte of a request to the last of its answer, by path.
        batch_rows: Rows in each batch of predictions.
        rows: Rows predicted, by task.
        prompt_tokens: Tokens of prompts that texts were written to.
        new_tokens: Tokens written.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        self.requests = Counter("llama_gene_requests", "Answered requests.", ["path", "status"], registry=to)
        self.seconds = Histogram(
            "llama_gene_request_seconds", "Time to an answer.", ["path"], buckets=_SECONDS, registry=to
        )
        self.batch_rows = Histogram(
            "llama_gene_batch_rows", "Rows in a batch of predictions.", buckets=_ROWS, registry=to
        )
        self.rows = Counter("llama_gene_predicted_rows", "Rows predicted.", ["task"], registry=to)
        self.prompt_tokens = Counter("llama_gene_prompt_tokens", "Tokens of prompts.", registry=to)
        self.new_tokens = Counter("llama_gene_written_tokens", "Tokens written.", registry=to)

    def watch_queue(self, num_waiting: Callable[[], int]) -> None:
        """Show how many requests wait."""
        gauge = Gauge("llama_gene_waiting_requests", "Requests that wait.", registry=self.registry)
        gauge.set_function(num_waiting)

    def text(self) -> bytes:
        """All counts."""
        return generate_latest(self.registry)
