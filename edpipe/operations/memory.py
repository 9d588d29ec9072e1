"""The most memory that a part of a process's life needed."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

KIB_A_MIB = 1024
# ru_maxrss counts KiB on Linux and bytes on macOS.
MAXRSS_A_MIB = KIB_A_MIB * KIB_A_MIB if sys.platform == "darwin" else KIB_A_MIB
# Writing this to `clear_refs` sets the peak of the process back to what it holds now (man 5 proc).
RESET_PEAK = "5"


class PeakMemory:
    """Measure the peak from now on: of this process, or of its largest worker where one needed more.

    A flow runs many steps in one process, whose own peak only grows; Linux sets it back where it is asked
    to. Elsewhere the peak since the process began is told. Steps that run side by side in the threads of one
    process share its memory, and so each other's peak.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="ascii")
        self._workers_before = _largest_worker()

    def mib(self) -> float:
        """Return the peak so far, in MiB."""
        workers = _largest_worker()
        # Workers that ended before may have needed more than those of now, and are not told apart then.
        return max(_own_peak(), workers if workers > self._workers_before else 0.0)


def _own_peak() -> float:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / KIB_A_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS_A_MIB


def _largest_worker() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / MAXRSS_A_MIB
