"""``/v1/explain`` tells which letters decided, as `llama-gene predict --explain` does, within bounds."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llama_gene.inference.attribution import attribute
from llama_gene.serve.backend import EngineBackend
from llama_gene.tasks.task import Example
from serve.conftest import Client, Serve
from serve.test_server import SlowBackend, wait_for


def explain(client: Client, task: str, *sequences: str, **more: Any) -> Any:
    return client.post("/v1/explain", {"task": task, "record": {"id": "a", "sequences": list(sequences)}, **more})


@pytest.mark.parametrize(("task", "label"), [("conform", "Conform not"), ("strength", None)])
def test_it_is_the_attribution_of_the_engine(
    client: Client, nano_backend: EngineBackend, task: str, label: str | None
) -> None:
    found = explain(client, task, "ACGTTGCA", label=label).json
    engine = nano_backend._engine
    wanted = attribute(engine, engine.task(task), Example("a", ("ACGTTGCA",)), label=label)
    assert (found["id"], found["answer"], found["output"]) == ("a", wanted.answer, wanted.target.unit)
    assert (found["probability"], found["value"]) == pytest.approx((wanted.probability, wanted.output), abs=1e-4)
    ((told,), (part,)) = found["sequences"], wanted.sequences
    assert (told["first"], told["letters"]) == (1, "ACGTTGCA")
    assert told["mutagenesis"] == pytest.approx(part.effects, abs=1e-4)
    assert told["gradients"] == pytest.approx(part.gradients, abs=1e-4)
    assert list(told["logos"]) == ["in-silico mutagenesis", "integrated gradients"]
    assert all(drawn.startswith('<div class="logo"') for drawn in told["logos"].values())


def test_of_a_long_sequence_only_so_many_letters_are_explained(client: Client) -> None:
    one, other = explain(client, "pair", "ACGT" * 4, "MKV").json["sequences"]
    assert (one["kind"], other["kind"], other["letters"]) == ("dna", "protein", "MKV")
    (part,) = explain(client, "conform", "ACGTTGCA" * 30).json["sequences"]
    assert len(part["letters"]) == 80
    assert part["title"].endswith("of 240, the strongest part of the DNA")


def test_what_is_not_explained(client: Client) -> None:
    for task, sequences, more, status, message in (
        ("flags", ["ACGT"], {}, 422, "task 'flags' (multilabel) cannot be explained"),
        ("conform", ["ACGT"], {"label": "yes"}, 422, "has no label 'yes'; its labels: Conform not, Conform"),
        ("conform", ["MKVLQ"], {}, 422, "record 'a': 2 letters outside the DNA alphabet"),
        ("conform", ["ACGT", "A"], {}, 422, "record 'a' has 2 sequences"),
        ("conform", ["A" * 2001], {}, 413, "has 2,001 letters"),
        ("none", ["ACGT"], {}, 404, "no task 'none'"),
    ):
        refused = explain(client, task, *sequences, **more)
        assert (refused.status, message in refused.message) == (status, True), refused.body
    told = {task["name"]: task["explained"] for task in client.get("/v1/tasks").json["tasks"]}
    assert told == {"conform": True, "flags": False, "pair": True, "strength": True}


def test_few_explanations_wait_and_predictions_come_between(serve: Serve, nano_backend: EngineBackend) -> None:
    slow = SlowBackend(nano_backend)
    client = serve(slow, explaining=2)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(explain, client, "conform", "ACGT")
        wait_for(client, 1)
        second = pool.submit(explain, client, "conform", "ACGT")
        wait_for(client, 2)
        refused = explain(client, "conform", "ACGT")
        assert (refused.status, refused.headers["retry-after"]) == (429, "2")
        assert refused.message == "2 explanations are asked for already, and no more may be; ask again later"
        predicted = pool.submit(client.predict, "conform", "ACGT")
        wait_for(client, 3)
        slow.gate.set()
        assert [future.result().status for future in (first, second, predicted)] == [200] * 3
    assert explain(client, "conform", "ACGT").status == 200
