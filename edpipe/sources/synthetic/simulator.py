"""Synthetic students who answer on: others choose what they are asked next; what they learn is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import polars as pl

from edpipe.sources.synthetic.contents import DAY_MILLISECONDS, Contents, Floats, Ints, make_contents
from edpipe.sources.synthetic.history import draw_rows, draw_visits
from edpipe.sources.synthetic.learning import (
    MASTERY_WEIGHT,
    WRONG_ANSWER_LEARNING,
    answer_in_order,
    draw_answers,
)
from edpipe.sources.synthetic.students import Bools, Students, draw_students

CONTENTS_STREAM, STUDENTS_STREAM, ANSWERS_STREAM = range(3)
SINCE_LAST: Final = 60_000  # ms between an answer and the next that is asked for


@dataclass(frozen=True, slots=True, eq=False)
class StudentSimulator:
    """Students with a past, whose true state each further answer moves by the law that made the past.

    Attributes
    ----------
    contents
        Items and KCs, with the parameters of the law.
    students
        Who they are.
    log
        What they did so far: ``student`` (from 0), ``number`` (from 1), ``item`` (row of the contents),
        ``timestamp`` (ms since 1970), ``elapsed_seconds``, ``is_correct``; in order.
    initial, mastery, last_met
        Mastery before anything was done; mastery when each KC was last met; that time, ms since 1970, 0 for
        never. Shape ``(students, KCs)``.
    now
        Time of each student's last answer, ms since 1970. Shape ``(students,)``.
    """

    contents: Contents
    students: Students
    log: pl.DataFrame
    initial: Floats
    mastery: Floats
    last_met: Ints
    now: Ints

    @property
    def questions(self) -> pl.DataFrame:
        """Items in the order of their numbers: ``item_id, part, kc_ids``."""
        names = [str(number) for number in self.contents.kc_numbers]
        sets = np.split(self.contents.item_kcs, self.contents.kc_start[1:-1])
        kc_ids = [sorted(names[kc] for kc in kcs) for kcs in sets]
        return self.contents.questions.select(
            pl.col("question_id").alias("item_id"),
            "part",
            pl.Series("kc_ids", kc_ids, dtype=pl.List(pl.String)),
        )

    @property
    def members(self) -> Floats:
        """1 where an item has a KC. Shape ``(items, KCs)``."""
        table = np.zeros((len(self.contents.difficulty), self.initial.shape[1]))
        table[np.repeat(np.arange(len(table)), np.diff(self.contents.kc_start)), self.contents.item_kcs] = 1.0
        return table

    def of(self, chosen: Ints) -> Self:
        """Return some of the students, with a state of their own; what they do leaves these as they are."""
        place = {int(student): row for row, student in enumerate(chosen)}
        log = self.log.filter(pl.col("student").is_in(list(place))).with_columns(
            pl.col("student").replace_strict(place, return_dtype=pl.Int64)
        )
        people = Students(*(getattr(self.students, name)[chosen] for name in Students.__slots__))
        return replace(
            self,
            students=people,
            log=log.sort("student", "number"),
            initial=self.initial[chosen],
            mastery=self.mastery[chosen],
            last_met=self.last_met[chosen],
            now=self.now[chosen],
        )

    def true_mastery(self) -> Floats:
        """Return the mastery that each student has now, after forgetting. Shape ``(students, KCs)``."""
        days = np.where(self.last_met > 0, self.now[:, None] - self.last_met, 0) / DAY_MILLISECONDS
        kept = np.exp(-days / self.students.memory_days[:, None])
        return self.initial + (self.mastery - self.initial) * kept

    def true_chances(self) -> Floats:
        """Return the chance of a right answer to each item now. Shape ``(students, items)``."""
        contents, members = self.contents, self.members
        count = members.sum(axis=1)
        mean = self.true_mastery() @ members.T / np.maximum(count, 1)
        level = np.where(count > 0, MASTERY_WEIGHT * (mean - 0.5), 0.0)
        logit = contents.discrimination * (level + self.students.ability[:, None]) - contents.difficulty
        chances: Floats = 1 / (1 + np.exp(-logit))
        return chances

    def true_gains(self) -> Floats:
        """Return by how much an attempt at each item is expected to raise the mean mastery of all KCs.

        Shape ``(students, items)``.
        """
        chances = self.true_chances()
        share = chances + (1 - chances) * WRONG_ANSWER_LEARNING
        left = (1 - self.true_mastery()) @ self.members.T / self.initial.shape[1]
        gains: Floats = share * self.students.learning_rate[:, None] * left
        return gains

    def answer(self, item: Ints, draw: Floats) -> Bools:
        """Let each student answer one item, a minute after the last answer, and learn from it.

        Parameters
        ----------
        item
            Item of each student. Shape ``(students,)``.
        draw
            Uniform in [0, 1): the answer is right where it lies below the chance. Shape ``(students,)``.

        Returns
        -------
        ndarray
            Whether each answer is right. Shape ``(students,)``.
        """
        self.now[:] += SINCE_LAST
        _, _, is_correct = answer_in_order(
            np.arange(len(item) + 1),
            item,
            self.now,
            np.ones(len(item), dtype=np.bool_),
            draw,
            self.contents,
            self.students,
            self.initial,
            self.mastery,
            self.last_met,
        )
        return is_correct


def simulate_students(
    num_students: int,
    num_items: int,
    *,
    seed: int = 7,
    answers_per_student: float = 121.5,
    learns: bool = True,
) -> StudentSimulator:
    """Draw students and their past by the law of :func:`~edpipe.sources.synthetic.write_ednet`.

    The same arguments give the same students. Nothing is written; nothing is left unanswered.

    Parameters
    ----------
    num_students
        Number of students.
    num_items
        Number of questions, at least 20.
    seed
        Seed of all draws.
    answers_per_student
        Mean number of answers in the past, with a heavy tail.
    learns
        False gives a world in which nobody learns: each mastery stays where it began.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    contents = make_contents(num_items, np.random.default_rng([seed, CONTENTS_STREAM]))
    students = draw_students(
        num_students, answers_per_student, np.random.default_rng([seed, STUDENTS_STREAM])
    )
    if not learns:
        students = replace(students, learning_rate=np.zeros(num_students))
    rng = np.random.default_rng([seed, ANSWERS_STREAM])
    visits = draw_visits(students, contents, rng)
    rows = draw_rows(visits, num_students, contents, rng)
    answers = draw_answers(students, rows, contents, 0.0, rng)
    log = pl.DataFrame(
        {
            "student": rows.student,
            "number": np.arange(rows.item.size) - rows.start[rows.student] + 1,
            "item": rows.item,
            "timestamp": rows.timestamp,
            "elapsed_seconds": rows.elapsed / 1_000,
            "is_correct": answers.is_correct,
        }
    )
    return StudentSimulator(
        contents=contents,
        students=students,
        log=log,
        initial=answers.initial_mastery,
        mastery=answers.final_mastery,
        last_met=answers.last_met,
        now=rows.timestamp[rows.start[1:] - 1].copy(),
    )
