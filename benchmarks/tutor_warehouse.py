"""Synthetic steps of tutors: ingest, build, publish; time, peak memory, size.

Run `python benchmarks/tutor_warehouse.py --rows 20000000` for the size of Bridge to Algebra 2008-09: 60,000
problems, 900 KCs. The work runs in a process of its own, whose whole tree is watched; making the synthetic
files is not counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from warehouse import watch

RESULTS = Path(__file__).parent / "results" / "tutor_warehouse.csv"
MEAN_ROWS = 3_130  # of a student with these sections and problems
SECTIONS, PROBLEMS, KCS = 100, 600, 900
SECTIONS_A_STUDENT, PROBLEMS_A_STUDENT = 40, 20


def work(source: Path, home: Path, memory_mib: int) -> None:
    from edpipe.settings import load_settings
    from edpipe.sources.tutor import ingest_tutor
    from edpipe.warehouse import build

    settings = load_settings(
        "small",
        file=home / "none.toml",
        home=home,
        progress="log",
        warehouse={"memory_limit_mib": memory_mib},
    )
    started = time.perf_counter()
    ingest_tutor("kddcup", [source], settings)
    ingested = time.perf_counter()
    report = build(settings)
    built = time.perf_counter()
    again = time.perf_counter()
    build(settings)
    rows = {model.name: model.rows for model in report.models}
    seconds = sorted(((model.seconds, model.name) for model in report.models), reverse=True)
    for taken, name in seconds[:15]:
        print(f"{taken:8.1f} s {name}", file=sys.stderr)
    print(
        json.dumps(
            {
                "steps": rows["core.steps"],
                "attempts": rows["core.problem_attempts"],
                "ingest_seconds": round(ingested - started, 1),
                "build_and_publish_seconds": round(built - ingested, 1),
                "unchanged_build_seconds": round(time.perf_counter() - again, 2),
                "published_mib": round(settings.published_path.stat().st_size / 2**20),
            }
        )
    )


def write_source(folder: Path, num_rows: int) -> None:
    from edpipe.sources.synthetic import draw_tutor_world, write_kddcup

    world = draw_tutor_world(max(1, round(num_rows / MEAN_ROWS)), SECTIONS, PROBLEMS, KCS)
    write_kddcup(
        folder,
        world,
        name="synthetic_bridge",
        sections_per_student=SECTIONS_A_STUDENT,
        problems_per_student=PROBLEMS_A_STUDENT,
        keep_truth=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--folder", type=Path, help="Keep the files here, or take them from here.")
    parser.add_argument("--home", type=Path, help="Keep the warehouse here.")
    parser.add_argument(
        "--memory-mib", type=int, default=4096, help="What DuckDB may use; 20 million steps need 4,096."
    )
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work, arguments.memory_mib)
        return
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.folder or Path(scratch) / "source"
        if not list(source.glob("*.txt")):
            write_source(source, arguments.rows)
        home = arguments.home or Path(scratch) / "home"
        limit = ["--memory-mib", str(arguments.memory_mib)]
        measured, peak = watch(
            [sys.executable, str(Path(__file__).resolve()), *limit, "--work", str(source), str(home)]
        )
    row = {
        **measured,
        "peak_mib": round(peak),
        "memory_limit_mib": arguments.memory_mib,
        "cores": os.cpu_count(),
    }
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
