"""Add files to a raw relation instead of replacing it: read what is new, rewrite the buckets it touches.

A relation that files are added to holds its students in :data:`NUM_BUCKETS` buckets by a hash of their
id, one shard each, named by its content. What files are new is told by their keys, which stand in a
Parquet file beside the shards. The manifest is replaced last, so a run that is killed leaves the earlier
state, and what it had read is taken up by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl

from edpipe.errors import SourceError
from edpipe.raw import Delivery, Manifest, RawInput, RawShard, relation_dir, write_manifest
from edpipe.settings import Settings
from edpipe.sources.delivery_keys import Arrivals, Known, known
from edpipe.sources.delivery_rows import BUCKET, NUM_BUCKETS, ORIGIN, DeliveryRule, bucketed, is_within, merge
from edpipe.sources.landing import (
    RelationPlan,
    RelationResult,
    ShardContent,
    ShardJob,
    refuse_many_rejects,
    reject_schema,
    result_of,
    shard_key,
    write_missing,
)
from edpipe.sources.shard_files import delete_unlisted, locked, read_shard, write_content, write_shard
from edpipe.warehouse.lock import lock_holder

# Raised whenever the same files would give other shards.
MERGE_VERSION = 1
_READ_KIND = "read-"
_READ_SCHEMA = pl.Schema({"key": pl.String()})


def land_deliveries(
    settings: Settings,
    plan: RelationPlan,
    rule: DeliveryRule,
    arrivals: Arrivals,
    *,
    max_rejects: float | None = None,
    dry_run: bool = False,
    workers: int = 1,
) -> RelationResult:
    """Read new files and put their rows to those that are there.

    Afterwards the relation holds the rows that all files named so far give in one run, whatever the order.

    Parameters
    ----------
    settings
        Where to write, how to show progress.
    plan
        Jobs and inputs of the new files alone.
    rule
        What rows are the same.
    arrivals
        The new files.
    max_rejects
        Largest share of refused rows among those read now.
    dry_run
        Count what would be read and write nothing.
    workers
        Processes; 1 works in this one.

    Raises
    ------
    SourceError
        If the relation holds another selection of students, was written meanwhile, or lacks files that it
        lists, a file of a name known has lost rows it had, too many rows were refused or the folder cannot
        be written. The earlier state is left.
    """
    started = time.monotonic()
    earlier = known(settings, plan.source, plan.relation)
    _refuse_other_selection(plan, earlier.manifest)
    folder = relation_dir(settings.raw_dir, plan.source, plan.relation)
    jobs = [
        replace(job, key=_part_key(job.key), produce=partial(_bucketed, job.produce, rule))
        for job in plan.jobs
    ]
    jobs += _jobs_of_whole(folder, earlier.manifest, rule)
    if dry_run:
        known_files = f"{arrivals.num_known:,} are known"
        note = f"{plan.relation}: {len(arrivals.keys):,} new files would be read, {known_files}"
        return replace(result_of(plan, len(jobs), 0, started), notes=(*plan.notes, note))
    limit = settings.ingest.max_rejects if max_rejects is None else max_rejects
    with locked(folder):
        _refuse_changed(plan, arrivals, known(settings, plan.source, plan.relation))
        parts = {job.key: shard for job in jobs if (shard := read_shard(folder, job.key))}
        missing = [job for job in jobs if job.key not in parts]
        if missing:
            whole = replace(plan, jobs=jobs)
            parts |= write_missing(
                settings, whole, missing, list(parts.values()), limit, workers, rule.part_schema
            )
        came = [parts[job.key] for job in jobs]
        refuse_many_rejects(plan, folder, came, limit, sum(shard.rows for shard in came))
        manifest = _put_together(settings, folder, plan, rule, arrivals, earlier, came)
        # A build reads the shards that were listed when it began; the next run deletes them.
        if lock_holder(settings) is None:
            delete_unlisted(folder, manifest.shards, [manifest.read_file])
    result = result_of(plan, len(missing), len(jobs) - len(missing), started)
    delivery = manifest.deliveries[-1] if arrivals.keys or jobs else None
    return replace(
        result,
        rows=manifest.rows,
        rejected_rows=manifest.rejected_rows,
        manifest=manifest,
        is_added=True,
        delivery=delivery,
        notes=(*plan.notes, _note(plan, arrivals, delivery)),
    )


def _part_key(key: str) -> str:
    return shard_key("delivery", MERGE_VERSION, key)


def _bucketed(produce: Callable[[], ShardContent], rule: DeliveryRule) -> ShardContent:
    content = produce()
    return ShardContent(bucketed(content.rows, rule), content.rejects)


def _jobs_of_whole(folder: Path, manifest: Manifest | None, rule: DeliveryRule) -> list[ShardJob]:
    """Return jobs that take over the shards of a relation that was read as a whole, without its source."""
    if manifest is None or manifest.read_file:
        return []
    return [
        ShardJob(
            _part_key(shard.file),
            (folder / shard.file).stat().st_size,
            partial(_bucketed, partial(_content_of, folder, shard), rule),
        )
        for shard in manifest.shards
    ]


def _content_of(folder: Path, shard: RawShard) -> ShardContent:
    rejects = folder / (shard.rejects_file or shard.file)
    refused = pl.read_parquet(rejects) if shard.rejects_file else pl.DataFrame(schema=reject_schema())
    return ShardContent(pl.read_parquet(folder / shard.file), refused)


def _put_together(
    settings: Settings,
    folder: Path,
    plan: RelationPlan,
    rule: DeliveryRule,
    arrivals: Arrivals,
    earlier: Known,
    came: Sequence[RawShard],
) -> Manifest:
    """Merge what came into the buckets it touches, then replace the manifest."""
    before = earlier.manifest if earlier.is_of_deliveries else None
    if before is not None and not came and not arrivals.keys:
        return before
    held = {shard.bucket: shard for shard in (before.shards if before else ()) if shard.bucket is not None}
    new = _scan(folder, rule, came)
    if not rule.is_numbered:
        new = new.with_columns(pl.col("source_file").alias(ORIGIN))
    again = _named_again(plan, before)
    grown, passed_over = _grown(folder, rule, new, list(held.values()), again)
    new = new.filter(~pl.col("source_file").is_in(passed_over)) if passed_over else new
    num_added = num_late = num_students = 0
    touched = []
    present = new.select(pl.col(BUCKET).unique()).collect()[BUCKET].sort().to_list()
    for bucket in present:
        shard = held.get(bucket)
        rows = pl.read_parquet(folder / shard.file) if shard else pl.DataFrame(schema=rule.schema)
        merged = merge(rows, new.filter(pl.col(BUCKET) == bucket).collect(), rule, grown=grown)
        name = write_content(folder, merged.rows)
        if shard is None or shard.file != name:
            touched.append(bucket)
        held[bucket] = RawShard(
            name, merged.rows.height, bucket=bucket, conflicting_rows=merged.conflicting_rows
        )
        num_added += merged.added_rows
        num_late += merged.late_rows
        num_students += merged.num_students
    num_read = sum(shard.rows for shard in came)
    num_rejected = sum(shard.rejected_rows for shard in came)
    delivery = Delivery(
        added_at=datetime.now(UTC).isoformat(timespec="seconds"),
        num_files=len(arrivals.keys),
        read_rows=num_read + num_rejected,
        added_rows=num_added,
        duplicate_rows=num_read - num_added,
        late_rows=num_late,
        rejected_rows=num_rejected,
        num_students=num_students,
        buckets=touched,
    )
    refused = [shard for shard in (before.shards if before else ()) if shard.bucket is None]
    refused += [_rejects_only(folder, rule, shard) for shard in came if shard.rejected_rows]
    keys = earlier.keys | _settled(folder, arrivals, came) | {*arrivals.excluded, *arrivals.taken_over}
    shards = [held[bucket] for bucket in sorted(held)]
    manifest = Manifest(
        source=plan.source,
        relation=plan.relation,
        fingerprint=shard_key(plan.source, plan.relation, plan.selection, *(one.file for one in shards)),
        inputs=_all_inputs(earlier.manifest, plan),
        shards=shards + sorted(refused, key=lambda shard: shard.file),
        release=_joined(before.release if before else "", plan.release),
        licence=plan.licence or (before.licence if before else ""),
        selection=plan.selection,
        excluded_members=(before.excluded_members if before else 0)
        + len(set(arrivals.excluded) - earlier.keys),
        created_at=delivery.added_at,
        notes=sorted({*(before.notes if before else ()), *plan.notes}),
        deliveries=[*(before.deliveries if before else ()), delivery],
        read_file=write_content(
            folder, pl.DataFrame({"key": sorted(keys)}, schema=_READ_SCHEMA), kind=_READ_KIND
        ),
    )
    write_manifest(settings.raw_dir, manifest)
    return manifest


def _scan(folder: Path, rule: DeliveryRule, parts: Sequence[RawShard]) -> pl.LazyFrame:
    if not parts:
        return pl.LazyFrame(schema=[*rule.part_schema.items(), (ORIGIN, pl.String())])
    return pl.scan_parquet([folder / shard.file for shard in parts], include_file_paths=ORIGIN)


def _rejects_only(folder: Path, rule: DeliveryRule, part: RawShard) -> RawShard:
    """Keep the rejects of a part whose rows stand in the buckets."""
    rejects = pl.read_parquet(folder / part.rejects_file)
    return write_shard(folder, shard_key("rejects", part.file), pl.DataFrame(schema=rule.schema), rejects)


def _settled(folder: Path, arrivals: Arrivals, came: Sequence[RawShard]) -> set[str]:
    """Return the keys of the new files, bound to the state of the source where another would change them."""
    files = [folder / shard.rejects_file for shard in came if shard.rejects_file]
    if not arrivals.unsettled or not files:
        return {key for _, key in arrivals.keys}
    open_rows = pl.scan_parquet(files).filter(pl.col("reason") == arrivals.unsettled)
    names = set(open_rows.select("file").unique().collect()["file"].to_list())
    return {shard_key(key, arrivals.state) if name in names else key for name, key in arrivals.keys}


def _all_inputs(earlier: Manifest | None, plan: RelationPlan) -> list[RawInput]:
    """Return what was ever read, a file that changed in its latest form."""
    inputs = {one.path: one for one in (*(earlier.inputs if earlier else ()), *plan.inputs)}
    return [inputs[path] for path in sorted(inputs)]


def _joined(before: str, now: str) -> str:
    return ", ".join(sorted({*before.split(", "), *now.split(", ")} - {""}))


def _named_again(plan: RelationPlan, before: Manifest | None) -> list[str]:
    held = {Path(one.path).name for one in before.inputs} if before else set()
    return sorted(held & {Path(one.path).name for one in plan.inputs})


def _grown(
    folder: Path, rule: DeliveryRule, new: pl.LazyFrame, held: Sequence[RawShard], again: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Tell which files of a known name hold all that they held, and which hold nothing new.

    Raises
    ------
    SourceError
        If one is neither: its rows and those of its earlier form could not be told apart.
    """
    grown: list[str] = []
    passed_over: list[str] = []
    if rule.is_numbered or not again:
        return grown, passed_over
    stored = pl.scan_parquet([folder / shard.file for shard in held])
    for name in again:
        is_named = pl.col("source_file") == name
        rows = new.filter(is_named).collect()
        if is_within(stored.filter(is_named).collect(), rows, rule):
            grown.append(name)
            continue
        students = rows.lazy().select("student_id").unique()
        if not is_within(rows, stored.join(students, on="student_id", how="semi").collect(), rule):
            raise SourceError(
                "A file of a known name lacks rows that it had, and has others.",
                where=name,
                found=f"{rows.height:,} rows, without all of those read from `{name}` before",
                expected="a file that has grown: all earlier rows and later ones, or a file of a new name",
                next_step="Name each delivery anew; to read a corrected file instead of the earlier one, "
                "ingest all files without `--add` once.",
                state="The relation is as it was before.",
            )
        passed_over.append(name)
    return grown, passed_over


def _refuse_other_selection(plan: RelationPlan, manifest: Manifest | None) -> None:
    if manifest is None or manifest.selection == plan.selection:
        return
    raise SourceError(
        f"{plan.source} {plan.relation} holds another selection of students.",
        where="flags `--students`, `--fraction`",
        found=plan.selection,
        expected=manifest.selection,
        next_step="Add with the same selection, or ingest all files without `--add`.",
        state="Nothing was written.",
    )


def _refuse_changed(plan: RelationPlan, arrivals: Arrivals, now: Known) -> None:
    if now.fingerprint == arrivals.before:
        return
    raise SourceError(
        f"Another process wrote {plan.source} {plan.relation} since this one looked what is new.",
        where="the manifest",
        next_step="Run the same command again.",
        state="The relation is as the other process left it.",
    )


def _note(plan: RelationPlan, arrivals: Arrivals, delivery: Delivery | None) -> str:
    known_files = f"{arrivals.num_known:,} files known and not read"
    if delivery is None:
        return f"{plan.relation}: no new file; {known_files}"
    return (
        f"{plan.relation}: {delivery.num_files:,} new files read, {known_files}; "
        f"of {delivery.read_rows:,} rows {delivery.added_rows:,} added ({delivery.late_rows:,} late), "
        f"{delivery.duplicate_rows:,} duplicate, "
        f"{delivery.rejected_rows:,} refused; {delivery.num_students:,} students in "
        f"{len(delivery.buckets)} of {NUM_BUCKETS} buckets touched"
    )
