"""KT4 actions of the logged visits, by a state machine whose contexts never nest or interleave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from edpipe.sources.synthetic.action_log import NONE, ActionLog, Labels
from edpipe.sources.synthetic.contents import LETTERS, Contents, Floats, Ints
from edpipe.sources.synthetic.history import SOURCES, Rows, Visits
from edpipe.sources.synthetic.learning import Answers
from edpipe.sources.synthetic.students import Bools

ACTIONS: Final = (
    "enter",
    "respond",
    "submit",
    "quit",
    "play_audio",
    "pause_audio",
    "play_video",
    "pause_video",
    "erase_choice",
    "undo_erase_choice",
    "pay",
    "refund",
    "enroll_coupon",
)
(
    ENTER,
    RESPOND,
    SUBMIT,
    QUIT,
    PLAY_AUDIO,
    PAUSE_AUDIO,
    PLAY_VIDEO,
    PAUSE_VIDEO,
    ERASE,
    UNDO,
    PAY,
    REFUND,
    COUPON,
) = range(len(ACTIONS))
KT3_ACTIONS: Final = ("enter", "respond", "submit", "quit")
KT3_COLUMNS: Final = ("timestamp", "action_type", "item_id", "source", "user_answer", "platform")
ADAPTIVE_OFFER: Final = SOURCES.index("adaptive_offer")
ARCHIVE: Final = SOURCES.index("archive")

# Shares of questions whose answer is logged: single ones; on mobile the first of several, which stands
# for a third of them; on web.
LOGGED_SINGLE: Final = 0.98
LOGGED_FIRST: Final = 0.92
LOGGED_LATER: Final = 0.04
LOGGED_WEB: Final = 0.93
SILENT_SHARE: Final = 0.03  # submits without any respond
OTHER_ANSWER_SHARE: Final = 0.016  # last respond differs from KT1
CHANGED_SHARE: Final = 0.12
ERASED_SHARE: Final = 0.18
UNDONE_SHARE: Final = 0.1
HEARD_AGAIN_SHARE: Final = 0.3
READER_SHARE: Final = 0.002
DUPLICATED_RESPONDS: Final = 0.003
DUPLICATED_OTHERS: Final = 0.004


@dataclass(frozen=True, slots=True)
class Actions:
    """KT4 of a block: the file's rows in order, and whose they are."""

    frame: pl.DataFrame
    student: Ints
    is_duplicate: Bools


def draw_actions(
    visits: Visits,
    rows: Rows,
    answers: Answers,
    logged: Bools,
    contents: Contents,
    labels: Labels,
    rng: np.random.Generator,
) -> Actions:
    """Draw the actions of the visits in ``logged``.

    Every enter has its submit or quit. Students who only read keep explanations and lectures.
    """
    log = ActionLog()
    chosen = np.flatnonzero(logged)
    heard = contents.bundle_part[visits.bundle] <= 4
    reads = (visits.explanation > 0) | (visits.lecture > 0)
    readers = rng.random(visits.student.max(initial=0) + 1) < READER_SHARE
    readers &= np.bincount(visits.student[logged & reads], minlength=readers.size) > 0
    solved = chosen[~readers[visits.student[chosen]]]
    source = visits.source
    _add_bundles(log, visits, solved, heard, rng)
    _add_answers(log, visits, rows, answers, solved, contents, labels, rng)
    explained = chosen[visits.explanation[chosen] > 0]
    begin = visits.submit[explained] + 40
    end = visits.submit[explained] + visits.explanation[explained]
    item = labels.explanation + visits.bundle[explained]
    log.add(explained, begin, 60, ENTER, item, source=source[explained])
    log.add(explained, end, 90, QUIT, item, source=source[explained])
    again = heard[explained] & (rng.random(explained.size) < HEARD_AGAIN_SHARE)
    _add_media(log, visits, explained[again], begin[again], end[again], 70, (0.1, 0.7))
    _add_lectures(log, visits, chosen[visits.lecture[chosen] > 0], labels, rng)
    _add_payments(log, visits, chosen, labels, rng)
    return _duplicated(log.columns(), visits, labels, rng)


def _add_bundles(
    log: ActionLog, visits: Visits, solved: Ints, heard: Bools, rng: np.random.Generator
) -> None:
    source = visits.source[solved]
    log.add(solved, visits.enter[solved], 0, ENTER, visits.bundle[solved], source=source)
    log.add(solved, visits.submit[solved], 50, SUBMIT, visits.bundle[solved], source=source)
    listened = solved[heard[solved]]
    _add_media(log, visits, listened, visits.enter[listened], visits.submit[listened], 5, (0.02, 0.4))
    again = listened[rng.random(listened.size) < HEARD_AGAIN_SHARE]
    _add_media(log, visits, again, visits.enter[again], visits.submit[again], 7, (0.42, 0.5))


def _add_media(
    log: ActionLog,
    visits: Visits,
    visit: Ints,
    begin: Ints,
    end: Ints,
    rank: int,
    between: tuple[float, float],
) -> None:
    """Play and pause the audio of a bundle between two fractions of a context."""
    width = end - begin
    play = begin + (width * between[0]).astype(np.int64)
    pause = begin + (width * between[1]).astype(np.int64)
    item, source = visits.bundle[visit], visits.source[visit]
    log.add(visit, play, rank, PLAY_AUDIO, item, source=source, cursor=0)
    log.add(visit, pause, rank + 1, PAUSE_AUDIO, item, source=source, cursor=pause - play)


def _add_answers(
    log: ActionLog,
    visits: Visits,
    rows: Rows,
    answers: Answers,
    solved: Ints,
    contents: Contents,
    labels: Labels,
    rng: np.random.Generator,
) -> None:
    speaks = np.zeros(visits.bundle.size, dtype=np.bool_)
    speaks[solved] = rng.random(solved.size) >= SILENT_SHARE
    row = np.flatnonzero(speaks[rows.visit])
    visit = rows.visit[row]
    first = np.searchsorted(rows.visit, visit)
    place = row - first
    several = contents.bundle_size[visits.bundle[visit]] > 1
    share = np.where(
        several,
        np.where(visits.is_web[visit], LOGGED_WEB, np.where(place == 0, LOGGED_FIRST, LOGGED_LATER)),
        LOGGED_SINGLE,
    )
    kept = answers.is_answered[row] & (rng.random(row.size) < share)
    row, visit, place = row[kept], visit[kept], place[kept]
    width = (visits.submit - visits.enter)[visit]
    # Answers of a bundle come one after the other in the last third of the visit.
    part = 0.62 + 0.3 * (place + rng.random(row.size)) / 8
    item, source = labels.question + rows.item[row], visits.source[visit]
    options = np.where(contents.part[rows.item[row]] == 2, 3, 4)
    other = (answers.choice[row] + 1 + (rng.random(row.size) * (options - 1)).astype(np.int64)) % options
    last = np.where(rng.random(row.size) < OTHER_ANSWER_SHARE, other, answers.choice[row])

    def add(chosen: Bools, fraction: Floats | float, rank: int, action: int, choice: Ints) -> None:
        at = visits.enter[visit] + (width * fraction).astype(np.int64)
        log.add(
            visit[chosen],
            at[chosen],
            rank,
            action,
            item[chosen],
            source=source[chosen],
            choice=choice[chosen],
        )

    everything = np.ones(row.size, dtype=np.bool_)
    add(everything, part, 20, RESPOND, last)
    changed = rng.random(row.size) < CHANGED_SHARE
    add(changed, part - 0.05, 15, RESPOND, other)
    erased = rng.random(row.size) < ERASED_SHARE
    add(erased, part - 0.09, 10, ERASE, other)
    undone = erased & visits.is_web[visit] & (rng.random(row.size) < UNDONE_SHARE)
    add(undone, part - 0.07, 12, UNDO, other)


def _add_lectures(
    log: ActionLog, visits: Visits, watched: Ints, labels: Labels, rng: np.random.Generator
) -> None:
    item = labels.lecture + rng.integers(0, labels.num_lectures, watched.size)
    source = np.where(rng.random(watched.size) < 0.3, ADAPTIVE_OFFER, ARCHIVE)
    begin = visits.submit[watched] + visits.explanation[watched] + 20
    length = visits.lecture[watched] - 20
    play, pause = begin + 400, begin + (length * 0.9).astype(np.int64)
    log.add(watched, begin, 91, ENTER, item, source=source)
    log.add(watched, play, 92, PLAY_VIDEO, item, source=source, cursor=0)
    log.add(watched, pause, 93, PAUSE_VIDEO, item, source=source, cursor=pause - play)
    log.add(watched, begin + length, 94, QUIT, item, source=source)


def _add_payments(
    log: ActionLog, visits: Visits, chosen: Ints, labels: Labels, rng: np.random.Generator
) -> None:
    draw = rng.random(chosen.size)
    for action, low, high, first, count in (
        (PAY, 0.0, 0.0016, labels.payment, 190),
        (REFUND, 0.0016, 0.00167, labels.payment, 190),
        (COUPON, 0.00167, 0.0017, labels.coupon, 91),
    ):
        visit = chosen[(draw >= low) & (draw < high)]
        log.add(visit, visits.enter[visit] - 30, NONE, action, first + rng.integers(0, count, visit.size))


def _duplicated(
    columns: dict[str, Ints], visits: Visits, labels: Labels, rng: np.random.Generator
) -> Actions:
    """Repeat a few rows exactly, as the published files do, and give the columns their names."""
    action = columns["action"]
    share = np.select(
        [action == RESPOND, (action >= PLAY_AUDIO) & (action <= UNDO)],
        [DUPLICATED_RESPONDS, DUPLICATED_OTHERS],
    )
    twice = rng.random(action.size) < share
    # So that even a small archive has one.
    twice[np.flatnonzero(action == RESPOND)[:1]] = True
    copies = np.repeat(np.arange(action.size), 1 + twice)
    is_duplicate = np.concatenate([[False], copies[1:] == copies[:-1]]) if copies.size else twice
    columns = {name: column[copies] for name, column in columns.items()}
    visit, source = columns["visit"], columns["source"]
    platform = np.where(source == NONE, NONE, visits.is_web[visit].astype(np.int64))
    frame = pl.DataFrame(
        {
            "timestamp": columns["time"],
            "action_type": _named(columns["action"], ACTIONS),
            "item_id": labels.ids.gather(columns["item"]),
            "cursor_time": pl.Series(columns["cursor"]).replace(NONE, None),
            "source": _named(source, SOURCES),
            "user_answer": _named(columns["choice"], LETTERS),
            "platform": _named(platform, ("mobile", "web")),
        }
    )
    return Actions(frame=frame, student=visits.student[visit], is_duplicate=is_duplicate)


def _named(codes: Ints, names: tuple[str, ...]) -> pl.Series:
    """Return names for codes from 0, null for ``NONE``."""
    return pl.Series([*names, None], dtype=pl.String).gather(np.where(codes == NONE, len(names), codes))


def is_kt3(frame: pl.DataFrame) -> pl.Series:
    """Return which KT4 rows stand in KT3."""
    return frame["action_type"].is_in(KT3_ACTIONS)


def is_kt2(frame: pl.DataFrame) -> pl.Series:
    """Return which KT4 rows stand in KT2."""
    return is_kt3(frame) & frame["item_id"].str.contains("^[bq]")
