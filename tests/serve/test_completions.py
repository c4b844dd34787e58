"""OpenAI's own client asks, and gets what the model writes; prompts are those of training and evaluation."""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import torch

from llama_gene.inference.decode import Row, RunningBatch, Sampling
from llama_gene.inference.score import CandidateScorer
from llama_gene.serve.backend import EngineBackend
from llama_gene.tasks.template import PromptEncoder, prompt_parts
from llama_gene.tokenizer import render
from nano import CONFORM, PAIR, examples
from serve.conftest import Client, Serve

PROMPTS = ("<dna>ACGTTA", "The gene is", "<protein>MKLV", "A promoter of <dna>TATATA</dna> and")


@pytest.fixture(scope="module")
def official(client: Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{client.port}/v1", api_key="none", max_retries=0)


def greedy(backend: EngineBackend, prompt: str, num: int, eos_id: int = -1) -> list[int]:
    """The most probable tokens that there are, each from a pass over all that is before it."""
    ids, new = backend.tokenizer.encode(prompt), []
    while len(new) < num:
        with torch.inference_mode():
            logits = backend._engine.model(torch.tensor([ids + new]), use_cache=False).logits
        new.append(int(logits[0, -1, : backend.tokenizer.num_tokens].argmax()))
        if new[-1] == eos_id:
            return new[:-1]
    return new


def written(backend: EngineBackend, prompt: str, num: int) -> str:
    return backend.tokenizer.decode(greedy(backend, prompt, num, backend.tokenizer.eos_id))


def test_models(official: openai.OpenAI) -> None:
    assert [model.id for model in official.models.list()] == ["nano"]
    assert official.models.retrieve("nano").id == "nano"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'; this is 'nano'"):
        official.models.retrieve("gpt-4")


def test_the_example_of_the_docs(client: Client) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", docs, re.MULTILINE | re.DOTALL)
    assert ":8000" in example
    exec(example.replace(":8000", f":{client.port}"), {})


def test_completions_are_what_transformers_writes_alone_and_together(
    official: openai.OpenAI, nano_backend: EngineBackend
) -> None:
    wanted = [written(nano_backend, prompt, 12) for prompt in PROMPTS]
    kwargs: dict[str, Any] = {"model": "nano", "max_tokens": 12, "temperature": 0}
    alone = [official.completions.create(prompt=prompt, **kwargs).choices[0].text for prompt in PROMPTS]
    together = official.completions.create(prompt=list(PROMPTS), **kwargs)
    assert alone == wanted
    assert [choice.text for choice in together.choices] == wanted
    assert together.usage is not None
    assert together.usage.prompt_tokens == sum(len(nano_backend.tokenizer.encode(prompt)) for prompt in PROMPTS)
    with ThreadPoolExecutor(16) as pool:  # they come and go while others go on
        asked = list(enumerate(PROMPTS * 6))
        texts = list(
            pool.map(
                lambda pair: (
                    official.completions.create(prompt=pair[1], model="nano", temperature=0, max_tokens=4 + pair[0] % 8)
                    .choices[0]
                    .text
                ),
                asked,
            )
        )
    for (number, prompt), text in zip(asked, texts, strict=True):
        assert text == written(nano_backend, prompt, 4 + number % 8)


def test_a_stream_is_the_same_text_in_pieces(official: openai.OpenAI, nano_backend: EngineBackend) -> None:
    stream = official.completions.create(
        model="nano",
        prompt="<dna>ACGTTA",
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces = list(stream)
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == written(
        nano_backend, "<dna>ACGTTA", 12
    )
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] in {"stop", "length"}
    assert pieces[-1].usage is not None
    assert len(pieces) > 3


def test_the_same_seed_draws_the_same_text_whatever_is_beside_it(official: openai.OpenAI) -> None:
    def draw(seed: int) -> str:
        kwargs: dict[str, Any] = {"model": "nano", "max_tokens": 12, "temperature": 1.5, "top_p": 0.95}
        return official.completions.create(prompt="<dna>ACG", seed=seed, **kwargs).choices[0].text

    alone = [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == alone
    assert len(set(alone)) > 1


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(
    official: openai.OpenAI, nano_backend: EngineBackend
) -> None:
    text = written(nano_backend, "The gene is", 12)
    middle = text[len(text) // 2 : len(text) // 2 + 2]
    for stream in (False, True):
        answer: Any = official.completions.create(
            model="nano", prompt="The gene is", max_tokens=12, temperature=0, stop=[middle], stream=stream
        )
        choices = [piece.choices[0] for piece in answer] if stream else answer.choices
        assert "".join(choice.text for choice in choices) == text[: text.index(middle)]
        assert choices[-1].finish_reason == "stop"


def test_log_probabilities_are_those_of_the_tokens(official: openai.OpenAI, nano_backend: EngineBackend) -> None:
    found = official.completions.create(model="nano", prompt="<dna>ACGTTA", max_tokens=3, temperature=0, logprobs=1)
    logprobs = found.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs is not None
    assert len(logprobs.tokens or []) == len(logprobs.token_logprobs) == 3
    ids = nano_backend.tokenizer.encode("<dna>ACGTTA")
    with torch.inference_mode():
        logits = nano_backend._engine.model(torch.tensor([ids])).logits[0, -1, : nano_backend.tokenizer.num_tokens]
    assert logprobs.token_logprobs[0] == pytest.approx(float(logits.log_softmax(-1).max()), abs=1e-4)


def test_chat_whole_and_as_a_stream(official: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Does it conform?\n<dna>ACGTACGT</dna>"}]
    whole = official.chat.completions.create(model="nano", messages=messages, temperature=0, max_tokens=8)
    assert whole.choices[0].message.role == "assistant"
    pieces = official.chat.completions.create(model="nano", messages=messages, temperature=0, max_tokens=8, stream=True)
    deltas = [piece.choices[0].delta for piece in pieces]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas).strip() == whole.choices[0].message.content


@pytest.fixture
def prompts_seen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids of every prompt that reaches the model."""
    seen: list[list[int]] = []

    def spied(real: Callable[..., Any], prompts_of: Callable[..., Sequence[Sequence[int]]]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            seen.extend(list(prompt) for prompt in prompts_of(*args))
            return real(*args)

        return call

    monkeypatch.setattr(RunningBatch, "add", spied(RunningBatch.add, lambda _, rows: [row.prompt for row in rows]))
    monkeypatch.setattr(CandidateScorer, "score", spied(CandidateScorer.score, lambda _, prompts, *__: prompts))
    return seen


def test_prompts_are_those_of_training_and_evaluation(
    client: Client, nano_backend: EngineBackend, prompts_seen: list[list[int]]
) -> None:
    made = nano_backend._engine.record["prompts"]
    for task in (CONFORM, PAIR):
        (row,) = examples(task, 1)
        (trained,) = PromptEncoder(task, nano_backend.tokenizer, made["max_tokens"], made["shorten"]).encode([row])
        client.post("/v1/predict", {"task": task.name, "records": [{"sequences": list(row.sequences)}]})
        assert prompts_seen == [trained.prompt]
        prompts_seen.clear()
        *parts, _ = prompt_parts(task, row.sequences)
        message = {"role": "user", "content": render(parts)}
        client.post("/v1/chat/completions", {"model": "nano", "messages": [message], "max_tokens": 1})
        assert prompts_seen == [trained.prompt]
        prompts_seen.clear()


@pytest.mark.parametrize(
    ("path", "changes", "status", "message"),
    [
        ("completions", {"prompt": ""}, 422, "prompt: it is empty"),
        ("completions", {"prompt": "ACGT " * 400}, 400, "the model's context is 160 tokens"),
        ("completions", {"prompt": "aaa", "max_tokens": 159}, 400, "159 are asked for"),
        ("completions", {"max_tokens": 0}, 422, "max_tokens"),
        ("completions", {"temperature": -1}, 422, "temperature"),
        ("completions", {"model": "gpt-4"}, 404, "no model 'gpt-4'"),
        ("completions", {"n": 2}, 422, "n: Input should be less than or equal to 1"),
        ("completions", {"suffix": "x"}, 422, "suffix: Extra inputs are not permitted"),
        ("completions", {"prompt": [[1, 2]]}, 422, "prompt"),
        ("chat/completions", {"messages": []}, 422, "messages: List should have at least 1 item"),
        ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, 422, "messages.0.role"),
        ("chat/completions", {"messages": [{"role": "user", "content": "a" * 4000}]}, 400, "context is 160 tokens"),
    ],
)
def test_what_cannot_be_written(client: Client, path: str, changes: Any, status: int, message: str) -> None:
    body: dict[str, Any] = {"model": "nano"}
    body |= {"prompt": "a"} if path == "completions" else {"messages": [{"role": "user", "content": "a"}]}
    reply = client.post(f"/v1/{path}", {**body, **changes})
    assert (reply.status, message in reply.message) == (status, True), reply.body


def test_an_answer_that_takes_too_long_ends_and_says_so(serve: Serve) -> None:
    client = serve(seconds=0.001)
    body = {"model": "nano", "prompt": "The gene", "max_tokens": 100}
    assert client.post("/v1/completions", body).status == 504
    reply = client.post("/v1/completions", {**body, "stream": True})
    events = [line.removeprefix("data: ") for line in reply.body.decode().split("\n\n") if line]
    assert json.loads(events[-2])["error"]["code"] == "timeout"
    assert events[-1] == "[DONE]"
    assert client.get("/readyz").status == 200


def test_rows_join_and_leave_a_running_batch_without_a_trace(nano_backend: EngineBackend) -> None:
    genes, batch = nano_backend.tokenizer, nano_backend.running_batch()
    rows = [Row(genes.encode(prompt), Sampling()) for prompt in PROMPTS]
    texts: dict[int, list[int]] = {id(row): [] for row in rows}
    joins = {0: rows[:2], 2: rows[2:3], 5: rows[3:]}
    for step in range(20):
        if step in joins:
            batch.add(joins[step])
        if not batch.rows:
            break
        batch.draw()
        for row in batch.rows:
            texts[id(row)].append(row.token)
        batch.advance([len(texts[id(row)]) < 8 for row in batch.rows])
    assert list(texts.values()) == [greedy(nano_backend, prompt, 8) for prompt in PROMPTS]
