"""Ten million synthetic interactions: ingest, build, publish; time, peak memory, size.

Run `python benchmarks/warehouse.py`; targets: under two minutes and 4 GiB on two cores. The work runs in
a process of its own, whose whole tree is watched; making the synthetic archives is not counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results" / "warehouse.csv"
MEAN_INTERACTIONS = 121.5


def work(source: Path, home: Path) -> None:
    from edpipe.settings import load_settings
    from edpipe.sources.ednet import ingest_ednet
    from edpipe.warehouse import build

    settings = load_settings("small", file=home / "none.toml", home=home, progress="log")
    started = time.perf_counter()
    ingest_ednet(sorted(source.glob("*.zip")), settings)
    ingested = time.perf_counter()
    report = build(settings)
    built = time.perf_counter()
    again = time.perf_counter()
    build(settings)
    rows = {model.name: model.rows for model in report.models}
    seconds = sorted(((model.seconds, model.name) for model in report.models), reverse=True)
    for taken, name in seconds[:12]:
        print(f"{taken:8.1f} s {name}", file=sys.stderr)
    print(
        json.dumps(
            {
                "interactions": rows["core.interactions"],
                "opportunities": rows["core.opportunities"],
                "ingest_seconds": round(ingested - started, 1),
                "build_and_publish_seconds": round(built - ingested, 1),
                "unchanged_build_seconds": round(time.perf_counter() - again, 2),
                "published_mib": round(settings.published_path.stat().st_size / 2**20),
            }
        )
    )


def watch(command: list[str]) -> tuple[dict[str, float], float]:
    """Run a command and return what it printed and the peak memory of its tree, in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    tree, peak = psutil.Process(process.pid), 0.0
    while process.poll() is None:
        total = 0
        for member in [tree, *tree.children(recursive=True)]:
            try:
                total += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, total / 2**20)
        time.sleep(0.1)
    assert process.stdout is not None
    output = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"The work failed with exit code {process.returncode}.")
    return json.loads(output.splitlines()[-1]), peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=13_169)
    parser.add_argument("--folder", type=Path, help="Keep the archives here, or take them from here.")
    parser.add_argument("--home", type=Path, help="Keep the warehouse here.")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work)
        return
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.folder or Path(scratch) / "source"
        if not list(source.glob("*.zip")):
            from edpipe.sources.synthetic import write_ednet

            students = round(arguments.interactions / MEAN_INTERACTIONS)
            write_ednet(
                source,
                num_students=students,
                num_items=arguments.items,
                levels=("kt1",),
                keep_truth=False,
                progress="log",
            )
        home = arguments.home or Path(scratch) / "home"
        measured, peak = watch(
            [sys.executable, str(Path(__file__).resolve()), "--work", str(source), str(home)]
        )
    row = {**measured, "peak_mib": round(peak), "cores": os.cpu_count()}
    RESULTS.parent.mkdir(exist_ok=True)
    exists = RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if not exists:
            writer.writeheader()
        writer.writerow(row)
    for name, value in row.items():
        print(f"{name:28} {value:>14,}")


if __name__ == "__main__":
    main()
