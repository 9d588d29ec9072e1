"""One line a run: how it ended, what it read and made, and that the record never breaks the step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import edpipe
from edpipe.errors import SourceError
from edpipe.operations import run_files, run_table, runs
from edpipe.operations.runs import Account, recorded


@pytest.fixture(autouse=True)
def home(settings):
    settings.home.mkdir()


def only(settings):
    (row,) = run_table.run_table(settings).to_dicts()
    return row


def test_a_run_that_succeeds_says_what_when_and_how_much(settings):
    before = datetime.now(UTC)
    with recorded(settings, "train", family="tracing", source="ednet") as run:
        run.made(lambda: Account(rows_in=5, rows_out=3, inputs=["a"], outputs=[settings.home / "b"]))
        during = only(settings)
    row = only(settings)
    assert (during["outcome"], during["ended_at"], during["seconds"]) == ("running", None, None)
    assert (row["step"], row["family"], row["source"], row["outcome"]) == (
        "train",
        "tracing",
        "ednet",
        "succeeded",
    )
    assert (row["rows_in"], row["rows_out"]) == (5, 3)
    assert (row["inputs"], row["outputs"]) == (["a"], [str(settings.home / "b")])
    assert before <= row["started_at"] <= row["ended_at"] <= datetime.now(UTC)
    assert row["seconds"] == pytest.approx((row["ended_at"] - row["started_at"]).total_seconds(), abs=0.05)
    assert row["pid"] == os.getpid()
    assert row["edpipe_version"] == edpipe.__version__
    assert row["error_class"] is row["next_step"] is row["flow_run_id"] is None


def test_a_run_with_nothing_to_do_is_skipped(settings):
    with recorded(settings, "build") as run:
        run.made(lambda: Account(is_up_to_date=True))
    assert only(settings)["outcome"] == "skipped"


def test_a_failure_in_a_home_that_was_not_there_makes_none(settings):
    def fail(*, write):
        with recorded(settings, "ingest"):
            if write:
                settings.raw_dir.mkdir(parents=True)
            raise SourceError("There is no such file.")

    settings.home.rmdir()
    with pytest.raises(SourceError):
        fail(write=False)
    assert not settings.home.exists()
    with pytest.raises(SourceError):
        fail(write=True)
    assert only(settings)["outcome"] == "failed"


def test_a_dry_run_leaves_no_line(settings):
    with recorded(settings, "build", is_dry_run=True):
        pass
    assert run_table.run_table(settings).is_empty()
    assert list(settings.home.iterdir()) == []


def test_a_failure_says_its_class_first_line_and_what_to_do(settings):
    with pytest.raises(SourceError), recorded(settings, "ingest", source="ednet"):
        raise SourceError("The header is wrong.", where="a.csv", next_step="Download it again.")
    row = only(settings)
    assert (row["outcome"], row["error_class"]) == ("failed", "SourceError")
    assert (row["error_message"], row["next_step"]) == ("The header is wrong.", "Download it again.")
    assert row["ended_at"] is not None


def test_a_bug_says_how_to_look_at_it(settings):
    with pytest.raises(ZeroDivisionError), recorded(settings, "score"):
        _ = 1 / 0
    assert "--debug" in only(settings)["next_step"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_step_that_somebody_stops_is_cancelled(stop, settings):
    with pytest.raises(stop), recorded(settings, "train"):
        raise stop
    row = only(settings)
    assert (row["outcome"], row["error_class"]) == ("cancelled", stop.__name__)


def test_a_killed_run_is_killed_as_soon_as_its_process_is_gone(settings):
    code = (
        "import sys, time\n"
        "from edpipe.operations.runs import recorded\n"
        "from edpipe.settings import load_settings\n"
        f"with recorded(load_settings('smoke', home={str(settings.home)!r}), 'build'):\n"
        "    print('started', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    assert only(settings)["outcome"] == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    row = only(settings)
    assert (row["outcome"], row["ended_at"], row["pid"]) == ("killed", None, process.pid)
    assert "goes on" in row["next_step"]


def test_runs_of_many_threads_each_leave_one_line(settings):
    from concurrent.futures import ThreadPoolExecutor

    def one(number):
        with recorded(settings, "score", source=str(number)):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(64)))
    found = run_table.run_table(settings)
    assert sorted(found["source"].to_list(), key=int) == [str(number) for number in range(64)]
    assert found["outcome"].unique().to_list() == ["succeeded"]


def test_a_step_goes_on_where_its_record_cannot_be_written(settings, caplog):
    settings.ops_dir.write_text("a file where the folder should be")
    with recorded(settings, "build") as run:
        run.made(lambda: Account(rows_out=1))
    assert "leaves no record" in caplog.text


def test_the_end_is_told_in_the_room_of_the_start_where_the_disk_is_full(settings, monkeypatch):
    """No new block is needed: the file keeps its size."""
    folder = run_files.run_files_dir(settings)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with recorded(settings, "build") as run:
        run.made(lambda: Account(rows_out=7))
        (path,) = folder.glob("*.json")
        size = path.stat().st_size
        monkeypatch.setattr(run_files.os, "fsync", full)
    assert (only(settings)["outcome"], only(settings)["rows_out"]) == ("succeeded", 7)
    assert [one.name for one in folder.iterdir()] == [path.name]
    assert path.stat().st_size == size == run_files.ROOM_BYTES


def test_an_account_that_fails_does_not_fail_the_step(settings, caplog):
    with recorded(settings, "score") as run:
        run.made(lambda: Account(rows_out=int("no number")))
    assert (only(settings)["outcome"], only(settings)["rows_out"]) == ("succeeded", None)
    assert "left out of its record" in caplog.text


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_shown(settings, caplog):
    with recorded(settings, "build"):
        pass
    torn = run_files.run_files_dir(settings) / "torn.json"
    torn.write_text('{"run_id": "x", "outc')
    assert only(settings)["step"] == "build"
    assert str(torn) in caplog.text


def test_many_runs_are_put_together_and_stay_the_same(settings, monkeypatch):
    monkeypatch.setattr(run_files, "MOST_FILES", 10)
    for number in range(35):
        with recorded(settings, "ingest", source=str(number)) as run:
            run.made(lambda number=number: Account(rows_in=number, inputs=["x"]))
    found = run_table.run_table(settings)
    assert found["rows_in"].to_list() == list(range(35))
    assert found.schema == run_table.SCHEMA
    assert len(list(run_files.run_files_dir(settings).iterdir())) <= 11
    assert pl.read_parquet(settings.ops_dir / "runs.parquet").height >= 20


def test_a_run_found_in_both_places_counts_once(settings):
    """As after a kill between writing the Parquet file and removing the small ones."""
    for number in range(3):
        with recorded(settings, "ingest", source=str(number)):
            pass
    before = run_table.run_table(settings)
    kept = {path: path.read_bytes() for path in run_files.run_files_dir(settings).iterdir()}
    run_table.put_together(settings)
    for path, content in kept.items():
        path.write_bytes(content)
    assert run_table.run_table(settings).equals(before)
    run_table.put_together(settings)
    assert run_table.run_table(settings).equals(before)


def test_a_running_step_is_not_put_away(settings):
    with recorded(settings, "build"):
        run_table.put_together(settings)
        assert only(settings)["outcome"] == "running"
    assert only(settings)["outcome"] == "succeeded"


def test_older_runs_that_cannot_be_read_are_set_aside_not_overwritten(settings, caplog):
    with recorded(settings, "build"):
        pass
    settings.ops_dir.joinpath("runs.parquet").write_bytes(b"torn")
    assert only(settings)["step"] == "build"
    assert "left out of `ops.runs`" in caplog.text
    run_table.put_together(settings)
    assert only(settings)["step"] == "build"
    assert settings.ops_dir.joinpath("runs.unreadable").read_bytes() == b"torn"


def test_the_peak_is_of_the_step_not_of_the_process(settings):
    def use(mib):
        with recorded(settings, "score", source=str(mib)):
            # Pages count once they are written.
            return len(bytearray(os.urandom(2**20) * mib))

    for mib in (200, 1):
        use(mib)
    large, small = run_table.run_table(settings)["peak_memory_mib"]
    assert large - small > 150


def test_the_fingerprint_of_settings_knows_no_home_but_every_value(settings):
    same = settings.model_copy(update={"home": settings.home / "other", "progress": "bar"})
    other = settings.model_copy(update={"seed": settings.seed + 1})
    assert runs.settings_fingerprint(same) == runs.settings_fingerprint(settings)
    assert runs.settings_fingerprint(other) != runs.settings_fingerprint(settings)


def test_what_a_flow_calls_itself_is_in_the_line(settings):
    token = runs.FLOW_RUN.set("a-flow")
    try:
        with recorded(settings, "build"):
            pass
    finally:
        runs.FLOW_RUN.reset(token)
    assert only(settings)["flow_run_id"] == "a-flow"


def test_thousands_of_runs_are_read_in_a_moment(settings):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        {
            "run_id": f"{number:06}",
            "step": "build",
            "outcome": "succeeded",
            "started_at": (start + timedelta(hours=number)).isoformat(),
        }
        for number in range(20_000)
    ]
    settings.ops_dir.mkdir()
    run_table.frame_of(records, run_table.SCHEMA).write_parquet(settings.ops_dir / "runs.parquet")
    began = time.monotonic()
    assert run_table.run_table(settings).height == 20_000
    assert time.monotonic() - began < 1


def test_only_what_has_not_been_made_good_is_told(settings):
    def fail(step, family=""):
        with pytest.raises(SourceError), recorded(settings, step, family=family):
            raise SourceError("It broke.", next_step=f"Repair {step}.")

    fail("build")
    with recorded(settings, "build"):
        pass
    fail("train", "tracing")
    with recorded(settings, "train", family="strategy"):
        pass
    told = run_table.last_lines(run_table.run_table(settings))
    assert told[0].startswith("Last run: train strategy of ")
    assert len(told) == 2
    assert "train tracing" in told[1]
    assert told[1].endswith("failed. It broke. Repair train.")
