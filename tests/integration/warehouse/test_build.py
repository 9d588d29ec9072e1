"""Builds: what changes is built, what is broken never replaces what is good."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import polars as pl
import pytest
from raw_tables import write_answers, write_questions, write_raw

from edpipe import warehouse
from edpipe.errors import ContractError, SettingsError, WarehouseBusyError
from edpipe.settings import Settings, load_settings
from edpipe.warehouse import project
from edpipe.warehouse.lock import writer_lock

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """Build once and keep a copy; scans name absolute paths, so tests get it back in the same place."""
    folder = tmp_path_factory.mktemp("warehouse")
    settings = load_settings("smoke", file=folder / "none.toml", home=folder / "data", progress="none")
    write_questions(settings.raw_dir)
    write_answers(settings.raw_dir, 5, "1")
    warehouse.build(settings)
    shutil.copytree(settings.home, folder / "copy")
    return settings, folder / "copy"


@pytest.fixture
def built(kept: tuple[Settings, Path]) -> Settings:
    settings, copy = kept
    shutil.rmtree(settings.home)
    shutil.copytree(copy, settings.home)
    return settings


def count(settings: Settings, relation: str) -> int:
    return int(warehouse.query(settings, f"SELECT COUNT(*) FROM {relation}").item())


def test_nothing_changed_does_nothing_at_once(built: Settings) -> None:
    before = built.published_path.stat()
    started = time.perf_counter()
    report = warehouse.build(built)
    assert time.perf_counter() - started < 5
    assert report.models == ()
    assert built.published_path.stat().st_ino == before.st_ino
    assert warehouse.plan_build(built).models == ()


def test_new_rows_are_built_with_what_depends_on_them(built: Settings) -> None:
    write_answers(built.raw_dir, 7, "2")
    planned = {model.name: model for model in warehouse.plan_build(built).models}
    assert planned["raw.ednet_kt1"].reason == "input changed"
    assert planned["core.interactions"].reason.startswith("depends on")
    assert planned["core.interactions"].estimated_rows > 20
    assert "core.lectures" not in planned
    assert "core.offers" not in planned
    assert count(built, "core.interactions") == 20, "a plan builds nothing"
    report = warehouse.build(built)
    assert {model.name for model in report.models} == set(planned)
    assert count(built, "core.interactions") == 28
    assert not [row for row in report.reconciliation if row["severity"] == "error" and not row["is_ok"]]


def test_broken_rows_leave_the_old_tables(built: Settings) -> None:
    before = warehouse.query(built, "SELECT * FROM core.interactions ORDER BY ALL")
    write_answers(built.raw_dir, 6, "2", elapsed_time=-5)
    with pytest.raises(ContractError, match="accepted_range") as caught:
        warehouse.build(built)
    assert "staging.ednet_answers" in caught.value.where
    assert "as they were" in caught.value.state
    assert warehouse.query(built, "SELECT * FROM core.interactions ORDER BY ALL").equals(before)
    with warehouse.open_writer(built) as connection:
        assert connection.sql("SELECT COUNT(*) FROM core.interactions").fetchone() == (20,)
    assert warehouse.status(built).is_stale
    write_answers(built.raw_dir, 6, "3")
    warehouse.build(built)
    assert count(built, "core.interactions") == 24


def test_broken_rows_in_a_stored_relation_leave_the_old_one(built: Settings) -> None:
    """The audit of a table fails after its new rows were written beside the old ones."""
    rows = [
        {"source_row": 1, "lecture_id": "l1", "part": 1, "tags": "1", "video_length": -7, "deployed_at": -1}
    ]
    write_raw(built.raw_dir, "ednet", "lectures", rows, "1")
    with pytest.raises(ContractError, match=r"core\.lectures.*accepted_range"):
        warehouse.build(built)
    assert count(built, "core.lectures") == 0
    with warehouse.open_writer(built) as connection:
        assert connection.sql("SELECT COUNT(*) FROM core.lectures").fetchone() == (0,)


def test_one_changed_model_is_built_with_its_dependents_only(
    built: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = tmp_path / "sql"
    shutil.copytree(project.SQL_DIR, sql, ignore=shutil.ignore_patterns("tests", ".cache", "__pycache__"))
    monkeypatch.setattr(project, "SQL_DIR", sql)
    model = sql / "models" / "core" / "opportunities.sql"
    model.write_text(
        model.read_text().replace(
            "is_correct IS NOT NULL",
            "is_correct IS NOT NULL AND TRUE IS NOT NULL AND interactions.interaction_number > 0",
        )
    )
    report = warehouse.build(built)
    assert [item.name for item in report.models] == ["core.opportunities", "features.kc_mastery"]
    assert report.models[0].reason == "query changed"


def test_a_setting_rebuilds_what_it_enters(built: Settings) -> None:
    other = built.model_copy(update={"warehouse": built.warehouse.model_copy(update={"mastery_decay": 0.5})})
    report = warehouse.build(other)
    assert [item.name for item in report.models] == ["features.kc_mastery"]
    assert report.models[0].reason == "setting changed"


def test_full_builds_everything_again(built: Settings) -> None:
    report = warehouse.build(built, full=True)
    assert {"core.interactions", "training.tracing_examples"} <= {model.name for model in report.models}
    assert all(model.seconds > 0 for model in report.models if model.name == "core.interactions")
    assert warehouse.build(built).models == ()


def test_predictions_are_published_without_a_build(built: Settings) -> None:
    folder = built.predictions_dir / "kc_mastery"
    folder.mkdir(parents=True)
    pl.DataFrame({"student_key": [1, 2], "mastery": [0.25, 0.75]}).write_parquet(folder / "part-0.parquet")
    assert warehouse.status(built).has_new_predictions
    assert warehouse.publish(built) == built.published_path
    assert count(built, "predictions.kc_mastery") == 2
    assert not warehouse.status(built).has_new_predictions
    assert warehouse.build(built).models == ()


def test_an_unknown_model_is_named_with_the_closest(built: Settings) -> None:
    with pytest.raises(SettingsError, match=r"core\.interactions"):
        warehouse.build(built, models=["core.interaction"], full=True)


def test_changes_that_were_not_selected_wait(built: Settings) -> None:
    rows = [
        {"source_row": 1, "lecture_id": "l1", "part": 1, "tags": "1", "video_length": 7, "deployed_at": -1}
    ]
    write_raw(built.raw_dir, "ednet", "payments", [{"source_row": 1, "payment_item_id": "p1"}], "1")
    write_raw(built.raw_dir, "ednet", "lectures", rows, "1")
    names = {model.name for model in warehouse.build(built, models=["core.offers"]).models}
    assert {"raw.ednet_payments", "core.offers"} <= names
    assert "core.lectures" not in names
    assert (count(built, "core.offers"), count(built, "core.lectures")) == (1, 0)
    assert warehouse.status(built).is_stale, "the rest is still to be built"
    assert "core.lectures" in {model.name for model in warehouse.build(built).models}


def test_a_second_builder_is_told_who_is_building(built: Settings) -> None:
    write_answers(built.raw_dir, 6, "2")
    with writer_lock(built, "build"):
        assert "build" in str(warehouse.status(built).holder)
        with pytest.raises(WarehouseBusyError, match="process"):
            warehouse.build(built)
    assert warehouse.status(built).holder is None
    assert count(built, "core.interactions") == 20


def test_a_relation_tells_its_contract(built: Settings) -> None:
    info = warehouse.describe(built, "core.interactions")
    assert info.num_rows == 20
    assert info.sample.height == 5
    assert "core.items" in info.upstream
    assert "core.sessions" in info.downstream
    assert any("unique" in audit for audit in info.audits)
    assert {"column": "elapsed_seconds", "type": "DOUBLE"}.items() <= info.column_rows()[13].items()
    with pytest.raises(ContractError, match=r"core\.items"):
        warehouse.describe(built, "core.item")
    comment = warehouse.query(
        built, "SELECT comment FROM duckdb_columns() WHERE table_name = 'items' AND column_name = 'num_kcs'"
    )
    assert "Knowledge components" in comment.item()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE core.items",
        "SELECT 1; SELECT 2",
        "SELECT nothing FROM core.items",
        "SELECT * FROM read_csv('/etc/hostname')",
        "COPY core.items TO 'items.csv'",
        "",
    ],
)
def test_only_reading_is_answered(built: Settings, statement: str) -> None:
    with pytest.raises(ContractError):
        warehouse.query(built, statement)
