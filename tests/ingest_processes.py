"""Ingestions that are stopped: settings of small pieces, and watching other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edpipe.settings import Settings, load_settings


def with_pieces(home: Path, workers: int, shard_mib: int = 1) -> Settings:
    """Settings that cut files into small pieces."""
    ingest_settings = {"workers": workers, "shard_mib": shard_mib}
    return load_settings("smoke", home=home, progress="none", ingest=ingest_settings)


def processes_of_group(group: int) -> int:
    """Count living processes of a process group."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            found += int(fields[2]) == group and fields[0] != "Z"
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
