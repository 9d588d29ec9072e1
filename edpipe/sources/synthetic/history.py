"""What a block of students is shown and when: bundle visits in sessions, and the rows they leave in KT1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit

from edpipe.sources.synthetic.contents import DAY_MILLISECONDS, Contents, Ints
from edpipe.sources.synthetic.students import FIRST_ACTION_DAY, LAST_DAY, Bools, Students

SOURCES: Final = (
    "sprint",
    "my_note",
    "diagnosis",
    "adaptive_offer",
    "review_quiz",
    "review",
    "tutor",
    "archive",
)
SOURCE_SHARES: Final = (0.76, 0.08, 0.0, 0.05, 0.05, 0.01, 0.05, 0.0)
DIAGNOSIS: Final = 2
PART_SHARES: Final = (0.10, 0.20, 0.08, 0.08, 0.42, 0.05, 0.07)
SECONDS_PER_QUESTION: Final = (22.0, 20.0, 24.0, 24.0, 22.0, 24.0, 45.0)
# Share of sessions that start in each hour, UTC: low at night in Seoul, highest in its evening.
HOUR_WEIGHTS: Final = (5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 7, 8, 10, 11, 11, 9, 6, 3, 2, 1, 1, 2, 3, 4)
WEEKEND_SKIPPED: Final = 0.35
VISITS_PER_SESSION: Final = 12.0
REPEAT_SHARE: Final = 0.01
ZERO_ELAPSED_SHARE: Final = 0.01
SHORT_VISIT_SHARE: Final = 0.02
EXPLANATION_SHARE: Final = 0.96
LECTURE_SHARE: Final = 0.036
SESSION_PAUSE: Final = 1_800_000


@dataclass(frozen=True, slots=True)
class Visits:
    """Bundle visits of a block, ordered by student and time; times in ms since 1970."""

    student: Ints
    solving_id: Ints
    bundle: Ints
    session: Ints
    is_repeat: Bools
    is_web: Bools
    source: Ints
    total_seconds: Ints
    enter: Ints
    submit: Ints
    explanation: Ints  # ms in the explanation, 0 for none
    lecture: Ints  # ms in a lecture afterwards, 0 for none


@dataclass(frozen=True, slots=True)
class Rows:
    """KT1 rows of a block before they are answered, in file order."""

    visit: Ints
    student: Ints
    item: Ints
    timestamp: Ints
    elapsed: Ints
    start: Ints  # students' first rows, and the number of rows at the end


def draw_visits(students: Students, contents: Contents, rng: np.random.Generator) -> Visits:
    """Draw the visits of a block of students."""
    student, bundle, rank = _choose_bundles(students, contents, rng)
    is_repeat = rng.random(student.size) < REPEAT_SHARE
    copies = 1 + is_repeat
    solving_id = np.repeat(rank + 1, copies)
    student, bundle = np.repeat(student, copies), np.repeat(bundle, copies)
    count = student.size
    is_repeat = np.concatenate([[False], (solving_id[1:] == solving_id[:-1]) & (student[1:] == student[:-1])])
    first = np.concatenate([[True], student[1:] != student[:-1]])
    length = VISITS_PER_SESSION * (1 + students.target / 600)
    starts = first | ((rng.random(count) < 1 / length[student]) & ~is_repeat)
    session = np.cumsum(starts) - 1
    in_diagnosis = solving_id <= np.minimum(10, 3 + students.number % 9)[student]
    session_source = rng.choice(len(SOURCES), session[-1] + 1, p=SOURCE_SHARES)
    session_web = rng.random(session[-1] + 1) < students.web_share[student[starts]]
    source = np.where(in_diagnosis, DIAGNOSIS, session_source[session])
    is_web = session_web[session]
    part, size = contents.bundle_part[bundle] - 1, contents.bundle_size[bundle]
    median = np.array(SECONDS_PER_QUESTION)[part] * size
    total_seconds = np.round(median * rng.lognormal(0.0, 0.5, count)).astype(np.int64)
    total_seconds[rng.random(count) < ZERO_ELAPSED_SHARE] = 0
    # The clock of the app starts late and stops early: about 3 s on mobile, 5 s for several questions,
    # under 1 s on web.
    overhead = np.where(is_web, 900.0, np.where(size > 1, 5_000.0, 3_200.0)) * rng.lognormal(0.0, 0.4, count)
    duration = total_seconds * 1_000 + overhead.astype(np.int64)
    explained = (rng.random(count) < EXPLANATION_SHARE) & ~in_diagnosis
    explanation = np.where(explained, 1_000 + 14_000 * rng.lognormal(0.0, 0.8, count), 0).astype(np.int64)
    lectured = (rng.random(count) < LECTURE_SHARE) & ~in_diagnosis
    lecture = np.where(lectured, rng.integers(60_000, 900_000, count), 0)
    after = explanation + lecture + rng.integers(100, 3_000, count)
    enter = _draw_times(students, student, starts, duration + after, rng)
    return Visits(
        student=student,
        solving_id=solving_id,
        bundle=bundle,
        session=session,
        is_repeat=is_repeat,
        is_web=is_web,
        source=source,
        total_seconds=total_seconds,
        enter=enter,
        submit=enter + duration,
        explanation=explanation,
        lecture=lecture,
    )


def draw_rows(visits: Visits, num_students: int, contents: Contents, rng: np.random.Generator) -> Rows:
    """Lay out one row a question of every visit, in order of arrival.

    Rows of one visit arrive together, shortly before its submit, some ms apart; ``elapsed`` is the
    visit's whole seconds divided by the size of the bundle.
    """
    size = contents.bundle_size[visits.bundle]
    visit = np.repeat(np.arange(size.size), size)
    begin = np.cumsum(size) - size
    # Sorting by visit + noise shuffles the questions inside every visit.
    within = np.argsort(visit + rng.random(visit.size) * 0.99) - begin[visit]
    place = np.arange(visit.size) - begin[visit]
    short = (rng.random(size.size) < SHORT_VISIT_SHARE) & (size > 1)
    kept = ~(short[visit] & (place == size[visit] - 1))
    visit, within, place = visit[kept], within[kept], place[kept]
    lag = np.where(visits.is_web, 200.0, 2_100.0) * rng.lognormal(0.0, 0.6, size.size)
    lag = np.minimum(np.minimum(lag, 10_500), visits.submit - visits.enter).astype(np.int64)
    step = rng.integers(0, 4, size.size)
    student = visits.student[visit]
    return Rows(
        visit=visit,
        student=student,
        item=contents.bundle_first[visits.bundle[visit]] + within,
        timestamp=visits.submit[visit] - lag[visit] + step[visit] * place,
        elapsed=visits.total_seconds[visit] * 1_000 // size[visit],
        start=np.searchsorted(student, np.arange(num_students + 1)),
    )


def _choose_bundles(
    students: Students, contents: Contents, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Return student, bundle and rank of every visit, enough to reach each student's target."""
    student = np.repeat(np.arange(len(students)), students.target)
    begin = np.cumsum(students.target) - students.target
    weights = np.array(PART_SHARES) * rng.gamma(2.0, 1.0, (len(students), len(PART_SHARES)))
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    draw = rng.random(student.size)
    part = np.zeros(student.size, dtype=np.int64)
    for edge in edges[:, :-1].T:
        part += draw > edge[student]
    # Bundles of each part in one row of positions; low positions are drawn more often.
    order = np.argsort(contents.bundle_part, kind="stable")
    first = np.searchsorted(contents.bundle_part[order], np.arange(1, 9))
    popularity = rng.random(student.size) ** 1.6
    bundle = order[first[part] + (popularity * np.diff(first)[part]).astype(np.int64)]
    total = np.cumsum(contents.bundle_size[bundle])
    before = total - contents.bundle_size[bundle]
    kept = before - before[begin][student] < students.target[student]
    rank = (np.arange(student.size) - begin[student])[kept]
    return student[kept], bundle[kept], rank


def _draw_times(
    students: Students, student: Ints, starts: Bools, taken: Ints, rng: np.random.Generator
) -> Ints:
    """Return when each visit begins: sessions by day and hour, visits one after the other."""
    owner = student[starts]
    count = owner.size
    sessions = np.bincount(owner, minlength=len(students))
    gap = rng.exponential(1.6, count) * np.where(rng.random(count) < 0.08, 10.0, 1.0)
    gap[np.concatenate([[True], owner[1:] != owner[:-1]])] = 0.0
    spread = np.bincount(owner, weights=gap, minlength=len(students))
    room = np.maximum(LAST_DAY - students.first_day - 1, 1)
    gap *= np.minimum(1.0, room / np.maximum(spread, 1e-9))[owner]
    total = np.cumsum(gap)
    begin = np.cumsum(sessions) - sessions
    day = students.first_day[owner] + np.floor(total - total[begin][owner]).astype(np.int64)
    weekend = (day + 3) % 7 - 4  # 1970-01-01 was a Thursday: 1 on Saturday, 2 on Sunday
    moved = (weekend > 0) & (rng.random(count) < WEEKEND_SKIPPED) & (day < LAST_DAY - 2)
    day += np.where(moved, 3 - weekend, 0)
    weights = np.array(HOUR_WEIGHTS) / sum(HOUR_WEIGHTS)
    hour = rng.choice(24, count, p=weights) + rng.random(count)
    wanted = day * DAY_MILLISECONDS + (hour * DAY_MILLISECONDS / 24).astype(np.int64)
    enter: Ints = _chain(student, starts, wanted, taken)
    return enter


def _chain_visits(student: Ints, starts: Bools, wanted: Ints, taken: Ints) -> Ints:
    """Place visits after each other; a session waits until the one before it is over."""
    enter = np.empty_like(taken)
    session = -1
    now = 0
    for visit in range(student.size):
        if starts[visit]:
            session += 1
            is_new = visit == 0 or student[visit] != student[visit - 1]
            now = wanted[session] if is_new else max(wanted[session], now + SESSION_PAUSE)
        enter[visit] = now
        now += taken[visit]
    return enter


_chain: Any = njit(cache=True)(_chain_visits)


def draw_logged(visits: Visits, students: Students, rng: np.random.Generator) -> Bools:
    """Return which visits KT2 to KT4 hold: whole sessions, of some students, from 2018-08-27 on."""
    _, first = np.unique(visits.session, return_index=True)
    owner = visits.student[first]
    in_time = visits.enter[first] >= FIRST_ACTION_DAY * DAY_MILLISECONDS
    logged = students.has_actions[owner] & in_time & (rng.random(first.size) < students.log_share[owner])
    # A student with actions keeps at least the last session.
    last = np.concatenate([owner[1:] != owner[:-1], [True]])
    logged |= last & in_time & students.has_actions[owner]
    return np.asarray(logged[visits.session], dtype=np.bool_)
