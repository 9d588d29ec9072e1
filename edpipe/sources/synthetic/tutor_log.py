"""What synthetic tutor students do: attempts at problems, their steps, times and answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from edpipe.sources.synthetic.contents import Floats, Ints
from edpipe.sources.synthetic.students import Bools
from edpipe.sources.synthetic.tutor_world import NO_KC, TutorWorld

BLOCK: Final = 500  # students drawn and written at a time, fewer where each does much
BLOCK_ATTEMPTS: Final = 40_000
FIRST_SECOND: Final = 1_220_000_000  # 2008-08-29
LEARNING: Final = 0.12
GUESS: Final = 0.15
SLIP: Final = 0.05
UNTAGGED: Final = 0.9  # chance of a right answer to a step without KC
REPEAT_SHARE: Final = 0.06
RE_ENTRY_SHARE: Final = 0.03
TIE_SHARE: Final = 0.15
PAUSE_SHARE: Final = 0.02
LONGEST_GAP: Final = 600  # seconds, after which the start of a step is unknown
SWAP_SHARE: Final = 0.03
DUPLICATE_SHARE: Final = 0.002


def draw_log(
    world: TutorWorld,
    *,
    sections_per_student: int,
    problems_per_student: int,
    test_share: float = 0.0,
    repeat_share: float = REPEAT_SHARE,
) -> Iterator[pl.DataFrame]:
    """Yield the steps of some students after another, in file order; each has all rows of its students.

    File order is the order of action, apart from neighbors of one attempt that changed places (their first
    transactions differ in time, so the time tells) and planted duplicates.

    Parameters
    ----------
    sections_per_student
        Sections a student works in.
    problems_per_student
        Problems a student meets in a section, at most; a fifth of them is left out.
    test_share
        Share of a student's sections in which one problem, all views of it, is held out.
    repeat_share
        Share of problems that a student comes back to: a second view.
    """
    each = sections_per_student * problems_per_student
    size = max(1, min(BLOCK, BLOCK_ATTEMPTS // each))
    for number, start in enumerate(range(0, world.student_group.size, size)):
        rng = np.random.default_rng([world.seed, 1, number])
        students = np.arange(start, min(start + size, world.student_group.size))
        attempts = _draw_attempts(
            world, students, sections_per_student, problems_per_student, test_share, repeat_share, rng
        )
        yield _draw_steps(world, attempts, rng)


def _draw_attempts(
    world: TutorWorld,
    students: Ints,
    num_sections: int,
    num_problems: int,
    test_share: float,
    repeat_share: float,
    rng: np.random.Generator,
) -> pl.DataFrame:
    num_sections = min(num_sections, len(world.section_templates))
    num_problems = min(num_problems, world.problems_per_section)
    sections = rng.random((students.size, len(world.section_templates))).argsort(axis=1)[:, :num_sections]
    sections = np.sort(sections, axis=1).reshape(-1)
    places = rng.random((sections.size, world.problems_per_section)).argsort(axis=1)[:, :num_problems]
    problem = (sections[:, None] * world.problems_per_section + places).reshape(-1)
    student = np.repeat(students, num_sections * num_problems)
    place = np.tile(np.arange(num_problems), sections.size)
    is_held_out = np.repeat(rng.random(sections.size) < test_share, num_problems) & (
        place == num_problems - 1
    )
    is_met = (place == 0) | (place == num_problems - 1) | (rng.random(place.size) < 0.8)
    student, problem, is_held_out = student[is_met], problem[is_met], is_held_out[is_met]
    preferred = world.preferred[world.student_group[student], problem]
    other = rng.integers(1, world.problem_templates.shape[1], student.size)
    is_random = rng.random(student.size) < world.departure_rate
    choice = np.where(is_random, (preferred + other) % world.problem_templates.shape[1], preferred)
    order = np.arange(student.size, dtype=np.float64)
    again = np.flatnonzero(rng.random(student.size) < repeat_share)
    rows = np.concatenate([np.arange(student.size), again])
    view = np.repeat([1, 2], [student.size, again.size])
    order = np.concatenate([order, again + rng.uniform(1.0, 5.0, again.size)])
    # A later view stays with its student: only there is the order looked at.
    chosen = np.lexsort((order, student[rows]))
    rows, view = rows[chosen], view[chosen]
    return pl.DataFrame(
        {
            "student": student[rows],
            "problem": problem[rows],
            "view": view,
            "template": world.problem_templates[problem[rows], choice[rows]],
            "is_random": is_random[rows],
            "is_held_out": is_held_out[rows],
        }
    ).with_columns(attempt_number=pl.int_range(1, pl.len() + 1).over("student"))


def _draw_steps(world: TutorWorld, attempts: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    template = attempts["template"].to_numpy()
    length = np.diff(world.template_start)[template]
    is_again = attempts["view"].to_numpy() > 1
    skipped = np.where(is_again, length - length // 2, 0)
    count = length - skipped
    attempt = np.repeat(np.arange(count.size), count)
    place = np.arange(attempt.size) - (np.cumsum(count) - count)[attempt]
    step = world.template_start[template[attempt]] + skipped[attempt] + place
    student = attempts["student"].to_numpy()[attempt]
    # Who re-enters does the second half after the next attempt.
    is_late = (rng.random(count.size) < RE_ENTRY_SHARE)[attempt] & (place >= count[attempt] // 2)
    order = np.lexsort((place, is_late, attempt + is_late, student))
    attempt, place, step, student = (column[order] for column in (attempt, place, step, student))
    kcs = world.step_kcs[step]
    opportunity = _opportunities(student, kcs, len(world.kc_names))
    probability = right_probability(world, student, kcs[:, :2], opportunity[:, :2])
    is_correct = rng.random(student.size) < probability
    frame = attempts[attempt].with_columns(
        step=pl.Series(step),
        position=pl.Series(step - world.template_start[template[attempt]] + 1),
        probability=pl.Series(probability),
        is_correct=pl.Series(is_correct),
        is_written_reversed=pl.Series((kcs[:, 1] != NO_KC) & (rng.random(step.size) < 0.15)),
        **{f"kc_{column}": pl.Series(kcs[:, column]) for column in range(3)},
        **{f"opportunity_{column}": pl.Series(opportunity[:, column]) for column in range(3)},
        **_draw_times(student, is_correct, rng),
    )
    return frame[_file_order(frame, rng)]


def right_probability(world: TutorWorld, student: Ints, kcs: Ints, opportunity: Ints) -> Floats:
    r"""Return the chance that the first attempt is right.

    With initial mastery :math:`m` a KC is known at opportunity :math:`n` with chance
    :math:`1 - (1 - m)(1 - l)^{n - 1}`; the step is right with chance :math:`g + (1 - g - s) \prod_k` of
    these. Shapes: ``student`` ``(steps,)``, ``kcs`` and ``opportunity`` ``(steps, 2)``.
    """
    known = 1 - (1 - world.mastery[student[:, None], kcs]) * (1 - LEARNING) ** (opportunity - 1.0)
    chance = GUESS + (1 - GUESS - SLIP) * np.where(kcs == NO_KC, 1.0, known).prod(axis=1)
    return np.where((kcs == NO_KC).all(axis=1), UNTAGGED, chance)


def _opportunities(student: Ints, kcs: Ints, num_kcs: int) -> Ints:
    """Count how often the student met each KC so far, itself included; 0 where there is none."""
    flat = kcs.reshape(-1)
    key = np.where(flat == NO_KC, -1, np.repeat(student, kcs.shape[1]) * num_kcs + flat)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    place = np.arange(key.size)
    number = np.empty_like(key)
    number[order] = place - np.maximum.accumulate(np.where(first, place, 0)) + 1
    return np.where(flat == NO_KC, 0, number).reshape(kcs.shape)


def _draw_times(student: Ints, is_correct: Bools, rng: np.random.Generator) -> dict[str, pl.Series]:
    """Draw counts of responses and times in whole seconds, rising within the student."""
    size = student.size
    is_hint = ~is_correct & (rng.random(size) < 0.25)
    incorrects = np.where(is_correct, 0, rng.geometric(0.6, size) - is_hint)
    hints = np.where(is_hint, rng.geometric(0.5, size), np.where(is_correct, 0, rng.random(size) < 0.1))
    corrects = (is_correct | (rng.random(size) < 0.99)).astype(np.int64)
    each = rng.integers(1, 15, size)
    spent = (incorrects + hints + corrects - 1) * each
    gap = rng.integers(1, 40, size)
    gap[rng.random(size) < PAUSE_SHARE] += 3_000
    gap[rng.random(size) < TIE_SHARE] = 0
    is_first = np.concatenate([[True], student[1:] != student[:-1]])
    passed = gap + np.concatenate([[0], spent[:-1]])
    total = np.cumsum(passed)
    start = np.maximum.accumulate(np.where(is_first, np.arange(size), 0))
    first = FIRST_SECOND + (student % 200) * 86_400 + total - total[start]
    end = first + spent
    before = np.concatenate([[0], end[:-1]])
    is_unknown = is_first | (gap > LONGEST_GAP)
    started = pl.Series(before).set(pl.Series(is_unknown), None)
    return {
        "first_attempt": pl.Series(np.where(is_correct, 0, np.where(is_hint, 2, 1))).replace_strict(
            [0, 1, 2], ["correct", "incorrect", "hint"], return_dtype=pl.String
        ),
        "incorrects": pl.Series(incorrects),
        "hints": pl.Series(hints),
        "corrects": pl.Series(corrects),
        "seconds_each": pl.Series(each),
        "start_second": started,
        "first_second": pl.Series(first),
        "correct_second": pl.Series(end).set(pl.Series(corrects == 0), None),
        "end_second": pl.Series(end),
    }


def _file_order(frame: pl.DataFrame, rng: np.random.Generator) -> Ints:
    """Let some neighbors change places and some rows stand twice."""
    first = frame["first_second"].to_numpy()
    student, attempt = frame["student"].to_numpy(), frame["attempt_number"].to_numpy()
    left = np.arange(0, first.size - 1, 2)
    left = left[
        (student[left] == student[left + 1])
        & (attempt[left] == attempt[left + 1])
        & (first[left] < first[left + 1])
        & (rng.random(left.size) < SWAP_SHARE)
    ]
    order = np.arange(first.size)
    order[left], order[left + 1] = left + 1, left
    return np.repeat(order, 1 + (rng.random(first.size) < DUPLICATE_SHARE))
