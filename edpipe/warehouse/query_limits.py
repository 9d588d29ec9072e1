"""How long a query may take and how much it may hold: whoever watches stops it from a second thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import duckdb

Reason = Literal["", "time", "memory"]
_STATM: Final = Path("/proc/self/statm")
_LOOKS_EVERY_SECONDS: Final = 0.05
# What a query takes beside DuckDB's own account: Arrow batches, states of aggregates, the allocator.
_SLACK: Final = 2


class Watch:
    """Stops a query that takes too long, or for which the process grows too much.

    DuckDB's own limit holds for its buffers; states of some aggregates are not counted there, so the growth
    of the whole process is watched too, where the system tells it.

    Attributes
    ----------
    reason
        Why the query was stopped; empty while it was not.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, seconds: float, memory_mib: int) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds
        self._most_bytes = _resident_bytes() + _SLACK * memory_mib * 2**20
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="query-watch", daemon=True)
        self.reason: Reason = ""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Stop looking; afterwards nothing is interrupted any more."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_LOOKS_EVERY_SECONDS):
            if time.monotonic() > self._deadline:
                self.reason = "time"
            elif _resident_bytes() > self._most_bytes:
                self.reason = "memory"
            if self.reason:
                # Again and again: an interrupt between two steps of one query is lost.
                self._connection.interrupt()


@contextmanager
def watched(connection: duckdb.DuckDBPyConnection, *, seconds: float, memory_mib: int) -> Iterator[Watch]:
    """Watch what runs on the connection until the block ends."""
    watch = Watch(connection, seconds=seconds, memory_mib=memory_mib)
    watch.start()
    try:
        yield watch
    finally:
        watch.end()


def _resident_bytes() -> int:
    """Return the memory that this process occupies; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
