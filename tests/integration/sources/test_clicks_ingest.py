"""Logs of clicks from file to raw Parquet: interrupted, in parts, by two processes, from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import polars as pl
import pytest
from ingest_processes import processes_of_group, wait_until, with_pieces

from edpipe import ingest
from edpipe.raw import read_manifest, relation_dir
from edpipe.sources import clicks
from edpipe.sources.synthetic import write_interests

pytestmark = pytest.mark.integration

RUN = """
import signal, sys
from pathlib import Path
from edpipe.settings import load_settings
from edpipe.sources import clicks
if __name__ == "__main__":
    # A shell that runs the tests in the background ignores SIGINT, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = load_settings(
        "smoke", home=Path(sys.argv[2]), progress="none", ingest={"workers": 2, "shard_mib": 1}
    )
    clicks._SMALL_BYTES = 0
    clicks.ingest_clicks([Path(sys.argv[1])], settings, layout="taobao")
"""


def rows_of(settings) -> pl.DataFrame:
    """Return the rows in the order of the manifest."""
    manifest = read_manifest(settings.raw_dir, "clicks", "behaviors")
    folder = relation_dir(settings.raw_dir, "clicks", "behaviors")
    return pl.concat([pl.read_parquet(folder / shard.file) for shard in manifest.shards])


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Return a log of about 15 MiB."""
    return write_interests(tmp_path_factory.mktemp("log"), num_students=400, age=60)


@pytest.fixture(scope="module")
def unbroken(log, tmp_path_factory):
    """Return the rows of one run in this process, in pieces of another size."""
    settings = with_pieces(tmp_path_factory.mktemp("unbroken"), workers=1, shard_mib=7)
    report = ingest("clicks", [log.path], settings, layout="taobao", max_rejects=0)
    assert report.rows == log.behaviors.height
    return rows_of(settings)


@pytest.mark.parametrize(("sent", "shards_first"), [("SIGKILL", 1), ("SIGKILL", 6), ("SIGINT", 3)])
def test_stopped_run_goes_on_and_equals_an_unbroken_one(log, unbroken, tmp_path, sent, shards_first):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    home = tmp_path / "data"
    settings = with_pieces(home, workers=2)
    folder = relation_dir(settings.raw_dir, "clicks", "behaviors")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(log.path), str(home)]
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(list(folder.glob("shard-*.parquet"))) >= shards_first)
        os.killpg(process.pid, signal.SIGINT) if sent == "SIGINT" else process.kill()
        _, shown = process.communicate()
        wait_until(lambda: processes_of_group(process.pid) == 0)
    finally:
        if process.poll() is None:
            process.kill()
    assert sent == "SIGKILL" or "the same command goes on from here" in shown
    assert read_manifest(settings.raw_dir, "clicks", "behaviors") is None
    [behaviors] = ingest("clicks", [log.path], settings, layout="taobao").relations
    assert behaviors.shards_reused >= shards_first
    assert behaviors.shards_written > 0
    assert rows_of(settings).equals(unbroken)
    assert not list(folder.glob("*.tmp"))
    assert ingest("clicks", [log.path], settings, layout="taobao").shards_written == 0


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pieces_of_a_table_by_two_processes_give_the_rows_of_one(log, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(clicks, "_SMALL_BYTES", 0)
    path = tmp_path / f"synthetic_log.{suffix}"
    table = log.behaviors.select("student", "item", "second", kind=pl.lit('a "b", c'))
    table.write_parquet(path, compression="uncompressed") if suffix == "parquet" else table.write_csv(path)
    names = {"student": "student", "item": "item", "time": "second", "outcome": "kind"}
    frames = []
    for workers, shard_mib in ((1, 64), (2, 1)):
        settings = with_pieces(tmp_path / f"data{workers}", workers, shard_mib)
        report = ingest("clicks", [path], settings, layout="columns", columns=names, max_rejects=0)
        assert report.rows == table.height
        frames.append(rows_of(settings))
    assert report.shards_written > 1
    assert frames[0].equals(frames[1])
    assert (frames[0]["outcome"] == 'a "b", c').all()
    assert frames[0]["source_row"].to_list() == list(range(1, table.height + 1))


def test_the_command_tells_what_it_read_and_shows_no_traceback(tmp_path):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
    environment = {**os.environ, "EDPIPE_HOME": str(tmp_path / "home")}
    start = "from edpipe.cli.command import main; main()"
    command = [sys.executable, "-c", start, "ingest", "clicks", str(tmp_path / "ml")]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    dry = run("--layout", "movielens", "--dry-run")
    assert dry.returncode == 0
    assert not (tmp_path / "home").exists()
    done = run("--layout", "movielens")
    assert done.returncode == 0
    assert "ratings.csv: ratings, data set ml" in done.stderr
    failed = run("--layout", "columns", "--student-column", "user")
    assert failed.returncode == 3
    assert "--student-column" in failed.stderr
    unnamed = run()
    assert unnamed.returncode == 2
    assert "Traceback" not in failed.stderr + unnamed.stderr
