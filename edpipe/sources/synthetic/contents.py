"""Questions, bundles, lectures, payments and coupons in the shape of EdNet's contents tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from edpipe.errors import SettingsError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FEWEST_ITEMS: Final = 20
LETTERS: Final = ("a", "b", "c", "d")
# Counts of the published tables: questions a part, sizes of the bundles of part 7, tags a question
# outside parts 5 and 6, and the share of questions without a tag.
QUESTIONS_PER_PART: Final = (643, 1662, 1266, 1158, 5703, 1335, 1402)
BUNDLE_SIZE: Final = (1, 1, 3, 3, 1, 4, 0)
PART_7_SIZES: Final = ((2, 3, 4, 5), (94 / 385, 76 / 385, 89 / 385, 126 / 385))
TAGS_PER_QUESTION: Final = ((1, 2, 3, 4, 5, 6, 7), (0.03, 0.03, 0.51, 0.32, 0.08, 0.02, 0.01))
UNTAGGED_SHARE: Final = (0.0, 0.0, 0.0, 0.0, 0.077, 0.09, 0.17)
REPEATED_TAG_SHARE: Final = 0.015
MOST_TAGS: Final = 188
LARGEST_TAG: Final = 300
UNDATED_SHARE: Final = 0.16
FIRST_DEPLOYED: Final = 1_497_571_200_000  # 2017-06-16
LAST_DEPLOYED: Final = 1_574_035_200_000  # 2019-11-18
DAY_MILLISECONDS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Contents:
    """The item bank with the parameters that generate answers.

    Questions are numbered from 0 in file order, and so are bundles; the questions of a bundle follow
    each other. ``kc_start[i]:kc_start[i + 1]`` are the positions in ``item_kcs`` of question ``i``.
    """

    questions: pl.DataFrame
    lectures: pl.DataFrame
    payments: pl.DataFrame
    coupons: pl.DataFrame
    part: Ints
    bundle: Ints
    bundle_number: Ints
    bundle_part: Ints
    bundle_first: Ints
    bundle_size: Ints
    correct: Ints
    difficulty: Floats
    discrimination: Floats
    kc_numbers: Ints
    kc_start: Ints
    item_kcs: Ints

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the four published tables by the stem of their file name."""
        return {
            "questions": self.questions,
            "lectures": self.lectures,
            "payments": self.payments,
            "coupons": self.coupons,
        }


def make_contents(num_items: int, rng: np.random.Generator) -> Contents:
    """Draw an item bank of ``num_items`` questions over the seven parts.

    Raises
    ------
    SettingsError
        If there are too few questions for seven parts.
    """
    if num_items < FEWEST_ITEMS:
        raise SettingsError(
            "There are too few synthetic questions.",
            where="`num_items`",
            found=str(num_items),
            expected=f"at least {FEWEST_ITEMS}, so that every part has its bundles",
            next_step="Ask for more questions.",
        )
    bundle_part, bundle_size = _draw_bundles(num_items, rng)
    part = np.repeat(bundle_part, bundle_size)
    bundle = np.repeat(np.arange(bundle_size.size), bundle_size)
    options = np.where(part == 2, 3, 4)
    correct = rng.integers(0, options)
    kc_numbers, kc_start, item_kcs, tags = _draw_tags(part, rng)
    bundle_number = _sparse_numbers(bundle_size.size, 12_206 / 9_534, rng)
    question_number = _sparse_numbers(num_items, 18_143 / 13_169, rng)
    questions = pl.DataFrame(
        {
            "question_id": [f"q{number}" for number in question_number],
            "bundle_id": [f"b{number}" for number in bundle_number[bundle]],
            "explanation_id": [f"e{number}" for number in bundle_number[bundle]],
            "correct_answer": [LETTERS[answer] for answer in correct],
            "part": part,
            "tags": tags,
            "deployed_at": np.where(
                rng.random(num_items) < UNDATED_SHARE,
                -1,
                np.sort(rng.integers(FIRST_DEPLOYED, LAST_DEPLOYED, num_items)),
            ),
        }
    )
    return Contents(
        questions=questions,
        lectures=_draw_lectures(max(8, num_items // 13), kc_numbers, rng),
        payments=_draw_payments(rng),
        coupons=_draw_coupons(rng),
        part=part,
        bundle=bundle,
        bundle_number=bundle_number,
        bundle_part=bundle_part,
        bundle_first=np.cumsum(bundle_size) - bundle_size,
        bundle_size=bundle_size,
        correct=correct,
        difficulty=rng.normal(-0.6, 0.9, num_items),
        discrimination=rng.lognormal(0.0, 0.25, num_items),
        kc_numbers=kc_numbers,
        kc_start=kc_start,
        item_kcs=item_kcs,
    )


def _draw_bundles(num_items: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return part and size of every bundle, in the mixed order of their numbers."""
    shares = np.array(QUESTIONS_PER_PART) * num_items / sum(QUESTIONS_PER_PART)
    counts = np.maximum(1, np.floor(shares).astype(np.int64))
    counts[4] += num_items - counts.sum()  # part 5 has single questions only, so it takes the rest
    parts, sizes = [], []
    for index, count in enumerate(counts):
        left = int(count)
        while left > 0:
            size = BUNDLE_SIZE[index] or int(rng.choice(PART_7_SIZES[0], p=PART_7_SIZES[1]))
            sizes.append(min(size, left))
            parts.append(index + 1)
            left -= sizes[-1]
    order = rng.permutation(len(sizes))
    return np.array(parts, dtype=np.int64)[order], np.array(sizes, dtype=np.int64)[order]


def _draw_tags(part: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints, list[str]]:
    """Return KC numbers, the questions' KC sets as positions, and the published tag strings."""
    num_kcs = int(np.clip(part.size // 10, 12, MOST_TAGS))
    numbers = np.sort(rng.choice(np.arange(1, LARGEST_TAG + 1), num_kcs, replace=False))
    # Every part draws from its own half of the KCs, so KCs are shared by parts but not by all.
    pools = [rng.choice(num_kcs, max(7, num_kcs // 2), replace=False) for _ in range(7)]
    sizes = rng.choice(TAGS_PER_QUESTION[0], part.size, p=TAGS_PER_QUESTION[1])
    sizes = np.where((part == 5) | (part == 6), 1, sizes)
    untagged = rng.random(part.size) < np.array(UNTAGGED_SHARE)[part - 1]
    repeats = rng.random(part.size) < REPEATED_TAG_SHARE
    sets: list[Ints] = []
    texts: list[str] = []
    for index in range(part.size):
        chosen = (
            np.empty(0, dtype=np.int64)
            if untagged[index]
            else rng.choice(pools[part[index] - 1], sizes[index], replace=False).astype(np.int64)
        )
        shown = [str(numbers[kc]) for kc in chosen]
        if repeats[index] and len(shown) > 1:
            shown.append(shown[0])
        sets.append(chosen)
        texts.append(";".join(shown) or "-1")
    start = np.concatenate([[0], np.cumsum([chosen.size for chosen in sets])])
    return numbers.astype(np.int64), start.astype(np.int64), np.concatenate(sets).astype(np.int64), texts


def _sparse_numbers(count: int, ratio: float, rng: np.random.Generator) -> Ints:
    """Return ``count`` rising numbers from 1 whose largest is near ``ratio * count``."""
    gaps = 1 + (rng.random(count) < (ratio - 1) / 2) * rng.integers(1, 4, count)
    gaps[0] = 1
    return np.cumsum(gaps).astype(np.int64)


def _draw_lectures(count: int, kc_numbers: Ints, rng: np.random.Generator) -> pl.DataFrame:
    numbers = _sparse_numbers(count, 1_339 / 1_021, rng)
    part = rng.choice(
        np.array([0, 1, 2, 3, 4, 5, 6, 7]), count, p=np.array([35, 60, 90, 30, 41, 187, 98, 43]) / 584
    )
    known = rng.random(count) < 584 / 1_021
    known[: count // 2] |= ~known.any()
    only_lectures = rng.integers(1, LARGEST_TAG + 1, count)
    tags = np.where(rng.random(count) < 0.6, rng.choice(kc_numbers, count), only_lectures)
    return pl.DataFrame(
        {
            "lecture_id": [f"l{number}" for number in numbers],
            "part": np.where(known, part, -1),
            "tags": np.where(known, tags, -1),
            "video_length": np.where(
                known & (rng.random(count) < 0.93), rng.integers(84, 1_043, count) * 1_000, -1
            ),
            "deployed_at": np.where(
                known & (rng.random(count) < 0.97),
                np.sort(rng.integers(FIRST_DEPLOYED, LAST_DEPLOYED, count)),
                -1,
            ),
        }
    )


def _draw_payments(rng: np.random.Generator) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number in range(1, 191):
        row = {"payment_item_id": f"p{number}", "type": "pass", "duaration": -1, "number_of_questions": -1}
        if number in {4, 5, 6}:
            row |= {"type": "paygo", "number_of_questions": 2_000 if number == 4 else 4_000}
        elif number % 13 == 0:
            row |= {"type": "-1"}
        else:
            row |= {"duaration": int(rng.integers(1, 731)) * DAY_MILLISECONDS}
        rows.append(row)
    return pl.DataFrame(rows)


def _draw_coupons(rng: np.random.Generator) -> pl.DataFrame:
    durations = [1_000_000, *(int(days) * DAY_MILLISECONDS for days in rng.integers(1, 10_001, 90))]
    return pl.DataFrame(
        {
            "coupon_id": [f"c{number}" for number in range(1, 92)],
            "coupon_type": [f"type-{kind}" for kind in rng.integers(0, 8, 91)],
            "duration": durations,
        }
    )
