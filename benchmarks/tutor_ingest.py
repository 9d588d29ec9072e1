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
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
from ingest import measure

RESULTS = Path(__file__).parent / "results" / "tutor_ingest.csv"
ROWS_A_STUDENT = 3_442  # 20.8 million rows of 6,043 students
SECTIONS, PROBLEMS_A_SECTION, KCS = 186, 332, 933
BYTES_A_ROW = 274
CHUNK = 500_000
HEADER = ["way", "rows", "seconds", "rows_per_second", "peak_mib", "gigabytes", "workers", "machine"]


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
        written = measure(make_log, folder / "in", students, options.seed)
        log = folder / "in" / "synthetic_ba08_train.txt"
        read = measure(ours, log, folder, options.workers)
        rows = int((folder / "rows").read_text())
        table = [
            ("write the synthetic log", rows, *written, 1),
            ("edpipe, text to Parquet", rows, *read, options.workers),
        ]
        if options.pandas_rows:
            summed = min(options.pandas_rows, rows)
            table.append(("pandas, sums only", summed, *measure(pandas_summary, log, folder, summed), 1))
        write(options.results, table, log.stat().st_size / rows)


def write(path: Path, table: list[tuple[str, int, float, float, int]], bytes_a_row: float) -> None:
    """Print and keep the results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()} {psutil.cpu_count()} cores"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for way, rows, seconds, peak, workers in table:
            size = rows * bytes_a_row / 1e9
            print(f"{way:25} {rows:>12,} rows {size:5.2f} GB {seconds:7.1f} s {peak:7,.0f} MiB")
            cells = [f"{seconds:.1f}", f"{rows / seconds:.0f}", f"{peak:.0f}", f"{size:.2f}"]
            writer.writerow([way, rows, *cells, workers, machine])


if __name__ == "__main__":
    main()
