"""A home destroyed and brought back, and backups that were tampered with."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forget_data import ingest, raw_rows, write_sources

import edpipe
from edpipe.errors import SettingsError, SourceError, WarehouseBusyError
from edpipe.settings import Settings, load_settings
from edpipe.warehouse.lock import writer_lock

pytestmark = pytest.mark.integration

EDPIPE = Path(sys.executable).with_name("edpipe")
KILLED = """
import sys
from pathlib import Path
import edpipe
from edpipe.settings import load_settings
home = Path(sys.argv[2])
settings = load_settings("smoke", file=home / "none.toml", home=home, progress="none")
print("ready", flush=True)
if sys.argv[1] == "backup":
    edpipe.backup(Path(sys.argv[3]), settings)
else:
    edpipe.restore(Path(sys.argv[3]), settings, force=True)
"""


def settings_at(home: Path) -> Settings:
    return load_settings("smoke", file=home / "none.toml", home=home, progress="none", ingest={"workers": 1})


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A home with raw data, a run, and a SQLite file with an open transaction log."""
    folder = tmp_path_factory.mktemp("filled")
    write_sources(folder / "sources")
    settings = settings_at(folder / "data")
    ingest(folder / "sources", settings)
    run = settings.runs_dir / "abc"
    run.mkdir(parents=True)
    (run / "tracer.pt").write_bytes(os.urandom(300_000))
    key = settings.home / "privacy" / "key"
    key.parent.mkdir()
    key.write_text("0" * 64)
    key.chmod(0o600)
    with sqlite3.connect(settings.home / "mlflow.db") as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.execute("INSERT INTO runs VALUES ('kept')")
    connection.close()
    return settings.home


@pytest.fixture
def home(filled, tmp_path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "data"))


def contents(home: Path) -> dict[str, tuple[bytes, int, int]]:
    left_out = {"warehouse.lock", ".lock", "mlflow.db"}
    return {
        path.relative_to(home).as_posix(): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in home.rglob("*")
        if path.is_file() and path.name not in left_out
    }


def rows_of(path: Path) -> list[tuple[str]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT name FROM runs").fetchall()
    finally:
        connection.close()


def test_a_destroyed_home_comes_back_as_it_was(home, tmp_path):
    settings = settings_at(home)
    before, rows = contents(home), raw_rows(settings)
    edpipe.backup(tmp_path / "backups", settings)
    shutil.rmtree(home)
    report = edpipe.restore(tmp_path / "backups", settings)
    assert contents(home) == before
    assert report.files == len(before) + 1
    assert rows_of(home / "mlflow.db") == [("kept",)]
    assert all(rows[name].equals(frame) for name, frame in raw_rows(settings).items())
    assert sorted(path.name for path in home.iterdir() if path.name.startswith(".")) == []


def test_a_second_backup_copies_what_is_new_and_both_can_be_restored(home, tmp_path):
    settings, target = settings_at(home), tmp_path / "backups"
    first = edpipe.backup(target, settings)
    assert sum(one.new_files for one in first.folders) == sum(one.files for one in first.folders)
    changed = settings.runs_dir / "abc" / "tracer.pt"
    old = changed.read_bytes()
    # Same size and time of change: only the content tells.
    status = changed.stat()
    changed.write_bytes(os.urandom(len(old)))
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    new = changed.read_bytes()
    assert sum(one.new_files for one in edpipe.backup(target, settings, dry_run=True).folders) == 1
    second = edpipe.backup(target, settings)
    assert {one.folder: one.new_files for one in second.folders if one.new_files} == {"runs": 1}
    edpipe.restore(target, settings, force=True)
    assert changed.read_bytes() == new
    edpipe.restore(target, settings, force=True, at=first.name)
    assert changed.read_bytes() == old


def test_a_sqlite_file_in_use_is_copied_as_of_one_moment(home, tmp_path):
    settings = settings_at(home)
    connection = sqlite3.connect(home / "mlflow.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO runs VALUES ('in the log')")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO runs VALUES ('never ended')")
    edpipe.backup(tmp_path / "backups", settings)
    connection.close()
    shutil.rmtree(home)
    edpipe.restore(tmp_path / "backups", settings)
    assert rows_of(home / "mlflow.db") == [("kept",), ("in the log",)]


@pytest.mark.parametrize("harm", ["torn", "altered", "missing", "manifest"])
def test_a_torn_or_altered_backup_is_refused_by_name_and_home_stays(home, tmp_path, harm):
    settings, target = settings_at(home), tmp_path / "backups"
    edpipe.backup(target, settings)
    before = contents(home)
    path = max(
        (path for path in (target / "objects").rglob("*") if path.is_file()),
        key=lambda one: one.stat().st_size,
    )
    if harm == "manifest":
        path = next((target / "backups").glob("*.json"))
    content = bytearray(path.read_bytes())
    if harm == "torn":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    for dry_run in (True, False):
        with pytest.raises(SourceError, match="torn or was altered") as refused:
            edpipe.restore(target, settings, force=True, dry_run=dry_run)
        assert str(path) in str(refused.value)
    assert harm == "manifest" or "runs/abc/tracer.pt" in str(refused.value)
    shutil.rmtree(home / ".restoring", ignore_errors=True)
    assert contents(home) == before


def test_what_cannot_be_backed_up_or_restored_is_refused(home, tmp_path):
    settings = settings_at(home)
    with pytest.raises(SettingsError, match="cannot be backed up"):
        edpipe.backup(home / "backups", settings)
    with pytest.raises(SettingsError, match="cannot be backed up"):
        edpipe.backup(tmp_path / "backups", settings_at(tmp_path / "nothing"))
    with pytest.raises(SourceError, match="no backup here"):
        edpipe.restore(tmp_path / "backups", settings)
    edpipe.backup(tmp_path / "backups", settings)
    with pytest.raises(SettingsError, match="not empty"):
        edpipe.restore(tmp_path / "backups", settings)
    with pytest.raises(SourceError, match="no such backup"):
        edpipe.restore(tmp_path / "backups", settings, at="yesterday")
    with writer_lock(settings, "build"), pytest.raises(WarehouseBusyError):
        edpipe.backup(tmp_path / "backups", settings)


def killed(verb: str, home: Path, target: Path, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, verb, str(home), str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.25, 0.4])
def test_killed_at_any_moment_backup_and_restore_go_on(home, tmp_path, seconds):
    settings, target = settings_at(home), tmp_path / "backups"
    before = contents(home)
    killed("backup", home, target, seconds)
    edpipe.backup(target, settings)
    (settings.runs_dir / "abc" / "tracer.pt").write_bytes(b"changed")
    (home / "new.txt").write_text("not in the backup")
    killed("restore", home, target, seconds)
    edpipe.restore(target, settings, force=True)
    assert contents(home) == before


@pytest.mark.slow
def test_a_pipeline_with_a_champion_works_after_its_home_was_destroyed(tmp_path):
    home, target = tmp_path / "data", tmp_path / "backups"
    flags = ["--home", str(home), "--preset", "smoke", "--progress", "log"]
    for value in ("tracing.max_epochs=1", "tracing.bootstrap=20"):
        flags += ["--set", value]

    def run(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDPIPE_")}
        done = subprocess.run(
            [str(EDPIPE), *flags, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    from edpipe.sources.synthetic import write_ednet

    write_ednet(tmp_path / "archives", num_students=60, num_items=60, levels=("kt1",), keep_truth=False)
    run("ingest", "ednet", str(tmp_path / "archives"))
    run("build")
    for verb in ("train", "evaluate", "promote", "score"):
        run(verb, "tracing")
    asked = ("sql", "select * from predictions.kc_mastery order by all", "--format", "csv")
    before = run(*asked)
    run("backup", str(target))
    shutil.rmtree(home)
    run("restore", str(target))
    assert run(*asked) == before
    shutil.rmtree(home / "predictions")
    run("score", "tracing")
    run("publish")
    without_time = [line.rsplit(",", 1)[0] for line in before.splitlines()]
    assert [line.rsplit(",", 1)[0] for line in run(*asked).splitlines()] == without_time
