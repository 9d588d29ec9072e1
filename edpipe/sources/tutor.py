"""Ingest logs of tutors: KDD Cup 2010 steps, DataShop roll-ups and transactions, MATHia in all its forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from edpipe.errors import SourceError
from edpipe.progress import track
from edpipe.raw import refuse_inputs_of_others, relation_dir
from edpipe.settings import Settings
from edpipe.sources.delimited import decode
from edpipe.sources.delivery_files import new_files
from edpipe.sources.delivery_keys import Arrivals
from edpipe.sources.delivery_landing import land_deliveries
from edpipe.sources.delivery_rows import delivery_rule
from edpipe.sources.landing import (
    IngestReport,
    RelationPlan,
    RelationResult,
    ShardContent,
    ShardJob,
    describe_input,
    land,
    shard_key,
)
from edpipe.sources.tutor_header import Relation, TutorLayout, detect_layout
from edpipe.sources.tutor_pieces import LONGEST_HEADER, Head, Piece, cut, cut_quickly, read_bytes, read_head
from edpipe.sources.tutor_rows import JOINER, TutorFile, read_rows, sample_of
from edpipe.sources.workers import num_workers

SUFFIXES: Final = (".txt", ".csv", ".tsv", ".tab")
# Part of every shard's key: raise it when the same file would give other rows.
READER_VERSION: Final = 2
SYNTHETIC: Final = "synthetic_"
TERMS: Final = "DataShop terms of use: research only, rows may not be passed on"
_RELATIONS: Final[tuple[Relation, ...]] = ("steps", "transactions")
_NAMED_MODELS: Final = 6
_SMALL_BYTES: Final = 32 * 2**20
_LARGE_BYTES: Final = 256 * 2**20
_LOOKS: Final = (LONGEST_HEADER, 16 * LONGEST_HEADER, 512 * LONGEST_HEADER)
_ROLE: Final = re.compile(
    r"^(?P<dataset>.+?)[_.-](?P<role>train|valid|test|master|transactions|student_step)(?:[_.-].*)?$", re.I
)
_SPLITS: Final = ("train", "valid", "test", "master")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    described: TutorFile
    head: Head
    pieces: list[Piece]


def ingest_tutor(
    source: str,
    paths: Sequence[Path],
    settings: Settings,
    *,
    add: bool = False,
    dataset: str | None = None,
    max_rejects: float | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Land tutor logs as ``raw/<source>/steps`` and ``raw/<source>/transactions``.

    Columns are bound by the names of the header. A file is read in pieces that end at line ends, so one
    larger than memory passes through, and the rows do not depend on the size of the pieces. A file in
    a folder that has no known header is left out and named in the notes.

    Parameters
    ----------
    source
        ``kddcup``, ``datashop`` or ``mathia``.
    paths
        Files, or folders that hold them.
    settings
        Where to write, how many workers, how large a piece.
    add
        Put the files to those that were read before: see :mod:`edpipe.sources.delivery_rows`.
    dataset
        Name of the data set that the files are of; by default told from the names of the files or, where
        they are added, from the folder that holds them.
    max_rejects
        Largest share of refused rows; by default ``settings.ingest.max_rejects``.
    dry_run
        Only say what would be done.

    Raises
    ------
    SourceError
        If there is no such file, one named has no known header or that of another source, two have the
        same name, one has been ingested under another source, or too many rows are refused. The earlier
        state is left.
    """
    files, left_out = _find(source, paths)
    _refuse_same_names([file.path for file in files])
    files = [_of_dataset(file, dataset, is_added=add) for file in files]
    of_relation = {
        relation: [file for file in files if file.described.layout.relation == relation]
        for relation in _RELATIONS
    }
    arrivals: dict[str, Arrivals] = {}
    if add:
        for relation, named in of_relation.items():
            described = [(file.path, file.described.dataset) for file in named]
            new, arrivals[relation] = new_files(settings, source, relation, described)
            of_relation[relation] = [file for file in named if file.path in new]
    # All are planned, and may be refused, before the first is landed.
    plans = [
        _plan(settings, source, relation, cut_files, left_out, dry_run=dry_run)
        for relation, chosen in of_relation.items()
        if (cut_files := _cut(source, chosen, settings, dry_run=dry_run))
        or (add and arrivals[relation].num_known)
    ]
    results = []
    for plan in plans:
        # Starting a process takes as long as reading a small file.
        is_small = sum(job.weight for job in plan.jobs) < _SMALL_BYTES
        workers = 1 if is_small else num_workers(settings.ingest.workers)
        if add:
            result = land_deliveries(
                settings,
                plan,
                delivery_rule(source, plan.relation),
                arrivals[plan.relation],
                max_rejects=max_rejects,
                dry_run=dry_run,
                workers=workers,
            )
        else:
            result = land(settings, plan, max_rejects=max_rejects, dry_run=dry_run, workers=workers)
        results.append(_with_unequal(settings, result))
    return IngestReport(results, dry_run=dry_run)


def _find(source: str, paths: Sequence[Path]) -> tuple[list[_File], list[str]]:
    """Return the files to read, by name, and notes on those of folders that are left out."""
    found: dict[Path, _File] = {}
    left_out: list[str] = []
    for path in paths:
        inside = path.is_dir()
        candidates = [path]
        if inside:
            candidates = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
        for candidate in candidates:
            if inside and not candidate.is_file():
                left_out.append(_left_out(candidate, None))
                continue
            head = read_head(candidate)
            layout = head and detect_layout(head.line)
            if head and layout and source in layout.sources:
                found[candidate.resolve()] = _File(
                    candidate, _describe(source, candidate, layout, head), head, []
                )
            elif inside:
                left_out.append(_left_out(candidate, layout or None))
            else:
                raise _unknown_header(source, candidate, head.line if head else "", layout or None)
    if not found:
        raise SourceError(
            "There is no tutor log.",
            where=", ".join(map(str, paths)),
            found="; ".join(left_out),
            expected=f"files of {source} with a header of docs/data/datashop.md",
            next_step="Check the path and the source.",
            state="Nothing was written.",
        )
    return sorted(found.values(), key=lambda file: file.path.name), left_out


def _of_dataset(file: _File, dataset: str | None, *, is_added: bool) -> _File:
    """Name the data set where the caller does, or where a file a day must not be a data set a day."""
    name = dataset or (file.path.resolve().parent.name if is_added else "")
    return replace(file, described=replace(file.described, dataset=name)) if name else file


def _left_out(path: Path, layout: TutorLayout | None) -> str:
    reason = (
        f"it holds {layout.name} of {' or '.join(layout.sources)}" if layout else "no header of a tutor log"
    )
    return f"{path.name}: left out, {reason}"


def _describe(source: str, path: Path, layout: TutorLayout, head: Head) -> TutorFile:
    match = _ROLE.match(path.stem)
    role = match["role"].lower() if match else ""
    return TutorFile(
        name=path.name,
        source=source,
        dataset=_dataset_of(path),
        split=role if role in _SPLITS else None,
        layout=layout,
        sample=_sample(path, layout, head) if "sample" in layout.columns else "",
    )


def _sample(path: Path, layout: TutorLayout, head: Head) -> str:
    """Return the sample of the first row that has as many cells as the header."""
    for size in _LOOKS:
        data = read_bytes(path, head.end, size)
        sample = sample_of(decode(data)[0], layout, head.newline)
        if sample is not None or len(data) < size:
            return sample or ""
    return ""


def _cut(source: str, files: Sequence[_File], settings: Settings, *, dry_run: bool) -> list[_File]:
    """Cut files into pieces; a dry run does not count rows, so it need not read files without quoting."""
    size = settings.ingest.shard_mib * 2**20
    total = sum(file.path.stat().st_size for file in files)
    mode = settings.progress if total > _LARGE_BYTES and not dry_run else "none"
    done = []
    with track(f"Count the rows of {source}", total=total / 2**20, unit="MiB", mode=mode) as progress:
        for file in files:
            layout, pieces = file.described.layout, []
            if dry_run and not layout.is_quoted:
                cuts = cut_quickly(file.path, file.head, size)
            else:
                cuts = cut(file.path, file.head, size, separator=layout.separator, is_quoted=layout.is_quoted)
            for piece in cuts:
                pieces.append(piece)
                progress.advance((piece.end - piece.start) / 2**20)
            done.append(replace(file, pieces=pieces))
    return done


def _plan(
    settings: Settings,
    source: str,
    relation: Relation,
    files: Sequence[_File],
    left_out: Sequence[str],
    *,
    dry_run: bool,
) -> RelationPlan:
    inputs = [describe_input(file.path) for file in files]
    refuse_inputs_of_others(settings.raw_dir, source, inputs)
    jobs = [
        ShardJob(
            key=shard_key(
                "tutor",
                READER_VERSION,
                source,
                *_named(file),
                entry.sha256 or (entry.size, entry.mtime_ns),
                piece.start,
                piece.end,
            ),
            weight=piece.end - piece.start,
            produce=partial(_produce, file.path, file.described, file.head.newline, piece),
        )
        for file, entry in zip(files, inputs, strict=True)
        for piece in file.pieces
    ]
    notes = [_note(file, dry_run=dry_run) for file in files]
    notes += left_out
    synthetic = bool(files) and all(file.path.name.startswith(SYNTHETIC) for file in files)
    return RelationPlan(
        source=source,
        relation=relation,
        jobs=jobs,
        inputs=inputs,
        release=", ".join(sorted({file.described.dataset for file in files})),
        licence="" if not files else "none: synthetic students" if synthetic else TERMS,
        notes=notes,
    )


def _named(file: _File) -> list[str]:
    """Return what of the names of a file enters its rows; the data set mostly follows from the name."""
    named = [file.path.name]
    if file.described.dataset != _dataset_of(file.path):
        named.append(file.described.dataset)
    return named


def _dataset_of(path: Path) -> str:
    match = _ROLE.match(path.stem)
    return match["dataset"] if match else path.stem


def _note(file: _File, *, dry_run: bool) -> str:
    layout = file.described.layout
    names = [one.model for one in layout.kc_models]
    models = ", ".join(names[:_NAMED_MODELS]) or "none"
    if len(names) > _NAMED_MODELS:
        models += f" and {len(names) - _NAMED_MODELS} more"
    is_utf8 = all(piece.is_utf8 for piece in file.pieces)
    encoding = "" if dry_run else ", UTF-8" if is_utf8 else ", UTF-8 with other bytes read as Latin-1"
    ends = {"\n": "", "\r": ", lines end with a carriage return"}[file.head.newline]
    return f"{file.path.name}: {layout.name}{encoding}{ends}, KC models: {models}"


def _produce(path: Path, described: TutorFile, newline: str, piece: Piece) -> ShardContent:
    data = read_bytes(path, piece.start, piece.end - piece.start)
    if len(data) < piece.end - piece.start:
        raise SourceError(
            "A tutor log became shorter while it was read.",
            where=str(path),
            found=f"{piece.start + len(data):,} bytes",
            expected=f"{piece.end:,} or more",
            next_step="Wait until the file is complete, then run the same command again.",
            state="The earlier state still counts.",
        )
    return ShardContent(*read_rows(data, described, newline=newline, first_row=piece.first_row))


def _with_unequal(settings: Settings, result: RelationResult) -> RelationResult:
    """Tell how many cells have another number of opportunities than of KCs: what they count is not known."""
    if result.relation != "steps" or result.manifest is None or not result.shards_written:
        return result
    folder = relation_dir(settings.raw_dir, result.source, result.relation)
    files = [folder / shard.file for shard in result.manifest.shards]
    pairs = pl.scan_parquet(files).select(
        kc=pl.col("kc_cells").explode(), opportunity=pl.col("opportunity_cells").explode()
    )
    unequal = pairs.filter(
        pl.col("kc").str.count_matches(JOINER, literal=True)
        != pl.col("opportunity").str.count_matches(JOINER, literal=True)
    )
    count = unequal.select(pl.len()).collect(engine="streaming").item()
    if not count:
        return result
    note = (
        f"{count:,} cells have another number of opportunities than of KCs: their opportunities are not used"
    )
    return replace(result, notes=(*result.notes, note))


def _refuse_same_names(paths: Sequence[Path]) -> None:
    by_name: dict[str, Path] = {}
    for path in paths:
        other = by_name.setdefault(path.name, path)
        if other != path:
            raise SourceError(
                "Two tutor logs have the same name, so their students would be mixed.",
                where=f"{other}, {path}",
                expected="a name for each, because ids are told apart by it",
                next_step="Rename one, or leave one out.",
                state="Nothing was written.",
            )


def _unknown_header(source: str, path: Path, header: str, layout: TutorLayout | None) -> SourceError:
    if layout:
        home = " or ".join(f"`edpipe ingest {name} …`" for name in layout.sources)
        return SourceError(
            f"This tutor log is not one of {source}.",
            where=f"{path}, line 1",
            found=f"{layout.name}, which belong to {' or '.join(layout.sources)}",
            expected=f"a header of {source}: under two sources its rows would count twice",
            next_step=f"Run {home}.",
            state="Nothing was written.",
        )
    is_utf16 = header.startswith(("\xff\xfe", "\xfe\xff"))
    return SourceError(
        "The header of a tutor log is not known.",
        where=f"{path}, line 1",
        found="text in UTF-16" if is_utf16 else repr(header[:200]),
        expected="`Anon Student Id`, `Problem Name` and `Correct First Attempt`, `First Attempt`, "
        "`Outcome` or `Time`; or the raw MATHia columns `ctcontextid` and `tutoroutcome`",
        next_step="Save it as UTF-8 text." if is_utf16 else "See docs/data/datashop.md for the layouts.",
        state="Nothing was written.",
    )
