"""Time from the prompt to an answer of commands that load nothing: median of ten processes each.

    python benchmarks/startup.py

Writes ``benchmarks/results/startup.csv``.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EDPIPE = Path(sys.executable).with_name("edpipe")
RESULTS = Path(__file__).parent / "results" / "startup.csv"
COMMANDS = (("--help",), ("ingest", "--help"), ("doctor", "--settings"), ("status",))
RUNS = 10


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    """Run once as a whole process."""
    started = time.perf_counter()
    subprocess.run([EDPIPE, *arguments], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, RESULTS.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["command", "median_seconds", "slowest_seconds"])
        for arguments in COMMANDS:
            seconds(arguments, folder)  # byte code is compiled once
            measured = [seconds(arguments, folder) for _ in range(RUNS)]
            row = [f"edpipe {' '.join(arguments)}", statistics.median(measured), max(measured)]
            table.writerow([row[0], round(row[1], 3), round(row[2], 3)])
            print(f"{row[0]:28s} {row[1]:.3f} s (slowest {row[2]:.3f} s)")


if __name__ == "__main__":
    main()
