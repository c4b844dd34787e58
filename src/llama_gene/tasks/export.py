"""A task for lm-evaluation-harness: one YAML file and one of documents, and no code.

A classification becomes `multiple_choice`: the harness scores every label after the prompt, as our evaluation does, and
takes the most probable one. All other answers are written (`generate_until`) and compared as they stand. Prompts and
answers are those of ``tasks.template``, byte for byte.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError, TaskError
from llama_gene.files import atomic_path, write_text
from llama_gene.tasks.style import Style
from llama_gene.tasks.task import Example, Task

_PREFIX = "llama_gene_"  # so that no task of the harness has the name
_VERSION = 1
_MAX_ANSWER_TOKENS = 128  # of sets of labels; numbers are shorter


def export_to_harness(task: Task, examples: Iterable[Example], folder: Path, *, bare: bool = False) -> tuple[str, int]:
    """Write `llama_gene_NAME.yaml` and `llama_gene_NAME.jsonl` into `folder`, each whole or not at all.

    The harness reads the documents relative to where it is started, so it is to be started in `folder`.

    Args:
        task: The task.
        examples: Labelled rows.
        folder: Where to.
        bare: Whether sequences stand without tags, for models whose tokenizer has no typed spans.

    Returns:
        The name that the harness knows it by, and the number of rows.

    Raises:
        FormatError: There is no row.
        TaskError: A row has no answer.
    """
    name, style = f"{_PREFIX}{task.name}", Style("llama-gene", typed=not bare)
    documents, num = folder / f"{name}.jsonl", 0
    with atomic_path(documents) as draft, draft.open("w", encoding="utf-8") as stream:
        for example in examples:
            stream.write(json.dumps(_document(task, style, example), ensure_ascii=False) + "\n")
            num += 1
        if not num:
            raise FormatError("no row is left to write", where=documents, hint="give a labelled table of the task")
    # Every JSON value is one of YAML.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in _settings(task, style, name).items()]
    write_text(folder / f"{name}.yaml", "\n".join(lines) + "\n")
    return name, num


def _document(task: Task, style: Style, example: Example) -> dict[str, Any]:
    if example.answer is None:
        raise TaskError(f"row {example.id!r} has no answer", hint="give a labelled table of the task")
    right: str | int = style.answers(example.answer)[0]
    if task.kind == "classification":
        right = task.label_names.index(example.answer)
    return {"id": example.id, "prompt": style.prompt(task, example.sequences), "answer": right}


def _settings(task: Task, style: Style, name: str) -> dict[str, Any]:
    """The keys of the YAML file."""
    common = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        # The space before an answer is part of it.
        "target_delimiter": "",
        "metadata": {"version": _VERSION},
    }
    if task.kind == "classification":
        return {
            **common,
            "output_type": "multiple_choice",
            "doc_to_choice": [style.answers(label)[0] for label in task.label_names],
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    return {
        **common,
        "output_type": "generate_until",
        "generation_kwargs": {
            "until": ["\n"],
            "do_sample": False,
            "max_gen_toks": task.max_answer_tokens or _MAX_ANSWER_TOKENS,
        },
        "filter_list": [{"name": "strip", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
