"""What is true of synthetic data: parameters, masteries, probabilities and planted oddities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.sources.synthetic.contents import Floats
from edpipe.sources.synthetic.learning import Floats32


@dataclass(frozen=True, slots=True)
class SyntheticEdNet:
    """Where the synthetic archives are, and the truth that a loader and a tracer can be held to.

    Parameters
    ----------
    folder
        Folder that holds everything written.
    paths
        Archive (or folder) of each level, and of ``contents``.
    seed
        Seed of all draws.
    questions
        ``question_id, bundle_id, part, correct_answer, kc_ids, difficulty, discrimination``; difficulty
        in logits, higher is harder.
    students
        ``student_id, ability, learning_rate, memory_days, num_answers`` in the order of the archives.
    answers
        One row a KT1 row, in file order within the student: ``student_id, source_row, question_id,
        solving_id, probability, mastery, is_correct, is_answered, is_repeat``. ``probability`` is the true
        chance of a right answer just before it, ``mastery`` the mean mastery of the question's KCs then
        (0 for a question without KC). Empty without truth.
    kc_ids
        Published tag numbers as text; the columns of the mastery arrays.
    initial_mastery, final_mastery
        Mastery in [0, 1] before the first and after the last row. Shape ``(students, KCs)``. Final
        masteries are as of the KC's last opportunity: what is forgotten afterwards is not taken off.
    rows, members
        Data rows and student files of each level.
    duplicates
        Exact duplicate rows planted in each of KT2 to KT4.
    num_repeats
        KT1 rows of a bundle submitted again under the same `solving_id`.
    num_unanswered
        KT1 rows with an empty answer.
    num_zero_elapsed
        KT1 rows with elapsed time 0.
    """

    folder: Path
    paths: dict[str, Path]
    seed: int
    questions: pl.DataFrame
    students: pl.DataFrame
    answers: pl.DataFrame
    kc_ids: list[str]
    initial_mastery: Floats32
    final_mastery: Floats32
    rows: dict[str, int]
    members: dict[str, int]
    duplicates: dict[str, int]
    num_repeats: int
    num_unanswered: int
    num_zero_elapsed: int

    def probability_of(self, student: int) -> Floats:
        """Return the true probabilities of one student's KT1 rows, by position in ``students``."""
        student_id = self.students["student_id"][student]
        return self.answers.filter(pl.col("student_id") == student_id)["probability"].to_numpy()

    def save(self, folder: Path) -> Path:
        """Write ``questions``, ``students``, ``answers`` and ``mastery`` as Parquet into ``folder``.

        ``mastery.parquet`` has one row a student and KC: ``student_id, kc_id, initial_mastery,
        final_mastery``.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.questions.write_parquet(folder / "questions.parquet")
        self.students.write_parquet(folder / "students.parquet")
        self.answers.write_parquet(folder / "answers.parquet")
        num_students, num_kcs = self.final_mastery.shape
        mastery = pl.DataFrame(
            {
                "student_id": self.students["student_id"][:num_students].gather(
                    np.repeat(np.arange(num_students), num_kcs)
                ),
                "kc_id": pl.Series(self.kc_ids * num_students, dtype=pl.String),
                "initial_mastery": self.initial_mastery.ravel(),
                "final_mastery": self.final_mastery.ravel(),
            }
        )
        mastery.write_parquet(folder / "mastery.parquet")
        return folder
