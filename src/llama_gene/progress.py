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
        """`done` units are finished; `note` is shown with it."""


@contextmanager
def progress(title: str, total: float | None, done: float = 0) -> Iterator[Progress]:
    """Report work under `title` until the block ends.

    Args:
        title: What is done.
        total: All units of the work; None if that is unknown.
        done: Units that were done before, so that they do not count as fast.
    """
    if sys.stderr.isatty():
        with _bar(title, total, done) as report:
            yield report
    else:
        yield _LogLines(title, total, done)


@contextmanager
def _bar(title: str, total: float | None, done: float) -> Iterator[Progress]:
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    said = Text(no_wrap=True, overflow="ellipsis")

    class BarOverNote(RichProgress):
        """The note has a line of its own: beside the bar it would leave no room for the time."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            yield said

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with BarOverNote(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(title, total=total, completed=int(done))

        def report(done: float, note: str = "") -> None:
            said.plain = f"  {note}"
            bars.update(bar, completed=done)

        yield report


class _LogLines:
    """One line every half minute: readable in a file, silent for work that is quick."""

    def __init__(self, title: str, total: float | None, done: float) -> None:
        self._title, self._total, self._first = title, total, done
        self._start = self._last = time.monotonic()

    def __call__(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        if done == self._first:
            self._start = now  # what was done up to here prepared the work, and says nothing about its speed
        if now - self._last < _LOG_EVERY_S:
            return
        self._last = now
        share = f" {done / self._total:4.0%}" if self._total else f" {done:,.0f}"
        left = ""
        if self._total and done > self._first:
            seconds = (now - self._start) * (self._total - done) / (done - self._first)
            left = f", {format_duration(seconds)} left"
        print(f"  {self._title}{share}{left}  {note}".rstrip(), file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """A time for people, in its two largest units.

    >>> [format_duration(seconds) for seconds in (0.4, 59.6, 754, 8100, 200_000)]
    ['0 s', '1 min 0 s', '12 min 34 s', '2 h 15 min', '2 d 7 h']
    """
    whole = round(seconds)
    for size, unit, smaller_size, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"
