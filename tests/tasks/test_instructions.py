"""Free instructions: read in every form, with their sequences in spans and nothing else of them changed."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import FormatError
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert.instructions import Instruction, read_instructions, split_text
from llama_gene.tasks.convert.write import InstructionForm, instruct, write_instructions
from llama_gene.tasks.task import Example
from llama_gene.tokenizer import Span, render
from nano import CONFORM, PAIR

DNA = "GATTACAGATTACAGATTACA"
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIE"
ALPACA = {"instruction": "Is this a promoter?", "input": DNA, "output": "promoter", "model_response": " promoter"}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": f"What is {DNA}?"},
    {"role": "assistant", "content": "DNA."},
    {"role": "user", "content": "And KRAS?"},
    {"role": "assistant", "content": f"A gene: {PROTEIN}"},
]
SHARED = [{"from": "human", "value": "Say yes."}, {"from": "gpt", "value": "yes"}]


def write(path: Path, *values: Any, array: bool = False) -> Path:
    text = json.dumps(list(values), indent=2) if array else "\n".join(map(json.dumps, values))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("array", [True, False])
def test_the_forms_that_are_read(tmp_path: Path, array: bool) -> None:
    path = write(
        tmp_path / "a.json", ALPACA, {"id": "c1", "messages": MESSAGES}, {"conversations": SHARED}, array=array
    )
    found = list(read_instructions(path))
    said = f"Be brief.\n\nWhat is <dna>{DNA}</dna>?"
    assert [render(one.parts) for one in found] == [
        f"Is this a promoter?\n<dna>{DNA}</dna>",
        said,
        f"{said}\n\nDNA.\n\nAnd KRAS?",
        "Say yes.",
    ]
    assert [one.answer for one in found] == ["promoter", "DNA.", f"A gene: <protein>{PROTEIN}</protein>", "yes"]
    assert [one.id for one in found[1:3]] == ["c1", "c1.2"]
    assert found[0].spans == [Span("dna", DNA)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"instruction": "Why?", "input": "", "output": " "}, "the answer is empty"),
        ({"instruction": "", "output": "x"}, "the instruction is empty"),
        ({"instruction": "Why?", "output": 3}, "'output' is int, not text"),
        ({"instruction": "Why?", "output": "\ud800"}, "half of a surrogate pair in 'output'"),
        ({"prompt": "x"}, "keys 'prompt'"),
        ({"messages": MESSAGES[:2]}, "a conversation without an answer"),
        ({"messages": MESSAGES[2:3]}, "the instruction is empty"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "a message of 'wizard'"),
        ({"messages": ["x"]}, "a message that is no object"),
        ([1], "a JSON list, not an object"),
    ],
)
def test_a_bad_one_is_set_aside_with_its_line(tmp_path: Path, value: Any, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", ALPACA, value, ALPACA)
    rejects: list[Reject] = []
    assert len(list(read_instructions(path, on_reject=rejects.append))) == 2
    assert [reject.where for reject in rejects] == [f"{path}:2"]
    assert reason in rejects[0].reason
    with pytest.raises(FormatError, match=f"a.jsonl:2: {reason}"):
        list(read_instructions(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"instruction": "a", "output": "b"}', "a.json:1: not valid JSON .the array does not end"),
        ('[\n{"instruction": "a", "output": "b"},\n{"instruction": ]', "a.json:3: not valid JSON"),
        ('[\n"text"]', "a.json:2: not valid JSON .'\"' stands where an object should"),
        ('[{"a": ' + "[" * 100_000, "a.json:1: not valid JSON .an object inside too many others"),
        ("[]", "a.json: no instructions in it"),
        ("instruction,output\n", "a.json: neither a JSON array nor lines of JSON objects"),
    ],
)
def test_a_broken_file_raises_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError, match=message):
        list(read_instructions(tmp_path / "a.json", on_reject=lambda _: None))


def test_a_large_array_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    one = json.dumps({"instruction": "Is this coding?", "input": DNA * 40, "output": "no"})
    path.write_bytes(gzip.compress(("[" + ",\n".join([one] * 3000) + "]").encode(), 1))
    tracemalloc.start()
    assert sum(1 for _ in read_instructions(path)) == 3000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20  # of a file that unpacks to more than 2.7 MB and would be far more as objects
    assert len(one) * 3000 > 2_700_000


def test_tags_by_hand_and_tags_from_outside() -> None:
    assert split_text("<dna>acg</dna>") == (Span("dna", "ACG"),)
    assert split_text("the <dna> tag") == ("the < dna> tag",)
    assert split_text("<dna>MKE</dna>") == ("< dna>MKE< /dna>",)  # E is no letter of DNA
    assert split_text(f"x</dna>{DNA}") == ("x< /dna>", Span("dna", DNA))


WORDS = st.lists(
    st.sampled_from([DNA, DNA.lower(), PROTEIN, "KRAS", "The", "TAG", "µ", ".", " ", "\n", ">x\n", "1", "U" * 30])
)


@given(WORDS.map("".join))
def test_no_word_changes_and_no_letter_is_lost(text: str) -> None:
    parts = split_text(text)
    place = 0
    for part in parts:
        if isinstance(part, str):
            assert text.startswith(part, place)
            place += len(part)
            continue
        for letter in part.sequence:  # the same letters, but for case, white space and U
            while text[place].isspace():
                place += 1
            assert text[place].upper().replace("U", "T" if part.kind == "dna" else "U") == letter
            place += 1
    assert text[place:].strip() == ""


@given(
    form=st.sampled_from(["alpaca", "chat"]),
    suffix=st.sampled_from([".json", ".jsonl"]),
    data=st.data(),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, form: InstructionForm, suffix: str, data: st.DataObject
) -> None:
    letters = {"dna": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}
    examples = [
        Example(f"x{place}", tuple(data.draw(st.text(letters[part.kind], min_size=1)) for part in PAIR.inputs), answer)
        for place, answer in enumerate(data.draw(st.lists(st.sampled_from(PAIR.candidates), min_size=1, max_size=3)))
    ]
    instructions = list(instruct(PAIR, examples))
    path = tmp_path_factory.mktemp("written") / f"a{suffix}"
    assert write_instructions(instructions, path, form, tags=True) == len(examples)
    assert list(read_instructions(path)) == instructions


def test_bare_sequences_are_what_other_programs_read(tmp_path: Path) -> None:
    (instruction,) = instruct(CONFORM, [Example("x", (DNA,), "Conform")])
    assert instruction == Instruction("x", ("Does it conform?\n", Span("dna", DNA)), "Conform")
    write_instructions([instruction], tmp_path / "a.json", "alpaca")
    expected = [{"id": "x", "instruction": "Does it conform?", "input": DNA, "output": "Conform"}]
    assert json.loads((tmp_path / "a.json").read_text()) == expected


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no instruction is left"):
        write_instructions([], tmp_path / "a.json", "chat")
    assert list(tmp_path.iterdir()) == []
