"""One student of a large log goes on: what adding that costs, what the full build, and what less would.

Run `python benchmarks/deliveries.py --interactions 1000000`. Measured are

* adding a delivery of one student to a raw relation, against reading the whole log;
* the queries of all relations, as a build after it runs them, without audits and publication
  (`benchmarks/warehouse.py` measures whole builds);
* a trial of making per-student relations again for the touched bucket of students only, by the same
  queries over that bucket's shard, with keys and all relations over students made whole. It counts rows
  that differ from the full build: 0 as long as no student, item or KC is new.

Seconds are those of the processor, on one thread, so that what else the machine does counts less.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import zipfile
from pathlib import Path

import duckdb
from sqlglot import exp

from edpipe.raw import read_manifest, relation_dir
from edpipe.settings import Settings, load_settings
from edpipe.sources.delivery_rows import NUM_BUCKETS
from edpipe.sources.ednet import ingest_ednet
from edpipe.sources.synthetic import write_ednet
from edpipe.warehouse.contract import plain_name
from edpipe.warehouse.project import LAYERS, open_context

RESULTS = Path(__file__).parent / "results" / "deliveries.csv"
MEAN_INTERACTIONS = 121.5
NUM_ITEMS = 2_000
PER_STUDENT = (
    "core.interactions",
    "core.interaction_kcs",
    "core.opportunities",
    "core.sessions",
    "features.kc_mastery",
    "core.behaviors",
    "features.behavior_sequences",
    "training.tracing_examples",
    "training.recommendation_examples",
)


def write_delivery(source: Path, folder: Path) -> Path:
    """Write an archive in which one student of the log has twenty answers more."""
    with zipfile.ZipFile(source / "EdNet-KT1.zip") as archive:
        name = max(
            (one for one in archive.infolist() if one.filename.endswith(".csv")),
            key=lambda one: one.file_size,
        ).filename
        text = archive.read(name).decode()
    header, *lines = text.splitlines()
    time_at = header.split(",").index("timestamp")
    more = []
    for number, line in enumerate(lines[-20:], 1):
        cells = line.split(",")
        cells[time_at] = str(int(lines[-1].split(",")[time_at]) + number * 60_000)
        more.append(",".join(cells))
    path = folder / "day2.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "\n".join([header, *lines, *more]) + "\n")
    return path


def rendered(settings: Settings) -> dict[str, tuple[str, bool]]:
    """Return the query of each model, upstream first, and whether it is a view."""
    context = open_context(settings, database=Path(":memory:"))
    queries = {}
    for fqn in context.dag.sorted:
        model = context.get_model(fqn, raise_if_missing=True)
        query = model.render_query_or_raise().copy()
        for table in query.find_all(exp.Table):
            table.set("catalog", None)
        queries[plain_name(fqn)] = (query.sql(dialect="duckdb"), model.kind.is_view)
    context.close()
    return queries


def make(connection: duckdb.DuckDBPyConnection, queries: dict[str, tuple[str, bool]]) -> dict[str, float]:
    """Make every relation in the database in use and return the seconds of each."""
    seconds = {}
    for layer in LAYERS:
        connection.execute(f"CREATE SCHEMA {layer}")
    for name, (query, is_view) in queries.items():
        started = time.process_time()
        connection.execute(f"CREATE {'VIEW' if is_view else 'TABLE'} {name} AS {query}")
        seconds[name] = time.process_time() - started
    return seconds


def connected(settings: Settings, folder: Path, *names: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    connection.execute(f"SET threads = {settings.warehouse.threads}")
    for name in names:
        connection.execute(f"ATTACH '{folder / name}.duckdb' AS {name}")
    return connection


def trial(settings: Settings, folder: Path) -> dict[str, float]:
    """Make per-student relations again for the touched bucket only, and compare with all made again."""
    manifest = read_manifest(settings.raw_dir, "ednet", "kt1")
    assert manifest is not None
    (bucket,) = manifest.deliveries[-1].buckets
    shard = next(one for one in manifest.shards if one.bucket == bucket)
    path = relation_dir(settings.raw_dir, "ednet", "kt1").resolve() / shard.file
    after = rendered(settings)
    with connected(settings, folder, "old", "new", "part") as connection:
        connection.execute("USE new")
        whole = make(connection, after)
        started = time.process_time()
        connection.execute("USE part")
        for layer in LAYERS:
            connection.execute(f"CREATE SCHEMA {layer}")
        # Relations over all students are those of the whole; their seconds are added below.
        for name, (query, is_view) in after.items():
            if name == "raw.ednet_kt1":
                connection.execute(f"CREATE VIEW {name} AS SELECT * FROM READ_PARQUET('{path}')")
            elif is_view:
                connection.execute(f"CREATE VIEW {name} AS {query}")
            elif name in PER_STUDENT:
                connection.execute(f"CREATE TABLE {name} AS {query}")
            else:
                connection.execute(f"CREATE VIEW {name} AS FROM new.{name}")
        tables = [name for name in PER_STUDENT if not after[name][1]]
        for name in tables:
            connection.execute(
                f"DELETE FROM old.{name} WHERE student_key IN (SELECT student_key FROM part.{name})"
            )
            connection.execute(f"INSERT INTO old.{name} BY NAME FROM part.{name}")
        of_bucket = time.process_time() - started
        differing = 0
        for name in tables:
            for one, other in (("old", "new"), ("new", "old")):
                query = f"SELECT COUNT(*) FROM (FROM {one}.{name} EXCEPT ALL FROM {other}.{name})"
                differing += connection.execute(query).fetchall()[0][0]
    per_student = sum(whole[name] for name in PER_STUDENT)
    return {
        "queries_of_all_cpu_seconds": sum(whole.values()),
        "queries_over_students_cpu_seconds": sum(whole.values()) - per_student,
        "queries_per_student_cpu_seconds": per_student,
        "queries_per_student_of_one_bucket_cpu_seconds": of_bucket,
        "differing_rows": differing,
    }


def measure(source: Path, scratch: Path) -> dict[str, float]:
    settings = load_settings(
        "small",
        file=scratch / "none.toml",
        home=scratch / "home",
        progress="none",
        ingest={"workers": 1},
        warehouse={"threads": 1},
    )
    measured: dict[str, float] = {}

    def timed(name: str, started: float) -> None:
        measured[f"{name}_cpu_seconds"] = time.process_time() - started

    started = time.process_time()
    ingest_ednet(sorted(source.glob("*.zip")), settings, add=True)
    timed("read_all", started)
    with connected(settings, scratch, "old") as connection:
        connection.execute("USE old")
        make(connection, rendered(settings))
    delivery = write_delivery(source, scratch)
    started = time.process_time()
    result = ingest_ednet([delivery], settings, add=True).relations[-1]
    timed("add_one_student", started)
    assert result.delivery is not None
    measured["read_rows"], measured["added_rows"] = result.read_rows, result.written_rows
    measured |= trial(settings, scratch)
    return {"interactions": result.rows, "buckets": NUM_BUCKETS, **measured}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        students = round(arguments.interactions / MEAN_INTERACTIONS)
        write_ednet(source, num_students=students, num_items=NUM_ITEMS, levels=("kt1",), keep_truth=False)
        row = measure(source, Path(name))
    row = {one: round(value, 2) for one, value in row.items()}
    exists = RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if not exists:
            writer.writeheader()
        writer.writerow(row)
    for one, value in row.items():
        print(f"{one:44} {value:>14,}")


if __name__ == "__main__":
    main()
