"""One writer at a time: a lock that dies with its process and says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from edpipe.errors import WarehouseBusyError
from edpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who is writing the warehouse, and since when (UTC)."""

    pid: int
    host: str
    doing: str
    since: str

    def __str__(self) -> str:
        """Say it in words."""
        return f"process {self.pid} on {self.host} ({self.doing}) since {self.since}"


def _lock_path(settings: Settings) -> Path:
    return settings.home / "warehouse.lock"


def _read_holder(path: Path) -> LockHolder | None:
    try:
        return LockHolder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def busy_error(settings: Settings, found: str) -> WarehouseBusyError:
    """Return the error for a warehouse that another process is writing."""
    return WarehouseBusyError(
        "Another process is writing the warehouse; DuckDB takes one writer at a time.",
        where=str(settings.warehouse_path),
        found=found,
        expected="nobody writing",
        next_step="Wait for it to finish (`edpipe status` shows who it is), or use another `--home`.",
        state="Nothing was changed; the published tables can be read meanwhile.",
    )


@contextmanager
def writer_lock(settings: Settings, doing: str) -> Iterator[None]:
    """Hold the warehouse for writing; the system frees it if this process dies.

    Raises
    ------
    WarehouseBusyError
        If another process holds it.
    """
    path = _lock_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy_error(settings, str(_read_holder(path) or "a process that holds the lock")) from error
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.truncate(0)
        file.write(json.dumps(asdict(LockHolder(os.getpid(), socket.gethostname(), doing, since))))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def lock_holder(settings: Settings) -> LockHolder | None:
    """Return who is writing now, or None."""
    path = _lock_path(settings)
    if not path.exists():
        return None
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(path) or LockHolder(0, "?", "unknown", "?")
    return None
