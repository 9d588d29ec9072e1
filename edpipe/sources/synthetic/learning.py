"""How answers arise: an item-response model over masteries that are learnt and forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from edpipe.sources.synthetic.contents import DAY_MILLISECONDS, Contents, Floats, Ints
from edpipe.sources.synthetic.history import Rows
from edpipe.sources.synthetic.students import Bools, Students

# Logits between no and full mastery of an item's KCs.
MASTERY_WEIGHT: Final = 4.0
# What is learnt from a wrong answer, as a share of what a right one teaches.
WRONG_ANSWER_LEARNING: Final = 0.6

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answers:
    """The truth behind each KT1 row, and masteries at the start and the end."""

    probability: Floats
    mastery: Floats  # mean mastery of the item's KCs just before the answer
    is_correct: Bools
    is_answered: Bools
    choice: Ints  # 0 to 3 for a to d; meaningless where not answered
    initial_mastery: Floats  # (students, KCs)
    final_mastery: Floats  # (students, KCs), at each student's last row
    last_met: Ints  # (students, KCs), ms since 1970; 0 where the KC was never met


def draw_answers(
    students: Students,
    rows: Rows,
    contents: Contents,
    unanswered_share: float,
    rng: np.random.Generator,
) -> Answers:
    r"""Answer the rows in order.

    The logit of a right answer is :math:`a_i (w (\bar m - 1/2) + \theta_s) - b_i`, with discrimination
    :math:`a`, difficulty :math:`b`, ability :math:`\theta` and the mean mastery :math:`\bar m` of the
    item's KCs. An answer moves each of these masteries towards 1 by the student's learning rate (less
    after a wrong one); time moves it back to where it began, exponentially. A row that is not answered
    teaches nothing.
    """
    num_kcs = contents.kc_numbers.size
    easiness = rng.normal(0.0, 0.5, num_kcs)
    own = rng.normal(0.0, 0.9, (len(students), num_kcs))
    initial = 1 / (1 + np.exp(0.8 - easiness - own - 0.5 * students.ability[:, None]))
    mastery, last_met = initial.copy(), np.zeros(initial.shape, dtype=np.int64)
    is_answered = rng.random(rows.item.size) >= unanswered_share
    probability, before, is_correct = answer_in_order(
        rows.start,
        rows.item,
        rows.timestamp,
        is_answered,
        rng.random(rows.item.size),
        contents,
        students,
        initial,
        mastery,
        last_met,
    )
    right = contents.correct[rows.item]
    options = np.where(contents.part[rows.item] == 2, 3, 4)
    wrong = (right + 1 + (rng.random(rows.item.size) * (options - 1)).astype(np.int64)) % options
    return Answers(
        probability=probability,
        mastery=before,
        is_correct=is_correct,
        is_answered=is_answered,
        choice=np.where(is_correct, right, wrong),
        initial_mastery=initial,
        final_mastery=mastery,
        last_met=last_met,
    )


def answer_in_order(
    start: Ints,
    item: Ints,
    timestamp: Ints,
    is_answered: Bools,
    draw: Floats,
    contents: Contents,
    students: Students,
    initial: Floats,
    mastery: Floats,
    last_met: Ints,
) -> tuple[Floats, Floats, Bools]:
    """Answer rows one after the other, and let the students learn from each.

    Parameters
    ----------
    start
        First rows of the students, and the number of rows at the end. Shape ``(students + 1,)``.
    item, timestamp, is_answered
        The rows, by student and time; ms since 1970. Shape ``(rows,)``.
    draw
        A row is right where its draw, uniform in [0, 1), lies below its chance. Shape ``(rows,)``.
    contents, students
        What is answered, and by whom.
    initial
        Mastery that forgetting falls back to. Shape ``(students, KCs)``.
    mastery, last_met
        Where the students stand, and when each KC was last met (0: never). Changed in place.
        Shape ``(students, KCs)``.

    Returns
    -------
    tuple
        Chance of a right answer, mean mastery of the item's KCs just before it, and whether it is right.
        Shape ``(rows,)`` each.
    """
    found: tuple[Floats, Floats, Bools] = _answer(
        start,
        item,
        timestamp,
        is_answered,
        draw,
        contents.kc_start,
        contents.item_kcs,
        contents.discrimination,
        contents.difficulty,
        students.ability,
        students.learning_rate,
        students.memory_days * DAY_MILLISECONDS,
        initial,
        mastery,
        last_met,
    )
    return found


def _answer_rows(
    start: Ints,
    item: Ints,
    timestamp: Ints,
    is_answered: Bools,
    draw: Floats,
    kc_start: Ints,
    item_kcs: Ints,
    discrimination: Floats,
    difficulty: Floats,
    ability: Floats,
    learning_rate: Floats,
    memory: Floats,
    initial: Floats,
    mastery: Floats,
    last_met: Ints,
) -> tuple[Floats, Floats, Bools]:
    """Walk each student's rows; ``mastery`` and ``last_met`` are changed in place."""
    probability = np.empty(item.size)
    before = np.empty(item.size)
    is_correct = np.zeros(item.size, dtype=np.bool_)
    for student in range(start.size - 1):
        for row in range(start[student], start[student + 1]):
            now = timestamp[row]
            kcs = item_kcs[kc_start[item[row]] : kc_start[item[row] + 1]]
            mean = 0.0
            for kc in kcs:
                if last_met[student, kc] > 0:
                    kept = np.exp(-(now - last_met[student, kc]) / memory[student])
                    base = initial[student, kc]
                    mastery[student, kc] = base + (mastery[student, kc] - base) * kept
                mean += mastery[student, kc] / kcs.size
                last_met[student, kc] = now
            level = MASTERY_WEIGHT * (mean - 0.5) if kcs.size > 0 else 0.0
            logit = discrimination[item[row]] * (level + ability[student]) - difficulty[item[row]]
            before[row] = mean
            probability[row] = 1 / (1 + np.exp(-logit))
            is_correct[row] = is_answered[row] and draw[row] < probability[row]
            if is_answered[row]:
                gain = learning_rate[student] * (1.0 if is_correct[row] else WRONG_ANSWER_LEARNING)
                for kc in kcs:
                    mastery[student, kc] += gain * (1 - mastery[student, kc])
    return probability, before, is_correct


_answer: Any = njit(cache=True)(_answer_rows)
