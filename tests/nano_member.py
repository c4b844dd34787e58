"""One of the processes of ``test_parallel``: trains the nano model in several ways, one after the other.

Called with the model's folder and a JSON list of cases; see ``test_parallel.Case``.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

from llama_gene.errors import LlamaGeneError
from llama_gene.training.launch import member


def run_case(folder: Path, case: dict[str, Any]) -> None:
    """Train, and leave what came of it beside the checkpoints: weights of the first member, row numbers of each."""
    import numpy as np

    from llama_gene.config import LoraSettings
    from llama_gene.model.folder import load_folder
    from llama_gene.model.lora import adapt
    from llama_gene.training import train
    from llama_gene.training.parallel import rank
    from nano import RandomRows, parameters, pretrain_settings

    class StoppedRows(RandomRows):
        def __getitem__(self, index: int) -> dict[str, Any]:
            if case["stop"] is not None and index >= case["stop"]:  # in every member, in the same step
                raise KeyboardInterrupt
            row = super().__getitem__(index)
            if case["poisoned"] is None:
                return row
            return {**row, "input_ids": np.full_like(row["input_ids"], 1 if index == case["poisoned"] else 2)}

    model, tokenizer, _ = load_folder(folder)
    lora = LoraSettings(rank=2, alpha=16, dropout=0.0)
    settings = pretrain_settings(train=case["what"], lora=lora, learning_rate=1e-4, **case["settings"])
    model = adapt(model, settings, tokenizer.base_size, seed=1)
    if case["poisoned"] is not None:
        model.get_input_embeddings().weight.data[1] = math.nan
    rows, output = StoppedRows(12), Path(case["output"])
    try:
        log = train(model, rows, settings, output / "checkpoints", seed=1, title="test")
    except KeyboardInterrupt:
        assert case["stop"] is not None
    else:
        if rank() == 0:
            np.savez(output / "weights.npz", **parameters(model))
            (output / "log.json").write_text(json.dumps(log.points))
    (output / f"{case['part']}-{rank()}.json").write_text(json.dumps(rows.served))


def fail(how: str) -> None:
    """Go wrong as a member can: all of them in the same way, or the second alone."""
    import os
    import signal
    import time

    from llama_gene.training.parallel import rank

    if how == "mistake" or (how == "fault of one" and rank() == 1):
        raise LlamaGeneError("no good", where="here", hint="mend it")
    if rank() == 1 and how == "crash":
        raise ValueError("a bug")
    if rank() == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


if __name__ == "__main__":
    with member():
        first, second = sys.argv[1:]
        if first == "fail":
            fail(second)
        for one in json.loads(second):
            run_case(Path(first), one)
