"""What evaluation takes.

Run: ``python benchmarks/evaluation.py leakage [--data ../shared/data] [--train 100000] [--test 10000] [--repeats 3]``.
     ``python benchmarks/evaluation.py score [--data ../shared/data] [--rows 300] [--steps 200]``.

``score``: rows a second of label scoring against the reference's loop; see ``scoring.py``.

``leakage``: so many training rows and test rows, 300 letters each, are drawn from families of mutated sequences. Of the
test rows 5 % are copied from training, 5 % are reverse complements (DNA), 5 % have 3 % of their letters changed, the
rest are other members of the families or new. `find_leaks` looks for them in a process of its own, on one thread. Time
is the CPU time of the search, the median of the repeats; memory is the peak of the process, data and all. Recall and
precision are against plain Python sets by the same rule, for 25 test rows drawn evenly and all training rows. With
``--data`` also the rows of GUE's core promoters and TAPE's stability (train and dev, all of them).
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ratios

from llama_gene.config import LeakageSettings
from llama_gene.sequences.alphabet import ALPHABETS, Kind, reverse_complement
from llama_gene.tasks.task import Example

LENGTH, FAMILY_SIZE, NUM_CHECKED = 300, 5, 25
REAL = {"prom_core_all": "dna", "stability": "protein"}
MOST_SECONDS, MOST_MEMORY, LEAST_RECALL = 60, 4 * 1024, 0.99


def mutate(rng: random.Random, sequence: str, rate: float, letters: str) -> str:
    """Each letter is another one with probability `rate`."""
    places = [place for place in range(len(sequence)) if rng.random() < rate]
    drawn = list(sequence)
    for place in places:
        drawn[place] = rng.choice(letters.replace(drawn[place], ""))
    return "".join(drawn)


def simulate(kind: Kind, num_train: int, num_test: int) -> tuple[list[Example], list[Example]]:
    """Training rows and test rows, with a planted leak."""
    rng, letters = random.Random(17), ALPHABETS[kind].letters
    ancestors = ["".join(rng.choices(letters, k=LENGTH)) for _ in range(num_train // FAMILY_SIZE)]

    def member() -> str:
        return mutate(rng, rng.choice(ancestors), rng.uniform(0, 0.1), letters)

    train = [member() for _ in range(num_train)]
    share = num_test // 20
    test = rng.sample(train, share)
    test += [reverse_complement(one) if kind == "dna" else one for one in rng.sample(train, share)]
    test += [mutate(rng, one, 0.03, letters) for one in rng.sample(train, share)]
    rest = num_test - len(test)
    test += [member() if number % 2 else "".join(rng.choices(letters, k=LENGTH)) for number in range(rest)]
    rng.shuffle(test)
    return as_rows(train), as_rows(test)


def as_rows(sequences: list[str]) -> list[Example]:
    return [Example(f"row{number}", (sequence,)) for number, sequence in enumerate(sequences)]


def real(name: str, data: Path) -> tuple[list[Example], list[Example]]:
    """The training rows and the dev rows of a task."""
    from llama_gene.tasks.convert import find_split
    from llama_gene.tasks.registry import load_task
    from llama_gene.tasks.rows import load_rows

    task = load_task(name, data)
    train, dev = (load_rows(task, find_split(task, data, split)).examples for split in ("train", "dev"))
    return list(train), list(dev)


def kmer_set(kind: Kind, sequence: str, k: int) -> set[str]:
    whole = set(ALPHABETS[kind].letters)
    windows = {sequence[place : place + k] for place in range(len(sequence) - k + 1)}
    windows = {window for window in windows if set(window) <= whole}
    return {min(window, reverse_complement(window)) for window in windows} if kind == "dna" else windows


def by_sets(kind: Kind, train: list[Example], test: list[Example], rule: LeakageSettings) -> list[bool]:
    """Which test rows are leaked, the plain way."""
    k = rule.k_of(kind)
    wanted = [kmer_set(kind, row.sequences[0], k) for row in test]
    leaked = [False] * len(test)
    for row in train:
        theirs = kmer_set(kind, row.sequences[0], k)
        for number, mine in enumerate(wanted):
            leaked[number] |= bool(mine) and len(mine & theirs) >= rule.threshold * len(mine)
    return leaked


def search(name: str, kind: Kind, data: Path | None, num_train: int, num_test: int, *, check: bool) -> dict[str, Any]:
    """Look for the leaks once; what it took, and how it stands to plain sets."""
    from llama_gene.evaluation.leakage import find_leaks

    train, test = simulate(kind, num_train, num_test) if data is None else real(name, data)
    rule = LeakageSettings()
    started = time.process_time()
    found = find_leaks(test, train, [kind], rule)
    seconds = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result: dict[str, Any] = {"seconds": seconds, "memory": memory, "train": len(train), "test": len(test)}
    result |= {"counts": found.counts}
    if check:
        places = range(0, len(test), max(1, len(test) // NUM_CHECKED))
        truth, mine = by_sets(kind, train, [test[place] for place in places], rule), found.is_leaked[list(places)]
        both = sum(a and b for a, b in zip(truth, mine.tolist(), strict=True))
        result |= {"truth": sum(truth), "found": int(mine.sum()), "both": both}
    return result


def in_a_process(words: list[str]) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, capture_output=True, text=True, env=environment
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def leakage_rows(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    size = ["--train", str(arguments.train), "--test", str(arguments.test)]
    cases = [(f"simulated {kind}", ["search", "simulated", kind, *size]) for kind in ("dna", "protein")]
    if arguments.data is not None:
        cases += [(name, ["search", name, kind, "--data", str(arguments.data)]) for name, kind in REAL.items()]
    for name, words in cases:
        runs = [in_a_process([*words, *(["--check"] if turn == 0 else [])]) for turn in range(arguments.repeats)]
        yield name, runs[0] | {"seconds": statistics.median(run["seconds"] for run in runs)}


def leakage(arguments: argparse.Namespace) -> None:
    print("| rows | train x test | exact | reverse complement | shared k-mers | CPU s | peak MB | recall | precision |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, found in leakage_rows(arguments):
        shown = {"recall": "truth", "precision": "found"}
        exact = {f"{what}, {name}": found["both"] / found[of] for what, of in shown.items() if found[of]}
        ratios.write(arguments.ratios, exact)
        counts = " | ".join(f"{count:,}" for count in found["counts"].values())
        # Where none of the checked rows is leaked, there is nothing to find.
        shares = [f"{found['both'] / found[of]:.3f}" if found[of] else "-" for of in ("truth", "found")]
        numbers = f"{found['seconds']:.1f} | {found['memory']:.0f} | {' | '.join(shares)}"
        print(f"| {name} | {found['train']:,} x {found['test']:,} | {counts} | {numbers} |", flush=True)
    print(f"targets: {MOST_SECONDS} s, {MOST_MEMORY} MB, recall {LEAST_RECALL} (recall of {NUM_CHECKED} test rows)")


def score(arguments: argparse.Namespace) -> None:
    from scoring import LEAST_RATIO, LEAST_TO_HARNESS, runs

    with tempfile.TemporaryDirectory() as work:
        found = list(runs(arguments.data, arguments.train, arguments.rows, arguments.steps, Path(work) / "model"))
    print("| how | rows | CPU s | rows/s | accuracy | by substring | times as fast |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for place, run in enumerate(found):
        lenient = "" if run.by_substring is None else f"{run.by_substring:.3f}"
        numbers = f"{run.num_rows} | {run.seconds:.2f} | {run.rate:.1f} | {run.accuracy:.3f} | {lenient}"
        print(f"| {run.name} | {numbers} | {run.rate / found[place - place % 2].rate:.1f} |")
        if place % 2:
            ratios.write(arguments.ratios, {f"beside {found[place - 1].name}": run.rate / found[place - 1].rate})
    print(f"targets, at equal or better accuracy: {LEAST_RATIO} times the loop, {LEAST_TO_HARNESS} times the harness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("leakage")
    whole.add_argument("--repeats", type=int, default=3)
    one = commands.add_parser("search")
    one.add_argument("name")
    one.add_argument("kind", choices=["dna", "protein"])
    one.add_argument("--check", action="store_true")
    for command in (whole, one):
        command.add_argument("--data", type=Path)
        command.add_argument("--train", type=int, default=100_000)
        command.add_argument("--test", type=int, default=10_000)
    scored = commands.add_parser("score")
    scored.add_argument("--data", type=Path)
    scored.add_argument("--train", type=int, default=8000)
    scored.add_argument("--rows", type=int, default=300)
    scored.add_argument("--steps", type=int, default=200)
    for command in (whole, scored):
        ratios.add_option(command)
    arguments = parser.parse_args()
    if arguments.command == "leakage":
        leakage(arguments)
    elif arguments.command == "score":
        score(arguments)
    else:
        given = arguments.data, arguments.train, arguments.test
        print(json.dumps(search(arguments.name, arguments.kind, *given, check=arguments.check)))


if __name__ == "__main__":
    main()
