"""``/v1/predict`` answers what the engine answers, and refuses the rest with one clear message."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from llama_gene.inference.engine import Engine
from llama_gene.inference.temperature import keep_temperature
from llama_gene.serve.backend import EngineBackend
from llama_gene.tasks.task import Example
from nano import CONFORM, FLAGS, PAIR, STRENGTH, examples
from serve.conftest import Client, Serve


def rows(task: Any, number: int = 5) -> list[Example]:
    return [Example(row.id, row.sequences) for row in examples(task, number)]


@pytest.mark.parametrize("task", [CONFORM, STRENGTH, PAIR, FLAGS], ids=lambda task: task.name)
def test_answers_are_those_of_the_engine(client: Client, nano_backend: EngineBackend, task: Any) -> None:
    asked = rows(task)
    records = [{"id": row.id, "sequences": list(row.sequences)} for row in asked]
    reply = client.post("/v1/predict", {"task": task.name, "records": records, "model": "nano"})
    assert reply.status == 200
    assert (reply.json["model"], reply.json["task"], reply.json["kind"]) == ("nano", task.name, task.kind)
    expected = nano_backend.predict(nano_backend.tasks[task.name], asked, 16_384)
    for found, wanted in zip(reply.json["results"], expected, strict=True):
        assert (found["id"], found["answer"], found["cut_tokens"]) == (wanted.id, wanted.answer, 0)
        if task.kind == "classification":
            assert wanted.probabilities is not None
            assert list(found["probabilities"]) == list(task.label_names)
            assert list(found["probabilities"].values()) == pytest.approx(list(wanted.probabilities), abs=1e-6)
            assert found["probability"] == max(found["probabilities"].values())
        else:
            assert found["probabilities"] is None
            assert found["value"] == pytest.approx(wanted.value, abs=1e-6)


def test_probabilities_are_calibrated_where_a_temperature_is_kept(
    tuned_folder: Path, tmp_path: Path, serve: Serve, client: Client
) -> None:
    shutil.copytree(tuned_folder, tmp_path / "kept")
    for task in ("conform", "strength"):  # of numbers there are no probabilities to calibrate
        keep_temperature(tmp_path / "kept", task, 2.0, "12 rows")
    kept = serve(EngineBackend(Engine.load(tmp_path / "kept"), "kept"))
    bare, calibrated = (one.predict("conform", "ACGTACGT").json for one in (client, kept))
    assert (bare["calibrated"], calibrated["calibrated"]) == (False, True)
    roots = [p**0.5 for p in bare["results"][0]["probabilities"].values()]
    found = list(calibrated["results"][0]["probabilities"].values())
    assert found == pytest.approx([root / sum(roots) for root in roots], abs=1e-6)
    assert calibrated["results"][0]["probability"] == max(found)
    assert kept.predict("pair", ["ACGT", "MKV"]).json["calibrated"] is False
    assert kept.predict("strength", "ACGT").json["calibrated"] is False


def test_fasta_as_it_is_and_in_json_is_the_same(client: Client) -> None:
    fasta = ">one first\nACGT\nacgu\n>two\nTTGACA\n"
    bare = client.send("POST", "/v1/predict?task=conform", fasta.encode(), {"Content-Type": "text/x-fasta"})
    inside = client.post("/v1/predict", {"task": "conform", "fasta": [fasta]})
    assert (bare.status, inside.status) == (200, 200)
    assert bare.json == inside.json
    named = client.predict("conform", "ACGTACGT", "TTGACA").json["results"]
    assert bare.json["results"] == [{**row, "id": name} for row, name in zip(named, ["one", "two"], strict=True)]


def test_pairs_go_together_by_their_place(client: Client) -> None:
    dna, proteins = ">g1\nACGTAC\n>g2\nTTTTAA\n", ">p1\nMKLV\n>p2\nMLLA\n"
    reply = client.post("/v1/predict", {"task": "pair", "fasta": [dna, proteins]})
    assert [row["id"] for row in reply.json["results"]] == ["g1", "g2"]
    pairs = client.predict("pair", ["ACGTAC", "MKLV"], ["TTTTAA", "MLLA"]).json["results"]
    assert [row["probability"] for row in reply.json["results"]] == [row["probability"] for row in pairs]
    uneven = client.post("/v1/predict", {"task": "pair", "fasta": [dna, ">p1\nMKLV\n"]})
    assert (uneven.status, uneven.message) == (
        422,
        "not the same number of records: A 2, B 1; the first goes with the first, and so on",
    )


def test_what_is_longer_than_the_context_is_shortened_and_said_to_be(client: Client) -> None:
    (found,) = client.predict("conform", "ACGTTGCA" * 200).json["results"]
    assert found["cut_tokens"] > 300


def test_letters_outside_the_alphabet_get_the_policy_asked_for(client: Client) -> None:
    body = {"task": "conform", "records": [{"id": "odd", "sequences": ["ACGEACG"]}]}
    refused = client.post("/v1/predict", body)
    assert refused.status == 422
    assert refused.message.startswith("record 'odd': 1 letter outside the DNA alphabet: 'E' (1)")
    for policy, same in (("drop", "ACGACG"), ("mask", "ACGNACG")):
        (found,) = client.post("/v1/predict", {**body, "bad_letters": policy}).json["results"]
        (wanted,) = client.predict("conform", same).json["results"]
        assert found["probability"] == wanted["probability"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"task": "conform", ', 400, "not valid JSON: EOF while parsing"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"", 400, "not valid JSON"),
        ({"task": "conform"}, 422, "give either records or fasta"),
        ({"task": "conform", "records": []}, 422, "records: List should have at least 1 item"),
        ({"task": "conform", "record": [{"sequences": ["A"]}]}, 422, "record"),
        ({"task": "conform", "records": [{"sequences": [7]}]}, 422, "records.0.sequences.0: Input should be a valid"),
        ({"task": "splice", "records": [{"sequences": ["A"]}]}, 404, "no task 'splice'; known: conform, flags, pair"),
        ({"task": "../../etc/passwd", "records": [{"sequences": ["A"]}]}, 404, "no task '../../etc/passwd'"),
        ({"task": "conform", "model": "gpt", "records": [{"sequences": ["A"]}]}, 404, "no model 'gpt'; this is 'nano'"),
        ({"task": "conform", "records": [{"sequences": ["A", "C"]}]}, 422, "record '1' has 2 sequences, and task"),
        ({"task": "conform", "records": [{"sequences": [""]}]}, 422, "record '1': the sequence is empty"),
        ({"task": "conform", "records": [{"sequences": ["A" * 2001]}]}, 413, "record '1' has 2,001 letters, and at"),
        ({"task": "conform", "records": [{"sequences": ["A"]}] * 51}, 413, "more than 50 records in one request"),
        ({"task": "conform", "fasta": [">a\nA\n" * 51]}, 413, "more than 50 records in one request"),
        ({"task": "conform", "fasta": ["ACGT"]}, 400, "fasta:1: the format is not known"),
        ({"task": "conform", "fasta": [" "]}, 400, "fasta: no records, only blank lines"),
        ({"task": "conform", "fasta": [">a\n>b\nACGT"]}, 422, "fasta:1: record 'a': the sequence is empty"),
        ({"task": "conform", "fasta": [">a\nMKVLQ"]}, 422, "is this protein?"),
    ],
)
def test_what_cannot_be_answered_is_refused(client: Client, body: Any, status: int, message: str) -> None:
    reply = client.post("/v1/predict", body)
    assert (reply.status, message in reply.message) == (status, True), reply.body
    assert client.get("/readyz").json == {"status": "ok"}


def test_other_content_types_and_fasta_without_a_task_are_refused(client: Client) -> None:
    for kind in ("", "text/html", "multipart/form-data"):
        reply = client.send("POST", "/v1/predict", b"{}", {"Content-Type": kind})
        assert (reply.status, f"content type '{kind}' is not read" in reply.message) == (415, True)
    reply = client.send("POST", "/v1/predict", b">a\nA", {"Content-Type": "text/plain"})
    assert (reply.status, reply.message) == (422, "no task; say which: POST /v1/predict?task=NAME")


def test_a_name_that_is_html_comes_back_as_it_was_and_as_json(client: Client) -> None:
    name = "<script>alert(1)</script>"
    reply = client.post("/v1/predict", {"task": "conform", "records": [{"id": name, "sequences": ["ACGT"]}]})
    assert reply.json["results"][0]["id"] == name
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in reply.headers["content-security-policy"]


def test_tasks_are_listed_as_the_model_knows_them(client: Client) -> None:
    found = {task["name"]: task for task in client.get("/v1/tasks").json["tasks"]}
    assert list(found) == ["conform", "flags", "pair", "strength"]
    assert found["pair"]["inputs"] == [{"role": "A", "kind": "dna"}, {"role": "B", "kind": "protein"}]
    assert found["conform"]["labels"] == ["Conform not", "Conform"]
