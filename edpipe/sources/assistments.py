"""Ingest ASSISTments answers in any of their three layouts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from edpipe.errors import SourceError
from edpipe.settings import Settings
from edpipe.sources.assistments_layouts import (
    AssistmentsLayout,
    decode,
    detect_layout,
    frames,
    parse,
    students_of,
)
from edpipe.sources.landing import (
    IngestReport,
    RelationPlan,
    ShardContent,
    ShardJob,
    describe_input,
    land,
    shard_key,
)

SUFFIXES: Final = (".csv", ".txt")
# Part of every shard's key: raise it when the same file would give other rows.
READER_VERSION: Final = 1
LICENCE: Final = "ASSISTments terms of use (Worcester Polytechnic Institute); check before sharing"
_SPLIT_NAME: Final = re.compile(r"^(?P<dataset>.*?)[_.-]*(?P<split>train|valid|val|test)(?P<fold>\d*)$", re.I)


@dataclass(frozen=True, slots=True)
class _File:
    """One file: its layout, and the names of the spaces its ids live in."""

    path: Path
    layout: AssistmentsLayout
    encoding: str
    split: str | None
    students: str
    problems: str


def read_assistments(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read one file in any layout.

    Parameters
    ----------
    path
        The file. A name that ends in train, valid or test (and perhaps the number of a fold) gives the
        split.

    Returns
    -------
    tuple[polars.DataFrame, polars.DataFrame]
        Rows in the raw schema of ``assistments.answers``, in file order (by ``order_id`` where there is
        one), and rejects with their reason.

    Raises
    ------
    SourceError
        If the layout is none of the three.
    """
    text, encoding = decode(path.read_bytes())
    layout = detect_layout(text)
    if layout is None:
        raise _unknown_layout(path)
    file = _describe(path, layout, encoding)
    return frames(
        parse(text, layout, str(path)),
        file=path.name,
        split=file.split,
        students=file.students,
        problems=file.problems,
    )


def ingest_assistments(
    paths: Sequence[Path],
    settings: Settings,
    *,
    max_rejects: float | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Land files or folders of ASSISTments answers as ``raw/assistments/answers``.

    Ids are prefixed with the data set that the file name tells, so that files numbered differently can
    stand side by side: students with data set and fold, problems and KCs with the data set. A file in
    a folder that has none of the layouts is left out and named in the notes.

    Parameters
    ----------
    paths
        Files, or folders that hold them.
    settings
        Where to write and how many rejects to allow.
    max_rejects
        Largest share of refused rows; by default ``settings.ingest.max_rejects``.
    dry_run
        Only say what would be done.

    Raises
    ------
    SourceError
        If there is no such file, one named has no known layout, two have the same name, a student
        stands in two files of one fold, or too many rows are refused. The earlier state is left.
    """
    files, left_out = _find(paths)
    _refuse_same_names(files)
    _refuse_shared_students(files)
    inputs = [describe_input(file.path) for file in files]
    jobs = [
        ShardJob(
            key=shard_key(
                "assistments", READER_VERSION, file.path.name, entry.sha256 or (entry.size, entry.mtime_ns)
            ),
            weight=entry.size,
            produce=partial(_produce, file.path),
        )
        for file, entry in zip(files, inputs, strict=True)
    ]
    notes = [f"{file.path.name}: layout {file.layout}, {file.encoding}" for file in files]
    notes += [f"{path.name}: left out, no ASSISTments layout" for path in left_out]
    plan = RelationPlan(
        source="assistments",
        relation="answers",
        jobs=jobs,
        inputs=inputs,
        release="ASSISTments 2009-2010",
        licence=LICENCE,
        notes=notes,
    )
    result = land(settings, plan, max_rejects=max_rejects, dry_run=dry_run)
    return IngestReport([result], dry_run=dry_run)


def _produce(path: Path) -> ShardContent:
    return ShardContent(*read_assistments(path))


def _describe(path: Path, layout: AssistmentsLayout, encoding: str) -> _File:
    match = _SPLIT_NAME.match(path.stem)
    dataset, split, fold = path.stem, None, ""
    if match:
        dataset = match["dataset"] or path.stem
        split, fold = match["split"].lower(), match["fold"]
    return _File(
        path=path,
        layout=layout,
        encoding=encoding,
        split="valid" if split == "val" else split,
        # Students of the three-line layout have no id but their place in this very file.
        students=path.stem if layout == "dkt" else f"{dataset}{'-' if fold else ''}{fold}",
        problems=dataset,
    )


def _find(paths: Sequence[Path]) -> tuple[list[_File], list[Path]]:
    """Return the files to read, by name, and those of folders that have no known layout."""
    files: dict[Path, _File] = {}
    left_out = []
    for path in paths:
        inside = path.is_dir()
        candidates = [path]
        if inside:
            candidates = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        for candidate in candidates:
            file = _recognize(candidate)
            if file:
                files[candidate.resolve()] = file
            elif inside:
                left_out.append(candidate)
            else:
                raise _unknown_layout(candidate)
    if not files:
        raise SourceError(
            "There is no file of ASSISTments answers.",
            where=", ".join(map(str, paths)),
            expected="`.csv` or `.txt` files in one of the layouts of docs/data/assistments.md",
            next_step="Check the path.",
            state="Nothing was written.",
        )
    return sorted(files.values(), key=lambda file: file.path.name), left_out


def _recognize(path: Path) -> _File | None:
    try:
        text, encoding = decode(path.read_bytes())
    except OSError as error:
        raise SourceError(
            "A file of ASSISTments answers cannot be read.",
            where=str(path),
            found=str(error),
            next_step="Check the path and its permissions.",
            state="Nothing was written.",
        ) from error
    layout = detect_layout(text)
    return _describe(path, layout, encoding) if layout else None


def _unknown_layout(path: Path) -> SourceError:
    return SourceError(
        "The layout of a file of ASSISTments answers is not known.",
        where=f"{path}, line 1",
        expected="`index,student id` (four lines a student), a length (three lines a student), or a "
        "header with user_id, problem_id and correct",
        next_step="See docs/data/assistments.md for the layouts.",
        state="Nothing was written.",
    )


def _refuse_same_names(files: Sequence[_File]) -> None:
    by_name: dict[str, Path] = {}
    for file in files:
        other = by_name.setdefault(file.path.stem, file.path)
        if other != file.path:
            raise SourceError(
                "Two files of ASSISTments answers have the same name, so their students would be mixed.",
                where=f"{other}, {file.path}",
                expected="a name for each, because ids are told apart by it",
                next_step="Rename one, or leave one out.",
                state="Nothing was written.",
            )


def _refuse_shared_students(files: Sequence[_File]) -> None:
    """Refuse students who stand in two files of one fold: they would be in two splits at once."""
    owner: dict[tuple[str, str], Path] = {}
    shared: list[tuple[str, Path, Path]] = []
    for file in files:
        if file.layout != "akt":
            continue
        for student in students_of(decode(file.path.read_bytes())[0]):
            other = owner.setdefault((file.students, student), file.path)
            if other != file.path:
                shared.append((student, other, file.path))
    if shared:
        student, one, two = min(shared)
        raise SourceError(
            "Students stand in two files of the same fold.",
            where=f"{one}, {two}",
            found=f"{len(shared)} students, for instance {student}",
            expected="each student in one file, so that no student is in two splits",
            next_step="Check that the files belong together; ingest one of them, or rename it.",
            state="Nothing was written.",
        )
