"""Every ratio of the benchmarks, kept by version, drawn over versions, and held to the last kept one.

Run: ``python benchmarks/bench.py keep|check|page [--only NAME ...]``, or ``make bench`` and ``make bench-check``.

``keep`` measures all of them in short, some minutes in all, and writes ``benchmarks/history/VERSION.json``; ``page``
draws what is kept into ``build/benchmarks.html``. ``check`` measures without keeping, and fails where a ratio is more
than 20 % worse than the last kept one; a benchmark in which one is, is measured once more, and the better one counts.
More is better for every ratio (`ratios.py`). One at a time runs, each in a process of its own; the load of the machine
is kept beside the numbers, since on a busy one they say little.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from ratios import machine

from llama_gene import page
from llama_gene.files import atomic_path, read_json, write_json

HERE = Path(__file__).resolve().parent
HISTORY = HERE / "history"
PAGE = HERE.parent / "build" / "benchmarks.html"
DATA = HERE.parents[1] / "shared" / "data"
MOST_WORSE = 0.2
# Benchmark -> its script and the words that make it short. {data}: those that need the folder of real sequences.
SHORT: dict[str, tuple[str, ...]] = {
    "start": ("start.py", "--runs", "5"),
    "vocabulary, learning": ("vocabulary.py", "train", "--quick", "--data", "{data}", "--work", "{work}"),
    "vocabulary, encoding": ("vocabulary.py", "encode", "--quick", "--data", "{data}", "--work", "{work}"),
    "corpus": ("corpus.py", "--data", "{data}", "--megabytes", "2", "--theirs", "0.5"),
    "plan": ("plan.py", "--shape", "31 M, everything, bf16"),
    "training": ("training.py", "--tokens", "1024", "--steps", "2", "--repeats", "1"),
    "tuning": ("tuning.py", "--data", "{data}", "--steps", "2", "--repeats", "1"),
    "leakage": ("evaluation.py", "leakage", "--train", "5000", "--test", "500", "--repeats", "1"),
    "scoring": ("evaluation.py", "score", "--train", "1000", "--rows", "60", "--steps", "50"),
    "serving": ("serving.py", "batching", "--clients", "32", "--requests", "96", "--repeats", "1"),
}

Ratios = Mapping[str, Mapping[str, float]]  # benchmark -> name -> ratio


@dataclass(frozen=True)
class Entry:
    """The ratios of one version.

    Args:
        version: As git describes it.
        when: The time in UTC.
        machine: What they were measured on, its load before and after among it.
        ratios: Benchmark -> name -> ratio.
    """

    version: str
    when: str
    machine: Mapping[str, Any]
    ratios: Ratios


@dataclass(frozen=True)
class Change:
    """A ratio beside the last kept one."""

    benchmark: str
    name: str
    before: float
    now: float

    @property
    def is_worse(self) -> bool:
        return self.now < (1 - MOST_WORSE) * self.before

    def __str__(self) -> str:
        return f"{self.benchmark}: {self.name}: {self.before:.3g} -> {self.now:.3g} ({self.now / self.before - 1:+.0%})"


def measure(name: str) -> dict[str, float]:
    """The ratios of one benchmark; none where its data is not there."""
    if "{data}" in SHORT[name] and not DATA.is_dir():
        say(f"{name}: left out, for there is no {DATA}")
        return {}
    with tempfile.TemporaryDirectory() as work:
        script, *words = (word.format(data=DATA, work=work) for word in SHORT[name])
        output = Path(work) / "ratios.json"
        started = time.monotonic()
        command = [sys.executable, str(HERE / script), *words, "--ratios", str(output)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: failed ({done.returncode}): {' '.join(command)}\n{done.stdout}{done.stderr}")
        say(f"{name}: {time.monotonic() - started:.0f} s")
        found: dict[str, float] = read_json(output)
        return found


def say(text: str) -> None:
    """Tell what goes on, beside the result."""
    print(f"  {text}", file=sys.stderr, flush=True)


def keep(ratios: Ratios, before: Mapping[str, Any]) -> None:
    """Add what was measured to the file of this version; `before` is the machine as it was found."""
    describe = ["git", "describe", "--tags", "--always", "--dirty"]
    version = subprocess.run(describe, cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()
    facts = dict(before) | {"load_average_after": machine()["load_average"]}
    path = HISTORY / f"{version}.json"
    there = Entry(**read_json(path)).ratios if path.exists() else {}
    write_json(path, asdict(Entry(version, str(facts.pop("started")), facts, {**there, **ratios})))


def kept(folder: Path) -> list[Entry]:
    """The entries of a folder, the oldest first."""
    return sorted((Entry(**read_json(path)) for path in folder.glob("*.json")), key=lambda entry: entry.when)


def standing(entries: Iterable[Entry]) -> Ratios:
    """What is kept last of each benchmark; an entry need not have all of them."""
    found: dict[str, Mapping[str, float]] = {}
    for entry in entries:
        found |= entry.ratios
    return found


def changes(before: Ratios, now: Ratios) -> list[Change]:
    """Each ratio that both have."""
    return [
        Change(benchmark, name, value, now[benchmark][name])
        for benchmark, values in before.items()
        for name, value in values.items()
        if name in now.get(benchmark, {})
    ]


def missing(before: Ratios, now: Ratios) -> list[str]:
    """What is kept and was not measured, of the benchmarks that ran."""
    return [f"{of}: {name}" for of, values in before.items() if of in now for name in values if name not in now[of]]


def check(before: Ratios, names: Iterable[str], measure: Callable[[str], Mapping[str, float]]) -> list[Change]:
    """Measure, what is worse twice, and give the changes of all."""
    now: dict[str, Mapping[str, float]] = {}
    for name in names:
        now[name] = measure(name)
        if any(change.is_worse for change in changes({name: before.get(name, {})}, now)):
            again = measure(name)
            now[name] = {of: max(value, again.get(of, value)) for of, value in now[name].items()}
    for gone in missing(before, now):
        say(f"{gone}: kept, but not measured here")
    return changes(before, now)


def render(entries: Sequence[Entry]) -> str:
    """The page: a chart for each ratio, over the versions that have it, and what the numbers were measured on."""
    last = entries[-1]
    known: dict[str, dict[str, None]] = {}
    for entry in entries:
        for benchmark, values in entry.ratios.items():
            known.setdefault(benchmark, {}).update(dict.fromkeys(values))
    charts = {
        benchmark: [(name, _chart(entries, benchmark, name)) for name in names] for benchmark, names in known.items()
    }
    template = (HERE / "bench.html").read_text(encoding="utf-8")
    rows = changes(standing(entries[:-1]), last.ratios)
    most = round(100 * MOST_WORSE)
    body = page.render(template, entries=entries, last=last, charts=charts, rows=rows, most=most)
    return page.render_page("llama-gene: benchmarks", body)


def _chart(entries: Sequence[Entry], benchmark: str, name: str) -> Markup:
    values = [(number, entry.ratios.get(benchmark, {}).get(name)) for number, entry in enumerate(entries, start=1)]
    points = [(float(number), value) for number, value in values if value is not None]
    return page.line_chart({"ratio": points}, title=name, x_label="version, by number", y_label="times as good")


def write_page(entries: Sequence[Entry]) -> None:
    """Draw what is kept."""
    PAGE.parent.mkdir(exist_ok=True)
    with atomic_path(PAGE) as draft:
        draft.write_text(render(entries), encoding="utf-8")
    print(PAGE)


def main() -> None:
    """Keep, check or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["keep", "check", "page"])
    parser.add_argument("--only", nargs="+", choices=SHORT, default=list(SHORT), metavar="NAME", help="of these alone")
    given = parser.parse_args()
    entries = kept(HISTORY)
    if given.what == "keep":
        facts = machine()
        keep({name: found for name in given.only if (found := measure(name))}, facts)
        entries = kept(HISTORY)
    elif not entries:
        sys.exit(f"{HISTORY}: nothing is kept yet: make bench")
    if given.what != "check":
        write_page(entries)
        return
    now = check(standing(entries), given.only, measure)
    print("\n".join(map(str, now)))
    if worse := [str(change) for change in now if change.is_worse]:
        sys.exit("\n".join([f"more than {MOST_WORSE:.0%} worse than what is kept:", *worse]))


if __name__ == "__main__":
    main()
