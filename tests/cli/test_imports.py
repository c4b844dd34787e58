"""Help must come at once: nothing heavy is loaded before a command needs it."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "pandas", "sklearn", "accelerate", "tokenizers", "numpy")
ASK = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)"


def loaded_by(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\n{ASK}"], capture_output=True, text=True, check=True)
    loaded: list[str] = json.loads(done.stderr.splitlines()[-1])
    return loaded


def test_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import llama_gene") == []


@pytest.mark.parametrize(
    "words",
    ["--help", "run --help", "predict --help", "vocabulary --help", "tasks list --help", "data list --help"],
)
def test_help_loads_nothing_heavy(words: str) -> None:
    call = f"""
import sys
from llama_gene.cli import main
sys.argv = ["llama-gene", *{words.split()!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert loaded_by(call) == []
