"""Ingest logs of tutors: KDD Cup 2010 steps, DataShop roll-ups and transactions, MATHia in all its forms."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from edpipe.errors import SourceError
from edpipe.raw import RAW_SCHEMAS
from edpipe.settings import Settings
from edpipe.sources.landing import (
    IngestReport,
    RelationPlan,
    ShardContent,
    ShardJob,
    describe_input,
    land,
    shard_key,
)
from edpipe.sources.tutor_header import Relation, TutorLayout, detect_layout
from edpipe.sources.tutor_rows import TutorFile, decode, read_rows, sample_of

SUFFIXES: Final = (".txt", ".csv", ".tsv", ".tab")
# Part of every shard's key: raise it when the same file would give other rows.
READER_VERSION: Final = 1
SYNTHETIC: Final = "synthetic_"
TERMS: Final = "DataShop terms of use: research only, rows may not be passed on"
_RELATIONS: Final[tuple[Relation, ...]] = ("steps", "transactions")
_LONGEST_HEADER: Final = 2**20
_NAMED_MODELS: Final = 6
_SMALL_BYTES: Final = 32 * 2**20
_ROLE: Final = re.compile(
    r"^(?P<dataset>.+?)[_.-](?P<role>train|valid|test|master|transactions|student_step)(?:[_.-].*)?$", re.I
)
_SPLITS: Final = ("train", "valid", "test", "master")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Lines between two bytes of a file."""

    start: int
    end: int
    first_row: int


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    described: TutorFile
    newline: str
    header_end: int
    pieces: list[_Piece] = field(default_factory=list)
    is_utf8: bool = True


def ingest_tutor(
    source: str,
    paths: Sequence[Path],
    settings: Settings,
    *,
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
    max_rejects
        Largest share of refused rows; by default ``settings.ingest.max_rejects``.
    dry_run
        Only say what would be done.

    Raises
    ------
    SourceError
        If there is no such file, one named has no known header or a layout that this source does not
        have, two have the same name, or too many rows are refused. The earlier state is left.
    """
    files, left_out = _find(source, paths, settings)
    _refuse_same_names([file.path for file in files])
    results = []
    for relation in _RELATIONS:
        chosen = [file for file in files if file.described.layout.relation == relation]
        if not chosen:
            continue
        plan = _plan(source, relation, chosen, left_out)
        # Starting a process takes as long as reading a small file.
        is_small = sum(job.weight for job in plan.jobs) < _SMALL_BYTES
        workers = 1 if is_small else settings.ingest.workers or os.cpu_count() or 1
        results.append(land(settings, plan, max_rejects=max_rejects, dry_run=dry_run, workers=workers))
    return IngestReport(results, dry_run=dry_run)


def _plan(source: str, relation: Relation, files: Sequence[_File], left_out: Sequence[Path]) -> RelationPlan:
    inputs = [describe_input(file.path) for file in files]
    jobs = [
        ShardJob(
            key=shard_key(
                "tutor",
                READER_VERSION,
                source,
                file.path.name,
                entry.sha256 or (entry.size, entry.mtime_ns),
                piece.start,
                piece.end,
            ),
            weight=piece.end - piece.start,
            produce=partial(_produce, file.path, file.described, file.newline, piece),
        )
        for file, entry in zip(files, inputs, strict=True)
        for piece in file.pieces
    ]
    notes = [_note(file) for file in files]
    notes += [f"{path.name}: left out, no header of a tutor log" for path in left_out]
    notes.append("These rows are queried as raw Parquet: the SQL models do not read them yet.")
    synthetic = all(file.path.name.startswith(SYNTHETIC) for file in files)
    return RelationPlan(
        source=source,
        relation=relation,
        jobs=jobs,
        inputs=inputs,
        release=", ".join(sorted({file.described.dataset for file in files})),
        licence="none: synthetic students" if synthetic else TERMS,
        notes=notes,
    )


def _note(file: _File) -> str:
    layout = file.described.layout
    names = [one.model for one in layout.kc_models]
    models = ", ".join(names[:_NAMED_MODELS]) or "none"
    if len(names) > _NAMED_MODELS:
        models += f" and {len(names) - _NAMED_MODELS} more"
    encoding = "UTF-8" if file.is_utf8 else "UTF-8 with other bytes read as Latin-1"
    ends = {"\n": "", "\r": ", lines end with a carriage return"}[file.newline]
    return f"{file.path.name}: {layout.name}, {encoding}{ends}, KC models: {models}"


def _produce(path: Path, described: TutorFile, newline: str, piece: _Piece) -> ShardContent:
    with path.open("rb") as opened:
        opened.seek(piece.start)
        data = opened.read(piece.end - piece.start)
    return ShardContent(*read_rows(data, described, newline=newline, first_row=piece.first_row))


def _find(source: str, paths: Sequence[Path], settings: Settings) -> tuple[list[_File], list[Path]]:
    """Return the files to read, by name, and those of folders whose header says nothing."""
    found: dict[Path, _File] = {}
    left_out = []
    for path in paths:
        inside = path.is_dir()
        candidates = [path]
        if inside:
            candidates = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
        for candidate in candidates:
            head = _header(candidate)
            layout = head and detect_layout(head[0])
            if head and layout and (source, layout.relation) in RAW_SCHEMAS:
                found[candidate.resolve()] = _describe(source, candidate, layout, head, settings)
            elif inside:
                left_out.append(candidate)
            else:
                raise _unknown_header(source, candidate, head[0] if head else "", layout or None)
    if not found:
        raise SourceError(
            "There is no tutor log.",
            where=", ".join(map(str, paths)),
            expected="files with a header of docs/data/datashop.md",
            next_step="Check the path.",
            state="Nothing was written.",
        )
    return sorted(found.values(), key=lambda file: file.path.name), left_out


def _header(path: Path) -> tuple[str, str, int] | None:
    """Return the first line, what ends it, and where the next begins."""
    try:
        with path.open("rb") as opened:
            start = opened.read(_LONGEST_HEADER)
    except OSError as error:
        raise SourceError(
            "A tutor log cannot be read.",
            where=str(path),
            found=str(error),
            next_step="Check the path and its permissions.",
            state="Nothing was written.",
        ) from error
    newline = "\n" if b"\n" in start else "\r"
    end = start.find(newline.encode())
    line = start if end < 0 else start[:end]
    return (decode(line)[0], newline, len(line) + (end >= 0)) if line.strip() else None


def _describe(
    source: str, path: Path, layout: TutorLayout, head: tuple[str, str, int], settings: Settings
) -> _File:
    match = _ROLE.match(path.stem)
    role = match["role"].lower() if match else ""
    described = TutorFile(
        name=path.name,
        source=source,
        dataset=match["dataset"] if match else path.stem,
        split=role if role in _SPLITS else None,
        layout=layout,
        sample=sample_of(_first_line(path, head[1], head[2]), layout),
    )
    pieces, is_utf8 = [], True
    for piece, is_clean in _pieces(
        path, head[1], head[2], settings.ingest.shard_mib * 2**20, layout.is_quoted
    ):
        pieces.append(piece)
        is_utf8 &= is_clean
    return _File(path, described, head[1], head[2], pieces, is_utf8)


def _first_line(path: Path, newline: str, start: int) -> str:
    with path.open("rb") as opened:
        opened.seek(start)
        return decode(opened.read(_LONGEST_HEADER).split(newline.encode(), 1)[0])[0]


def _pieces(
    path: Path, newline: str, start: int, size: int, is_quoted: bool
) -> Iterator[tuple[_Piece, bool]]:
    """Cut a file at line ends outside quotes, and count the lines of each piece."""
    end = newline.encode()
    with path.open("rb") as opened:
        opened.seek(start)
        rest, row = b"", 1
        while True:
            block = opened.read(size)
            data = rest + block
            if not data:
                return
            cut = len(data) if len(block) < size else _last_end(data, end, is_quoted)
            if cut:
                whole = data[:cut]
                yield _Piece(start, start + cut, row), not decode(whole)[1]
                row += len(_ends(whole, end, is_quoted))
                start += cut
            rest = data[cut:]
            if len(block) < size:
                return


def _last_end(data: bytes, end: bytes, is_quoted: bool) -> int:
    if not is_quoted:
        return data.rfind(end) + 1
    ends = _ends(data, end, is_quoted=True)
    return int(ends[-1]) + 1 if len(ends) else 0


def _ends(data: bytes, end: bytes, is_quoted: bool) -> np.ndarray:
    """Return the positions of line ends, of those outside quotes where quotes count."""
    codes = np.frombuffer(data, dtype=np.uint8)
    is_end = codes == end[0]
    if is_quoted:
        is_end &= (np.cumsum(codes == ord('"')) & 1) == 0
    return np.flatnonzero(is_end)


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
        return SourceError(
            f"{source} has no {layout.relation}, and this file holds some.",
            where=f"{path}, line 1",
            found=layout.name,
            expected=", ".join(relation for name, relation in RAW_SCHEMAS if name == source),
            next_step="Ingest it as `datashop`.",
            state="Nothing was written.",
        )
    return SourceError(
        "The header of a tutor log is not known.",
        where=f"{path}, line 1",
        found=header[:200],
        expected="`Anon Student Id`, `Problem Name` and `Correct First Attempt`, `First Attempt`, "
        "`Outcome` or `Time`; or the raw MATHia columns `ctcontextid` and `tutoroutcome`",
        next_step="See docs/data/datashop.md for the layouts.",
        state="Nothing was written.",
    )
