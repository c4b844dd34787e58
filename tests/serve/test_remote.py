"""Another server computes, here a stand-in: it answers as the model in this process, and its failures are told."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny
from inference.stand_in import StandIn
from llama_gene.errors import ModelError, SettingsError
from llama_gene.inference.by_ids import IdServer
from llama_gene.inference.client import Client
from llama_gene.inference.stock import StockModel
from llama_gene.serve.remote import RemoteBackend, RemoteFolder
from nano import CONFORM, FLAGS, PAIR, STRENGTH, examples
from serve.conftest import Client as Asking
from serve.conftest import Serve


@pytest.fixture(scope="module")
def local(tuned_folder: Path) -> StockModel:
    return StockModel.load(str(tuned_folder), "llama-gene")


@pytest.fixture
def remote(address: str, tuned_folder: Path, serve: Serve) -> Asking:
    client = Client(address, timeout_s=5, num_attempts=2, wait_s=0.01)
    return serve(RemoteBackend(RemoteFolder(tuned_folder), "nano", IdServer.find(client, None)))


def test_predictions_are_those_of_the_model_in_this_process(remote: Asking, client: Asking) -> None:
    for task in (CONFORM, PAIR, STRENGTH, FLAGS):
        rows = [list(row.sequences) for row in examples(task, 2, 90 if task is CONFORM else 20)]
        found, wanted = (one.predict(task.name, *rows).json["results"] for one in (remote, client))
        for mine, theirs in zip(found, wanted, strict=True):
            assert (mine["answer"], mine["cut_tokens"]) == (theirs["answer"], theirs["cut_tokens"])
            assert (mine["probabilities"] or {}) == pytest.approx(theirs["probabilities"] or {}, abs=1e-4)
            assert mine["value"] == pytest.approx(theirs["value"], abs=1e-4)
    listed, wanted = (one.get("/v1/tasks").json["tasks"] for one in (remote, client))
    assert listed == [{**task, "explained": False} for task in wanted]
    refused = remote.post("/v1/explain", {"task": "conform", "record": {"sequences": ["ACGT"]}})
    assert (refused.status, refused.json["error"]["code"]) == (501, "not_explained")
    assert remote.get("/v1/card").json["markdown"].startswith("No model card")


def test_texts_and_chats_are_passed_on_as_they_come(remote: Asking, client: Asking, stand_in: StandIn) -> None:
    body = {"model": "nano", "prompt": "<dna>ACG", "max_tokens": 8, "temperature": 0, "logprobs": 1}
    found, wanted = (one.post("/v1/completions", body).json for one in (remote, client))
    assert (found["choices"][0]["text"], found["usage"]) == (wanted["choices"][0]["text"], wanted["usage"])
    assert found["choices"][0]["finish_reason"] == wanted["choices"][0]["finish_reason"]
    mine, theirs = (one["choices"][0]["logprobs"] for one in (found, wanted))
    assert mine["tokens"] == theirs["tokens"]
    # Rows that only round up the matrix count over there, and not here.
    assert mine["token_logprobs"] == pytest.approx(theirs["token_logprobs"], abs=0.2)
    said = [{"role": "user", "content": "Does it conform?\n<dna>ACGTACGT</dna>"}]
    chat = {"model": "nano", "messages": said, "max_tokens": 8, "temperature": 0}
    mine, theirs = (one.post("/v1/chat/completions", chat).json["choices"] for one in (remote, client))
    assert mine == theirs
    asked = stand_in.asked[-1][1]
    assert asked["prompt"] == remote.server.backend.tokenizer.encode("Does it conform?\n<dna>ACGTACGT</dna>\nAnswer:")
    streamed = remote.post("/v1/completions", {**body, "stream": True, "stop": ["@"], "seed": 3}).body.decode()
    assert streamed.count("data: {") > 1
    assert streamed.endswith("data: [DONE]\n\n")
    asked = stand_in.asked[-1][1]
    assert (asked["stop"], asked["seed"]) == (["@"], 3)


def test_who_does_not_wait_ends_the_text_over_there(
    stand_in: StandIn, address: str, tuned_folder: Path, serve: Serve
) -> None:
    backend = RemoteBackend(RemoteFolder(tuned_folder), "nano", IdServer.find(Client(address), None))
    impatient = serve(backend, seconds=0.3)
    stand_in.seconds = 0.05
    stand_in.model.tokenizer.eos_id, kept = -1, stand_in.model.tokenizer.eos_id  # it would never end
    try:
        reply = impatient.post("/v1/completions", {"model": "nano", "prompt": "<dna>ACG", "max_tokens": 100})
        assert reply.status == 504
        for _ in range(200):
            if stand_in.num_left and not impatient.server.worker.num_waiting:
                break
            time.sleep(0.05)
        assert stand_in.num_left == 1
        assert stand_in.num_streamed < 60
    finally:
        stand_in.model.tokenizer.eos_id = kept


def test_its_failures_are_told_and_pass(remote: Asking, stand_in: StandIn) -> None:
    body = {"model": "nano", "prompt": "<dna>ACG", "max_tokens": 2, "temperature": 0}
    # Two attempts, and two for the request on its own.
    stand_in.failures = [500] * 4
    refused = remote.predict("conform", "ACGT")
    assert (refused.status, refused.json["error"]["code"]) == (503, "backend_failed")
    assert refused.message.startswith("the model's server fails: the server does not answer (it answers 500")
    stand_in.failures = [503]
    assert remote.post("/v1/completions", body).message.startswith("the model's server fails: it answers 503")
    stand_in.failures = [400]
    assert remote.post("/v1/completions", body).message.startswith("the model's server refuses it: it answers 400")
    stand_in.events = lambda body: iter([{"choices": []}])  # type: ignore[method-assign]
    broken = remote.post("/v1/completions", body)
    assert broken.message.startswith("the model's server fails: the server breaks off in the middle of a text")
    assert remote.predict("conform", "ACGT").status == 200
    assert remote.server.worker.num_waiting == 0


def test_a_server_that_cannot_be_a_backend_is_refused_at_the_start(
    stand_in: StandIn, address: str, tuned_folder: Path, plain_folder: Path
) -> None:
    with pytest.raises(SettingsError, match="no model 'other' on the server"):
        RemoteBackend.connect(tuned_folder, "nano", address, "other")
    refused = r"it cannot be a backend: it answers 400 .*\n  serve the folder .* vllm serve"
    ids_of, stand_in._ids = stand_in._ids, lambda prompt: ids_of(prompt)[:: -1 if isinstance(prompt, str) else 1]  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="its model 'nano' has other tokens than the folder's tokenizer"):
        RemoteBackend.connect(tuned_folder, "nano", address, None)
    stand_in.model = StockModel.load(str(plain_folder), "llama-gene")
    with pytest.raises(ModelError, match=refused):
        RemoteBackend.connect(tuned_folder, "nano", address, None)
    stand_in.echoes = False
    with pytest.raises(ModelError, match=refused):
        RemoteBackend.connect(tuned_folder, "nano", address, None)
    with pytest.raises(ModelError, match=r"no llama_gene.json: this model does not know DNA"):
        RemoteBackend.connect(plain_folder, "nano", address, None)


def test_neither_a_backend_nor_its_start_loads_torch(address: str, tuned_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from llama_gene.cli.serve import _load;"
        f" _load(Path({str(tuned_folder)!r}), None, {address!r}, 'nano'); sys.exit('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], env=tiny.environment(), check=False, timeout=120).returncode == 0
    )
