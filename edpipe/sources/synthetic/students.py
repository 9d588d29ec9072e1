"""Who the synthetic students are: ability, speed of learning, how much and from when they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edpipe.errors import SettingsError
from edpipe.sources.synthetic.contents import Floats, Ints

Bools = npt.NDArray[np.bool_]

FIRST_DAY: Final = 17_274  # 2017-04-18, in days since 1970: first KT1 row
FIRST_ACTION_DAY: Final = 17_770  # 2018-08-27: first KT2 to KT4 row
LAST_DAY: Final = 18_228  # 2019-11-28
# Log-normal spread of answers a student: with mean 121.5 the quartiles are about 9, 29 and 90.
SPREAD: Final = 1.69
MOST_TIMES_MEAN: Final = 200
ANSWERS_A_DAY: Final = 60
# A student ends with a whole bundle, so answers exceed the target by this much on average.
BUNDLE_OVERSHOOT: Final = 0.6
ACTION_SHARE: Final = 0.58  # of those active after FIRST_ACTION_DAY; leaves KT4 about 38 % of KT1


@dataclass(frozen=True, slots=True)
class Students:
    """One array entry a student, in the order of their numbers."""

    number: Ints
    target: Ints
    ability: Floats
    learning_rate: Floats
    memory_days: Floats
    first_day: Ints
    has_actions: Bools
    web_share: Floats
    log_share: Floats

    def __len__(self) -> int:
        """Return the number of students."""
        return int(self.number.size)

    def block(self, start: int, stop: int) -> Students:
        """Return the students from ``start`` up to, not with, ``stop``."""
        return Students(*(getattr(self, name)[start:stop] for name in self.__slots__))


def draw_students(num_students: int, answers_per_student: float, rng: np.random.Generator) -> Students:
    """Draw students whose mean number of answers is ``answers_per_student``, with a heavy tail.

    Raises
    ------
    SettingsError
        If there is no student, or less than one answer a student.
    """
    if num_students < 1 or answers_per_student < 1:
        raise SettingsError(
            "Synthetic students need at least one student and one answer each.",
            where="`num_students`, `interactions_per_student`",
            found=f"{num_students}, {answers_per_student}",
            expected="both 1 or more",
            next_step="Ask for more.",
        )
    target = _draw_targets(num_students, answers_per_student, rng)
    first_day = FIRST_DAY + ((LAST_DAY - FIRST_DAY) * rng.random(num_students) ** 0.6).astype(np.int64)
    # Who answers much needs the days for it.
    first_day = np.clip(np.minimum(first_day, LAST_DAY - target // ANSWERS_A_DAY), FIRST_DAY, LAST_DAY)
    has_actions = rng.random(num_students) < ACTION_SHARE
    # So that even the smallest archive holds all levels.
    first_day[0] = max(first_day[0], FIRST_ACTION_DAY)
    has_actions[0] = True
    return Students(
        number=np.cumsum(1 + (rng.random(num_students) < 840 / 784 - 1)),
        target=target,
        ability=rng.normal(0.0, 0.7, num_students),
        learning_rate=rng.beta(2.0, 18.0, num_students),
        memory_days=rng.lognormal(np.log(90.0), 0.5, num_students),
        first_day=first_day,
        has_actions=has_actions,
        web_share=np.where(rng.random(num_students) < 0.3, 0.8, 0.05),
        log_share=rng.beta(2.0, 1.0, num_students),
    )


def _draw_targets(num_students: int, mean: float, rng: np.random.Generator) -> Ints:
    # One student in each of `num_students` equal slices of the distribution, so that the mean of a
    # small sample is near the wanted one although the tail is heavy.
    from scipy.special import ndtri

    slices = (rng.permutation(num_students) + rng.random(num_students)) / num_students
    shape = np.exp(SPREAD * ndtri(np.clip(slices, 1e-9, 1 - 1e-9)))
    wanted = np.minimum(shape * mean / shape.mean(), MOST_TIMES_MEAN * mean)
    target: Ints = np.maximum(1, np.round(wanted * mean / wanted.mean() - BUNDLE_OVERSHOOT)).astype(np.int64)
    return target
