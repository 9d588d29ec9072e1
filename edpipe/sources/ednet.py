"""EdNet (Riiid, Santa TOEIC): archives, folders or files of all levels to raw Parquet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.errors import SettingsError, SourceError
from edpipe.raw import RawInput, read_manifest, relation_dir
from edpipe.settings import Settings
from edpipe.sources.archive import Members
from edpipe.sources.delivery_landing import land_deliveries
from edpipe.sources.delivery_rows import delivery_rule
from edpipe.sources.ednet_deliveries import new_members
from edpipe.sources.ednet_formats import (
    CONTENTS,
    DOWNLOADS,
    LEVELS,
    LICENCE,
    NUM_STUDENTS,
    SOURCE,
    SYNTHETIC_LICENCE,
    SYNTHETIC_MARK,
)
from edpipe.sources.ednet_layout import Layout, find_layout
from edpipe.sources.ednet_rows import student_of
from edpipe.sources.ednet_shards import read_members, shard_jobs
from edpipe.sources.landing import IngestReport, RelationPlan, describe_input, land
from edpipe.sources.subset import student_hash
from edpipe.sources.workers import num_workers

# Starting a process costs as much as reading this many bytes.
_BYTES_WORTH_A_PROCESS = 10 * 2**20
# No row of any EdNet file is shorter: a timestamp alone has 13 digits.
_SHORTEST_ROW = {"kt1": 20, "kt2": 20, "kt3": 20, "kt4": 20}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which students are taken: those whose hash is below ``fraction``."""

    fraction: float = 1.0
    text: str = "all students"

    def apply(self, members: Members) -> Members:
        """Return the members of the selected students."""
        if self.fraction >= 1:
            return members
        hashes = student_hash(student_of(name) for name in members.names)
        return members.take(np.flatnonzero(hashes < self.fraction))


def select_students(students: int | None, fraction: float | None) -> Selection:
    """Turn ``--students`` or ``--fraction`` into a rule on the student id alone.

    ``students`` becomes a share of the 784,309 students of EdNet, so that the same students are
    chosen on every level and machine, whatever files are present; the number found is close to it
    where all of them are there.

    Raises
    ------
    SettingsError
        If both are given or one is out of range.
    """
    if students is not None and fraction is not None:
        raise SettingsError(
            "A subset is given twice.",
            where="flags `--students` and `--fraction`",
            next_step="Give one of them.",
            state="Nothing was written.",
        )
    if students is not None:
        _refuse_outside("--students", students, 1 <= students <= NUM_STUDENTS, f"1 to {NUM_STUDENTS:,}")
        text = f"students {students}: hash of the id below {students}/{NUM_STUDENTS}"
        return Selection(students / NUM_STUDENTS, text) if students < NUM_STUDENTS else Selection()
    if fraction is not None:
        _refuse_outside("--fraction", fraction, 0 < fraction <= 1, "above 0, at most 1")
        return (
            Selection(fraction, f"fraction {fraction}: hash of the id below it")
            if fraction < 1
            else Selection()
        )
    return Selection()


def _refuse_outside(flag: str, value: float, is_inside: bool, expected: str) -> None:
    if not is_inside:
        raise SettingsError(
            "A subset is out of range.",
            where=f"flag `{flag}`",
            found=repr(value),
            expected=expected,
            next_step="Give a number in that range.",
            state="Nothing was written.",
        )


def ingest_ednet(
    paths: Sequence[Path],
    settings: Settings,
    *,
    students: int | None = None,
    fraction: float | None = None,
    add: bool = False,
    max_rejects: float | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Read EdNet as it was downloaded into ``<home>/raw/ednet/<relation>/``.

    Nothing is unpacked to disk. What was read before and has not changed is not read again; a run
    that was stopped goes on. A relation afterwards holds exactly what ``paths`` hold of it now.

    Parameters
    ----------
    paths
        Archives, folders or single files; levels KT1 to KT4 and contents tables are told apart by
        their names and columns. The questions table must be among them or ingested before.
    settings
        Where to write and how.
    students, fraction
        Reproducible subset by a hash of the student id; see :func:`select_students`.
    add
        Put the students' files to those that were read before: see :mod:`edpipe.sources.delivery_rows`. A
        contents table replaces the earlier one all the same.
    max_rejects
        Largest share of unusable rows; by default ``settings.ingest.max_rejects``.
    dry_run
        Plan only: how many shards would be written.

    Raises
    ------
    SourceError
        If a source is missing, damaged or dangerous, or has too many unusable rows.
    SettingsError
        If the subset is out of range or leaves nobody.
    """
    selection = select_students(students, fraction)
    layout = find_layout([Path(path) for path in paths], settings.ingest, is_added=add)
    questions = _known_questions(settings, layout)
    results = []
    for relation in (*CONTENTS, *LEVELS):
        if relation not in layout.members:
            continue
        is_added = add and relation in LEVELS
        if is_added:
            chosen, arrivals = new_members(
                settings, relation, layout.members[relation], selection.apply, questions
            )
        plan = _plan(settings, layout, relation, questions, selection, chosen if is_added else None)
        workers = min(num_workers(settings.ingest.workers), _useful_workers(plan))
        if is_added:
            rule = delivery_rule(SOURCE, relation)
            result = land_deliveries(
                settings, plan, rule, arrivals, max_rejects=max_rejects, dry_run=dry_run, workers=workers
            )
        else:
            result = land(settings, plan, max_rejects=max_rejects, dry_run=dry_run, workers=workers)
        results.append(result)
    return IngestReport(results, dry_run)


def _useful_workers(plan: RelationPlan) -> int:
    return max(1, sum(job.weight for job in plan.jobs) // _BYTES_WORTH_A_PROCESS)


def _plan(
    settings: Settings,
    layout: Layout,
    relation: str,
    questions: pl.Series | None,
    selection: Selection,
    new: list[Members] | None,
) -> RelationPlan:
    """Plan a relation: of all members found, or of those that are ``new`` to it."""
    found = layout.members[relation]
    is_level = relation in LEVELS
    chosen = [selection.apply(members) for members in found] if is_level else found
    present, selected = sum(map(len, found)), sum(map(len, chosen))
    if not selected:
        raise SettingsError(
            "The subset leaves no student.",
            where=f"{relation}: {present:,} students present",
            found=selection.text,
            expected="a share that takes at least one of those present",
            next_step="Give a larger `--students` or `--fraction`.",
            state="Nothing of this level was written.",
        )
    if new is not None:
        chosen = new
    jobs = shard_jobs(relation, chosen, questions if is_level else None, settings.ingest.shard_mib * 2**20)
    notes = []
    if selected < present:
        notes.append(f"{selected:,} of {present:,} students present were selected")
    tables = [name for name in layout.ignored if name.lower().endswith(".csv")]
    if tables:
        notes.append(f"{len(tables):,} other CSV files were passed over, first {tables[0]}")
    total = sum(job.weight for job in jobs)
    return RelationPlan(
        source=SOURCE,
        relation=relation,
        jobs=jobs,
        inputs=[_describe(members) for members in found],
        release=layout.releases.get(relation, ""),
        licence=SYNTHETIC_LICENCE if all(map(_is_synthetic, found)) else LICENCE,
        selection=selection.text if is_level else "all rows",
        excluded_members=present - selected,
        notes=notes,
        max_rows=total // _SHORTEST_ROW[relation] + 1 if is_level else 0,
    )


def _is_synthetic(members: Members) -> bool:
    """Tell whether an archive carries the comment that the synthetic generator writes."""
    if not members.is_zip:
        return False
    with Path(members.container).open("rb") as file:
        file.seek(-len(SYNTHETIC_MARK), os.SEEK_END)
        return file.read() == SYNTHETIC_MARK


def _describe(members: Members) -> RawInput:
    """Identify a container; a folder by size and latest change of its files."""
    container = Path(members.container)
    if members.is_zip:
        return describe_input(container, num_members=len(members))
    if len(members) == 1:
        return describe_input(container / members.names[0])
    return RawInput(
        path=str(container.resolve()),
        size=int(members.sizes.sum()),
        mtime_ns=int(members.checks.max()),
        num_members=len(members),
    )


def _known_questions(settings: Settings, layout: Layout) -> pl.Series | None:
    """Return the ids in the questions table: of this ingestion, else of an earlier one."""
    if not any(level in layout.members for level in LEVELS):
        return None
    ids: pl.Series | None = None
    if "questions" in layout.members:
        ids = read_members("questions", layout.members["questions"][0], None).rows["question_id"]
    elif manifest := read_manifest(settings.raw_dir, SOURCE, "questions"):
        folder = relation_dir(settings.raw_dir, SOURCE, "questions")
        files = [folder / shard.file for shard in manifest.shards]
        ids = pl.concat([pl.read_parquet(file, columns=["question_id"])["question_id"] for file in files])
    if ids is None or not len(ids):
        raise SourceError(
            "The contents tables are missing: without questions no answer can be judged.",
            where="`questions.csv`",
            found="student files only",
            expected="EdNet-Contents, named beside them or ingested before",
            next_step=f"Get EdNet-Contents from {DOWNLOADS}, and name its zip or folder too.",
            state="Nothing was written.",
        )
    return ids.unique().sort()
