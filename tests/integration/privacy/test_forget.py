"""Forgotten students: gone as if they had never been, from every file, for good."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from forget_data import chosen, ingest, raw_rows, students_of, without, write_sources

import edpipe
from edpipe.errors import EdpipeError, SettingsError
from edpipe.forgotten import Student
from edpipe.privacy.needles import Needles
from edpipe.privacy.search import search
from edpipe.raw import landed
from edpipe.settings import Settings, load_settings
from edpipe.sources.forget import item_ids_among

pytestmark = pytest.mark.integration

FORGET = """
import sys
from pathlib import Path
import edpipe
from edpipe.settings import load_settings
home = Path(sys.argv[1])
print("ready", flush=True)
edpipe.forget(sys.argv[2:], load_settings("smoke", file=home / "none.toml", home=home, progress="none"))
"""


def settings_at(home: Path) -> Settings:
    return load_settings("smoke", file=home / "none.toml", home=home, progress="none", ingest={"workers": 1})


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    write_sources(folder)
    return folder


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        assert found[name].equals(frame), name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_raw_rows_equal_those_of_a_home_that_never_saw_them(sources, tmp_path, seed):
    students = chosen(sources, seed)
    never, settings = settings_at(tmp_path / "never"), settings_at(tmp_path / "data")
    ingest(without(sources, tmp_path / "without", students), never)
    ingest(sources, settings)
    before = sum(manifest.source_rows for manifest in landed(settings.raw_dir))
    report = edpipe.forget([one for _, one in students], settings)
    assert_same(raw_rows(settings), raw_rows(never))
    manifests = landed(settings.raw_dir)
    assert sum(one.source_rows + one.forgotten_rows for one in manifests) == before
    assert sum(one.forgotten_rows for one in manifests) == sum(one.rows for one in report.raw) + len(
        {path.stem for path in sorted((sources / "ednet" / "KT1").glob("*.csv"))[:3]}
        & {one for _, one in students}
    )
    assert report.search is not None
    assert report.search.found == ()
    # What is read again stays without them, whether shards are there already or not.
    assert ingest(sources, settings) == 0
    assert_same(raw_rows(settings), raw_rows(never))
    for path in settings.raw_dir.rglob("shard-*.parquet"):
        path.unlink()
    assert ingest(sources, settings) > 0
    assert_same(raw_rows(settings), raw_rows(never))
    assert landed(settings.raw_dir) == manifests


def kill_during(settings: Settings, students: list[str], seconds: float) -> bool:
    """Kill a forgetting so long after it began, and tell whether it had ended before."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORGET, str(settings.home), *students],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    return process.wait() == 0


def kill_until_done(sources: Path, folder: Path, *, seed: int, longest: float) -> int:
    """Kill at random moments, let it go on, and compare; return how many kills met it at work."""
    students = chosen(sources, seed)
    never, settings = settings_at(folder / "never"), settings_at(folder / "data")
    ingest(without(sources, folder / "without", students), never)
    ingest(sources, settings)
    ids = [one for _, one in students]
    drawn = random.Random(seed)
    kills = 0
    for _ in range(3):
        kills += not kill_during(settings, ids, drawn.uniform(0, longest))
    edpipe.forget(ids, settings)
    assert_same(raw_rows(settings), raw_rows(never))
    people = [Student(*one) for one in students]
    needles = Needles.of(people, item_ids_among(settings, people))
    assert search(settings.home, needles).found == ()
    assert not (settings.home / "privacy" / "forgetting.json").exists()
    return kills


def test_killed_at_random_moments_it_goes_on_to_the_same_end(sources, tmp_path):
    kill_until_done(sources, tmp_path, seed=5, longest=1.0)


@pytest.mark.slow
def test_thirty_kills_change_nothing(sources, tmp_path):
    kills = 0
    for seed in range(10, 20):
        kills += kill_until_done(sources, tmp_path / str(seed), seed=seed, longest=1.5)
    assert kills >= 20


@pytest.mark.slow
def test_tables_equal_those_of_a_pipeline_that_never_saw_them(sources, tmp_path):
    students = chosen(sources, 4)
    never, settings = settings_at(tmp_path / "never"), settings_at(tmp_path / "data")
    ingest(without(sources, tmp_path / "without", students), never)
    ingest(sources, settings)
    edpipe.build(never)
    edpipe.build(settings)
    edpipe.forget([one for _, one in students], settings)
    names = edpipe.sql(
        "select relation from meta.relations where num_rows is not null order by all", settings
    )["relation"].to_list()
    assert len([name for name in names if name.startswith("core.")]) > 20
    for name in names:
        columns = edpipe.sql(f"select * from {name} limit 0", settings).columns
        kept = ", ".join(one for one in columns if one not in ("source_row", "published_row"))
        asked = f"select {kept} from {name} order by all"
        assert edpipe.sql(asked, settings).equals(edpipe.sql(asked, never)), name


@pytest.mark.slow
def test_the_table_files_are_written_anew_without_them(sources, tmp_path):
    settings = settings_at(tmp_path / "data")
    ingest(sources, settings)
    edpipe.build(settings)
    student = next(one for source, one in students_of(sources) if source == "kddcup")
    count = f"select count(*) from core.students where student_id = '{student}'"
    assert edpipe.sql(count, settings).item() == 1
    edpipe.forget([student], settings)
    assert edpipe.sql(count, settings).item() == 0
    for path in (settings.warehouse_path, settings.published_path):
        assert student.encode() not in path.read_bytes()


def test_predictions_and_derived_files_lose_their_rows_and_keep_what_they_say(sources, tmp_path):
    settings = settings_at(tmp_path / "data")
    ingest(sources, settings)
    gone, kept = [one for source, one in students_of(sources) if source == "kddcup"][:2]
    table = settings.predictions_dir / "kc_mastery" / "part-0.parquet"
    table.parent.mkdir(parents=True)
    frame = pl.DataFrame({"student_id": [gone, kept, gone], "kc_id": ["a", "b", "c"]})
    frame.write_parquet(table, metadata={"edpipe.model_name": "tracing"})
    run = settings.runs_dir / "abc" / "evaluation"
    run.mkdir(parents=True)
    frame.write_csv(run / "rows.csv")
    (run / "example.json").write_text(f'{{"ids": ["{gone}", "{kept}"], "n": 2}}')
    settings.reports_dir.mkdir()
    (settings.reports_dir / "report.html").write_text(f"<p>{gone}</p>")
    edpipe.forget([gone], settings)
    assert pl.read_parquet(table).rows() == [(kept, "b")]
    assert pl.read_parquet_metadata(table)["edpipe.model_name"] == "tracing"
    assert (run / "rows.csv").read_text() == f"student_id,kc_id\n{kept},b\n"
    assert kept in (run / "example.json").read_text()
    assert not (settings.reports_dir / "report.html").exists()


def test_a_file_of_the_persons_own_is_named_and_left(sources, tmp_path):
    settings = settings_at(tmp_path / "data")
    ingest(sources, settings)
    gone = next(one for source, one in students_of(sources) if source == "kddcup")
    own = settings.home / "notes" / "mine.bin"
    own.parent.mkdir()
    own.write_bytes(b"\x00\xff" + gone.encode() + b"\x00")
    with pytest.raises(EdpipeError, match="still found") as raised:
        edpipe.forget([gone], settings)
    assert str(own) in str(raised.value)
    assert gone.encode() in own.read_bytes()
    own.unlink()
    # Asked once more, it proves that nothing is left.
    report = edpipe.forget([gone], settings)
    assert report.search is not None
    assert report.raw == ()


def test_ids_that_name_nobody_or_several_change_nothing(sources, tmp_path):
    settings = settings_at(tmp_path / "data")
    ingest(sources, settings)
    before = {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()}
    with pytest.raises(SettingsError, match="name nobody"):
        edpipe.forget(["u999999999"], settings)
    with pytest.raises(SettingsError, match="Nobody is named"):
        edpipe.forget([], settings)
    anybody = students_of(sources)[0][1]
    assert edpipe.forget([anybody], settings, dry_run=True).raw
    assert {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()} == before


def test_the_list_of_the_forgotten_names_nobody_and_is_for_its_owner_alone(sources, tmp_path):
    settings = settings_at(tmp_path / "data")
    ingest(sources, settings)
    gone = next(one for source, one in students_of(sources) if source == "clicks")
    edpipe.forget([gone.replace(":", "/")], settings)
    folder = settings.home / "privacy"
    assert sorted(path.name for path in folder.iterdir()) == ["forgotten.json", "key"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    assert gone.split(":")[1] not in (folder / "forgotten.json").read_text().replace('"', " ").split()
    (folder / "key").chmod(0o644)
    for path in settings.raw_dir.rglob("shard-*.parquet"):
        path.unlink()
    with pytest.raises(SettingsError, match="Others can read"):
        ingest(sources, settings)


def test_a_source_that_files_were_added_to_is_refused_and_files_added_leave_the_forgotten_out(tmp_path):
    settings = settings_at(tmp_path / "data")
    log = tmp_path / "shop.csv"
    rows = [(student, item, 1_600_000_000 + 10 * item + student) for student in (1, 2) for item in (1, 2)]
    names = ("student_id", "item_id", "timestamp")
    pl.DataFrame(rows, schema=names, orient="row").write_csv(log)
    asked = {"layout": "columns", "columns": {"time": "timestamp"}}
    edpipe.ingest("clicks", [log], settings, **asked)
    edpipe.forget(["shop:1"], settings)
    edpipe.ingest("clicks", [log], settings, add=True, dataset="shop", **asked)
    (behaviors,) = [one for one in landed(settings.raw_dir) if one.relation == "behaviors"]
    assert behaviors.deliveries
    assert set(raw_rows(settings)["clicks.behaviors"]["student_id"]) == {"shop:2"}
    with pytest.raises(SettingsError, match="without `--add`"):
        edpipe.forget(["shop:2"], settings)
