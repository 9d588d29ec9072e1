"""Write a log shaped like Bridge to Algebra 2008-09, ingest it, and let pandas summarize it, in one run.

    python benchmarks/tutor_ingest.py                     # 20 million rows, 5.5 GB on the disk, six minutes
    python benchmarks/tutor_ingest.py --rows 1000000 --pandas-rows 1000000

edpipe ends with typed, compressed Parquet on the disk; pandas reads chunks of the same file, all columns,
and only keeps sums (by student and by KC), on the first ``--pandas-rows`` rows. The file is synthetic: 21
columns, as long lines, as many steps a student, problems and KCs as published. Writes
``benchmarks/results/tutor_ingest.csv``: one line a way, seconds, rows a second, peak memory of the
whole process tree (memory that processes share counts in each).
"""

from __future__ import annotations

import argparse
import csv
import platform
import resource
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil
from ingest import measure

RESULTS = Path(__file__).parent / "results" / "tutor_ingest.csv"
ROWS_A_STUDENT = 3_442  # 20.8 million rows of 6,043 students
SECTIONS, PROBLEMS_A_SECTION, KCS = 186, 332, 933
BYTES_A_ROW = 274
CHUNK = 500_000
HEADER = [
    *("way", "rows", "seconds", "cpu_seconds", "rows_per_second"),
    *("peak_mib", "gigabytes", "workers", "machine"),
]


class Line(NamedTuple):
    """One way and what it took."""

    way: str
    rows: int
    gigabytes: float
    seconds: float
    peak_mib: float
    cpu_seconds: float
    workers: int


def make_log(folder: Path, students: int, seed: int) -> None:
    """Write ``synthetic_ba08_train.txt``."""
    from edpipe.sources.synthetic import draw_tutor_world, write_kddcup

    world = draw_tutor_world(students, SECTIONS, PROBLEMS_A_SECTION, KCS, seed=seed)
    # Names of KCs as long as the published ones.
    names = [f"{name} in a synthetic problem of fractions" for name in world.kc_names]
    write_kddcup(
        folder,
        replace(world, kc_names=names),
        name="synthetic_ba08",
        sections_per_student=30,
        problems_per_student=30,
        test_share=0,
        keep_truth=False,
    )


def ours(log: Path, folder: Path, workers: int) -> None:
    """File to typed Parquet with edpipe."""
    from edpipe.settings import load_settings
    from edpipe.sources.tutor import ingest_tutor

    settings = load_settings("full", home=folder / "home", progress="none", ingest={"workers": workers})
    report = ingest_tutor("kddcup", [log], settings, max_rejects=0)
    (folder / "rows").write_text(str(report.rows))


def pandas_summary(log: Path, folder: Path, rows: int) -> None:
    """Read chunks with pandas and add up answers by student and by KC."""
    import pandas as pd

    sums = []
    for chunk in pd.read_csv(log, sep="\t", chunksize=CHUNK, nrows=rows):
        kcs = chunk.assign(kc=chunk["KC(SubSkills)"].str.split("~~")).explode("kc")
        for key, frame in (("Anon Student Id", chunk), ("kc", kcs)):
            sums.append(frame.groupby(key)["Correct First Attempt"].agg(["sum", "size"]))
    pd.concat(sums).groupby(level=0).sum().to_parquet(folder / "pandas.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows, about")
    parser.add_argument("--workers", type=int, default=2, help="processes of edpipe")
    parser.add_argument(
        "--pandas-rows", type=int, default=4_000_000, help="rows that pandas reads; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        # The log, its Parquet, and some room.
        needed = int(options.rows * BYTES_A_ROW * 1.5)
        if shutil.disk_usage(folder).free < needed:
            raise SystemExit(f"{folder} has no room for {needed / 1e9:.0f} GB: choose another with --folder")
        students = max(1, round(options.rows / ROWS_A_STUDENT))
        table: list[Line] = []
        written = with_cpu(make_log, folder / "in", students, options.seed)
        log = folder / "in" / "synthetic_ba08_train.txt"
        measured = with_cpu(ours, log, folder, options.workers)
        rows = int((folder / "rows").read_text())
        gigabytes = log.stat().st_size / 1e9
        table.append(Line("write the synthetic log", rows, gigabytes, *written, 1))
        table.append(Line("edpipe, text to Parquet", rows, gigabytes, *measured, options.workers))
        if summed := min(options.pandas_rows, rows):
            measured = with_cpu(pandas_summary, log, folder, summed)
            table.append(Line("pandas, sums only", summed, gigabytes * summed / rows, *measured, 1))
    write(options.results, table)


def with_cpu(work: Callable[..., None], *arguments: object) -> tuple[float, float, float]:
    """Return seconds, peak MiB, and seconds of all processors, which others on the machine disturb less."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, peak = measure(work, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, peak, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write(path: Path, table: list[Line]) -> None:
    """Print and keep the results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()} {psutil.cpu_count()} cores"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for line in table:
            print(
                f"{line.way:25} {line.rows:>12,} rows {line.gigabytes:5.2f} GB "
                f"{line.seconds:7.1f} s ({line.cpu_seconds:.1f} s of processors) {line.peak_mib:7,.0f} MiB"
            )
            rate = f"{line.rows / line.seconds:.0f}"
            took = [f"{line.seconds:.1f}", f"{line.cpu_seconds:.1f}", rate]
            cells = [*took, f"{line.peak_mib:.0f}", f"{line.gigabytes:.2f}"]
            writer.writerow([line.way, line.rows, *cells, line.workers, machine])


if __name__ == "__main__":
    main()
