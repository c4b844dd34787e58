"""One template for training, evaluation and serving; what is too long is cut in its sequences alone."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import TaskError
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import (
    PromptEncoder,
    answer_text,
    fair_shares,
    prompt_hash,
    prompt_parts,
    prompt_texts,
    unseen_wording,
    wordings,
)
from llama_gene.tokenizer import GeneTokenizer, Span, render
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.text import train_text_tokenizer
from nano import CONFORM, DNA, FLAGS, PAIR, STRENGTH, TASKS, dna, protein

TEXT = Task(
    **{
        **CONFORM.model_dump(exclude_unset=True),
        "name": "words",
        "kind": "text",
        "metric": "rouge_l",
        "labels": {},
        "max_answer_tokens": 12,
    }
)
few = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="session", params=["byte_level", "sentencepiece"])
def genes(request: pytest.FixtureRequest) -> GeneTokenizer:
    name = {"byte_level": "nano_folder", "sentencepiece": "stories_genes"}[request.param]
    return GeneTokenizer.load(request.getfixturevalue(name))


def test_the_wrong_number_of_sequences_raises() -> None:
    with pytest.raises(TaskError, match="task 'pair' takes 2 sequences, not 1"):
        prompt_parts(PAIR, ["ACGT"])


def test_a_kind_that_the_model_cannot_spell_raises(tmp_path: Path) -> None:
    text = train_text_tokenizer(["Does A code for B?"], 258, tmp_path / "text")
    bases_only = GeneTokenizer.load(extend(text, [DNA], tmp_path / "dna").folder)
    with pytest.raises(TaskError, match="task 'pair' needs protein, which the model cannot spell\n  learn a protein"):
        PromptEncoder(PAIR, bases_only, 100)


def test_a_block_too_short_for_the_question_raises(nano_tokenizer: GeneTokenizer) -> None:
    with pytest.raises(
        TaskError, match=r"task 'conform': question and answer take \d+ of 12 tokens\n  raise block_size"
    ):
        PromptEncoder(CONFORM, nano_tokenizer, 12)


def test_an_answer_too_long_raises(nano_tokenizer: GeneTokenizer) -> None:
    encoder = PromptEncoder(TEXT, nano_tokenizer, 60)
    with pytest.raises(TaskError, match="row 'x': its answer alone is too long"):
        encoder.encode([Example("x", ("ACGT",), "the gene of the leaf " * 20)])


def test_a_sequence_too_long_raises_where_it_is_asked_to(nano_tokenizer: GeneTokenizer) -> None:
    encoder = PromptEncoder(CONFORM, nano_tokenizer, 60, "refuse")
    assert encoder.encode([Example("short", ("ACGT",), "Conform")])[0].num_cut == 0
    with pytest.raises(TaskError, match=r"row 'long': \d+ sequence tokens, room for \d+\n  raise block_size, or set"):
        encoder.encode([Example("long", (dna(400, 1),), "Conform")])


def test_a_prompt() -> None:
    assert render(prompt_parts(CONFORM, ["ACGT"])) == "Does it conform?\n<dna>ACGT</dna>\nAnswer:"
    assert prompt_parts(PAIR, ["ACGT", "MK"]) == [
        "Does A code for B?\nA:",
        Span("dna", "ACGT"),
        "\nB:",
        Span("protein", "MK"),
        "\nAnswer:",
    ]


def test_the_words_an_english_tokenizer_learns_from() -> None:
    texts = set(prompt_texts([CONFORM, STRENGTH]))
    assert texts == {
        "Does it conform?\n\nAnswer: Conform not",
        "Does it conform?\n\nAnswer: Conform",
        "How strong?\n\nAnswer: -0.3",
    }


def test_a_question_in_other_words(nano_tokenizer: GeneTokenizer) -> None:
    """The sequences are cut alike, whatever the words; the wording that no training uses is none of the others."""
    task = CONFORM.model_copy(update={"paraphrases": ("Is it as it should be?",)})
    assert wordings(task)[:3] == ("Does it conform?", "Is it as it should be?", "Question: Does it conform?")
    assert unseen_wording(task) not in wordings(task)
    assert prompt_hash(task) == prompt_hash(CONFORM)
    encoder = PromptEncoder(task, nano_tokenizer, 60, questions=wordings(task))
    (spelled,) = encoder.spell([Example("x", (dna(90, 1),))])
    num_tokens = [sum(map(len, frame)) + len(spelled.strands[0][0]) + encoder.reserve for frame in encoder.frames]
    assert max(num_tokens) == 60
    assert len(set(num_tokens)) > 1


def test_both_strands_are_spelled_where_asked(nano_tokenizer: GeneTokenizer) -> None:
    (spelled,) = PromptEncoder(PAIR, nano_tokenizer, 80).spell([Example("x", ("AACGT", "MKV"))], both_strands=True)
    texts = [[nano_tokenizer.decode(span) for span in strand] for strand in spelled.strands]
    assert texts == [["AACGT", "MKV"], ["ACGTT", "MKV"]]


def test_the_prompt_hash_follows_what_a_model_reads() -> None:
    assert prompt_hash(CONFORM) == prompt_hash(CONFORM.model_copy(update={"data": "elsewhere", "title": "Other"}))
    others = [{"question": "Is it so?"}, {"labels": {"1": "Conform", "0": "Conform not"}}]
    changed = [Task(**CONFORM.model_dump(exclude_unset=True) | other) for other in others]
    assert len({prompt_hash(task) for task in (CONFORM, STRENGTH, *changed)}) == 4


@few
@given(task=st.sampled_from([*TASKS, TEXT]), data=st.data())
def test_training_reads_what_serving_asks(genes: GeneTokenizer, task: Task, data: st.DataObject) -> None:
    """unsloth#1832: the ids of an example are those of its text as anyone would encode it, and the end."""
    letters = {"dna": "ACGTNR", "protein": "ACDEFGHIKLMNPQRSTVWYX"}
    sequences = tuple(data.draw(st.text(letters[part.kind], min_size=1, max_size=40)) for part in task.inputs)
    names = task.candidates or (("leaf, root", "none") if task is FLAGS else ("open in the leaf", "4.5 % – not"))
    answer = data.draw(st.sampled_from(names))
    (encoded,) = PromptEncoder(task, genes, 400).encode([Example("x", sequences, answer)])
    text = render(prompt_parts(task, sequences))
    assert encoded.prompt == genes.encode(text)
    assert encoded.prompt + encoded.answer == [*genes.encode(text + answer_text(answer)), genes.eos_id]
    assert encoded.num_cut == 0
    (asked,) = PromptEncoder(task, genes, 400).encode([Example("x", sequences)])
    assert (asked.prompt, asked.answer) == (encoded.prompt, [])


def test_every_candidate_ends_with_the_end(genes: GeneTokenizer) -> None:
    for task in (CONFORM, STRENGTH, PAIR):
        encoder = PromptEncoder(task, genes, 200)
        assert len(encoder.candidate_ids) == len(task.candidates)
        assert all(ids[-1] == genes.eos_id and genes.eos_id not in ids[:-1] for ids in encoder.candidate_ids)
        assert encoder.reserve == max(map(len, encoder.candidate_ids))
    short, long = PromptEncoder(CONFORM, genes, 200).candidate_ids[::-1]
    assert long[: len(short) - 1] == short[:-1]


@few
@given(
    task=st.sampled_from([CONFORM, PAIR, STRENGTH]),
    shorten=st.sampled_from(["centre", "head"]),
    lengths=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    max_tokens=st.integers(60, 120),
)
def test_the_answer_stays_whole_and_the_sequences_are_cut(
    nano_tokenizer: GeneTokenizer, task: Task, shorten: Any, lengths: tuple[int, int], max_tokens: int
) -> None:
    """trl#6668: what is cut off the end of a sequence too long is the label."""
    genes = nano_tokenizer
    sequences = tuple(
        (dna if part.kind == "dna" else protein)(length, length)
        for part, length in zip(task.inputs, lengths, strict=False)
    )
    answer = task.candidates[0]
    encoder = PromptEncoder(task, genes, max_tokens, shorten)
    (encoded,) = encoder.encode([Example("x", sequences, answer)])
    (asked,) = encoder.encode([Example("x", sequences)])
    assert asked.prompt == encoded.prompt  # whatever the answer: serving cuts as training did
    assert encoded.answer == encoder.answer_ids(answer)
    assert len(encoded.prompt) + max(map(len, encoder.candidate_ids)) <= max_tokens
    spans = [genes.encode_spans(part.kind, [s])[0] for part, s in zip(task.inputs, sequences, strict=True)]
    place, cut = 0, 0
    for part, span in zip(task.inputs, spans, strict=True):
        start = encoded.prompt.index(genes.open_id(part.kind), place) + 1
        place = encoded.prompt.index(genes.close_id(part.kind), start)
        kept = encoded.prompt[start:place]
        begin = (len(span) - len(kept)) // 2 if shorten == "centre" else 0
        assert kept == span[begin : begin + len(kept)]
        cut += len(span) - len(kept)
    assert encoded.num_cut == cut
    text = genes.decode(encoded.prompt)
    assert text.startswith(task.question)
    assert text.endswith("</dna>\nAnswer:" if task is not PAIR else "</protein>\nAnswer:")
    if cut:  # no room is left unused, but for what cannot be shared evenly
        assert len(encoded.prompt) + encoder.reserve > max_tokens - len(spans)


def test_the_centre_and_the_head_of_a_sequence(nano_tokenizer: GeneTokenizer) -> None:
    genes = nano_tokenizer
    sequence = "G" * 50 + "TTATTA" + "G" * 50  # no piece but letters and TA
    kept = {}
    for shorten in ("centre", "head"):
        encoder = PromptEncoder(CONFORM, genes, 50, shorten)  # type: ignore[arg-type]
        (encoded,) = encoder.encode([Example("x", (sequence,))])
        kept[shorten] = genes.decode(encoded.prompt).partition("<dna>")[2].partition("</dna>")[0]
    assert "TTATTA" in kept["centre"]
    assert set(kept["head"]) == {"G"}


@given(wanted=st.lists(st.integers(0, 200), min_size=1, max_size=6), room=st.integers(0, 600))
def test_what_is_short_stays_whole_and_the_rest_is_cut_to_one_length(wanted: list[int], room: int) -> None:
    shares = fair_shares(wanted, room)
    assert sum(shares) <= room
    assert all(share <= want for share, want in zip(shares, wanted, strict=True))
    assert sum(shares) == min(room, sum(wanted))
    cut = [share for share, want in zip(shares, wanted, strict=True) if share < want]
    whole = [share for share, want in zip(shares, wanted, strict=True) if share == want]
    assert not cut or max(cut) - min(cut) <= 1
    assert not cut or all(share <= max(cut) + 1 for share in whole)
    assert all(share == want for share, want in zip(shares, wanted, strict=True) if want <= room // len(wanted))
