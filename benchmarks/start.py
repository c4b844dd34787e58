"""How long a person waits for ``llama-gene --help``, beside the bare interpreter and an eager import of the stack.

Run: ``python benchmarks/start.py``. Each figure is the median of ten starts, in seconds; the ratio is to bare Python.
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import llama_gene": [sys.executable, "-c", "import llama_gene"],
    "llama-gene --help": [sys.executable, "-c", "from llama_gene.cli import main; main()", "--help"],
    "import torch, transformers": [sys.executable, "-c", "import torch, transformers"],
}


def median_seconds(command: list[str], num_runs: int = 10) -> float:
    """The median wall time of a command."""
    times = []
    for _ in range(num_runs):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    bare = None
    for name, command in COMMANDS.items():
        seconds = median_seconds(command)
        bare = bare or seconds
        print(f"{name:<28} {seconds:6.3f} s  {seconds / bare:5.1f} x")


if __name__ == "__main__":
    main()
