"""Shards, rejects and manifest: resumable, and never half there."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from edpipe.errors import SourceError
from edpipe.raw import read_manifest, relation_dir
from edpipe.sources.landing import (
    RelationPlan,
    ShardContent,
    ShardJob,
    describe_input,
    land,
    reject_frame,
    shard_key,
)
from edpipe.sources.shard_files import REFUSED_FILE, locked


def produce(start: int, rows: int, rejects: int = 0) -> ShardContent:
    numbers = range(start, start + rows)
    frame = pl.DataFrame(
        {
            "source_row": numbers,
            "coupon_id": [f"c{i}" for i in numbers],
            "coupon_type": "type-0",
            "duration": 1,
        }
    )
    refused = [("coupons.csv", rows + i + 1, "bad number", "x") for i in range(rejects)]
    return ShardContent(frame, reject_frame("ednet", "coupons", refused))


def fail() -> ShardContent:
    raise AssertionError("this shard must not be read again")


def job(start: int, rows: int, rejects: int = 0) -> ShardJob:
    return ShardJob(shard_key(start, rows, rejects), rows, partial(produce, start, rows, rejects))


def plan(*jobs: ShardJob) -> RelationPlan:
    return RelationPlan("ednet", "coupons", jobs, inputs=[])


def landed_rows(settings) -> list[tuple[object, ...]]:
    manifest = read_manifest(settings.raw_dir, "ednet", "coupons")
    folder = relation_dir(settings.raw_dir, "ednet", "coupons")
    return pl.concat([pl.read_parquet(folder / shard.file) for shard in manifest.shards]).rows()


def files(settings) -> set[str]:
    folder = relation_dir(settings.raw_dir, "ednet", "coupons")
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_manifest_lists_shards_in_the_order_of_the_plan(settings):
    result = land(settings, plan(job(5, 2), job(1, 3, 1)), max_rejects=0.5)
    assert [row[0] for row in landed_rows(settings)] == [5, 6, 1, 2, 3]
    assert (result.rows, result.rejected_rows, result.shards_written) == (5, 1, 2)
    assert result.manifest.source_rows == 6


def test_second_run_reads_nothing_and_leaves_the_manifest_alone(settings):
    first = job(1, 3)
    land(settings, plan(first))
    path = relation_dir(settings.raw_dir, "ednet", "coupons") / "manifest.json"
    before = path.stat().st_mtime_ns
    result = land(settings, plan(ShardJob(first.key, 3, fail)))
    assert (result.shards_written, result.shards_reused, result.rows) == (0, 1, 3)
    assert path.stat().st_mtime_ns == before


def test_changed_source_redoes_what_changed_and_deletes_the_rest(settings):
    kept = job(1, 3)
    land(settings, plan(kept, job(10, 2)))
    result = land(settings, plan(ShardJob(kept.key, 3, fail), job(20, 1)))
    assert (result.shards_written, result.shards_reused) == (1, 1)
    assert [row[0] for row in landed_rows(settings)] == [1, 2, 3, 20]
    assert len(files(settings)) == 3


def test_interrupted_run_keeps_the_earlier_state_and_goes_on(settings):
    land(settings, plan(job(1, 1)))
    first = job(10, 2)

    def interrupt() -> ShardContent:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="1 of 2 shards"):
        land(settings, plan(first, ShardJob("b" * 20, 1, interrupt)))
    assert [row[0] for row in landed_rows(settings)] == [1]
    result = land(settings, plan(ShardJob(first.key, 2, fail), job(20, 1)))
    assert result.shards_reused == 1
    assert [row[0] for row in landed_rows(settings)] == [10, 11, 20]


def test_too_many_rejects_leave_the_earlier_state_and_show_themselves(settings):
    land(settings, plan(job(1, 5)))
    with pytest.raises(SourceError, match=r"2 rejected rows, 40\.00%.*bad number 2") as caught:
        land(settings, plan(job(1, 3, 2)), max_rejects=0.1)
    assert caught.value.exit_code == 3
    assert len(landed_rows(settings)) == 5
    refused = pl.read_parquet(relation_dir(settings.raw_dir, "ednet", "coupons") / REFUSED_FILE)
    assert refused["reason"].to_list() == ["bad number"] * 2
    land(settings, plan(job(1, 3, 2)), max_rejects=0.5)
    assert REFUSED_FILE not in files(settings)


def test_hopeless_run_stops_before_its_end(settings):
    hopeless = RelationPlan("ednet", "coupons", [job(1, 1, 9), ShardJob("c" * 20, 1, fail)], [], max_rows=20)
    with pytest.raises(SourceError, match="Too many rows"):
        land(settings, hopeless, max_rejects=0.1)


def test_dry_run_writes_nothing(settings):
    result = land(settings, plan(job(1, 3)), dry_run=True)
    assert (result.shards_written, result.manifest) == (1, None)
    assert not settings.home.exists()


@pytest.mark.parametrize("content", [b"", b"PAR1 half a file"])
def test_damaged_shard_is_written_again(settings, content):
    first = job(1, 3)
    land(settings, plan(first))
    [file] = relation_dir(settings.raw_dir, "ednet", "coupons").glob("shard-*")
    file.write_bytes(content)
    assert land(settings, plan(first)).shards_written == 1
    assert len(landed_rows(settings)) == 3


def test_unreadable_manifest_is_replaced_from_the_shards(settings):
    first = job(1, 3)
    land(settings, plan(first))
    (relation_dir(settings.raw_dir, "ednet", "coupons") / "manifest.json").write_text("{")
    land(settings, plan(ShardJob(first.key, 3, fail)))
    assert len(landed_rows(settings)) == 3


def test_left_over_temporary_files_are_removed(settings):
    folder = relation_dir(settings.raw_dir, "ednet", "coupons")
    folder.mkdir(parents=True)
    (folder / "shard-x.parquet.123.tmp").write_bytes(b"half")
    land(settings, plan(job(1, 1)))
    assert not any(name.endswith(".tmp") for name in files(settings))


def test_second_writer_is_refused(settings):
    with (
        locked(relation_dir(settings.raw_dir, "ednet", "coupons")),
        pytest.raises(SourceError, match="Another process"),
    ):
        land(settings, plan(job(1, 1)))


def test_full_disk_is_a_clear_error_and_leaves_the_earlier_state(settings, monkeypatch):
    land(settings, plan(job(1, 2)))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(SourceError, match="No space left"):
        land(settings, plan(job(5, 2)))
    assert [row[0] for row in landed_rows(settings)] == [1, 2]


def test_home_that_cannot_be_made_is_a_clear_error(settings):
    settings.home.write_text("a file where the folder should be")
    with pytest.raises(SourceError, match="cannot be written"):
        land(settings, plan(job(1, 1)))


def test_two_processes_write_what_one_writes(settings):
    jobs = [job(start, 10) for start in range(0, 60, 10)]
    land(settings, plan(*jobs), workers=2)
    assert [row[0] for row in landed_rows(settings)] == list(range(60))


def test_input_is_identified_by_its_hash(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"abc")
    described = describe_input(path)
    assert described.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert described.size == 3
