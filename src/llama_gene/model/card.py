"""The model card: what a model is, what it was made of, what it scored, and what it must not be taken for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from llama_gene.tokenizer import GeneTokenizer

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LICENCE = re.compile(r"^license:\s*['\"]?([\w.+-]+)", re.MULTILINE)
_UNITS = {"dna": "bits per base", "protein": "bits per residue", "text": "bits per byte of English"}


@dataclass(frozen=True, slots=True)
class Check:
    """What stock transformers confirmed of an export.

    Args:
        version: Its version.
        num_probes: Texts and conversations whose ids were equal.
        difference: The largest difference between two logits of one prompt.
    """

    version: str
    num_probes: int
    difference: float


def write_card(
    name: str,
    record: Mapping[str, Any],
    architecture: str,
    num_parameters: int,
    context: int | None,
    tokenizer: GeneTokenizer,
    scores: str,
    check: Check | None = None,
) -> str:
    """The text of a model card, as Markdown with the header that the hub reads.

    Args:
        name: What the model is called.
        record: Its record.
        architecture: Its class, in transformers or our own.
        num_parameters: Weights in all, tied ones once.
        context: Longest input, in tokens, where the model has a limit.
        tokenizer: Its tokenizer.
        scores: What it scored, as Markdown; empty if nothing is recorded.
        check: What stock transformers confirmed; None for a model that was not exported.
    """
    base = str(record.get("base", "unknown"))
    sections = [
        "\n".join(_header(base, tokenizer)),
        f"# {name}",
        "\n".join(_what(base, architecture, num_parameters, context, tokenizer)),
        "## Load it",
        _loading(name, tokenizer, brings_code=architecture == "GeneForCausalLM"),
        "## How it was made",
        "\n".join(_made(base, record)),
        "## Data",
        "\n".join(_data(record)),
        "## Scores",
        scores or "None are recorded.",
        "## Limits",
        "\n".join(_limits(record, context)),
        "## Licence",
        _licence_text(base),
    ]
    if check is not None:
        sections += [
            "## Checked",
            f"At export transformers {check.version}, in a process without llama-gene, got the same ids from "
            f"`AutoTokenizer` for {check.num_probes} texts, and the same logits from `AutoModelForCausalLM` for one "
            f"prompt (largest difference {check.difference:.1g}).",
        ]
    return "\n\n".join(sections) + "\n"


def licence_of(base: str) -> str | None:
    """The licence that the card of a base folder names; None where there is no such folder, card or line."""
    card = Path(base) / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    header = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    found = _LICENCE.search(header)
    return found[1] if found else None


def _header(base: str, tokenizer: GeneTokenizer) -> Iterator[str]:
    yield "---"
    yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    if licence := licence_of(base):
        yield f"license: {licence}"
    if _is_hub_id(base):
        yield f"base_model: {base}"
    yield f"tags: [{', '.join(['llama-gene', 'biology', *tokenizer.kinds])}]"
    yield "---"


def _is_hub_id(base: str) -> bool:
    return _HUB_ID.fullmatch(base) is not None and not Path(base).is_dir()


def _base_name(base: str) -> str:
    # A folder of this machine says nothing elsewhere but its name.
    return base if _is_hub_id(base) or base.startswith("scratch") else PurePath(base).name


def _what(
    base: str, architecture: str, num_parameters: int, context: int | None, tokenizer: GeneTokenizer
) -> Iterator[str]:
    kinds = " and ".join({"dna": "DNA", "protein": "protein"}[kind] for kind in tokenizer.kinds)
    yield f"A language model of English and {kinds}, made with llama-gene."
    yield ""
    yield f"- base: {_base_name(base)}"
    yield f"- architecture: {architecture}, {num_parameters:,} parameters"
    num_new = tokenizer.num_tokens - tokenizer.base_size
    yield f"- tokens: {tokenizer.num_tokens:,}, of which {num_new:,} are not the base's"
    if context:
        yield f"- context: {context:,} tokens"


def _loading(name: str, tokenizer: GeneTokenizer, *, brings_code: bool) -> str:
    kind = tokenizer.kinds[0]
    sequence = "ACGTTGCA" if kind == "dna" else "MKVLAAGI"
    if tokenizer.scheme == "typed":
        sequence = f"<{kind}>{sequence}</{kind}>"
        writing = (
            "A sequence stands between its tags, without a space before them; case and white space inside do not "
            "matter, and U is read as T in DNA."
        )
    else:
        writing = "A sequence stands bare in the text, in upper case, without white space in it."
    option, code = "", "No code of ours is needed, and no `trust_remote_code`."
    if brings_code:
        option = ", trust_remote_code=True"
        code = "Its architecture is our own: stock transformers runs the file `modeling_gene.py` of this folder for it."
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForCausalLM.from_pretrained("{name}"{option})
inputs = tokenizer("{sequence}", return_tensors="pt")
logits = model(**inputs).logits
```

{code} {writing}"""


def _made(base: str, record: Mapping[str, Any]) -> Iterator[str]:
    yield f"- start: {_base_name(base)}"
    for stage, title in (("pretrain", "continued pre-training"), ("finetune", "instruction tuning")):
        if stage in record:
            summary = record[stage]
            share = f"{summary['trainable_parameters']:,} of {summary['parameters']:,} parameters trained"
            yield f"- {title}: {summary['tokens']:,} tokens in {summary['steps']:,} steps, {share}"
    for kind, bits in record.get("pretrain", {}).get("bits", {}).items():
        if bits.get("after") is not None:
            yield f"- {_UNITS.get(kind, kind)} on held-out documents after pre-training: {bits['after']:.3f}"
    yield f"- llama-gene {record.get('version', 'of an unknown version')}"


def _data(record: Mapping[str, Any]) -> Iterator[str]:
    sources = record.get("pretrain", {}).get("epochs_of_source", {})
    tasks = record.get("tasks", {})
    if not sources and not tasks:
        yield "Nothing is recorded."
    if sources:
        yield "Pre-training, with the share of each source that was read:"
        yield ""
        yield "| source | epochs |"
        yield "|---|---:|"
        yield from (f"| {source} | {epochs:.3g} |" for source, epochs in sorted(sources.items()))
    if sources and tasks:
        yield ""
    if tasks:
        yield "Instruction tuning, with the hash of each file:"
        yield ""
        yield "| task | file | rows | SHA-256 |"
        yield "|---|---|---:|---|"
        for name, task in sorted(tasks.items()):
            file = PurePath(str(task.get("path", "–"))).name
            yield f"| {name} | {file} | {_count(task.get('num_rows'))} | {task.get('sha256', '–')} |"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _limits(record: Mapping[str, Any], context: int | None) -> Iterator[str]:
    yield "- For research. Its answers are predictions, not measurements, and no medical advice."
    if not record.get("tasks"):
        yield "- It was tuned on no task, so it follows no instructions."
    else:
        yield "- It was tuned on the tasks above; on any other question its answer is a guess."
        shortened = {
            name: task["train_shortened"] for name, task in record["tasks"].items() if task.get("train_shortened")
        }
        if shortened:
            cut = ", ".join(f"{name} {count:,}" for name, count in sorted(shortened.items()))
            yield f"- Sequences too long for its prompts were cut in training, in so many rows: {cut}."
    if context:
        yield f"- It reads at most {context:,} tokens at once."


def _licence_text(base: str) -> str:
    if base.startswith("scratch"):
        return "The weights are new, so no base's licence binds them; the data have terms of their own."
    if licence := licence_of(base):
        return f"The base is under {licence}, which binds these weights too; the data have terms of their own."
    place = f"https://huggingface.co/{base}" if _is_hub_id(base) else "where the base comes from"
    return f"The licence of the base binds these weights too. It is not recorded here: look {place}."
