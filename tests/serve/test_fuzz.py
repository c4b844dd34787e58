"""Requests made from the server's own schema: none may crash it, and every answer is as the schema says.

``make fuzz-serve`` does the same for longer.
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serve.conftest import Client

NUM_EXAMPLES = int(os.environ.get("LLAMA_GENE_FUZZ_EXAMPLES", "6"))
OPERATIONS = {
    "POST /v1/predict", "POST /v1/explain", "POST /v1/completions", "POST /v1/chat/completions",
    "GET /v1/tasks", "GET /v1/card", "GET /v1/models", "GET /v1/models/{name}",
    "GET /healthz", "GET /readyz", "GET /metrics",
}  # fmt: skip
# What fits the schema may still name no task of the model, or letters of another alphabet: the answer says so.
NOT_PROMISED = [positive_data_acceptance]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_as_the_schema_says(client: Client, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{client.port}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.label for operation in operations} == OPERATIONS
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
            continue  # there is nothing in it that could be wrong

        @seed(5)
        @settings(max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy(generation_mode=mode))
        def asked(case: schemathesis.Case) -> None:
            case.call_and_validate(excluded_checks=NOT_PROMISED)
            assert client.server.worker.is_alive

        asked()
    assert client.get("/readyz").status == 200
