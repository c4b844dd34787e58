"""A model of a server is asked as it can be, and answers as it would in this process."""

import time
from pathlib import Path

import numpy as np
import pytest

from inference.stand_in import StandIn
from llama_gene.errors import ModelError, SettingsError
from llama_gene.inference import remote
from llama_gene.inference.client import Client
from llama_gene.inference.opening import open_predictor
from llama_gene.inference.remote import RemoteModel, without_longer
from llama_gene.inference.server import Server
from llama_gene.inference.stock import StockModel
from llama_gene.tasks.task import Task
from nano import CONFORM, FLAGS, PAIR, STRENGTH, examples

SITE = Task.model_validate({**CONFORM.model_dump(), "labels": {"0": "acceptor", "1": "donor", "2": "neither"}})


@pytest.fixture(scope="module")
def local(plain_folder: Path) -> StockModel:
    return StockModel.load(str(plain_folder), "llama-gene")


def impatient(address: str, *, chat: bool = False, timeout_s: float = 5.0) -> RemoteModel:
    client = Client(address, timeout_s=timeout_s, num_attempts=3, wait_s=0.01)
    return RemoteModel(Server.find(client, None, chat=chat), "chat" if chat else "llama-gene")


@pytest.mark.parametrize("task", [CONFORM, SITE, PAIR, STRENGTH], ids=["conform", "site", "pair", "strength"])
def test_texts_are_scored_as_in_this_process(address: str, local: StockModel, task: Task) -> None:
    """All but that a server cannot be asked for an end of text: there a label ends where no longer one goes on."""
    served = open_predictor(address)
    rows, done = examples(task, 4), []
    found = list(served.predict(task, rows, on_done=done.append))
    assert [one.id for one in found] == [row.id for row in rows]
    assert done == [1, 2, 3, 4]
    assert served.record["asked"]["scores"] == "log-probability of each answer's text"
    for one, other in zip(found, local.predict(task, rows), strict=True):
        assert one.probabilities is not None
        assert sum(one.probabilities) == pytest.approx(1)
        if task is not CONFORM:
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        if task is STRENGTH:
            assert one.value == pytest.approx(other.value, abs=1e-4)


def test_a_label_that_begins_another_is_what_no_longer_one_takes() -> None:
    answers, scores = [" Conform", " Conform not", " Conform not at all", " No"], np.log([0.5, 0.2, 0.05, 0.1])
    assert np.exp(without_longer(answers, scores)) == pytest.approx([0.3, 0.15, 0.05, 0.1])
    # Where rounding leaves a longer one more, the shorter one keeps next to nothing.
    assert np.exp(without_longer(answers[:2], np.log([0.2, 0.2000001])))[0] < 1e-10


def test_raw_probabilities_of_texts(address: str, local: StockModel) -> None:
    rows = examples(SITE, 2)
    for one, other in zip(
        open_predictor(address).predict(SITE, rows, kind="raw"), local.predict(SITE, rows, kind="raw"), strict=True
    ):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-3)


@pytest.mark.parametrize("chat", [False, True])
def test_the_first_tokens_are_enough_where_no_two_labels_begin_alike(
    stand_in: StandIn, address: str, chat: bool
) -> None:
    stand_in.echoes, stand_in.most_top = False, 5
    stand_in._top = lambda logprobs, num: {" don": -1.0, " d": -2.0, "acc": -1.5, "x": -3.0}  # type: ignore[method-assign]
    served = impatient(address, chat=chat)
    (one,) = served.predict(SITE, examples(SITE, 1))
    shares = np.exp([-1.5, np.logaddexp(-1.0, -2.0), -3.0])  # of neither at most as much as of x
    assert one.probabilities == pytest.approx(tuple(shares / shares.sum()))
    assert one.answer == "donor"
    assert served.record["asked"]["scores"] == "the most probable first tokens"
    stand_in._top = lambda logprobs, num: {"x": -0.1}  # type: ignore[method-assign]
    (one,) = served.predict(SITE, examples(SITE, 1))
    assert (one.answer, one.probabilities) == ("x", None)
    # "Conform" and "Conform not" begin alike, so the answer is written.
    stand_in.says = " Conform not.\nSince"
    (one,) = served.predict(CONFORM, examples(CONFORM, 1))
    assert (one.answer, one.probabilities) == ("Conform not", None)


@pytest.mark.parametrize("chat", [False, True])
def test_written_answers_are_compared_strictly(stand_in: StandIn, address: str, chat: bool) -> None:
    stand_in.echoes, stand_in.most_top = False, 0
    served = impatient(address, chat=chat)
    for said, answer in {" conform": "Conform", "Not Conform": "Not Conform", "Conform not!": "Conform not!"}.items():
        stand_in.says = said
        (one,) = served.predict(CONFORM, examples(CONFORM, 1))
        assert (one.answer, one.probabilities) == (answer, None)
    for said, value in {" 0.25\n": 0.25, "about 1": None, "nan": None}.items():
        stand_in.says = said
        (one,) = served.predict(STRENGTH, examples(STRENGTH, 1))
        assert one.value == value
    stand_in.says = "\nleaf, root\nand more"
    (one,) = served.predict(FLAGS, examples(FLAGS, 1))
    assert one.answer == "leaf, root"
    assert "no probabilities" in served.record["asked"]["scores"]


def test_what_a_chat_is_asked(stand_in: StandIn, address: str) -> None:
    list(impatient(address, chat=True).predict(SITE, examples(SITE, 1)))
    path, body, _ = stand_in.asked[-1]
    assert path == "/v1/chat/completions"
    asked = "Does it conform? The result will be one of the following: acceptor, donor, neither."
    assert body["messages"] == [{"role": "user", "content": f"{asked}\n{examples(SITE, 1)[0].sequences[0]}"}]
    assert (body["temperature"], body["model"]) == (0, "nano")


def test_a_served_model_of_ours_is_asked_in_typed_spans(nano_folder: Path, plain_folder: Path) -> None:
    ours = StockModel.load(str(nano_folder), "llama-gene")
    with StandIn(ours).running() as address:
        served = open_predictor(address)
        assert served.record["asked"]["sequences"] == "typed spans"
        for one, two in zip(
            served.predict(PAIR, examples(PAIR, 3)), ours.predict(PAIR, examples(PAIR, 3)), strict=True
        ):
            assert one.probabilities == pytest.approx(two.probabilities, abs=1e-5)
    with StandIn(StockModel.load(str(plain_folder), "llama-gene")).running() as address:
        assert open_predictor(address).record["asked"]["sequences"] == "bare"


def test_requests_are_made_eight_at_a_time(stand_in: StandIn, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.echoes, stand_in.most_top, stand_in.says = False, 0, "donor"
    served = impatient(address)
    assert served.record  # the probes come one after the other
    stand_in.seconds = 0.1
    started = time.monotonic()
    assert len(list(served.predict(SITE, examples(SITE, 32)))) == 32
    assert 1 < stand_in.most_at_once <= remote.NUM_AT_ONCE
    assert time.monotonic() - started < 32 * 0.1


def test_a_passing_failure_is_waited_out(stand_in: StandIn, address: str) -> None:
    served = impatient(address)
    stand_in.failures = [503, 429]
    assert len(list(served.predict(SITE, examples(SITE, 1)))) == 1
    stand_in.failures = [500] * 3
    with pytest.raises(ModelError, match=r"does not answer \(it answers 500 .*\)\n  3 attempts were made"):
        served._server.client.ask("/models")


def test_a_server_that_is_silent_or_is_not_there_raises(stand_in: StandIn, address: str) -> None:
    stand_in.seconds = 0.5
    with pytest.raises(ModelError, match=r"does not answer .*timed out"):
        impatient(address, timeout_s=0.05)
    with pytest.raises(ModelError, match="does not answer"):
        impatient("http://127.0.0.1:9/v1")


def test_a_sequence_that_the_server_refuses_is_shortened(stand_in: StandIn, address: str) -> None:
    stand_in.context = 60
    served = impatient(address)
    short, long = served.predict(SITE, [*examples(SITE, 1, 12), *examples(SITE, 1, 300)])
    assert short.num_cut == 0
    assert 200 < long.num_cut < 300
    stand_in.context = 5
    with pytest.raises(ModelError, match="the server refuses row 'row0', however short: it answers 400"):
        list(served.predict(SITE, examples(SITE, 1)))


def test_the_key_comes_from_the_environment(stand_in: StandIn, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(address)
    monkeypatch.setenv("OPENAI_API_KEY", "second")
    impatient(address)
    monkeypatch.setenv("LLAMA_GENE_API_KEY", "first")
    impatient(address)
    assert [key for _, _, key in stand_in.asked] == [None, "Bearer second", "Bearer first"]
    stand_in.failures = [401]
    with pytest.raises(ModelError, match=r"it answers 401 .*\n  set LLAMA_GENE_API_KEY to a key that it takes"):
        impatient(address)
    with pytest.raises(SettingsError, match="an API key would be sent over http"):
        Client("http://example.org/v1")
    # It goes to no other place either.
    stand_in.failures = [307]
    with pytest.raises(SettingsError, match="the server lists no models: it answers 307"):
        impatient(address)


@pytest.mark.parametrize("address", ["ftp://host/v1", "http://", "http://host/v1?x=1"])
def test_an_address_that_is_none_raises(address: str) -> None:
    with pytest.raises(SettingsError, match="no address of a server"):
        Client(address)


def test_a_model_that_the_server_does_not_have_raises(stand_in: StandIn, address: str) -> None:
    with pytest.raises(SettingsError, match="no model 'other' on the server\n  name one with --model NAME: nano"):
        open_predictor(address, served="other")
    stand_in.failures = [404]  # it has no list
    assert open_predictor(address, served="other").record["base"].startswith("other at http://")


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": ["x"]}])
def test_an_answer_without_a_choice_raises(stand_in: StandIn, address: str, answer: dict[str, object]) -> None:
    served = impatient(address)
    stand_in.answer = lambda path, body: (200, answer)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="the server answers without any choice"):
        list(served.predict(SITE, examples(SITE, 1)))


def test_a_choice_of_another_shape_has_no_probabilities(stand_in: StandIn, address: str) -> None:
    served = impatient(address)
    stand_in.answer = lambda path, body: (200, {"choices": [{"logprobs": {"tokens": ["a"]}}]})  # type: ignore[method-assign]
    (one,) = served.predict(SITE, examples(SITE, 1))
    assert (one.answer, one.probabilities) == ("", None)
