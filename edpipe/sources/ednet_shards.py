"""Cut the members of a level into shards that stay the same when other members come or go."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import partial

import polars as pl

from edpipe.sources.archive import Members, MemberText, read_texts
from edpipe.sources.ednet_formats import FORMATS, SOURCE
from edpipe.sources.ednet_rows import Rows, parse_members
from edpipe.sources.landing import ShardContent, ShardJob, polars_schema, reject_frame, shard_key

# Raised whenever the same bytes would give other rows: shards written before are then redone.
PARSER_VERSION = 1
# A cut after every `n`-th name by hash, on average a quarter of a shard; files have about 8 KiB.
_USUAL_MEMBER_BYTES = 8 * 2**10
# Parsed at a time: large enough for the parser to be quick, small enough for the caches.
_BATCH_BYTES = 4 * 2**20


def shard_jobs(
    relation: str, found: Sequence[Members], questions: pl.Series | None, shard_bytes: int
) -> list[ShardJob]:
    """Return the jobs that read these members, in their order.

    A shard ends at ``shard_bytes`` at the latest, and from half of that on after any member whose
    name hashes to a cut. So one student more or less changes one shard, not all that follow.
    """
    known = "" if questions is None else shard_key(*questions)
    jobs = []
    for members in found:
        for part in _cut(members, shard_bytes):
            chosen = members.take(part)
            key = shard_key(PARSER_VERSION, relation, known, chosen.key())
            produce = partial(read_members, relation, chosen, questions)
            jobs.append(ShardJob(key, int(chosen.sizes.sum()), produce))
    return jobs


def _cut(members: Members, shard_bytes: int) -> Iterator[slice]:
    every = max(1, shard_bytes // 4 // _USUAL_MEMBER_BYTES)
    start, held = 0, 0
    for index, (name, size) in enumerate(zip(members.names, members.sizes.tolist(), strict=True)):
        if held and held + size > shard_bytes:
            yield slice(start, index)
            start, held = index, 0
        held += size
        if held * 2 >= shard_bytes and zlib.crc32(name.encode()) % every == 0:
            yield slice(start, index + 1)
            start, held = index + 1, 0
    if start < len(members):
        yield slice(start, len(members))


def read_members(relation: str, members: Members, questions: pl.Series | None) -> ShardContent:
    """Read the rows and rejects of members; runs in a worker process."""
    frames: list[pl.DataFrame] = []
    rejects: list[tuple[str, int, str, str]] = []
    for batch in _batches(read_texts(members)):
        rows: Rows = parse_members(batch, FORMATS[relation], questions)
        frames += rows.frames
        rejects += [
            (members.shown(row.file), row.source_row, row.reason, row.raw_text) for row in rows.refused
        ]
    schema = polars_schema(SOURCE, relation)
    empty = pl.DataFrame(schema=schema)
    rows_frame = pl.concat([empty, *(frame.select(list(schema)) for frame in frames)])
    return ShardContent(rows_frame, reject_frame(SOURCE, relation, rejects))


def _batches(texts: Iterator[MemberText]) -> Iterator[list[MemberText]]:
    batch: list[MemberText] = []
    held = 0
    for text in texts:
        batch.append(text)
        held += len(text.text)
        if held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
