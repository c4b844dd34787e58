"""Learning pieces and applying them: ours beside sentencepiece, Hugging Face tokenizers and tiktoken, in one run.

Run: ``python benchmarks/vocabulary.py [train|encode|scale|threads|all] [--quick] [--data ../shared/data]``, with the
rivals from ``pip install 'llama-gene[benchmark]'``. It prints tables, and writes the numbers with the facts of the
machine as JSON. A first run of ``all`` makes 1.3 GB of text of each kind in ``--work``, and takes about half an hour.

What is measured, and how:

- Everything runs in a fresh process. CPU is user + system time of all its threads; the peak is its resident set. Both
  are read from the kernel when it ends (wait4). All libraries are told to use one thread; ours uses more only where
  the table says so. Only ratios say something: the machine differs.
- Training is the whole process, start and reading included: ours is ``llama-gene vocabulary train``, theirs is the
  shortest script that reads the same FASTA. What the process takes when it imports and does nothing is in the table.
  Runs below five seconds are repeated; the median counts.
- Encoding is the call alone, in the process (process_time), on lines in memory and with the same vocabulary; loading is
  not in it. Best and median of several runs. Every tool must return the same ids, or the run fails. The rise of the
  peak is what the first call needed beside what was held before it, its result included.
- sentencepiece is trained on lines of 4,096 letters (it holds a line to be one word) and pieces of at most 16, its
  default; tokenizers on records of 512 letters, and on half of the text: longer ones it does not finish in a
  reasonable time. It has no cache here, since no line comes twice.
- The texts: see `vocabulary_corpus.py`. ``--megabytes`` is that of training; the scale goes from a tenth to ten times
  of it, all thinned from the largest; the lines to encode are a fifth, the one long line is a tenth of it.
"""

import argparse
import hashlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ratios
from vocabulary_work import digest_of, read_merges

# Nothing but the standard library here: the peak of a child is never below what its parent held when it was started.

HERE = Path(__file__).resolve().parent
OURS, RIVALS = "llama-gene", ("sentencepiece", "tokenizers", "tiktoken")
# numpy's threads spin when they start, for nothing here: a tenth of a second that is not ours. Our own are not asked.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
LONG_ENOUGH_S = 5.0  # a run that takes longer is not repeated
KINDS = ("dna", "protein")
LINES_OF = {"dna": "600 bp DNA lines", "protein": "protein lines"}

SAMENESS = ("same merges", "same ids", "same result")  # columns that must hold

Cell = str | float | int | bool | None
Row = dict[str, Cell]


@dataclass(frozen=True)
class Settings:
    """What a run does.

    Args:
        data: A folder with FASTA files in corpus/dna and corpus/protein.
        work: Where the texts are kept.
        letters: Of the text to train on.
        size: Pieces to learn.
        num_runs: How often what is short is repeated.
        limit: Seconds that another tool may take to encode.
    """

    data: Path
    work: Path
    letters: int
    size: int
    num_runs: int
    limit: float


@dataclass
class Table:
    """Rows of the same columns; None is a cell that has no value."""

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as people read it."""
        columns = list(self.rows[0])
        lines = [columns, ["---"] * len(columns), *([_show(row[name]) for name in columns] for row in self.rows)]
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return "\n\n".join([f"## {self.title}", text, *self.notes])


@dataclass(frozen=True)
class Usage:
    """What a process took.

    Args:
        cpu: Seconds of user and system time.
        wall: Seconds on the clock.
        peak: Bytes of its largest resident set.
        result: What it printed last, as JSON; None if the limit ended it.
    """

    cpu: float
    wall: float
    peak: int
    result: dict[str, Any] | None


def measure(command: Sequence[str | Path], limit: float | None = None) -> Usage:
    """Run a command in a fresh process; one that takes longer than `limit` seconds is ended."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        words = [str(word) for word in command]
        process = subprocess.Popen(words, stdout=output, stderr=errors, env=os.environ | ONE_THREAD)
        late = False
        try:
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                wall = time.perf_counter() - start
                if pid:
                    break
                if limit is not None and wall > limit and not late:
                    late = True
                    os.kill(process.pid, signal.SIGKILL)
                time.sleep(0.002 if wall < 1 else 0.02)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode and not late:
            shown = " ".join(map(str, command))
            raise SystemExit(
                f"failed ({process.returncode}): {shown}\n{errors.read().decode(errors='replace')[-2000:]}"
            )
        lines = output.read().decode().splitlines()
    result = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * unit, None if late else result)


def measure_often(command: Callable[[], Sequence[str | Path]], num_runs: int) -> Usage:
    """The median of several runs, if they are short; `command` gives each its own output."""
    runs = [measure(command())]
    while runs[0].wall < LONG_ENOUGH_S and len(runs) < num_runs:
        runs.append(measure(command()))
    cpu, wall = (statistics.median(getattr(run, name) for run in runs) for name in ("cpu", "wall"))
    return Usage(cpu, wall, max(run.peak for run in runs), runs[0].result)


class Bench:
    """The texts and the processes of one run."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self.settings = settings
        self._scratch = scratch
        self._num_folders = 0
        found = sorted((settings.data / "corpus").glob("*/*.fa*"))
        facts = [(HERE / "vocabulary_corpus.py").read_text(), *(f"{path} {path.stat().st_size}" for path in found)]
        # A text is made again if the program that makes it or what it is made of has changed.
        self._key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]

    def text(self, what: str, kind: str, letters: int, source: Path | None = None) -> Path:
        """A file that `vocabulary_corpus.py` makes, unless it is there; `source` is another one of them."""
        origin = "" if source is None else f"-of-{source.stem.split('-')[-1]}"
        suffix = "txt" if what.startswith("line") else "fa"
        path = self.settings.work / self._key / f"{kind}-{what}{origin}-{letters}.{suffix}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            say(f"making {path}")
            script, root = HERE / "vocabulary_corpus.py", source or self.settings.data
            measure([sys.executable, script, what, kind, str(letters), root, path])
        return path

    def train(self, kind: str, source: Path, num_threads: int = 1) -> tuple[Usage, Path]:
        """`llama-gene vocabulary train`, and the folder it made."""

        def command() -> list[str | Path]:
            self._num_folders += 1
            start: list[str | Path] = [
                sys.executable,
                "-c",
                "from llama_gene.cli import main; main()",
                "vocabulary",
                "train",
                source,
            ]
            settings = {
                "kind": kind,
                "size": self.settings.size,
                "sample": 10**12,  # the whole file
                "threads": num_threads,
                "output": self._folder(),
            }
            return [*start, *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]

        say(f"llama-gene trains on {source.name}, threads: {num_threads}")
        return measure_often(command, self.settings.num_runs), self._folder()

    def train_rival(self, tool: str, source: Path) -> Usage | None:
        """The same text and size with another tool; None if it is not installed."""
        if not ratios.installed(tool):
            return None
        say(f"{tool} trains on {source.name}")
        command = work("train", tool, source, str(self.settings.size))
        return measure_often(lambda: command, self.settings.num_runs)

    def idle(self, tool: str) -> Usage:
        """A process that imports what training needs, and does nothing."""
        return measure_often(lambda: work("idle", tool), self.settings.num_runs)

    def encode(self, tool: str, vocabulary: Path, lines: Path, num_threads: int = 1) -> Usage | None:
        """Encode a file's lines; None if the tool is not installed, without a result if it takes too long."""
        if not ratios.installed(tool):
            return None
        say(f"{tool} encodes {lines.name}, threads: {num_threads}")
        limit = self.settings.limit
        numbers = (str(num_threads), str(self.settings.num_runs), str(limit / 4))
        return measure(work("encode", tool, vocabulary, lines, *numbers), None if tool == OURS else limit)

    def _folder(self) -> Path:
        return self._scratch / f"vocabulary-{self._num_folders}"


def work(*words: str | Path) -> list[str | Path]:
    """A command of `vocabulary_work.py`."""
    return [sys.executable, HERE / "vocabulary_work.py", *words]


def train(bench: Bench) -> Table:
    """Ours against theirs, one thread, DNA."""
    letters = bench.settings.letters
    large = bench.text("corpus", "dna", letters)
    small = bench.text("windows", "dna", letters // 2, large)
    table = Table(f"Train {bench.settings.size:,} pieces of DNA, one thread, whole process")
    for source, rival, form in (
        (large, "sentencepiece", "chromosomes"),
        (small, "tokenizers", "records of 512"),
    ):
        ours, folder = bench.train("dna", source)
        merges = read_merges(folder)
        for tool, usage in ((OURS, ours), (rival, bench.train_rival(rival, source))):
            row: Row = {"text": form, "MB": num_learned_from(folder) / 1e6, "tool": tool}
            row |= {"CPU s": None, "wall s": None, "peak MB": None, "CPU, x ours": None, "peak, x ours": None}
            row |= {"idle CPU s": None, "idle peak MB": None, "merges": None, "same merges": None}
            if usage is not None:
                row |= {"CPU s": usage.cpu, "wall s": usage.wall, "peak MB": usage.peak / 1e6}
                row |= {"CPU, x ours": usage.cpu / ours.cpu, "peak, x ours": usage.peak / ours.peak}
                idle = bench.idle(tool)
                row |= {"idle CPU s": idle.cpu, "idle peak MB": idle.peak / 1e6}
                row["merges"] = usage.result["merges"] if usage.result else len(merges)
                if tool == "tokenizers" and usage.result:
                    row["same merges"] = usage.result["digest"] == digest_of(merges)
            table.rows.append(row)
    table.notes.append(
        "sentencepiece bounds the length of a piece and breaks ties in its own way: its merges are not compared."
    )
    return table


def scale(bench: Bench) -> Table:
    """How time and memory of ours grow, DNA and protein, one thread, from a tenth of the text to ten times of it."""
    idle = bench.idle(OURS)
    largest = bench.settings.letters * 10
    table = Table(f"Train {bench.settings.size:,} pieces as the text grows, one thread, whole process")
    table.notes.append(f"A process that imports and does nothing: {idle.cpu:.2f} s, {idle.peak / 1e6:.0f} MB.")
    for kind in KINDS:
        whole = bench.text("corpus", kind, largest)
        points: list[tuple[int, float]] = []
        for letters in (largest // 100, largest // 10, largest):
            source = whole if letters == largest else bench.text("thin", kind, letters, whole)
            usage, folder = bench.train(kind, source)
            num_letters = num_learned_from(folder)
            # What the start takes does not grow; left in, it would flatter the exponent.
            points.append((num_letters, max(usage.cpu - idle.cpu, 1e-3)))
            table.rows.append(
                {
                    "text": kind,
                    "MB": num_letters / 1e6,
                    "merges": len(read_merges(folder)),
                    "CPU s": usage.cpu,
                    "wall s": usage.wall,
                    "peak MB": usage.peak / 1e6,
                    "peak, bytes a letter": usage.peak / num_letters,
                    "above idle, bytes a letter": (usage.peak - idle.peak) / num_letters,
                    "exponent since the row above": exponent(points[-2:]),
                }
            )
        table.notes.append(f"{kind}: CPU above idle grows with exponent {exponent(points):.2f} over all sizes.")
    return table


def threads(bench: Bench) -> Table:
    """Ours on one thread and on two."""
    letters = bench.settings.letters
    table = Table("One thread and two, llama-gene, seconds on the clock")
    for kind in KINDS:
        source = bench.text("corpus", kind, letters)
        one, folder = bench.train(kind, source, 1)
        two, other = bench.train(kind, source, 2)
        same = digest_of(read_merges(folder)) == digest_of(read_merges(other))
        table.rows.append(
            {
                "work": f"train, {kind}, whole process",
                "MB": num_learned_from(folder) / 1e6,
                "1 thread, wall s": one.wall,
                "2 threads, wall s": two.wall,
                "speed-up": one.wall / two.wall,
                "1 thread, CPU s": one.cpu,
                "2 threads, CPU s": two.cpu,
                "same result": same,
            }
        )
        for name, lines in encoding_texts(bench, kind, source):
            single, double = (_result(bench.encode(OURS, folder, lines, number)) for number in (1, 2))
            table.rows.append(
                {
                    "work": f"encode, {name}",
                    "MB": single["letters"] / 1e6,
                    "1 thread, wall s": single["wall_best"],
                    "2 threads, wall s": double["wall_best"],
                    "speed-up": single["wall_best"] / double["wall_best"],
                    "1 thread, CPU s": single["cpu_best"],
                    "2 threads, CPU s": double["cpu_best"],
                    "same result": single["ids"] == double["ids"],
                }
            )
    return table


def encode(bench: Bench) -> Table:
    """Ours against theirs, one thread each, the same vocabulary and the same ids."""
    table = Table("Encode, one thread, CPU seconds of the call")
    for kind in KINDS:
        source = bench.text("corpus", kind, bench.settings.letters)
        _, folder = bench.train(kind, source)
        for name, lines in encoding_texts(bench, kind, source):
            ours = _result(bench.encode(OURS, folder, lines))
            for tool in (OURS, *RIVALS):
                usage = None if tool == OURS else bench.encode(tool, folder, lines)
                table.rows.append(_encoding_row(name, tool, usage, ours, bench.settings.limit))
    return table


def _encoding_row(name: str, tool: str, usage: Usage | None, ours: dict[str, Any], limit: float) -> Row:
    row: Row = {"text": name, "MB": ours["letters"] / 1e6, "tool": tool}
    row |= {"CPU s, best": None, "median": None, "runs": None, "MB/s": None, "x ours": None}
    row |= {"peak rises by MB": None, "tokens": None, "same ids": None}
    if tool != OURS and usage is None:
        return row
    result = ours if usage is None else usage.result
    if result is None:
        return row | {"CPU s, best": f"over {limit:g} s", "x ours": f"over {limit / ours['cpu_best']:,.0f}"}
    return row | {
        "CPU s, best": result["cpu_best"],
        "median": result["cpu_median"],
        "runs": result["runs"],
        "MB/s": result["letters"] / 1e6 / result["cpu_best"],
        "x ours": result["cpu_best"] / ours["cpu_best"],
        "peak rises by MB": (result["peak_after"] - result["peak_before"]) / 1e6,
        "tokens": result["tokens"],
        "same ids": result["ids"] == ours["ids"],
    }


def encoding_texts(bench: Bench, kind: str, source: Path) -> list[tuple[str, Path]]:
    """Many lines; of DNA also one long one."""
    letters = bench.settings.letters
    texts = [(LINES_OF[kind], bench.text("lines", kind, letters // 5, source))]
    if kind == "dna":
        texts.append(("one DNA line", bench.text("line", kind, letters // 10, source)))
    return texts


def num_learned_from(folder: Path) -> int:
    """The letters that `llama-gene vocabulary train` drew."""
    sources = json.loads((folder / "vocabulary.json").read_text())["sources"]
    return sum(int(source["letters"]) for source in sources)


def exponent(points: Sequence[tuple[int, float]]) -> float | None:
    """The slope of log seconds over log letters, by least squares; None for a single point."""
    if len(points) < 2:
        return None
    pairs = [(math.log(letters), math.log(seconds)) for letters, seconds in points]
    return statistics.linear_regression(*zip(*pairs, strict=True)).slope


def ratios_of(tables: Mapping[str, Table]) -> dict[str, float]:
    """What is measured beside something else: CPU time and peak of a rival, one thread beside two."""
    found: dict[str, float] = {}
    for part, table in tables.items():
        for row in table.rows:
            of = ", ".join(str(row[name]) for name in ("text", "tool", "work") if name in row)
            values = {name: row.get(name) for name in ("CPU, x ours", "peak, x ours", "x ours", "speed-up")}
            ours = row.get("tool") == OURS
            found |= {f"{part}, {of}: {name}": x for name, x in values.items() if isinstance(x, float) and not ours}
    return found


def say(text: str) -> None:
    """Tell what goes on, beside the tables."""
    print(f"  {text}", file=sys.stderr, flush=True)


def _result(usage: Usage | None) -> dict[str, Any]:
    if usage is None or usage.result is None:
        raise SystemExit(f"{OURS} is not installed")
    return usage.result


def _show(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "NO"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


PARTS: dict[str, Callable[[Bench], Table]] = {"train": train, "scale": scale, "threads": threads, "encode": encode}


def main() -> None:
    """Run the parts, print their tables, write the numbers."""
    parser = argparse.ArgumentParser(description="Measure learning and applying pieces, ours and theirs.")
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--quick", action="store_true", help="1 MB, 2,000 pieces, 2 runs: does it work? (a minute)")
    parser.add_argument("--megabytes", type=float, help="letters to train on, in millions (100; quick: 1)")
    parser.add_argument("--size", type=int, help="pieces (30,000; quick: 2,000)")
    parser.add_argument("--runs", type=int, help="how often what is short is repeated (5; quick: 2)")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds another tool may take to encode (120)")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data", help="real sequences")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "llama-gene-benchmark")
    parser.add_argument("--output", type=Path, help="the numbers (vocabulary-PART.json in the work folder)")
    ratios.add_option(parser)
    given = parser.parse_args()
    megabytes, size, num_runs = (1.0, 2_000, 2) if given.quick else (100.0, 30_000, 5)
    settings = Settings(
        data=given.data,
        work=given.work,
        letters=round((given.megabytes or megabytes) * 1e6),
        size=given.size or size,
        num_runs=given.runs or num_runs,
        limit=given.limit,
    )
    facts = ratios.machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, load {facts['load_average']}; Python {facts['python']}, ", end="")
    print(", ".join(f"{name} {version or 'not installed'}" for name, version in facts["packages"].items()), flush=True)
    settings.work.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Table] = {}
    with tempfile.TemporaryDirectory(dir=settings.work) as scratch:
        bench = Bench(settings, Path(scratch))
        for name in PARTS if given.part == "all" else [given.part]:
            tables[name] = PARTS[name](bench)
            print(f"\n{tables[name].markdown()}", flush=True)
    shown = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(settings).items()}
    numbers = {"machine": facts, "settings": shown, **{name: asdict(table) for name, table in tables.items()}}
    output = given.output or settings.work / f"vocabulary-{given.part}.json"
    output.write_text(json.dumps(numbers, indent=2) + "\n")
    say(f"the numbers: {output}")
    ratios.write(given.ratios, ratios_of(tables))
    if any(row.get(check) is False for table in tables.values() for row in table.rows for check in SAMENESS):
        raise SystemExit("the tools do not agree: see the tables")


if __name__ == "__main__":
    main()
