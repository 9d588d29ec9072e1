"""Land foreign rows as raw Parquet: shards, rejects, manifest; resumable, and safe to kill at any time.

A relation is landed as a list of :class:`ShardJob`. The key of a job says what it reads and how, and
names its file, so a shard that exists is a shard that is done: a second run writes nothing, a run
that was killed goes on where it was, and a changed source redoes only the shards that changed. The
manifest is replaced last; until then readers see the earlier state.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl

from edpipe.errors import SourceError
from edpipe.forgotten import Forgotten, read_forgotten
from edpipe.progress import track
from edpipe.raw import (
    RAW_SCHEMAS,
    REJECT_SCHEMA,
    Delivery,
    Manifest,
    RawInput,
    RawShard,
    read_manifest,
    relation_dir,
    write_manifest,
)
from edpipe.settings import Settings
from edpipe.sources.shard_files import (
    REFUSED_FILE,
    SHARD_PREFIX,
    SHARD_SUFFIX,
    delete_unlisted,
    locked,
    read_shard,
    write_shard,
)
from edpipe.sources.workers import run_jobs
from edpipe.warehouse.lock import lock_holder

# Hashing is quicker than a download and slower than a look: above this size, size and time identify.
HASHED_BYTES = 64 * 2**20
REPLACES = "Replaces"
_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "INTEGER": pl.Int32(),
    "BIGINT": pl.Int64(),
    "BOOLEAN": pl.Boolean(),
    "DOUBLE": pl.Float64(),
    "VARCHAR[]": pl.List(pl.String()),
}


@dataclass(frozen=True, slots=True)
class ShardContent:
    """What one job reads: rows in the schema of the relation, and rejects in ``REJECT_SCHEMA``."""

    rows: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard to write.

    Parameters
    ----------
    key
        Hash of everything the content depends on; see :func:`shard_key`. Names the file.
    weight
        Source bytes, for the progress bar.
    produce
        Reads the content. With several workers it must be picklable: a function at the top of a
        module, or a ``functools.partial`` of one.
    """

    key: str
    weight: int
    produce: Callable[[], ShardContent]


@dataclass(frozen=True, slots=True)
class RelationPlan:
    """How one raw relation is made.

    ``max_rows``, where known, is more rows than the source can hold; it lets a hopeless run stop
    before its end.
    """

    source: str
    relation: str
    jobs: Sequence[ShardJob]
    inputs: Sequence[RawInput]
    release: str = ""
    licence: str = ""
    selection: str = "all students"
    excluded_members: int = 0
    notes: Sequence[str] = ()
    max_rows: int = 0


@dataclass(frozen=True, slots=True)
class RelationResult:
    """What landing one relation did; in a dry run, what it would do (no manifest, no rows).

    ``is_added`` is true where files were added to those that were there; ``delivery`` then tells what was
    read and added, and is None where nothing was new.
    """

    source: str
    relation: str
    rows: int
    rejected_rows: int
    shards_written: int
    shards_reused: int
    seconds: float
    source_bytes: int = 0
    manifest: Manifest | None = None
    selection: str = "all students"
    notes: tuple[str, ...] = ()
    is_added: bool = False
    delivery: Delivery | None = None

    @property
    def read_rows(self) -> int:
        """Rows of the sources, where files are added those of the new ones."""
        if self.is_added:
            return self.delivery.read_rows if self.delivery else 0
        return self.manifest.source_rows if self.manifest else 0

    @property
    def written_rows(self) -> int:
        """Rows kept, where files are added those that were not there."""
        if self.is_added:
            return self.delivery.added_rows if self.delivery else 0
        return self.rows


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingestion did, relation by relation."""

    relations: list[RelationResult] = field(default_factory=list)
    dry_run: bool = False

    @property
    def rows(self) -> int:
        """Rows in all relations."""
        return sum(result.rows for result in self.relations)

    @property
    def rejected_rows(self) -> int:
        """Refused rows in all relations."""
        return sum(result.rejected_rows for result in self.relations)

    @property
    def shards_written(self) -> int:
        """Shards that did not exist before."""
        return sum(result.shards_written for result in self.relations)


def polars_schema(source: str, relation: str) -> pl.Schema:
    """Return the Polars schema of a raw relation."""
    return pl.Schema({name: _TYPES[kind] for name, kind in RAW_SCHEMAS[source, relation].items()})


def reject_schema() -> pl.Schema:
    """Return the Polars schema of rejects."""
    return pl.Schema({name: _TYPES[kind] for name, kind in REJECT_SCHEMA.items()})


def reject_frame(
    source: str, relation: str, refused: Sequence[tuple[str, int, str, str]] = ()
) -> pl.DataFrame:
    """Build rejects from ``(file, source_row, reason, raw_text)``; no rows gives an empty frame."""
    rows = [(source, relation, *row) for row in refused]
    return pl.DataFrame(rows, schema=reject_schema(), orient="row")


def shard_key(*parts: object) -> str:
    """Hash what the content of a shard depends on into the 20 characters that name it."""
    digest = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(text).to_bytes(8, "little"))
        digest.update(text)
    return digest.hexdigest()[:20]


def manifest_fingerprint(source: str, relation: str, selection: str, shards: Sequence[RawShard]) -> str:
    """Fingerprint what a relation holds: its shards by key, and how much of them was forgotten."""
    keys = [shard.file.removeprefix(SHARD_PREFIX).removesuffix(SHARD_SUFFIX) for shard in shards]
    forgotten = [
        f"{key} forgot {shard.forgotten_rows}"
        for key, shard in zip(keys, shards, strict=True)
        if shard.forgotten_rows
    ]
    return shard_key(source, relation, selection, *keys, *forgotten)


def describe_input(path: Path, *, num_members: int = 1) -> RawInput:
    """Identify a file: by sha256 up to 64 MiB, above that by size and time of change."""
    status = path.stat()
    sha256 = ""
    if status.st_size <= HASHED_BYTES:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return RawInput(
        path=str(path.resolve()),
        size=status.st_size,
        sha256=sha256,
        mtime_ns=status.st_mtime_ns,
        num_members=num_members,
    )


def land(
    settings: Settings,
    plan: RelationPlan,
    *,
    max_rejects: float | None = None,
    dry_run: bool = False,
    workers: int = 1,
) -> RelationResult:
    """Write the shards of a relation that do not exist yet, then its manifest.

    Afterwards the relation equals what an unbroken first run would have written, row for row.

    Parameters
    ----------
    settings
        Where to write, how to show progress.
    plan
        The jobs and where they come from.
    max_rejects
        Largest share of refused rows; by default ``settings.ingest.max_rejects``.
    dry_run
        Count what would be written and write nothing.
    workers
        Processes; 1 works in this one.

    Raises
    ------
    SourceError
        If too many rows were refused or the folder cannot be written. The earlier state is left.
    """
    started = time.monotonic()
    folder = relation_dir(settings.raw_dir, plan.source, plan.relation)
    plan = replace(plan, notes=[*plan.notes, *_replaced(settings, plan)])
    if dry_run:
        done = {job.key for job in plan.jobs if read_shard(folder, job.key)}
        return result_of(plan, len(plan.jobs) - len(done), len(done), started)
    limit = settings.ingest.max_rejects if max_rejects is None else max_rejects
    with locked(folder):
        shards = {job.key: shard for job in plan.jobs if (shard := read_shard(folder, job.key))}
        missing = [job for job in plan.jobs if job.key not in shards]
        if missing:
            schema = polars_schema(plan.source, plan.relation)
            present = list(shards.values())
            shards |= write_missing(settings, plan, missing, present, limit, workers, schema)
        ordered = [shards[job.key] for job in plan.jobs]
        refuse_many_rejects(plan, folder, ordered, limit, sum(shard.rows for shard in ordered))
        manifest = _replace_manifest(settings, plan, ordered)
        # A build reads the shards that were listed when it began; the next run deletes them.
        if lock_holder(settings) is None:
            delete_unlisted(folder, ordered)
    result = result_of(plan, len(missing), len(plan.jobs) - len(missing), started)
    return replace(result, rows=manifest.rows, rejected_rows=manifest.rejected_rows, manifest=manifest)


def result_of(plan: RelationPlan, written: int, reused: int, started: float) -> RelationResult:
    """Return the result of a run that began at ``started`` of the monotonic clock, without its rows."""
    return RelationResult(
        source=plan.source,
        relation=plan.relation,
        rows=0,
        rejected_rows=0,
        shards_written=written,
        shards_reused=reused,
        seconds=time.monotonic() - started,
        source_bytes=sum(job.weight for job in plan.jobs),
        selection=plan.selection,
        notes=tuple(plan.notes),
    )


def write_missing(
    settings: Settings,
    plan: RelationPlan,
    missing: list[ShardJob],
    present: list[RawShard],
    limit: float,
    workers: int,
    schema: pl.Schema,
) -> dict[str, RawShard]:
    """Run the jobs whose shard is not there; stop early once too many rows are refused for sure."""
    folder = relation_dir(settings.raw_dir, plan.source, plan.relation)
    forgotten = read_forgotten(settings.home)
    tasks = [partial(_run_job, plan.source, plan.relation, job, folder, schema, forgotten) for job in missing]
    written: dict[str, RawShard] = {}
    total = sum(job.weight for job in missing) / 2**20
    title = f"Ingest {plan.source} {plan.relation}"
    with track(title, total=total, unit="MiB", mode=settings.progress) as progress:
        try:
            for index, shard in run_jobs(tasks, workers=workers):
                written[missing[index].key] = shard
                progress.advance(missing[index].weight / 2**20)
                if plan.max_rows:
                    refuse_many_rejects(plan, folder, [*present, *written.values()], limit, plan.max_rows)
        except KeyboardInterrupt:
            kept = len(present) + len(written)
            raise KeyboardInterrupt(
                f"Stopped. {kept} of {len(plan.jobs)} shards of {plan.relation} are kept and the "
                "earlier state still counts; the same command goes on from here."
            ) from None
    return written


def _run_job(
    source: str, relation: str, job: ShardJob, folder: Path, schema: pl.Schema, forgotten: Forgotten
) -> RawShard:
    content = job.produce()
    read = content.rows.select(list(schema)).cast(schema)
    rows, rejects, gone = forgotten.without(source, relation, read, content.rejects)
    return write_shard(folder, job.key, rows, rejects, forgotten_rows=gone)


def refuse_many_rejects(
    plan: RelationPlan, folder: Path, shards: list[RawShard], limit: float, rows: int
) -> None:
    """Fail if the refused rows are more than ``limit`` of them and ``rows`` together."""
    rejected = sum(shard.rejected_rows for shard in shards)
    if rejected <= limit * (rejected + rows):
        return
    files = [folder / shard.rejects_file for shard in shards if shard.rejects_file]
    # There may be millions: they pass through in pieces.
    pl.scan_parquet(files).sink_parquet(folder / REFUSED_FILE)
    refused = pl.scan_parquet(folder / REFUSED_FILE)
    reasons = refused.group_by("reason").len().sort("len", "reason", descending=[True, False]).head(5)
    first = refused.head(1).collect().row(0, named=True)
    raise SourceError(
        f"Too many rows of {plan.source} {plan.relation} cannot be used.",
        where=f"{first['file']}, row {first['source_row']}, and others: all in `{folder / REFUSED_FILE}`",
        found=f"{rejected:,} rejected row{'s' * (rejected > 1)}, {rejected / (rejected + rows):.2%} or more: "
        + ", ".join(f"{reason} {count:,}" for reason, count in reasons.collect().rows()),
        expected=f"at most {limit:.2%}",
        next_step="Look at the rejects; download or repair the source, or allow more with `--max-rejects`.",
        state="The relation is as it was before; finished shards are kept for the next run.",
    )


def _replace_manifest(settings: Settings, plan: RelationPlan, shards: list[RawShard]) -> Manifest:
    """Write the manifest unless the one that stands says the same."""
    manifest = Manifest(
        source=plan.source,
        relation=plan.relation,
        fingerprint=manifest_fingerprint(plan.source, plan.relation, plan.selection, shards),
        inputs=list(plan.inputs),
        shards=shards,
        release=plan.release,
        licence=plan.licence,
        selection=plan.selection,
        excluded_members=plan.excluded_members,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=[note for note in plan.notes if not note.startswith(REPLACES)],
    )
    earlier = _earlier_manifest(settings, plan)
    if earlier and replace(earlier, created_at="") == replace(manifest, created_at=""):
        return earlier
    write_manifest(settings.raw_dir, manifest)
    return manifest


def _replaced(settings: Settings, plan: RelationPlan) -> list[str]:
    """Say what is no longer there afterwards: a relation holds what the last run named, nothing else."""
    earlier = _earlier_manifest(settings, plan)
    if earlier is None:
        return []
    gone = sorted({one.path for one in earlier.inputs} - {one.path for one in plan.inputs})
    if not gone:
        return []
    return [
        f"{REPLACES} {earlier.rows:,} rows of {plan.relation} that were read from {', '.join(gone)}: "
        "name all sources in one command to have them together."
    ]


def _earlier_manifest(settings: Settings, plan: RelationPlan) -> Manifest | None:
    # A manifest that cannot be read is replaced: the shards beside it say all that it said.
    with suppress(SourceError):
        return read_manifest(settings.raw_dir, plan.source, plan.relation)
    return None
