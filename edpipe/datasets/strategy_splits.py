"""Which attempts are trained on, validated on, and tested: by student, problem, both, file or time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.errors import TrainingError
from edpipe.settings import Settings

SplitKind = Literal["students", "published", "problems", "both", "time"]
Views = Literal["first", "all"]
SPLIT_KINDS: tuple[SplitKind, ...] = ("students", "published", "problems", "both", "time")
HELD_OUT_FILES = ("test", "master")
PARTS = ("train", "valid", "test")
# The part of attempts that are in none of the three.
OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, eq=False)
class StrategySplit:
    """Rows of :attr:`StrategyDataset.attempts`, rising, in three parts that do not overlap.

    Attempts in none of them are not looked at: later views where only first ones count, and with ``both``
    an old student on a new problem.
    """

    kind: SplitKind
    train: Places
    valid: Places
    test: Places

    @property
    def rows(self) -> Places:
        """Rows of all three parts, rising."""
        rows: Places = np.sort(np.concatenate([self.train, self.valid, self.test]))
        return rows

    def parts(self, num_attempts: int) -> pl.Series:
        """Return the part of each of a dataset's attempts: train, valid, test or outside."""
        part = np.full(num_attempts, OUTSIDE, dtype=object)
        for name in PARTS:
            part[getattr(self, name)] = name
        return pl.Series("split", part.tolist(), dtype=pl.String)


def split_strategies(
    dataset: StrategyDataset, settings: Settings, *, kind: SplitKind | None = None, views: Views | None = None
) -> StrategySplit:
    """Divide the attempts.

    ``students``: a student is wholly in one part, the part of every other table. ``published``: the test
    file is the test; validation attempts are drawn from the others as the publisher drew his, one problem of
    a student and section. ``problems``: a problem is wholly in one part. ``both``: test students on test
    problems, training students on training problems. ``time``: the last attempts of each student, in the
    order of the student; clocks of different students are never compared.

    Parameters
    ----------
    dataset
        Attempts.
    settings
        ``settings.split`` gives shares and salt; ``settings.strategy`` kind and views.
    kind, views
        Others than the settings'. Only first views are validated and tested with ``first``; later views are
        left out everywhere, since a student's second view is rarely like the first.

    Raises
    ------
    TrainingError
        If a part is empty.
    """
    kind = kind or settings.strategy.split
    views = views or settings.strategy.views
    split = settings.split
    if kind == "students":
        part = dataset.attempts["split"].to_numpy()
    elif kind == "published":
        part = _published(dataset, split.valid, split.salt)
    elif kind == "problems":
        part = _parts(_shares(dataset.problem_ids, split.salt)[dataset.problem], split.valid, split.test)
    elif kind == "both":
        of_problem = _parts(
            _shares(dataset.problem_ids, split.salt)[dataset.problem], split.valid, split.test
        )
        of_student = dataset.attempts["split"].to_numpy()
        part = np.where(of_problem == of_student, of_problem, "none")
    else:
        part = _by_time(dataset, split.valid, split.test)
    is_used = np.ones(dataset.num_attempts, dtype=bool)
    if views == "first":
        is_used = dataset.attempts["problem_view"].to_numpy() == 1
    rows = {name: np.flatnonzero((part == name) & is_used) for name in PARTS}
    empty = [name for name, found in rows.items() if not len(found)]
    if empty:
        raise TrainingError(
            f"The split by {kind} leaves no attempt for {' and '.join(empty)}.",
            where=f"setting `strategy.split`, source {dataset.source!r}",
            found=", ".join(f"{name} {len(found):,}" for name, found in rows.items()),
            expected="attempts in each part",
            next_step="Choose another `strategy.split`, or ingest more students.",
            state="Nothing was trained.",
        )
    return StrategySplit(kind, rows["train"], rows["valid"], rows["test"])


def _shares(words: tuple[str, ...], salt: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) of each word, by the rule of the SQL models: md5 of salt and word."""
    digits = (hashlib.md5(f"{salt}:{word}".encode(), usedforsecurity=False).hexdigest()[:8] for word in words)
    return np.fromiter((int(found, 16) / 2**32 for found in digits), dtype=np.float64, count=len(words))


def _parts(share: NDArray[np.float64], valid: float, test: float) -> NDArray[np.str_]:
    return np.where(share < test, "test", np.where(share < test + valid, "valid", "train"))


def _published(dataset: StrategyDataset, valid: float, salt: str) -> NDArray[np.str_]:
    held_out = dataset.attempts["published_split"].is_in(HELD_OUT_FILES).fill_null(value=False).to_numpy()
    words = dataset.attempts.select("student", "section").unique(maintain_order=True)
    share = _shares(tuple(f"{student}:{section}" for student, section in words.rows()), salt)
    chosen = words.filter(pl.Series(share < valid))
    # One problem of the student and section, the last that is not in the test file.
    last = (
        dataset.attempts.with_row_index("row")
        .filter(pl.Series(~held_out))
        .join(chosen, on=["student", "section"], how="semi")
        .group_by("student", "section")
        .agg(problem=pl.col("problem").sort_by("attempt_number").last())
    )
    in_valid = (
        dataset.attempts.with_row_index("row").join(last, on=["student", "section", "problem"], how="semi")
    )["row"]
    part = np.where(held_out, "test", "train").astype("<U5")
    place = in_valid.to_numpy()
    part[place[~held_out[place]]] = "valid"
    return part


def _by_time(dataset: StrategyDataset, valid: float, test: float) -> NDArray[np.str_]:
    share = dataset.attempts.select(
        (pl.int_range(pl.len()) + 0.5).over("student") / pl.len().over("student")
    ).to_series()
    left = 1 - share.to_numpy()
    return _parts(left, valid, test)
