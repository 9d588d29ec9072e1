"""Ingest a KT1-shaped archive, against pandas and DuckDB over the unpacked files, in one run.

    python benchmarks/ingest.py                        # 300,000 students, about two minutes
    python benchmarks/ingest.py --students 784309 --peers none

Every way ends with typed rows that carry the student: ours as Parquet on disk, DuckDB's as Parquet
on disk after unpacking (counted), pandas' only in memory, on the first ``--pandas-files`` files.
Writes ``benchmarks/results/ingest.csv``: one line a way, seconds, rows a second, peak memory of the
whole process tree.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import platform
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

HEADER = b"timestamp,solving_id,question_id,user_answer,elapsed_time\n"
NUM_QUESTIONS = 13_169
RESULTS = Path(__file__).parent / "results" / "ingest.csv"


def make_archive(path: Path, students: int, mean_rows: float, seed: int) -> int:
    """Write a zip of KT1-shaped files, with the questions table beside it; return its rows."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(0.0, 1.6, students)
    lengths = np.maximum(1, lengths / lengths.mean() * mean_rows).astype(int)
    pool = make_rows(rng, max(int(lengths.max()), 2_000_000))
    starts = rng.integers(0, len(pool) - lengths, endpoint=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for student, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True), 1):
            archive.writestr(f"KT1/u{student}.csv", HEADER + b"".join(pool[start : start + length]))
    questions = path.with_name("contents") / "questions.csv"
    questions.parent.mkdir(exist_ok=True)
    lines = [f"q{i},b{i},e{i},a,{i % 7 + 1},1;2,1558093217098\n" for i in range(1, NUM_QUESTIONS + 1)]
    head = "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\n"
    questions.write_text(head + "".join(lines))
    return int(lengths.sum())


def make_rows(rng: np.random.Generator, count: int) -> list[bytes]:
    """Render rows once; every file is a run of them."""
    seconds = np.cumsum(rng.integers(5_000, 90_000, count)) % 80_000_000_000 + 1_492_000_000_000
    solving = np.arange(count) % 900 + 1
    question = rng.integers(1, NUM_QUESTIONS, count, endpoint=True)
    answer = rng.choice(np.array(["a", "b", "c", "d", ""]), count, p=[0.26, 0.25, 0.25, 0.2397, 0.0003])
    elapsed = rng.integers(2, 120, count) * 1000
    columns = (seconds.tolist(), solving.tolist(), question.tolist(), answer.tolist(), elapsed.tolist())
    return [f"{t},{s},q{q},{a},{e}\n".encode() for t, s, q, a, e in zip(*columns, strict=True)]


def ours(archive: Path, folder: Path, workers: int) -> None:
    """Zip to typed Parquet with edpipe."""
    from edpipe.settings import load_settings
    from edpipe.sources.ednet import ingest_ednet

    settings = load_settings("full", home=folder / "home", progress="none", ingest={"workers": workers})
    ingest_ednet([archive, archive.with_name("contents")], settings)


def duckdb_folder(archive: Path, folder: Path, workers: int) -> None:
    """Unpack, then DuckDB's ``read_csv`` over the folder with the types given, to Parquet."""
    import duckdb

    unpack(archive, folder / "unpacked")
    columns = {
        "timestamp": "BIGINT",
        "solving_id": "INTEGER",
        "question_id": "VARCHAR",
        "user_answer": "VARCHAR",
        "elapsed_time": "BIGINT",
    }
    files = f"read_csv('{folder}/unpacked/KT1/*.csv', header = true, auto_detect = false, filename = true,"
    query = f"select *, parse_filename(filename, true) as student_id from {files} columns = {columns})"
    connection = duckdb.connect(config={"threads": workers})
    connection.execute(f"copy ({query}) to '{folder}/duckdb.parquet' (format parquet)")


def pandas_loop(archive: Path, folder: Path, files: int) -> None:
    """Read unpacked files one by one with pandas and put them together."""
    import pandas as pd

    found = [folder / "unpacked" / name for name in zipfile.ZipFile(archive).namelist()[:files]]
    frames = []
    for file in found:
        frame = pd.read_csv(file)
        frame["student_id"] = file.stem
        frames.append(frame)
    pd.concat(frames, ignore_index=True).to_parquet(folder / "pandas.parquet")


def unpack(archive: Path, folder: Path) -> None:
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-q", str(archive), "-d", str(folder)], check=True)
    else:
        zipfile.ZipFile(archive).extractall(folder)


def _child(pipe: object, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    started = time.perf_counter()
    work(*arguments)
    pipe.send(time.perf_counter() - started)


def measure(work: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Run in a process of its own; return seconds and the peak MiB of it and all below it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, arguments))
    process.start()
    peak = 0
    tree = psutil.Process(process.pid)
    while process.is_alive():
        used = 0
        for member in [tree, *children(tree)]:
            try:
                used += member.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, used)
        process.join(0.02)
    if process.exitcode != 0:
        raise SystemExit(f"{work.__name__} failed")
    return receiver.recv(), peak / 2**20


def children(tree: psutil.Process) -> list[psutil.Process]:
    try:
        return tree.children(recursive=True)
    except psutil.Error:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--students", type=int, default=300_000, help="members of the archive")
    parser.add_argument("--mean-rows", type=float, default=121.0, help="rows a member on average")
    parser.add_argument("--workers", type=int, default=2, help="processes of ours, threads of DuckDB")
    parser.add_argument("--pandas-files", type=int, default=8_000, help="files that pandas reads")
    parser.add_argument("--peers", choices=["all", "none"], default="all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        archive = folder / "EdNet-KT1.zip"
        rows = make_archive(archive, options.students, options.mean_rows, options.seed)
        print(f"{options.students:,} files, {rows:,} rows, {archive.stat().st_size / 2**20:,.0f} MiB zipped")
        table = [("edpipe, zip to Parquet", rows, *measure(ours, archive, folder, options.workers))]
        if options.peers == "all":
            seconds = measure(duckdb_folder, archive, folder, options.workers)
            table.append(("unzip, then DuckDB read_csv to Parquet", rows, *seconds))
            files = min(options.pandas_files, options.students)
            read = count_rows(archive, files)
            seconds = measure(pandas_loop, archive, folder, files)
            table.append((f"pandas read_csv loop, {files:,} unpacked files", read, *seconds))
    write(options.results, table, options)


def count_rows(archive: Path, files: int) -> int:
    with zipfile.ZipFile(archive) as opened:
        return sum(opened.read(name).count(b"\n") - 1 for name in opened.namelist()[:files])


def write(path: Path, table: list[tuple[str, int, float, float]], options: argparse.Namespace) -> None:
    """Print and keep the results."""
    ours_rate = table[0][1] / table[0][2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "way",
                "files",
                "rows",
                "seconds",
                "rows_per_second",
                "ours_times",
                "peak_mib",
                "workers",
                "machine",
            ]
        )
        for way, rows, seconds, peak in table:
            rate = rows / seconds
            times = f"{ours_rate / rate:.1f}"
            speed = f"{seconds:7.1f} s {rate / 1e6:7.3f} M rows/s"
            print(f"{way:45} {speed}  ours is {times:>5} x  {peak:7,.0f} MiB")
            machine = f"{platform.machine()} {psutil.cpu_count()} cores"
            line = [f"{seconds:.2f}", f"{rate:.0f}", times, f"{peak:.0f}", options.workers, machine]
            writer.writerow([way, options.students, rows, *line])


if __name__ == "__main__":
    main()
