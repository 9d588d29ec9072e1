"""Scores of predicted clicks, with intervals from drawing students again.

The AUC counts pairs over all students, and so rewards knowing who clicks much. The grouped AUC counts only
pairs of one student, which is what a ranking for a student is about: the mean of the students' AUCs, weighted
by their rows, over students with both labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edpipe.evaluation.bootstrap import DRAWS_AT_ONCE, Scores, score, student_weights
from edpipe.evaluation.metrics import Bool, Float, Int

METRICS: Final = ("auc", "grouped_auc", "log_loss", "predicted_over_clicked", "calibration_error")


@dataclass(frozen=True, slots=True)
class StudentAreas:
    """Area under the ROC curve of each student with both labels, and the number of rows.

    Shapes ``(num_students,)``; the area is 0 and the number 0 where a student has one label only.
    """

    area: Float
    num_rows: Float


def score_clicks(student: Int, clicked: Bool, probability: Float, *, num_draws: int, seed: int) -> Scores:
    """Score predicted probabilities of a click.

    Parameters
    ----------
    student
        Key of the student of each row. Shape ``(num_rows,)``.
    clicked
        Shape ``(num_rows,)``.
    probability
        In [0, 1]. Shape ``(num_rows,)``.
    num_draws
        Bootstrap draws; 0 gives values without intervals.
    seed
        Seed of the draws: equal seeds draw equal students, so that models can be compared draw by draw.

    Returns
    -------
    Scores
        Of :data:`METRICS`. A grouped AUC is NaN where no student has both labels, the ratio of predicted to
        real clicks where there is no click.

    Raises
    ------
    ContractError
        If there is no row, or a probability is not a number in [0, 1].
    """
    found = score(student, clicked, probability, num_draws=num_draws, seed=seed)
    codes = np.unique(student, return_inverse=True)[1].astype(np.int64)
    number = found.num_students
    areas = student_areas(codes, number, clicked, probability)
    sums = np.stack(
        [
            areas.area * areas.num_rows,
            areas.num_rows,
            np.bincount(codes, weights=probability, minlength=number),
            np.bincount(codes, weights=clicked, minlength=number),
        ]
    )
    everybody = np.ones((number, 1), dtype=np.uint8)
    random = np.random.default_rng(seed)
    # As many at once as the other scores draw: the same numbers give the same students.
    parts = [
        student_weights(number, min(DRAWS_AT_ONCE, num_draws - first), random)
        for first in range(0, num_draws, DRAWS_AT_ONCE)
    ]
    drawn = [_ratios(sums @ weights) for weights in parts]
    values, draws = dict(found.values), dict(found.draws)
    for place, metric in enumerate(("grouped_auc", "predicted_over_clicked")):
        values[metric] = float(_ratios(sums @ everybody)[place][0])
        draws[metric] = np.concatenate([part[place] for part in drawn] or [np.empty(0)])
    return Scores(
        {metric: values[metric] for metric in METRICS},
        {metric: draws[metric] for metric in METRICS},
        found.num_rows,
        found.num_students,
    )


def _ratios(sums: Float) -> tuple[Float, Float]:
    """Return grouped AUC and ratio of predicted to real clicks of summed columns."""
    areas, weight, predicted, clicks = sums
    return _ratio(areas, weight), _ratio(predicted, clicks)


def _ratio(top: Float, bottom: Float) -> Float:
    found: Float = np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)
    return found


def student_areas(codes: Int, num_students: int, clicked: Bool, probability: Float) -> StudentAreas:
    """Return the area under the ROC curve of each student; equal probabilities count half.

    Parameters
    ----------
    codes
        Student of each row, from 0. Shape ``(num_rows,)``.
    num_students
        Number of students.
    clicked, probability
        Shape ``(num_rows,)``.
    """
    order = np.lexsort((probability, codes))
    owner, chance, hit = codes[order], probability[order], clicked[order].astype(np.float64)
    # Rows of one student with one probability are a level; levels rise within a student.
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (owner[1:] != owner[:-1]) | (chance[1:] != chance[:-1])
    starts = np.flatnonzero(is_first)
    of_level = owner[starts]
    right = np.add.reduceat(hit, starts)
    wrong = np.diff(np.append(starts, len(order))) - right
    before = np.cumsum(wrong) - wrong
    all_right = np.bincount(of_level, weights=right, minlength=num_students)
    all_wrong = np.bincount(of_level, weights=wrong, minlength=num_students)
    earlier_students = (np.cumsum(all_wrong) - all_wrong)[of_level]
    won = np.bincount(
        of_level, weights=right * (before - earlier_students + wrong / 2), minlength=num_students
    )
    pairs = all_right * all_wrong
    area = np.divide(won, pairs, out=np.zeros(num_students), where=pairs > 0)
    return StudentAreas(area, np.where(pairs > 0, all_right + all_wrong, 0.0))
