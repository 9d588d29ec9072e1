"""Mistakes that a person makes: each has an answer that names the next step, and none a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edpipe
from edpipe.errors import ContractError, SettingsError, SourceError, TrainingError
from edpipe.learning import newest_run, trained_lines
from edpipe.raw import read_manifest, relation_dir
from edpipe.sources.synthetic import write_ednet
from edpipe.warehouse.lock import writer_lock

pytestmark = pytest.mark.integration

EDPIPE = Path(sys.executable).with_name("edpipe")


def archives(folder: Path, seed: int, students: int = 20) -> Path:
    return write_ednet(folder, num_students=students, num_items=40, levels=("kt1",), seed=seed).folder


def shards(settings: edpipe.Settings) -> set[str]:
    return {path.name for path in relation_dir(settings.raw_dir, "ednet", "kt1").glob("shard*.parquet")}


def test_replacing_other_sources_is_said_before_and_after(tmp_path, settings):
    edpipe.ingest("ednet", [archives(tmp_path / "one", 1)], settings)
    other = archives(tmp_path / "other", 2)
    for dry_run in (True, False):
        report = edpipe.ingest("ednet", [other], settings, dry_run=dry_run)
        notes = [note for result in report.relations if result.relation == "kt1" for note in result.notes]
        assert any(note.startswith("Replaces") and "EdNet-KT1.zip" in note for note in notes)
    again = edpipe.ingest("ednet", [other], settings)
    assert not any(note.startswith("Replaces") for result in again.relations for note in result.notes)


def test_an_ingestion_beside_a_build_leaves_the_shards_that_the_build_reads(tmp_path, settings):
    edpipe.ingest("ednet", [archives(tmp_path / "one", 1)], settings)
    before = shards(settings)
    with writer_lock(settings, "build"):
        edpipe.ingest("ednet", [archives(tmp_path / "other", 2)], settings)
        assert before < shards(settings)
    edpipe.ingest("ednet", [tmp_path / "other"], settings)
    manifest = read_manifest(settings.raw_dir, "ednet", "kt1")
    assert shards(settings) == {shard.file for shard in manifest.shards}


def test_a_missing_shard_is_named_with_the_command_that_writes_it_again(tmp_path, settings):
    source = archives(tmp_path / "one", 1)
    edpipe.ingest("ednet", [source], settings)
    (relation_dir(settings.raw_dir, "ednet", "kt1") / min(shards(settings))).unlink()
    with pytest.raises(SourceError, match="ingest ednet"):
        edpipe.build(settings)
    edpipe.ingest("ednet", [source], settings)
    edpipe.plan(settings)


def test_building_from_nothing_is_refused(settings):
    with pytest.raises(SourceError, match="ingest"):
        edpipe.build(settings)
    assert not settings.home.exists()


def test_a_published_file_that_is_damaged_says_how_to_write_it_again(settings):
    settings.home.mkdir(parents=True)
    settings.published_path.write_text("junk")
    with pytest.raises(ContractError, match="edpipe publish"):
        edpipe.sql("select 1", settings)


def test_a_source_that_was_not_ingested_is_refused_before_training(tmp_path, settings):
    edpipe.ingest("ednet", [archives(tmp_path / "one", 1)], settings)
    wrong = settings.tracing.model_copy(update={"source": "ednt"})
    with pytest.raises(SettingsError, match="--source ednet"):
        edpipe.train("tracing", settings.model_copy(update={"tracing": wrong}))


def test_a_report_of_a_run_that_is_not_there_replaces_nothing(settings):
    with pytest.raises(TrainingError, match="no finished training run"):
        edpipe.report(settings, run_dir=settings.runs_dir / "never")
    assert not settings.reports_dir.exists()


def test_heads_that_do_not_divide_the_size_are_refused():
    with pytest.raises(SettingsError, match="num_heads must divide size"):
        edpipe.load_settings("smoke", tracing={"num_heads": 5})


def test_a_home_that_cannot_be_written_is_no_traceback(tmp_path):
    (tmp_path / "file").write_text("x")
    home = tmp_path / "file" / "home"
    source = archives(tmp_path / "one", 1)
    done = subprocess.run(
        [EDPIPE, "--home", home, "ingest", "ednet", source], capture_output=True, text=True, check=False
    )
    assert done.returncode in {2, 3}
    assert "Traceback" not in done.stderr
    assert str(home) in done.stderr
    doctor = subprocess.run([EDPIPE, "--home", home, "doctor"], capture_output=True, text=True, check=False)
    assert doctor.returncode == 1
    assert "no folder" in doctor.stdout


def test_status_says_what_was_trained_and_what_is_left_to_do(settings):
    assert trained_lines(settings) == ["Nothing has been trained: run `edpipe train tracing`."]
    for name, evaluated in (("old", True), ("new", False)):
        run = settings.runs_dir / name
        (run / "evaluation").mkdir(parents=True)
        (run / "run.json").write_text("{}")
        if evaluated:
            (run / "evaluation" / "summary.json").write_text("{}")
    os.utime(settings.runs_dir / "old" / "run.json", (1, 1))
    assert newest_run(settings).name == "new"
    assert newest_run(settings, evaluated=True).name == "old"
    assert any("not evaluated" in line for line in trained_lines(settings))
