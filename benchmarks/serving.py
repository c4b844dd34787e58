"""What serving takes: 64 clients at a time beside one, and the start.

Run: ``python benchmarks/serving.py all [--model FOLDER] [--clients 64] [--requests 640] [--repeats 3]``, or one part.

A server runs in a process of its own, on a new model of the quickstart's size that was tuned for some steps (or on
``--model``); clients are threads of this process, on the same cores. Every answer is checked: it must be the one of the
same request alone.

- ``batching``: so many requests by one client after the other, and by all clients at once, for each kind of request:
  predictions of one row over all tasks, and texts of 32 tokens. The ratio is of requests a second.
- ``load``: all clients, mixed predictions and texts; errors, lost answers, p50 and p99. The median is that of the same
  load; with ``--minutes`` it goes on so long, and the server's memory is read every tenth of that.
- ``start``: from the command to ``/readyz``, wall time and the process's CPU time.
"""

import argparse
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ratios

LEAST_RATIO, MOST_SPREAD, MOST_START = 5.0, 3.0, 6.0
NEW_TOKENS = 32
LENGTH = 60
TUNED = ("simulate.num_train=200", "simulate.num_dev=50", "pretrain.tokens=20_000", "finetune.epochs=1")

Asked = tuple[str, dict[str, Any]]


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = psutil.Process(process.pid), port
        self._local = threading.local()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer; a connection for each thread is kept, as clients do."""
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection: http.client.HTTPConnection = self._local.connection
        payload = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, payload, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{path}: {reply.status} {content[:300]!r}")
        return json.loads(content)


@contextmanager
def serving(model: Path) -> Iterator[tuple[Server, float]]:
    """A server on a free port, and the seconds it took to be ready."""
    command = [sys.executable, "-c", "from llama_gene.cli import main; main()", "serve", str(model)]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--port", "0", "--rate", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        if "http://" not in line:
            raise RuntimeError(line + process.stderr.read())
        server = Server(process, int(line.split("http://")[1].split(" ")[0].rpartition(":")[2]))
        server.ask("/readyz")
        yield server, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def predictions(server: Server, number: int) -> list[Asked]:
    """Requests of one row, over all tasks in turn."""
    rng, tasks = random.Random(17), server.ask("/v1/tasks")["tasks"]
    letters = {"dna": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}
    asked: list[Asked] = []
    for place in range(number):
        task = tasks[place % len(tasks)]
        row = ["".join(rng.choices(letters[part["kind"]], k=LENGTH)) for part in task["inputs"]]
        asked.append(("/v1/predict", {"task": task["name"], "records": [{"sequences": row}]}))
    return asked


def texts(server: Server, number: int) -> list[Asked]:
    """Requests for text that goes on with a sequence."""
    rng, model = random.Random(18), server.ask("/v1/models")["data"][0]["id"]
    body = {"model": model, "max_tokens": NEW_TOKENS, "temperature": 1}
    prompts = ["<dna>" + "".join(rng.choices("ACGT", k=rng.randrange(5, 40))) for _ in range(number)]
    return [("/v1/completions", {**body, "prompt": prompt, "seed": place}) for place, prompt in enumerate(prompts)]


def same(one: Any, other: Any) -> bool:
    """Whether two answers say the same; sums in another order may differ in the last digits."""
    if "choices" in one:
        return bool(one["choices"][0]["text"] == other["choices"][0]["text"])
    (mine,), (theirs,) = one["results"], other["results"]
    wanted = mine["probabilities"] or {"value": mine["value"]}
    found = theirs["probabilities"] or {"value": theirs["value"]}
    return all(abs(wanted[name] - found[name]) < 1e-3 for name in wanted)


def timed(server: Server, asked: Sequence[Asked], clients: int) -> tuple[float, list[float], list[Any]]:
    """Seconds for all, seconds of each, and the answers."""

    def one(request: Asked) -> tuple[float, Any]:
        started = time.perf_counter()
        answer = server.ask(*request)
        return time.perf_counter() - started, answer

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(one, asked))
    return time.perf_counter() - started, [seconds for seconds, _ in found], [answer for _, answer in found]


def batching(model: Path, clients: int, number: int, repeats: int) -> dict[str, float]:
    """Print what all clients at once gain over one after the other; the ratios."""
    gains = {}
    print(f"| request | one client, a second | {clients} clients, a second | ratio | same answers |")
    print("|---|---:|---:|---:|---|")
    with serving(model) as (server, _):
        for name, asked in (("predict, one row", predictions(server, number)), ("32 tokens", texts(server, number))):
            few = asked[: max(1, number // 8)]
            timed(server, few, clients)  # warm
            alone = [timed(server, few, 1) for _ in range(repeats)]
            together = [timed(server, asked, clients) for _ in range(repeats)]
            slow = len(few) / statistics.median(seconds for seconds, _, _ in alone)
            fast = len(asked) / statistics.median(seconds for seconds, _, _ in together)
            gains[name] = fast / slow
            equal = all(same(one, other) for one, other in zip(alone[0][2], together[0][2], strict=False))
            print(f"| {name} | {slow:.1f} | {fast:.1f} | {gains[name]:.1f} x (goal {LEAST_RATIO:g}) | {equal} |")
    return gains


def load(model: Path, clients: int, number: int, minutes: float) -> None:
    """Print how long each of many mixed requests takes, and the memory of the server."""
    with serving(model) as (server, _):
        pairs = zip(predictions(server, number // 2), texts(server, number // 2), strict=True)
        asked = [request for pair in pairs for request in pair]
        timed(server, asked, clients)
        memory = [server.process.memory_info().rss / 1e6]
        ends, seconds, rounds = time.monotonic() + 60 * minutes, list[float](), 0
        while not rounds or time.monotonic() < ends:
            _, found, answers = timed(server, asked, clients)
            seconds += found
            rounds += 1
            assert len(answers) == len(asked)
            memory.append(server.process.memory_info().rss / 1e6)
        low, high = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
        shown = ", ".join(f"{size:.0f}" for size in memory[:: max(1, len(memory) // 10)])
        print(f"{len(seconds)} requests by {clients} clients, {rounds} rounds: none lost, no error")
        print(f"p50 {low:.3f} s, p99 {high:.3f} s: {high / low:.1f} x (goal at most {MOST_SPREAD:g} x)")
        print(f"memory of the server, MB: {shown}")


def start(model: Path, repeats: int) -> None:
    """Print how long a server takes to be ready."""
    walls, work = [], []
    for _ in range(repeats):
        with serving(model) as (server, wall):
            times = server.process.cpu_times()
            walls.append(wall)
            work.append(times.user + times.system)
    wall, cpu = statistics.median(walls), statistics.median(work)
    print(f"start to /readyz: {wall:.1f} s wall (goal {MOST_START:g} s), {cpu:.1f} s of CPU; median of {repeats}")


def new_model(folder: Path) -> Path:
    """A model of the quickstart's size, tuned for some steps."""
    command = [
        sys.executable,
        "-c",
        "from llama_gene.cli import main; main()",
        "quickstart",
        f"output={folder}",
        *TUNED,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "model"


def main() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["batching", "load", "start", "all"])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0)
    ratios.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        model = options.model or new_model(Path(temporary) / "run")
        if options.part in {"batching", "all"}:
            gains = batching(model, options.clients, options.requests, options.repeats)
            ratios.write(options.ratios, gains)
        if options.part in {"load", "all"}:
            load(model, options.clients, options.requests, options.minutes)
        if options.part in {"start", "all"}:
            start(model, options.repeats)


if __name__ == "__main__":
    main()
