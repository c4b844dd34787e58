"""A chat model is asked and answered inside its own template, as transformers would write it."""

import shutil
from pathlib import Path

import pytest

from llama_gene.errors import TokenizerError
from llama_gene.tasks.convert.instructions import Instruction
from llama_gene.tasks.template import InstructionEncoder, PromptEncoder, prompt_parts
from llama_gene.tokenizer import GeneTokenizer, Span, render
from llama_gene.tokenizer.chat import ChatFrame, read_chat_frame
from nano import CONFORM, PAIR, TASKS, examples

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content | trim }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)


@pytest.fixture(params=["byte_level", "sentencepiece"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = {"byte_level": "nano_folder", "sentencepiece": "stories_genes"}[request.param]
    return Path(shutil.copytree(request.getfixturevalue(name), tmp_path / "chat"))


def test_a_template_that_fails_or_says_nothing_raises(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no roles') }}")
    with pytest.raises(TokenizerError, match=r'chat template fails: no roles\n  set finetune\.chat = "never"'):
        read_chat_frame(folder)
    (folder / "chat_template.jinja").write_text("Hello!")
    with pytest.raises(TokenizerError, match="does not write what it is given"):
        read_chat_frame(folder)


def test_a_folder_without_a_template_has_no_frame(folder: Path) -> None:
    assert read_chat_frame(folder) is None


def test_a_frame_is_what_the_template_writes(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(CHATML)
    assert read_chat_frame(folder) == ChatFrame(
        "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"
    )


@pytest.mark.parametrize("template", [CHATML, LLAMA2])
def test_an_example_is_what_transformers_makes_of_the_conversation(folder: Path, template: str) -> None:
    """unsloth#1832: one beginning of text at most, and the end that ends an assistant's turn."""
    (folder / "chat_template.jinja").write_text(template)
    genes, frame = GeneTokenizer.load(folder), read_chat_frame(folder)
    assert frame is not None
    stock = genes.to_transformers()
    for task in TASKS:
        encoder = PromptEncoder(task, genes, 300, chat=frame)
        for example, encoded in zip(examples(task, 3), encoder.encode(examples(task, 3)), strict=True):
            said = render(prompt_parts(task, example.sequences)).removesuffix("\nAnswer:")
            user = {"role": "user", "content": said}
            asked = stock.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
            assert encoded.prompt == genes.encode(asked)
            assert genes.decode(encoded.answer[:-1]).strip() == example.answer
            assert encoded.answer[-1:] == encoder.end_ids == genes.encode(frame.end.strip())[:1]
            assert encoded.prompt.count(genes.bos_id) <= 1


def test_instructions_stand_in_the_same_frame(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(CHATML)
    genes, frame = GeneTokenizer.load(folder), read_chat_frame(folder)
    assert frame is not None
    instruction = Instruction("a", ("Copy ", Span("dna", "ACGT"), "."), "<dna>ACGT</dna>")
    encoded = InstructionEncoder(genes, 200, chat=frame).encode(instruction)
    assert encoded is not None
    assert genes.decode(encoded.prompt).strip() == f"{frame.before}Copy <dna>ACGT</dna>.{frame.after}".strip()
    assert genes.decode(encoded.answer).strip().startswith("<dna>ACGT</dna>")


def test_the_frame_is_the_same_for_every_task(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(CHATML)
    genes, frame = GeneTokenizer.load(folder), read_chat_frame(folder)
    encoders = [PromptEncoder(task, genes, 300, chat=frame) for task in (CONFORM, PAIR)]
    assert encoders[0].end_ids == encoders[1].end_ids
    assert len(encoders[0].end_ids) == 1
