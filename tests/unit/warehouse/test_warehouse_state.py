"""What is known without SQLMesh: state, locks, refusals."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

from edpipe import warehouse
from edpipe.errors import ContractError, WarehouseBusyError
from edpipe.raw import Delivery, Manifest, RawShard, write_manifest
from edpipe.settings import Settings
from edpipe.warehouse.lock import lock_holder, writer_lock
from edpipe.warehouse.state import (
    BuildState,
    current_buckets,
    current_deliveries,
    current_fingerprint,
    read_state,
    touched,
    write_state,
)


def manifest(fingerprint: str) -> Manifest:
    return Manifest("ednet", "kt1", fingerprint, [], [RawShard("part-0.parquet", 3)])


def test_the_fingerprint_sees_data_and_settings_and_nothing_else(settings: Settings) -> None:
    write_manifest(settings.raw_dir, manifest("1"))
    first = current_fingerprint(settings)
    assert current_fingerprint(settings) == first
    decay = settings.warehouse.model_copy(update={"mastery_decay": 0.5})
    assert current_fingerprint(settings.model_copy(update={"warehouse": decay})) != first
    memory = settings.warehouse.model_copy(update={"memory_limit_mib": 999})
    assert current_fingerprint(settings.model_copy(update={"warehouse": memory})) == first
    write_manifest(settings.raw_dir, manifest("2"))
    assert current_fingerprint(settings) != first


def delivered(*files: str, deliveries: int) -> Manifest:
    shards = [RawShard(file, 3, bucket=bucket) for bucket, file in enumerate(files)]
    came = [Delivery("2026-01-01T00:00:00+00:00", 1, 5, 3, 2, 0, 0, 2, [0]) for _ in range(deliveries)]
    return Manifest("ednet", "kt1", "".join(files), [], shards, deliveries=came, read_file="read.parquet")


def test_touched_buckets_are_those_whose_shard_is_another(settings: Settings) -> None:
    write_manifest(settings.raw_dir, delivered("a", "b", deliveries=1))
    state = BuildState(buckets=current_buckets(settings), deliveries=current_deliveries(settings))
    write_manifest(settings.raw_dir, delivered("a", "c", "d", deliveries=3))
    said = {"raw.ednet_kt1": "6 rows added for 4 students, in 2 of 3 buckets: 1, 2"}
    assert touched(settings, state) == said
    assert touched(settings, BuildState()) == {}


def test_a_damaged_state_counts_as_none(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    settings.warehouse_path.touch()
    write_state(settings, BuildState(fingerprint="x", rows={"core.items": 3}))
    assert read_state(settings).rows == {"core.items": 3}
    (settings.home / "warehouse.json").write_text("{half")
    assert read_state(settings) == BuildState()


def test_nothing_published_is_told_with_the_next_step(settings: Settings) -> None:
    for ask in (
        lambda: warehouse.query(settings, "SELECT 1"),
        lambda: warehouse.describe(settings, "core.items"),
    ):
        with pytest.raises(ContractError, match="edpipe build"):
            ask()
    with pytest.raises(ContractError, match="edpipe build"):
        warehouse.publish(settings)


@pytest.mark.parametrize(
    ("named", "command"),
    [
        ("predictions.kc_mastery", "edpipe score tracing"),
        ("predictions.strategies", "edpipe score strategy"),
        ("Predictions.Cluster_Profiles", "edpipe score strategy"),
    ],
)
def test_a_prediction_table_that_is_not_there_yet_names_the_command_that_makes_it(
    settings: Settings, named: str, command: str
) -> None:
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute("CREATE SCHEMA meta; CREATE TABLE meta.relations (relation VARCHAR)")
    with pytest.raises(ContractError, match=command):
        warehouse.query(settings, f"select * from {named} limit 3")
    with pytest.raises(ContractError, match="edpipe show RELATION"):
        warehouse.query(settings, "select * from predictions.nothing")


def test_a_query_that_is_wrong_otherwise_is_not_told_to_score(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute("CREATE SCHEMA predictions; CREATE TABLE predictions.kc_mastery (mastery DOUBLE)")
    with pytest.raises(ContractError, match="edpipe show RELATION"):
        warehouse.query(settings, "select nothing from predictions.kc_mastery")


def test_status_of_nothing(settings: Settings) -> None:
    found = warehouse.status(settings)
    assert (found.relations, found.raw, found.holder, found.is_stale) == ({}, {}, None, True)
    assert any("Nothing has been built" in line for line in found.lines())


def test_a_lock_is_held_by_one_and_freed(settings: Settings) -> None:
    with writer_lock(settings, "build"):
        holder = lock_holder(settings)
        assert holder is not None
        assert holder.doing == "build"
        with pytest.raises(WarehouseBusyError, match="one writer"), writer_lock(settings, "plan"):
            pass
    assert lock_holder(settings) is None
    with writer_lock(settings, "again"):
        pass


def test_the_package_imports_neither_engine() -> None:
    code = "import sys, edpipe.warehouse; print(sorted({'sqlmesh', 'duckdb', 'polars'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
