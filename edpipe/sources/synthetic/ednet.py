"""Write synthetic KT1 to KT4 and contents, block of students by block, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from edpipe.errors import SettingsError
from edpipe.progress import Mode, Track, track
from edpipe.sources.synthetic.action_log import Labels, make_labels
from edpipe.sources.synthetic.actions import (
    KT3_COLUMNS,
    Actions,
    draw_actions,
    is_kt2,
    is_kt3,
)
from edpipe.sources.synthetic.archives import ArchiveWriter, Layout, csv_bytes
from edpipe.sources.synthetic.contents import LETTERS, Contents, make_contents
from edpipe.sources.synthetic.history import Rows, Visits, draw_logged, draw_rows, draw_visits
from edpipe.sources.synthetic.learning import Answers, draw_answers
from edpipe.sources.synthetic.students import Students, draw_students
from edpipe.sources.synthetic.truth import SyntheticEdNet

Level = Literal["kt1", "kt2", "kt3", "kt4"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
# Enough rows to keep numpy busy, few enough to stay near 500 MB.
ROWS_PER_BLOCK: Final = 400_000
STUDENTS_PER_BLOCK: Final = 8_192
CONTENTS_STREAM, STUDENTS_STREAM, BLOCK_STREAM = range(3)


def write_ednet(
    folder: Path,
    *,
    num_students: int,
    num_items: int,
    seed: int = 7,
    levels: Sequence[Level] = LEVELS,
    layout: Layout = "zip",
    interactions_per_student: float = 121.5,
    unanswered_share: float = 0.001,
    keep_truth: bool = True,
    progress: Mode = "none",
) -> SyntheticEdNet:
    """Write EdNet's archives for students that do not exist.

    The same arguments give the same bytes; a level's bytes do not depend on which other levels are
    written. KT3 and KT2 are exact restrictions of KT4.

    Parameters
    ----------
    folder
        Where ``EdNet-KT1.zip`` … and ``EdNet-Contents.zip`` go, or the folders ``KT1`` … ``contents``.
    num_students
        Number of students in KT1; about 38 % of them are in KT2 to KT4 too.
    num_items
        Number of questions, at least 20.
    seed
        Seed of all draws.
    levels
        Levels to write; contents are always written.
    layout
        One zip a level as published, or unpacked folders.
    interactions_per_student
        Mean number of KT1 rows a student; the distribution has a heavy tail.
    unanswered_share
        Share of KT1 rows with an empty answer (0.0003 in the published data).
    keep_truth
        Keep probabilities and masteries in memory (about 60 bytes a row and 8 a student and KC).
    progress
        How progress is shown.

    Raises
    ------
    SettingsError
        If a number is out of range or a level is unknown.
    SourceError
        If a folder to write already holds files.
    """
    _check(levels, unanswered_share)
    contents = make_contents(num_items, np.random.default_rng([seed, CONTENTS_STREAM]))
    students = draw_students(
        num_students, interactions_per_student, np.random.default_rng([seed, STUDENTS_STREAM])
    )
    run = _Run(contents, make_labels(contents), unanswered_share, keep_truth)
    paths: dict[str, Path] = {level: folder / _name(level.upper(), layout) for level in levels}
    with ExitStack() as stack:
        bar = stack.enter_context(
            track("Writing synthetic EdNet", total=num_students, unit="students", mode=progress)
        )
        paths["contents"] = _write_contents(folder, contents, layout)
        writers = {
            level: stack.enter_context(ArchiveWriter(paths[level], level.upper(), layout)) for level in levels
        }
        _write_blocks(run, students, seed, writers, bar)
    return run.truth(folder, paths, seed, students)


def _check(levels: Sequence[Level], unanswered_share: float) -> None:
    unknown = [level for level in levels if level not in LEVELS]
    if unknown:
        raise SettingsError(
            "A level of EdNet is unknown.",
            where="`levels`",
            found=", ".join(map(repr, unknown)),
            expected=", ".join(LEVELS),
            next_step="Choose from the known levels.",
        )
    if not 0 <= unanswered_share < 1:
        raise SettingsError(
            "A share is out of range.",
            where="`unanswered_share`",
            found=str(unanswered_share),
            expected="0 or more, below 1",
            next_step="Choose a share in range.",
        )


def _name(folder: str, layout: Layout) -> str:
    return f"EdNet-{folder}.zip" if layout == "zip" else folder


def _write_contents(folder: Path, contents: Contents, layout: Layout) -> Path:
    path = folder / ("EdNet-Contents.zip" if layout == "zip" else "contents")
    with ArchiveWriter(path, "contents", layout) as writer:
        for name, table in contents.tables().items():
            writer.add(f"{name}.csv", csv_bytes(table))
    return path


def _blocks(students: Students) -> Iterator[tuple[int, int]]:
    """Cut the students into blocks of bounded rows; the cut depends on nothing but the students."""
    total = np.cumsum(students.target)
    start = 0
    while start < len(students):
        before = int(total[start - 1]) if start else 0
        stop = int(np.searchsorted(total, before + ROWS_PER_BLOCK))
        stop = min(max(stop, start + 1), start + STUDENTS_PER_BLOCK, len(students))
        yield start, stop
        start = stop


def _write_blocks(
    run: _Run, students: Students, seed: int, writers: dict[Level, ArchiveWriter], bar: Track
) -> None:
    for number, (start, stop) in enumerate(_blocks(students)):
        block = students.block(start, stop)
        # Answers and actions draw from streams of their own, so KT1 is the same with and without KT4.
        rng, actions_rng = np.random.default_rng([seed, BLOCK_STREAM, number]).spawn(2)
        visits = draw_visits(block, run.contents, rng)
        rows = draw_rows(visits, len(block), run.contents, rng)
        answers = draw_answers(block, rows, run.contents, run.unanswered_share, rng)
        run.add(block, visits, rows, answers)
        if "kt1" in writers:
            frame = _kt1_frame(run, visits, rows, answers)
            writers["kt1"].add_students(block.number, np.diff(rows.start), frame)
        if writers.keys() - {"kt1"}:
            logged = draw_logged(visits, block, actions_rng)
            actions = draw_actions(visits, rows, answers, logged, run.contents, run.labels, actions_rng)
            _write_actions(run, block, actions, writers)
        bar.advance(stop - start)


def _kt1_frame(run: _Run, visits: Visits, rows: Rows, answers: Answers) -> pl.DataFrame:
    letters = pl.Series([*LETTERS, None], dtype=pl.String)
    return pl.DataFrame(
        {
            "timestamp": rows.timestamp,
            "solving_id": visits.solving_id[rows.visit],
            "question_id": run.contents.questions["question_id"].gather(rows.item),
            "user_answer": letters.gather(np.where(answers.is_answered, answers.choice, len(LETTERS))),
            "elapsed_time": rows.elapsed,
        }
    )


def _write_actions(run: _Run, block: Students, actions: Actions, writers: dict[Level, ArchiveWriter]) -> None:
    everything = np.ones(actions.student.size, dtype=np.bool_)
    for level, kept in (
        ("kt2", is_kt2(actions.frame).to_numpy()),
        ("kt3", is_kt3(actions.frame).to_numpy()),
        ("kt4", everything),
    ):
        counts = np.bincount(actions.student[kept], minlength=len(block))
        run.rows[level] += int(counts.sum())
        run.members[level] += int((counts > 0).sum())
        run.duplicates[level] += int(actions.is_duplicate[kept].sum())
        if level in writers:
            frame = actions.frame if level == "kt4" else actions.frame.filter(kept).select(KT3_COLUMNS)
            writers[level].add_students(block.number, counts, frame)


@dataclass(slots=True)
class _Run:
    """What is collected while blocks are written."""

    contents: Contents
    labels: Labels
    unanswered_share: float
    keep_truth: bool
    rows: Counter[str] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    oddities: Counter[str] = field(default_factory=Counter)
    answers: list[pl.DataFrame] = field(default_factory=list)
    initial: list[np.ndarray] = field(default_factory=list)
    final: list[np.ndarray] = field(default_factory=list)
    num_answers: list[np.ndarray] = field(default_factory=list)

    def add(self, block: Students, visits: Visits, rows: Rows, answers: Answers) -> None:
        """Count a block's KT1 rows and keep its truth."""
        counts = np.diff(rows.start)
        is_repeat = visits.is_repeat[rows.visit]
        self.num_answers.append(counts)
        self.rows["kt1"] += rows.item.size
        self.members["kt1"] += len(block)
        self.oddities["repeats"] += int(is_repeat.sum())
        self.oddities["unanswered"] += int((~answers.is_answered).sum())
        self.oddities["zero_elapsed"] += int((rows.elapsed == 0).sum())
        if not self.keep_truth:
            return
        self.initial.append(answers.initial_mastery.astype(np.float32))
        self.final.append(answers.final_mastery.astype(np.float32))
        names = pl.Series([f"u{number}" for number in block.number])
        self.answers.append(
            pl.DataFrame(
                {
                    "student_id": names.gather(rows.student),
                    "source_row": (np.arange(rows.item.size) - rows.start[rows.student] + 1).astype(np.int32),
                    "question_id": self.contents.questions["question_id"].gather(rows.item),
                    "solving_id": visits.solving_id[rows.visit].astype(np.int32),
                    "probability": answers.probability.astype(np.float32),
                    "mastery": answers.mastery.astype(np.float32),
                    "is_correct": answers.is_correct,
                    "is_answered": answers.is_answered,
                    "is_repeat": is_repeat,
                }
            )
        )

    def truth(self, folder: Path, paths: dict[str, Path], seed: int, students: Students) -> SyntheticEdNet:
        """Put together what is known."""
        contents = self.contents
        kc_ids = [str(number) for number in contents.kc_numbers]
        sets = np.split(contents.item_kcs, contents.kc_start[1:-1])
        empty = np.empty((0, len(kc_ids)), dtype=np.float32)
        return SyntheticEdNet(
            folder=folder,
            paths=paths,
            seed=seed,
            questions=contents.questions.select(
                "question_id",
                "bundle_id",
                "part",
                "correct_answer",
                pl.Series("kc_ids", [[kc_ids[kc] for kc in kcs] for kcs in sets], dtype=pl.List(pl.String)),
                pl.Series("difficulty", contents.difficulty),
                pl.Series("discrimination", contents.discrimination),
            ),
            students=pl.DataFrame(
                {
                    "student_id": [f"u{number}" for number in students.number],
                    "ability": students.ability,
                    "learning_rate": students.learning_rate,
                    "memory_days": students.memory_days,
                    "num_answers": np.concatenate(self.num_answers),
                }
            ),
            answers=pl.concat(self.answers) if self.answers else pl.DataFrame(),
            kc_ids=kc_ids,
            initial_mastery=np.concatenate(self.initial) if self.initial else empty,
            final_mastery=np.concatenate(self.final) if self.final else empty,
            rows=dict(self.rows),
            members=dict(self.members),
            duplicates=dict(self.duplicates),
            num_repeats=self.oddities["repeats"],
            num_unanswered=self.oddities["unanswered"],
            num_zero_elapsed=self.oddities["zero_elapsed"],
        )
