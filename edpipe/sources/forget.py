"""Take students out of the raw layer: shard by shard, each old or new, then the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from edpipe.forgotten import Forgotten, Student, published_ids
from edpipe.raw import RAW_SCHEMAS, Manifest, RawShard, landed, relation_dir, write_manifest
from edpipe.settings import Settings
from edpipe.sources.landing import manifest_fingerprint, reject_schema
from edpipe.sources.shard_files import (
    SHARD_PREFIX,
    SHARD_SUFFIX,
    delete_unlisted,
    locked,
    read_shard,
    write_shard,
)


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows of some students in one raw relation."""

    source: str
    relation: str
    rows: int


def students_named(settings: Settings, asked: Sequence[str]) -> dict[str, list[Student]]:
    """Find whom each asked id means: a published id, with ``:`` or ``/`` behind the data set, or a bare one.

    Returns
    -------
    dict
        For each asked id the students of the raw layer that it names, none, one or several.
    """
    wanted = set(asked) | {_other_form(one) for one in asked}
    exact: dict[str, set[Student]] = {one: set() for one in asked}
    bare: dict[str, set[Student]] = {one: set() for one in asked}
    for manifest in landed(settings.raw_dir):
        if not _has_students(manifest):
            continue
        ids = (
            pl.scan_parquet(_files(settings, manifest))
            .select(id=published_ids(manifest.source))
            .unique()
            .collect()["id"]
        )
        for one in (Student(manifest.source, found) for found in ids.drop_nulls().to_list()):
            if one.student_id in wanted:
                for name in {one.student_id, _other_form(one.student_id)} & exact.keys():
                    exact[name].add(one)
            if one.bare in bare:
                bare[one.bare].add(one)
    return {one: sorted(exact[one] or bare[one]) for one in asked}


def _other_form(student_id: str) -> str:
    for here, there in ((":", "/"), ("/", ":")):
        if here in student_id:
            return student_id.replace(here, there, 1)
    return student_id


def count_raw_rows(settings: Settings, students: Sequence[Student]) -> list[RawRows]:
    """Count the rows of the students in each raw relation that holds any."""
    found = []
    for manifest in landed(settings.raw_dir):
        ids = [one.student_id for one in students if one.source == manifest.source]
        if ids and _has_students(manifest):
            rows = pl.scan_parquet(_files(settings, manifest)).filter(
                published_ids(manifest.source).is_in(ids)
            )
            count = int(rows.select(pl.len()).collect().item())
            if count:
                found.append(RawRows(manifest.source, manifest.relation, count))
    return found


def item_ids_among(settings: Settings, students: Sequence[Student]) -> set[str]:
    """Return which of the students' ids an item of the same clicks has, too: clicks number both from 1."""
    ids = [one.student_id for one in students if one.source == "clicks"]
    found: set[str] = set()
    for manifest in landed(settings.raw_dir):
        files = _files(settings, manifest)
        if ids and files and manifest.source == "clicks":
            items = pl.scan_parquet(files).select("item_id").filter(pl.col("item_id").is_in(ids)).unique()
            found |= set(items.collect()["item_id"].to_list())
    return found


def forget_raw(settings: Settings, forgotten: Forgotten, sources: set[str]) -> None:
    """Rewrite the shards that hold a forgotten student, then the manifest; again after a kill, the same.

    Raises
    ------
    SourceError
        If another process ingests, or the disk is full.
    """
    for manifest in landed(settings.raw_dir):
        if manifest.source not in sources or not _has_students(manifest):
            continue
        folder = relation_dir(settings.raw_dir, manifest.source, manifest.relation)
        with locked(folder):
            shards = [_without(folder, manifest, shard, forgotten) for shard in manifest.shards]
            written = replace(
                manifest,
                shards=shards,
                fingerprint=manifest_fingerprint(
                    manifest.source, manifest.relation, manifest.selection, shards
                ),
            )
            if shards != list(manifest.shards):
                write_manifest(settings.raw_dir, written)
            delete_unlisted(folder, shards)


def _without(folder: Path, manifest: Manifest, shard: RawShard, forgotten: Forgotten) -> RawShard:
    rows = pl.read_parquet(folder / shard.file)
    rejects_path = folder / shard.rejects_file
    has_rejects = bool(shard.rejects_file) and rejects_path.exists()
    rejects = pl.read_parquet(rejects_path) if has_rejects else pl.DataFrame(schema=reject_schema())
    kept, kept_rejects, gone = forgotten.without(manifest.source, manifest.relation, rows, rejects)
    key = shard.file.removeprefix(SHARD_PREFIX).removesuffix(SHARD_SUFFIX)
    present = read_shard(folder, key)
    if gone:
        # Counted from the whole: a kill between rejects and rows must not change the count.
        before = present or shard
        whole = before.rows + before.rejected_rows + before.forgotten_rows
        present = write_shard(
            folder, key, kept, kept_rejects, forgotten_rows=whole - kept.height - kept_rejects.height
        )
    if has_rejects and not kept_rejects.height:
        rejects_path.unlink(missing_ok=True)
    return present or shard


def _has_students(manifest: Manifest) -> bool:
    return "student_id" in RAW_SCHEMAS[manifest.source, manifest.relation] and any(
        shard.rows for shard in manifest.shards
    )


def _files(settings: Settings, manifest: Manifest) -> list[Path]:
    folder = relation_dir(settings.raw_dir, manifest.source, manifest.relation)
    return [folder / shard.file for shard in manifest.shards if shard.rows]
