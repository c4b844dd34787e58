"""Export a model: a folder that any tool opens, checked by stock transformers in a process without our code.

The folder is written as a draft, opened there, and gets its name only if ids and logits are the same.
"""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import ModelError
from llama_gene.files import atomic_folder, read_json, read_object, write_json, write_text
from llama_gene.model import stock
from llama_gene.model.base import OURS
from llama_gene.model.card import Check, write_card
from llama_gene.model.folder import copy_file, load_folder, write_record
from llama_gene.tokenizer import GeneTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 1e-4
"""Largest difference of two logits that are still the same: the two processes compute alike, in fp32."""

EXPORTED_FILES = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "calibration.json",
)
EXPORTED_FOLDERS = ("tasks", "additional_chat_templates")
CODE = Path(__file__).with_name("modeling_gene.py")
"""The code of our own architecture, which an export of such a model brings."""

_MIXED = "Does <dna>ATGAAAGTTTAA</dna> code for <protein>MKV</protein>?\nAnswer:"
_PROBES = (
    "<dna>ACGTTGCATATAAAGGCNNNRYACGTTTGACAATTAATCATCGGC</dna>",
    "<dna>\nacguACGT\nAC GT\n</dna>",
    "<dna>TATAAT",
    "<protein>MKVLAAGIVGLCAKAYQWERTYPSDFGHXBZ</protein>",
    "The TATA box of KRAS lies 25-30 bp upstream; p < 0.05, 3.7e-4.",
    "  naïve Größe, 蛋白质, 🧬\n\n\tdef f(x): return x",
    "the <dna> tag and a cat, <protein> and a </dna> dog",
    _MIXED,
)
_CLASS = "TokenizersBackend"


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask stock transformers about a folder.

    Args:
        folder: A folder with a tokenizer, and a model if there are prompts.
        texts: Texts to encode, without special tokens around them.
        chat: A conversation for the chat template, as ``{"role": ..., "content": ...}``; none asks nothing.
        prompts: Texts to compute logits for, encoded by that tokenizer; none leaves the weights alone.
        runs_code: Whether the folder's own code is run: only where it is ours.
    """

    folder: Path
    texts: Sequence[str]
    chat: Sequence[dict[str, str]] = ()
    prompts: Sequence[str] = ()
    runs_code: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What stock transformers made of a folder.

    Attributes:
        version: The version of transformers.
        class_name: The class that AutoTokenizer chose.
        ids: The ids of each text.
        special_ids: The ids of beginning, end and padding; None for one that the tokenizer lacks.
        num_tokens: ``len(tokenizer)``.
        chat_ids: The ids of the conversation.
        logits: float32[num_ids, num_rows] of each prompt.
        error: Why the folder could not be opened; then the rest is empty.
    """

    version: str
    class_name: str = ""
    ids: Sequence[list[int]] = ()
    special_ids: Sequence[int | None] = ()
    num_tokens: int = 0
    chat_ids: Sequence[int] = ()
    logits: Sequence[NDArray[np.float32]] = ()
    error: str = ""


def ask_stock(questions: Sequence[Question]) -> list[Answer]:
    """Open folders with stock transformers, all in one process in which ``llama_gene`` cannot be imported.

    Raises:
        ModelError: The process itself failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        places = [Path(temporary) / f"{number}.npz" for number in range(len(questions))]
        answers = Path(temporary) / "answers.json"
        request = {
            "path": [place for place in sys.path if place],
            "answers": str(answers),
            "questions": [
                {
                    "folder": str(question.folder),
                    "texts": list(question.texts),
                    "chat": list(question.chat),
                    "prompts": list(question.prompts),
                    "logits": str(place),
                    "runs_code": question.runs_code,
                }
                for question, place in zip(questions, places, strict=True)
            ],
        }
        command = [sys.executable, "-I", str(Path(stock.__file__).resolve())]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(Path(temporary) / "code")}
        done = subprocess.run(
            command, input=json.dumps(request), env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode or not answers.is_file():
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
            hint = "it loads the model once more: is there memory for it? does `python -c 'import transformers'` work?"
            raise ModelError(f"the process that checks with stock transformers failed: {reason}", hint=hint)
        found = read_json(answers)
        return [
            Answer(
                version=found["version"],
                logits=_arrays(place) if place.is_file() else (),
                **answer,
            )
            for answer, place in zip(found["answers"], places, strict=True)
        ]


def _arrays(place: Path) -> list[NDArray[np.float32]]:
    with np.load(place, allow_pickle=False) as found:
        return [found[name] for name in found.files]


def export(folder: Path, output: Path, *, scores: str = "", half: bool = False) -> Check:
    """Write `folder` as a folder that every tool opens, with a model card, checked by stock transformers.

    Args:
        folder: A (merged) model folder of ours.
        output: The folder to make; replaced if it is there.
        scores: What the model scored, as Markdown for the card.
        half: Whether weights are rounded to bf16, which takes half of the room.

    Returns:
        What was checked.

    Raises:
        ModelError: It is no model folder of ours, or stock transformers gets other ids or logits from it; nothing is
            left at `output` then.
    """
    _require_apart(folder, output)
    if (folder / "adapter_config.json").is_file():
        hint = "merge it first: llama-gene model merge BASE ADAPTER --output DIR"
        raise ModelError("this is an adapter, and other tools need whole weights", where=folder, hint=hint)
    model, tokenizer, record = load_folder(folder)
    if half:
        for weight in model.parameters():  # not by the model: what rotary positions turn by stays exact
            weight.data = weight.data.bfloat16().float()
    logits = _logits(model, tokenizer.encode(_MIXED))
    architecture, context = type(model).__name__, getattr(model.config, "max_position_embeddings", None)
    model_type, num_parameters = str(model.config.model_type), model.num_parameters()
    brings_code = model_type == OURS
    chat, chat_ids = _chat(tokenizer)
    with atomic_folder(output) as draft:
        _copy(folder, draft)
        if half:
            _replace_weights(model, draft)
        if brings_code:
            _bring_code(draft)
        write_record(draft, _without_places(record))
        # The checking process loads it once more: not both at a time.
        del model
        gc.collect()
        (answer,) = ask_stock([Question(draft, _PROBES, chat, [_MIXED], brings_code)])
        _require_same_ids(answer, tokenizer, chat_ids, model_type, folder)
        difference = float(np.abs(answer.logits[0] - logits).max())
        if not difference <= TOLERANCE:
            problem = f"transformers {answer.version} computes other logits from it (they differ by {difference:.2g})"
            raise ModelError(problem, where=folder, hint="this is a bug of ours or theirs; please report it")
        check = Check(answer.version, len(_PROBES) + bool(chat), difference)
        card = write_card(output.name, record, architecture, num_parameters, context, tokenizer, scores, check)
        write_text(draft / "README.md", card)
    return check


def _require_apart(folder: Path, output: Path) -> None:
    inner, outer = folder.resolve(), output.resolve()
    if outer == inner or outer in inner.parents:
        raise ModelError("this would replace the model itself", where=output, hint="choose another --output")


def _copy(folder: Path, draft: Path) -> None:
    """Copy what belongs to a model, and nothing that happens to lie beside it."""
    for pattern in EXPORTED_FILES:
        for file in sorted(folder.glob(pattern)):
            copy_file(file, draft / file.name)
    for name in EXPORTED_FOLDERS:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, draft / name, copy_function=lambda file, to: copy_file(Path(file), Path(to)))


def _without_places(record: dict[str, Any]) -> dict[str, Any]:
    """The record without where the rows lay, which is nobody's business."""
    tasks = {
        name: rows | {"path": Path(rows["path"]).name} if "path" in rows else rows
        for name, rows in record.get("tasks", {}).items()
    }
    return record | ({"tasks": tasks} if tasks else {})


def _bring_code(draft: Path) -> None:
    """Add the code for stock transformers, which runs it only where it is told to."""
    shutil.copyfile(CODE, draft / CODE.name)
    places = {"AutoConfig": f"{CODE.stem}.GeneConfig", "AutoModelForCausalLM": f"{CODE.stem}.GeneForCausalLM"}
    write_json(draft / "config.json", read_object(draft / "config.json") | {"auto_map": places})


def _replace_weights(model: "PreTrainedModel", draft: Path) -> None:
    for file in draft.glob("model*.safetensors*"):
        file.unlink()
    model.bfloat16().save_pretrained(draft)


def _logits(model: "PreTrainedModel", prompt: Sequence[int]) -> NDArray[np.float32]:
    import torch

    model.eval()
    with torch.inference_mode():
        logits: NDArray[np.float32] = (
            model(input_ids=torch.tensor([list(prompt)]), use_cache=False).logits[0].float().numpy()
        )
    return logits


def _chat(tokenizer: GeneTokenizer) -> tuple[list[dict[str, str]], list[int]]:
    """A conversation and its ids, where the model has a chat template."""
    own: Any = tokenizer.to_transformers()
    if not own.chat_template:
        return [], []
    chat = [{"role": "user", "content": _MIXED}]
    return chat, tokenizer.encode(own.apply_chat_template(chat, tokenize=False))


def _require_same_ids(
    answer: Answer, tokenizer: GeneTokenizer, chat_ids: Sequence[int], model_type: str, where: Path
) -> None:
    """Compare what a process without our code got.

    Raises:
        ModelError: It got something else; names the model type, where transformers takes a class of its own for it.
    """
    if answer.error:
        first = answer.error.strip().splitlines()[0]
        hint = "for a newer kind of base update transformers; else please report it"
        raise ModelError(f"transformers {answer.version} cannot open it ({first})", where=where, hint=hint)
    problem = _difference(answer, tokenizer, chat_ids)
    if problem is None:
        return
    if answer.class_name != _CLASS:
        problem = (
            f"for the model type {model_type!r} AutoTokenizer of transformers {answer.version} takes its own class "
            f"{answer.class_name}, whatever the folder says, which drops how sequences are written: {problem}"
        )
        hint = (
            "no tool would get the right ids from such an export. The model folder still works with llama-gene and "
            "with PreTrainedTokenizerFast.from_pretrained; to export, start from a base of another type: "
            "llama, mistral, gemma, phi3, qwen3, gpt2"
        )
        raise ModelError(problem, where=where, hint=hint)
    hint = "this is a bug of ours or theirs; please report it"
    raise ModelError(f"AutoTokenizer of transformers {answer.version}: {problem}", where=where, hint=hint)


def _difference(answer: Answer, tokenizer: GeneTokenizer, chat_ids: Sequence[int]) -> str | None:
    for text, ids in zip(_PROBES, answer.ids, strict=True):
        wanted = tokenizer.encode(text)
        if ids != wanted:
            place = next((i for i, pair in enumerate(zip(ids, wanted, strict=False)) if pair[0] != pair[1]), 0)
            return f"{text!r} is {ids[place : place + 4]}... from id {place} on, and not {wanted[place : place + 4]}..."
    if list(answer.chat_ids) != list(chat_ids):
        return "a conversation in the chat template has other ids"
    if list(answer.special_ids) != [tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id]:
        return f"beginning, end and padding are {list(answer.special_ids)}"
    if answer.num_tokens != tokenizer.num_tokens:
        return f"it has {answer.num_tokens:,} tokens, and not {tokenizer.num_tokens:,}"
    return None
