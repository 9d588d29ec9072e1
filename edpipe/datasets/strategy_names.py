"""Likeness of problem names: what was done at problems with like names speaks for a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from edpipe.datasets.strategy import Ints, Places
from edpipe.datasets.strategy_history import Singles
from edpipe.datasets.strategy_memory import UNSEEN, StrategyCounts

Floats = NDArray[np.float64]

# An attempt at a problem weighs ((likeness + LEAST) / (1 + LEAST)) ** POWER: 1 at the problem itself.
LEAST_LIKENESS = 0.02
POWER = 8
# Shares that differ by less are equal, and the strategy met first comes first.
SHARE_DIGITS = 9
# Numbers of a matrix that are in memory at once.
CHUNK_NUMBERS = 2_000_000


class ProblemNames(NamedTuple):
    """Names of problems, and the code of the section of each, ``UNSEEN`` where it has none.

    ``known`` is the code of each among the problems of the training attempts that are counted apart from
    the others, ``UNSEEN`` where it has none.
    """

    names: tuple[str, ...]
    section: Ints
    known: Ints


@dataclass(frozen=True, slots=True, eq=False)
class NamedCounts:
    """Attempts at problems of the section, by strategy; those at problems with like names weigh most.

    Attempts at the asked problem itself, where it has a code, are left out of all sums: each weighs 1, and
    is counted without rounding elsewhere.

    Attributes
    ----------
    strategy
        Strategies that weigh most for each problem asked about, the problem itself counted in, heaviest
        first, of equals the one met first; ``UNSEEN`` where there are fewer. Shape ``(num_asked, num_kept)``.
    weight
        Sum of the weights of the attempts that followed it. Shape ``(num_asked, num_kept)``.
    groups
        The same, each attempt divided among mastery groups. Shape ``(num_asked, num_kept, num_groups)``.
    total, squared
        Sum of the weights of all attempts in the section, and of their squares. Shape ``(num_asked,)``.
    total_groups
        Sum of the weights by group. Shape ``(num_asked, num_groups)``.
    """

    strategy: Ints
    weight: Floats
    groups: Singles
    total: Floats
    squared: Floats
    total_groups: Singles

    @classmethod
    def of(
        cls, asked: ProblemNames, known: ProblemNames, counts: StrategyCounts, num_kept: int
    ) -> NamedCounts:
        """Weigh the strategies followed at known problems for each problem asked about.

        Parameters
        ----------
        asked
            Problems asked about.
        known
            Problems of the training attempts, with the same codes of sections.
        counts
            Who followed what how often at each known problem.
        num_kept
            Most strategies kept for a problem.
        """
        num_asked, num_groups = len(asked.names), counts.total_groups.shape[1]
        found = cls(
            strategy=np.full((num_asked, num_kept), UNSEEN, dtype=np.int32),
            weight=np.zeros((num_asked, num_kept)),
            groups=np.zeros((num_asked, num_kept, num_groups), dtype=np.float32),
            total=np.zeros(num_asked),
            squared=np.zeros(num_asked),
            total_groups=np.zeros((num_asked, num_groups), dtype=np.float32),
        )
        for here, there in _sections(asked, known):
            found._fill(asked, known, counts, here, there)
        return found

    def _fill(
        self, asked: ProblemNames, known: ProblemNames, counts: StrategyCounts, here: Places, there: Places
    ) -> None:
        """Weigh for the problems ``here`` what was done at the problems ``there``, all of one section."""
        length = counts.start[there + 1] - counts.start[there]
        owner = np.repeat(np.arange(len(there)), length)
        entry = np.arange(len(owner)) + np.repeat(counts.start[there] - np.cumsum(length) + length, length)
        numbers, column = np.unique(counts.strategy[entry], return_inverse=True)
        shape = (len(there), len(numbers))
        followed, *by_group = (
            sparse.csr_array((values, (owner, column)), shape=shape)
            for values in (counts.count[entry].astype(np.float64), *counts.groups[entry].T)
        )
        num_kept = min(self.strategy.shape[1], len(numbers))
        ours, theirs = _trigrams(
            [[names.names[one] for one in places] for names, places in ((asked, here), (known, there))]
        )
        step = max(1, CHUNK_NUMBERS // max(shape))
        for at in range(0, len(here), step):
            rows = here[at : at + step]
            weight = name_weights(_likeness(ours[at : at + step], theirs))
            is_same = asked.known[rows][:, None] == there
            sums = weight @ followed
            kept = _heaviest(sums / (weight @ counts.total[there])[:, None], num_kept)
            weight[is_same] = 0.0
            sums = weight @ followed
            self.total[rows] = weight @ counts.total[there]
            self.squared[rows] = np.square(weight) @ counts.total[there]
            self.total_groups[rows] = weight @ counts.total_groups[there]
            self.strategy[rows, :num_kept] = numbers[kept]
            self.weight[rows, :num_kept] = np.take_along_axis(sums, kept, axis=1)
            for group, matrix in enumerate(by_group):
                self.groups[rows, :num_kept, group] = np.take_along_axis(weight @ matrix, kept, axis=1)


def problem_names(
    problem_ids: Sequence[str], section_ids: Sequence[str], section: NDArray[np.integer]
) -> tuple[str, ...]:
    """Return the name of each problem: its id without the section's id and the slash after it."""
    return tuple(
        name.removeprefix(f"{section_ids[code]}/") for name, code in zip(problem_ids, section, strict=True)
    )


def name_weights(likeness: Floats) -> Floats:
    """Return how much attempts at problems with names so like the one asked about weigh, in (0, 1]."""
    weights: Floats = ((likeness + LEAST_LIKENESS) / (1 + LEAST_LIKENESS)) ** POWER
    return weights


def _sections(asked: ProblemNames, known: ProblemNames) -> Iterator[tuple[Places, Places]]:
    """Yield the places of asked and known problems of each section that has both."""
    for section in np.intersect1d(asked.section, known.section):
        if section != UNSEEN:
            yield np.flatnonzero(asked.section == section), np.flatnonzero(known.section == section)


def _trigrams(groups: list[list[str]]) -> list[Any]:
    """Return which runs of three characters each name holds, in columns that all groups share."""
    codes: dict[str, int] = {}
    found = []
    for names in groups:
        ends = [f"^^{name.lower()}$" for name in names]
        held = [
            sorted({codes.setdefault(text[at : at + 3], len(codes)) for at in range(len(text) - 2)})
            for text in ends
        ]
        found.append(held)
    return [
        sparse.csr_array(
            (
                np.ones(sum(map(len, held))),
                np.array([code for row in held for code in row], dtype=np.int64),
                np.cumsum([0, *map(len, held)]),
            ),
            shape=(len(held), len(codes)),
        )
        for held in found
    ]


def _likeness(ours: Any, theirs: Any) -> Floats:
    """Return the share that each pair of names has in common of all that either holds."""
    common = (ours @ theirs.T).toarray()
    likeness: Floats = common / (ours.sum(axis=1)[:, None] + theirs.sum(axis=1)[None, :] - common)
    return likeness


def _heaviest(share: Floats, number: int) -> Places:
    """Return the places of the greatest shares of each row, falling; of equal ones the first."""
    # A step far below what tells two shares apart makes equal ones fall from the left to the right.
    step = 0.1**SHARE_DIGITS / (2 * share.shape[1])
    rank = np.arange(share.shape[1]) * step - np.round(share, SHARE_DIGITS)
    places = np.argpartition(rank, number - 1, axis=1)[:, :number]
    order = np.take_along_axis(rank, places, axis=1).argsort(axis=1)
    return np.take_along_axis(places, order, axis=1)
