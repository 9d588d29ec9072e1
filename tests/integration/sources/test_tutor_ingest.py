"""Tutor logs from file to raw Parquet: interrupted, in parts, by several processes, from the command line."""

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
from edpipe.sources import tutor
from edpipe.sources.synthetic import draw_tutor_world, write_kddcup, write_mathia

pytestmark = pytest.mark.integration

RUN = """
import signal, sys
from pathlib import Path
from edpipe.settings import load_settings
from edpipe.sources import tutor
if __name__ == "__main__":
    # A shell that runs the tests in the background ignores SIGINT, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = load_settings(
        "smoke", home=Path(sys.argv[2]), progress="none", ingest={"workers": 2, "shard_mib": 1}
    )
    tutor._SMALL_BYTES = 0
    tutor.ingest_tutor("kddcup", [Path(sys.argv[1])], settings)
"""


def rows_of(settings, source: str, relation: str) -> pl.DataFrame:
    """Return the rows in the order of the manifest."""
    manifest = read_manifest(settings.raw_dir, source, relation)
    folder = relation_dir(settings.raw_dir, source, relation)
    return pl.concat([pl.read_parquet(folder / shard.file) for shard in manifest.shards])


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Return a log of about 15 MiB."""
    world = draw_tutor_world(130, 12, 40, 60, seed=2)
    return write_kddcup(
        tmp_path_factory.mktemp("log"),
        world,
        name="synthetic_ba08",
        sections_per_student=8,
        problems_per_student=20,
        test_share=0,
        keep_truth=False,
    )


@pytest.fixture(scope="module")
def unbroken(log, tmp_path_factory):
    """Return the rows of one run in this process, in pieces of another size."""
    settings = with_pieces(tmp_path_factory.mktemp("unbroken"), workers=1, shard_mib=7)
    report = ingest("kddcup", [log.paths[0]], settings)
    assert report.rows == log.rows
    return rows_of(settings, "kddcup", "steps")


@pytest.mark.parametrize(("sent", "shards_first"), [("SIGKILL", 1), ("SIGKILL", 6), ("SIGINT", 3)])
def test_stopped_run_goes_on_and_equals_an_unbroken_one(log, unbroken, tmp_path, sent, shards_first):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    home = tmp_path / "data"
    settings = with_pieces(home, workers=2)
    folder = relation_dir(settings.raw_dir, "kddcup", "steps")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(log.paths[0]), str(home)]
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
    assert read_manifest(settings.raw_dir, "kddcup", "steps") is None
    [steps] = ingest("kddcup", [log.paths[0]], settings).relations
    assert steps.shards_reused >= shards_first
    assert steps.shards_written > 0
    assert rows_of(settings, "kddcup", "steps").equals(unbroken)
    assert not list(folder.glob("*.tmp"))
    assert ingest("kddcup", [log.paths[0]], settings).shards_written == 0


def test_two_processes_give_the_rows_of_one_in_files_with_quoting(tmp_path, monkeypatch):
    monkeypatch.setattr(tutor, "_SMALL_BYTES", 0)
    world = draw_tutor_world(40, 12, 40, 60, seed=2)
    made = write_mathia(
        tmp_path / "in",
        world,
        form="commas",
        sections_per_student=8,
        problems_per_student=18,
        keep_truth=False,
    )
    frames = []
    for workers, shard_mib in ((1, 64), (2, 1)):
        settings = with_pieces(tmp_path / f"data{workers}", workers, shard_mib)
        report = ingest("mathia", made.paths, settings, max_rejects=0)
        assert report.rows == made.rows
        frames.append(rows_of(settings, "mathia", "transactions"))
    assert frames[0].equals(frames[1])


def test_the_command_tells_what_it_read_and_shows_no_traceback(tmp_path):
    world = draw_tutor_world(20, 2, 6, 8)
    made = write_kddcup(tmp_path / "in", world)
    environment = {**os.environ, "EDPIPE_HOME": str(tmp_path / "home")}
    start = "from edpipe.cli.command import main; main()"
    command = [sys.executable, "-c", start, "ingest", "kddcup"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    dry = run(str(tmp_path / "in"), "--dry-run")
    assert dry.returncode == 0
    assert not (tmp_path / "home").exists()
    done = run(str(tmp_path / "in"))
    assert done.returncode == 0
    assert f"{made.rows:,}" in done.stdout.replace("_", ",") or str(made.rows) in done.stdout
    assert "KC models: SubSkills, KTracedSkills" in done.stdout + done.stderr
    (tmp_path / "bad.txt").write_text("a\tb\n")
    failed = run(str(tmp_path / "bad.txt"))
    assert failed.returncode == 3
    assert "header of a tutor log is not known" in failed.stderr
    assert "Traceback" not in failed.stderr
