"""Clicks of students with planted interests: how many, how old, how noisy; and what can be known at best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from edpipe.errors import SettingsError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIRST_SECOND: Final = 1_511_539_200  # 2017-11-25, where the published log begins
SECONDS_A_STEP: Final = 60
COMMON_TOPIC: Final = 0
FIRST_CATEGORY: Final = 1_000


@dataclass(frozen=True, slots=True)
class SyntheticInterests:
    """What was written, and the truth of it.

    Parameters
    ----------
    path
        The log, in the layout of Taobao's UserBehavior.
    interests
        ``student, topic``: one row a planted interest.
    items
        ``item, topic, category``; topic 0 is that of the common items.
    behaviors
        ``student, item, second, kind, round`` in order of each student; kind is ``first`` (a common item met
        for the first time), ``irrelevant`` (a common item again), ``interest`` or ``noise``.
    impressions
        ``student, round, item, clicked, probability``: in each round the item that was taken up and one drawn
        evenly from the other items not met before, with the chance that an item so shown is the one taken up,
        for who knows the interests and what was met before. Nobody can know more.
    """

    path: Path
    interests: pl.DataFrame
    items: pl.DataFrame
    behaviors: pl.DataFrame
    impressions: pl.DataFrame

    @property
    def bayes_auc(self) -> float:
        """Expected AUC of the true probabilities over the impressions: no model's can be higher."""
        return expected_auc(self.impressions["probability"].to_numpy())


def write_interests(
    folder: Path,
    *,
    num_students: int,
    num_interests: int = 3,
    age: int = 20,
    noise: float = 0.1,
    num_rounds: int = 20,
    num_topics: int = 20,
    items_per_topic: int = 40,
    num_common: int = 5,
    shows_topics: bool = True,
    seed: int = 7,
) -> SyntheticInterests:
    """Write the clicks of students whose next item follows from interests shown long before.

    A student first meets the common items, all at one time. Each round is then ``age`` further clicks on
    common items, which tell nothing, and one item not met before: of a random interest of the student or, at
    the noise rate, any. So whoever foretells that item finds the youngest behavior that tells of an interest
    ``age + 1`` behaviors back, and only the new items are first meetings, which next-item targets are.

    Parameters
    ----------
    folder
        Where ``synthetic_UserBehavior.csv`` goes.
    num_students
        Number of students.
    num_interests
        Topics that each student is interested in, all equally.
    age
        Irrelevant behaviors between two of interest.
    noise
        Share of new items that have nothing to do with the interests.
    num_rounds
        New items a student; at most ``items_per_topic``, so that no interest runs dry.
    num_topics, items_per_topic, num_common
        Size of the catalog.
    shows_topics
        Whether the category of an item is its topic; else it is drawn, and tells nothing.
    seed
        Seed of all draws; the same arguments give the same bytes.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    ranges = {
        "num_students": (num_students, 1, 10_000_000),
        "num_interests": (num_interests, 1, num_topics),
        "age": (age, 0, 1_000_000),
        "noise": (noise, 0, 1),
        "num_rounds": (num_rounds, 1, items_per_topic),
        "num_common": (num_common, 1, 1_000_000),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise SettingsError(
                "A number of the synthetic log is out of range.",
                where=f"argument `{name}`",
                found=str(value),
                expected=f"{least} to {most}",
                next_step="Choose another.",
                state="Nothing was written.",
            )
    rng = np.random.default_rng(seed)
    topic = np.concatenate(
        [np.full(num_common, COMMON_TOPIC), np.repeat(np.arange(1, num_topics + 1), items_per_topic)]
    )
    category = topic if shows_topics else rng.integers(0, num_topics + 1, topic.size)
    interests = np.stack(
        [1 + rng.choice(num_topics, num_interests, replace=False) for _ in range(num_students)]
    )
    rounds = [_draw_student(topic, of_student, num_rounds, noise, rng) for of_student in interests]
    behaviors = _behaviors(rounds, rng, age=age, num_common=num_common, num_rounds=num_rounds)
    items = pl.DataFrame(
        {"item": np.arange(1, topic.size + 1), "topic": topic, "category": category + FIRST_CATEGORY}
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "synthetic_UserBehavior.csv"
    behaviors.select(
        "student",
        "item",
        items["category"].gather(behaviors["item"] - 1),
        pl.lit("pv").alias("behavior"),
        "second",
    ).write_csv(path, include_header=False)
    return SyntheticInterests(
        path=path,
        interests=pl.DataFrame(
            {
                "student": np.repeat(np.arange(1, num_students + 1), num_interests),
                "topic": np.sort(interests, axis=1).ravel(),
            }
        ),
        items=items,
        behaviors=behaviors,
        impressions=_impressions(rounds, num_rounds),
    )


@dataclass(frozen=True, slots=True)
class _Rounds:
    """Rounds of one student: items, counted from 0, and the true chances."""

    taken: Ints
    other: Ints
    is_noise: npt.NDArray[np.bool_]
    taken_probability: Floats
    other_probability: Floats


def _draw_student(
    topic: Ints, interests: Ints, num_rounds: int, noise: float, rng: np.random.Generator
) -> _Rounds:
    """Draw the new items of one student, and beside each one that was not taken up."""
    is_left = topic != COMMON_TOPIC
    taken, other = np.empty(num_rounds, dtype=np.int64), np.empty(num_rounds, dtype=np.int64)
    chances = np.empty((2, num_rounds))
    is_noise = rng.random(num_rounds) < noise
    for place in range(num_rounds):
        chance = np.where(is_left, noise / is_left.sum(), 0.0)
        for interest in interests:
            of_interest = is_left & (topic == interest)
            chance[of_interest] += (1 - noise) / len(interests) / of_interest.sum()
        source = is_left if is_noise[place] else is_left & (topic == rng.choice(interests))
        taken[place] = rng.choice(np.flatnonzero(source))
        left = np.flatnonzero(is_left)
        other[place] = rng.choice(left[left != taken[place]])
        # The other item is even over all but the one taken up, so it falls on an item with this chance.
        shown = np.array([taken[place], other[place]])
        as_other = (1 - chance[shown]) / (left.size - 1)
        chances[:, place] = chance[shown] / (chance[shown] + as_other)
        is_left[taken[place]] = False
    return _Rounds(taken, other, is_noise, chances[0], chances[1])


def _behaviors(
    rounds: list[_Rounds], rng: np.random.Generator, *, age: int, num_common: int, num_rounds: int
) -> pl.DataFrame:
    """Return the behaviors of all students in order: common items first, a new one behind every ``age``."""
    size = num_rounds * (age + 1)
    is_new = np.arange(size) % (age + 1) == age
    parts = []
    for student, drawn in enumerate(rounds, 1):
        item = rng.integers(0, num_common, size)
        item[is_new] = drawn.taken
        kind = np.where(is_new, "interest", "irrelevant")
        kind[is_new] = np.where(drawn.is_noise, "noise", "interest")
        number = np.concatenate([np.zeros(num_common, dtype=np.int64), np.arange(1, size + 1)])
        parts.append(
            pl.DataFrame(
                {
                    "student": np.full(number.size, student),
                    "item": np.concatenate([np.arange(num_common), item]) + 1,
                    "second": FIRST_SECOND + SECONDS_A_STEP * number,
                    "kind": np.concatenate([np.full(num_common, "first"), kind]),
                    "round": np.concatenate(
                        [np.zeros(num_common, dtype=np.int64), np.arange(size) // (age + 1) + 1]
                    ),
                }
            )
        )
    return pl.concat(parts)


def _impressions(rounds: list[_Rounds], num_rounds: int) -> pl.DataFrame:
    number = np.tile(np.arange(1, num_rounds + 1), len(rounds))
    student = np.repeat(np.arange(1, len(rounds) + 1), num_rounds)
    sides = [
        pl.DataFrame(
            {
                "student": student,
                "round": number,
                "item": np.concatenate([getattr(one, side) for one in rounds]) + 1,
                "clicked": np.full(number.size, side == "taken"),
                "probability": np.concatenate([getattr(one, f"{side}_probability") for one in rounds]),
            }
        )
        for side in ("taken", "other")
    ]
    return pl.concat(sides).sort("student", "round", "clicked", descending=[False, False, True])


def expected_auc(probability: Floats) -> float:
    """Return the AUC that true probabilities have on average over the labels that they give.

    A row is a positive with its probability and a negative with the rest, so each pair of rows counts with
    the product of the two; ties count half.
    """
    order = np.argsort(probability, kind="stable")
    _, start = np.unique(probability[order], return_index=True)
    positive = np.add.reduceat(probability[order], start)
    negative = np.add.reduceat(1 - probability[order], start)
    below = np.cumsum(negative) - negative
    pairs = positive @ (below + negative / 2)
    return float(pairs / (positive.sum() * negative.sum()))
