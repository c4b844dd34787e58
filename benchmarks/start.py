"""How long a person waits for ``llama-gene --help``, beside the bare interpreter and an eager import of the stack.

Run: ``python benchmarks/start.py [--runs 10]``. Each figure is the median of so many starts, in seconds;
the ratio is to bare Python.
"""

import argparse
import statistics
import subprocess
import sys
import time

import ratios

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import llama_gene": [sys.executable, "-c", "import llama_gene"],
    "llama-gene --help": [sys.executable, "-c", "from llama_gene.cli import main; main()", "--help"],
    "import torch, transformers": [sys.executable, "-c", "import torch, transformers"],
}


def median_seconds(command: list[str], num_runs: int) -> float:
    """The median wall time of a command."""
    times = []
    for _ in range(num_runs):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="starts of each")
    ratios.add_option(parser)
    options = parser.parse_args()
    medians = {name: median_seconds(command, options.runs) for name, command in COMMANDS.items()}
    bare, *_, eager = medians.values()
    for name, seconds in medians.items():
        print(f"{name:<28} {seconds:6.3f} s  {seconds / bare:5.1f} x")
    ours = ("import llama_gene", "llama-gene --help")
    ratios.write(options.ratios, {f"{name}, beside an eager import": eager / medians[name] for name in ours})


if __name__ == "__main__":
    main()
