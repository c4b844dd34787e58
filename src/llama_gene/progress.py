"""Progress of long work, on standard error: a live bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LOG_EVERY_S = 30.0


class Progress(Protocol):
    """What long work reports to."""

    def __call__(self, done: float, note: str = "") -> None:
        """`done` units are finished; `note` is shown beside the bar."""


@contextmanager
def progress(title: str, total: float | None) -> Iterator[Progress]:
    """Report work of `total` units (None: unknown) under `title` until the block ends."""
    if sys.stderr.isatty():
        with _bar(title, total) as report:
            yield report
    else:
        yield _LogLines(title, total)


@contextmanager
def _bar(title: str, total: float | None) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(title, total=total, note="")

        def report(done: float, note: str = "") -> None:
            bars.update(bar, completed=done, note=note)

        yield report


class _LogLines:
    """One line every half minute: readable in a file, silent for work that is quick."""

    def __init__(self, title: str, total: float | None) -> None:
        self._title, self._total = title, total
        self._start = self._last = time.monotonic()

    def __call__(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        if now - self._last < _LOG_EVERY_S:
            return
        self._last = now
        share = f" {done / self._total:4.0%}" if self._total else f" {done:,.0f}"
        left = f", {(now - self._start) * (self._total - done) / done:.0f} s left" if self._total and done else ""
        print(f"  {self._title}{share}{left}  {note}".rstrip(), file=sys.stderr, flush=True)
