"""What stock transformers makes of model folders: a script for a process of its own, in which there is no llama_gene.

`export.ask_stock` runs it by its path with ``python -I``, so neither the working folder nor ``PYTHONPATH`` counts; the
parent's search path comes with the question, and `_hide` then takes ``llama_gene`` away, wherever it is installed. So
nothing here may import from this package.
"""

import json
import sys
from pathlib import Path
from typing import Any


def _hide(package: str) -> None:
    """Make every import of `package`, and of all below it, an ImportError."""
    # None in sys.modules is how Python itself says "known to be missing": no finder, no .pth file gets past it.
    sys.modules[package] = None  # type: ignore[assignment]


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """Load one folder as any user of transformers does, and encode and compute what is asked."""
    from transformers import AutoTokenizer

    folder = question["folder"]
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    answer: dict[str, Any] = {
        "class_name": type(tokenizer).__name__,
        "ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in question["texts"]],
        "special_ids": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id],
        "num_tokens": len(tokenizer),
    }
    if question["chat"]:
        answer["chat_ids"] = tokenizer.apply_chat_template(question["chat"], tokenize=True, return_dict=False)
    if question["prompts"]:
        import numpy as np
        import torch
        from transformers import AutoModelForCausalLM

        if question["runs_code"]:  # our own file, which the export has just put there
            local["trust_remote_code"] = True
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", **local).eval()
        found = []
        for prompt in question["prompts"]:
            ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
            with torch.inference_mode():
                found.append(model(input_ids=ids, use_cache=False).logits[0].float().numpy())
        np.savez(question["logits"], *found)
    return answer


def main() -> None:
    """Answer the questions on standard input; the answers go into the file they name, since libraries print."""
    request = json.load(sys.stdin)
    sys.path += [place for place in request["path"] if place not in sys.path]
    _hide("llama_gene")
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    answers = []
    for question in request["questions"]:
        try:
            answers.append(_answer(question))
        except Exception as error:  # noqa: BLE001 - whatever it raises is the answer for this folder
            answers.append({"error": f"{type(error).__name__}: {error}"})
    Path(request["answers"]).write_text(json.dumps({"version": transformers.__version__, "answers": answers}))


if __name__ == "__main__":
    main()
