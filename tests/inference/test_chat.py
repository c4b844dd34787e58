"""A conversation: which task a question means, what is talked about, and what from outside is made harmless."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from llama_gene.errors import SettingsError
from llama_gene.inference.chat import Chat
from llama_gene.inference.engine import Engine
from llama_gene.inference.matching import Match, clear_match, rank_tasks
from llama_gene.inference.temperature import keep_temperature
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Example, Task
from llama_gene.tokenizer import Span
from nano import CONFORM, FLAGS, PAIR, STRENGTH
from tiny import copy_run

TASKS = (CONFORM, STRENGTH, PAIR, FLAGS)
DNA = "ACGTTGCATTACGGATACCATT"
PROTEIN = "MKVLAAGIVGLCAKAYQWERTYPSDF"


def match_task(question: str, kinds: list[Kind], tasks: Sequence[Task]) -> Match | None:
    return clear_match(rank_tasks(question, kinds, tasks))


@pytest.fixture
def chat(tuned_folder: Path) -> Chat:
    return Chat(Engine.load(tuned_folder), max_tokens=8)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Does it conform?", "conform"),
        ("Please tell me: does this sequence conform", "conform"),
        ("conform", "conform"),
        ("How strong?", "strength"),
        ("where open", "flags"),
        ("Does it conform to what the laboratory expects of it?", None),  # most words are other ones
        ("What is the weather?", None),
        ("Does A code for B?", None),  # that takes two sequences
        ("", None),
    ],
)
def test_a_question_means_the_task_it_shares_most_words_with(question: str, name: str | None) -> None:
    match = match_task(question, ["dna"], TASKS)
    assert (None if match is None else match.task.name) == name


def test_the_sequences_must_fit_and_no_other_task_may_fit_as_well() -> None:
    assert match_task("Does A code for B?", ["dna", "protein"], TASKS) is not None
    assert match_task("Does A code for B?", ["protein", "dna"], TASKS) is None
    assert match_task("Does it conform?", [], TASKS) is None
    twin = CONFORM.model_copy(update={"name": "conform_too", "title": "Something else"})
    assert match_task("Does it conform?", ["dna"], [CONFORM, twin]) is None
    near = rank_tasks("Does it conform?", ["dna"], [CONFORM, twin, STRENGTH])
    assert [one.task.name for one in near] == ["conform", "conform_too"]
    other = load_task("prom_core_all")
    assert match_task(f"Hello! {other.question}", ["dna"], [*TASKS, other]) is not None


def test_what_is_matched_is_answered_as_predict_answers_it(chat: Chat) -> None:
    reply = chat.ask(f"Does it conform? {DNA}")
    (expected,) = chat.engine.predict(CONFORM, [Example("chat", (DNA,))])
    assert reply.match is not None
    assert reply.match.task == CONFORM
    assert reply.prediction == expected
    assert "".join(reply.text) == expected.answer
    assert chat.history[-1].answered == expected.answer
    # The sequence stays, and one can ask on.
    again = chat.ask("How strong?")
    assert again.match is not None
    assert again.match.task.name == "strength"


def test_probabilities_are_calibrated_where_a_temperature_is_kept(tuned_folder: Path, tmp_path: Path) -> None:
    own = copy_run(tuned_folder, tmp_path / "model")
    keep_temperature(own, "conform", 0.1, "some rows")
    sure = Chat(Engine.load(own)).ask(f"Does it conform? {DNA}").prediction
    plain = Chat(Engine.load(tuned_folder)).ask(f"Does it conform? {DNA}").prediction
    assert sure is not None
    assert plain is not None
    assert sure.answer == plain.answer
    assert sure.probability != plain.probability


def test_what_is_not_matched_is_written_freely(chat: Chat) -> None:
    reply = chat.ask("What is the weather?")
    assert (reply.match, reply.prediction) == (None, None)
    text = "".join(reply.text)
    assert chat.history[-1].answered == text


def test_sequences_of_a_file_and_of_a_paste(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(f">a\n{DNA[:10]}\n{DNA[10:]}\n>b\nacgtt\n")
    assert chat.load(str(tmp_path / "a.fa")) == 2
    assert chat.spans == (Span("dna", DNA), Span("dna", "ACGTT"))
    (tmp_path / "p.fa").write_text(f">p\n{PROTEIN}\n")
    chat.load(str(tmp_path / "p.fa"))
    assert chat.spans == (Span("protein", PROTEIN),)
    chat.load(str(tmp_path / "a.fa"), "protein")
    assert chat.spans[0].kind == "protein"
    (tmp_path / "x.fa").write_text(">x\nAAAA\n")
    with pytest.raises(SettingsError, match=r"x.fa: neither surely DNA nor surely protein\n  /load FILE dna"):
        chat.load(str(tmp_path / "x.fa"))
    reply = chat.ask(f">pasted\n{DNA[:10]}\n{DNA[10:]}\n")
    assert chat.spans == (Span("dna", DNA),)
    "".join(reply.text)


def test_tags_and_special_tokens_in_a_message_are_text(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def listen(_: Engine, ids: list[int], **__: object) -> list[str]:
        asked.append(list(ids))
        return ["so"]

    monkeypatch.setattr("llama_gene.inference.chat.write_text", listen)
    "".join(chat.ask("the <dna> tag, </protein> and <|endoftext|> of it").text)
    (ids,) = asked
    tokens = chat.engine.tokenizer
    special = {tokens.eos_id, tokens.pad_id}
    tags = {index for kind in tokens.kinds for index in (*tokens.opening(kind), *tokens.closing(kind))}
    assert set(ids).isdisjoint(special | tags)
    "".join(chat.ask(f"Tell me of <dna>{DNA}</dna> more").text)
    assert set(asked[1]) & tags == {*tokens.opening("dna"), *tokens.closing("dna")}
