"""Progress of long work: a bar on a terminal, lines in a log, nothing on request. Always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

Mode = Literal["auto", "bar", "log", "none"]
SECONDS_BETWEEN_LINES = 5.0


class Track(Protocol):
    """One piece of work that is being followed."""

    def advance(self, amount: float = 1.0) -> None:
        """Count ``amount`` more units as done."""
        ...

    def note(self, text: str) -> None:
        """Show ``text`` beside the description from now on."""
        ...


class _Silent:
    def advance(self, amount: float = 1.0) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _Lines:
    """Print a line when work starts, at most every few seconds, and when it ends."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self._description = description
        self._total = total
        self._unit = unit
        self._done = 0.0
        self._note = ""
        self._started = self._printed = time.monotonic()
        self._print("started")

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = now
            self._print(self._state())

    def note(self, text: str) -> None:
        self._note = text

    def finish(self, outcome: str) -> None:
        seconds = time.monotonic() - self._started
        state = f"{self._state()} in " if self._done or self._total else ""
        self._print(f"{outcome}: {state}{seconds:.1f} s")

    def _state(self) -> str:
        total = f" of {_number(self._total)}" if self._total else ""
        note = f" ({self._note})" if self._note else ""
        return f"{_number(self._done)}{total} {self._unit}{note}"

    def _print(self, text: str) -> None:
        print(f"{self._description}: {text}", file=sys.stderr, flush=True)


def _number(value: float) -> str:
    """Write whole numbers whole, and small fractions with two digits: 0.31 MiB is not 0."""
    value = round(value, 6)  # thirds add up to a whole
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.2f}"


@contextmanager
def track(
    description: str, *, total: float | None = None, unit: str = "steps", mode: Mode = "auto"
) -> Iterator[Track]:
    """Follow one piece of work.

    Parameters
    ----------
    description
        What is being done, a few words.
    total
        Number of units when known.
    unit
        Name of the units, plural.
    mode
        ``bar`` draws a bar, ``log`` prints lines, ``none`` is silent, ``auto`` takes ``bar`` on a
        terminal and ``log`` elsewhere. Everything goes to stderr.
    """
    if mode == "auto":
        mode = "bar" if sys.stderr.isatty() else "log"
    if mode == "none":
        yield _Silent()
    elif mode == "log":
        lines = _Lines(description, total, unit)
        try:
            yield lines
        except BaseException:
            lines.finish("stopped")
            raise
        lines.finish("done")
    else:
        with _bar(description, total, unit) as bar:
            yield bar


@contextmanager
def _bar(description: str, total: float | None, unit: str) -> Iterator[Track]:
    # Rich takes 0.1 s to import, and most processes never draw a bar.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    def counted(done: float) -> str:
        return f"{_number(done)} {unit}" if done else ""

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counted]}"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, note="", counted="")

        class _Bar:
            def advance(self, amount: float = 1.0) -> None:
                progress.advance(task, amount)
                progress.update(task, counted=counted(progress.tasks[0].completed))

            def note(self, text: str) -> None:
                progress.update(task, note=text)

        yield _Bar()
