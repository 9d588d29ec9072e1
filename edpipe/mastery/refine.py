"""Clusters from coarse to fine: only those whose strategies differ are split at the next smaller radius."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from sklearn.metrics import adjusted_rand_score

from edpipe.datasets.strategy import Ints, Places
from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_kernels import Floats
from edpipe.mastery.dp_means_points import PointSet
from edpipe.mastery.symmetry_clusters import ClusterSymmetry
from edpipe.setting_groups import ClusterSettings

SMALLEST_RADIUS = 1e-3
TOLERANCE = 1e-5


class DivisiblePoints(PointSet, Protocol):
    """Points of which some can be taken."""

    def subset(self, rows: Places) -> Self:
        """Return some of the points."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Judgment:
    """What a partition is worth.

    Attributes
    ----------
    symmetry
        Symmetry of its clusters.
    log_likelihoods
        Log-likelihood of each held-out strategy, in nats. Shape ``(number held out,)``.
    median_size
        Attempts in the median cluster of attempts.
    num_attempt_clusters
        Clusters of attempts.
    """

    symmetry: ClusterSymmetry
    log_likelihoods: Floats
    median_size: float
    num_attempt_clusters: int

    @property
    def validation(self) -> float:
        """Mean log-likelihood of held-out strategies, in nats an attempt."""
        return float(self.log_likelihoods.mean())

    def is_better(self, other: Judgment) -> bool:
        """Return whether held-out strategies gain on average by more than the standard error of the gain."""
        gain = self.log_likelihoods - other.log_likelihoods
        error = gain.std() / np.sqrt(len(gain))
        return bool(gain.mean() > error)


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One partition on the way.

    Attributes
    ----------
    labels
        Cluster of each point, from 0 without gaps.
    radius
        Radius of the clusters made in this round.
    objective
        Squared distances plus ``radius ** 2`` times the number of clusters.
    rand_index
        Adjusted Rand index against the round before; NaN in the first.
    judgment
        What it is worth.
    is_kept
        Whether it may be chosen: within the bounds of the number and the size of clusters.
    """

    labels: Ints
    radius: float
    objective: float
    rand_index: float
    judgment: Judgment
    is_kept: bool


def refine(
    points: DivisiblePoints,
    judge: Callable[[Ints], Judgment],
    settings: ClusterSettings,
    *,
    radius: float,
    seed: int = 0,
    on_round: Callable[[Round], None] | None = None,
) -> list[Round]:
    """Cluster with a radius, then split what is not symmetric with smaller ones.

    A cluster is split if its symmetry, less twice
    its standard error, is below ``settings.symmetry_threshold``: by DP-means among its own points that starts
    from its center. The radius shrinks by ``settings.radius_decay`` until that splits one:
    clusters are nested. It ends when no cluster is below the threshold or can be split, after ``max_rounds``
    splits, ``patience`` rounds without better validation, or with a round that has more than ``max_clusters``
    clusters of attempts or a median below ``least_median_size``; such a round is not kept, unless the first.

    Parameters
    ----------
    points
        Points.
    judge
        Judges the labels of the points.
    settings
        Bounds.
    radius
        The radius to begin with.
    seed
        Seed of DP-means.
    on_round
        Called after each round.

    Returns
    -------
    list of Round
        Of the kept ones the last that was better than all before: :func:`best_round`.
    """
    smallest = radius * SMALLEST_RADIUS
    first = dp_means(points, radius=radius, seed=seed, tolerance=TOLERANCE)
    labels, squared = first.labels, first.squared
    rounds: list[Round] = []
    waited = 0
    before: Ints | None = None
    while True:
        found = _round(points, judge, settings, labels, squared, radius, before)
        rounds.append(found)
        if on_round:
            on_round(found)
        waited = 0 if best_round(rounds) is found else waited + 1
        is_over = waited >= settings.patience or len(rounds) > settings.max_rounds
        if is_over or (not found.is_kept and len(rounds) > 1):
            return rounds
        symmetry = found.judgment.symmetry
        below = np.flatnonzero(symmetry.scores - 2 * symmetry.errors < settings.symmetry_threshold)
        before, split = labels, None
        while split is None and below.size and radius * settings.radius_decay >= smallest:
            radius *= settings.radius_decay
            split = _split(points, labels, squared, below, radius, seed)
        if split is None:
            return rounds
        labels, squared = split


def best_round(rounds: list[Round]) -> Round:
    """Return the last kept round that is better than the best before it."""
    best = rounds[0]
    for found in rounds[1:]:
        if found.is_kept and found.judgment.is_better(best.judgment):
            best = found
    return best


def _round(
    points: DivisiblePoints,
    judge: Callable[[Ints], Judgment],
    settings: ClusterSettings,
    labels: Ints,
    squared: Floats,
    radius: float,
    before: Ints | None,
) -> Round:
    judgment = judge(labels)
    is_within = (
        judgment.num_attempt_clusters <= settings.max_clusters
        and judgment.median_size >= settings.least_median_size
    )
    return Round(
        labels=labels,
        radius=radius,
        objective=float(points.weights @ squared) + radius**2 * (int(labels.max()) + 1),
        rand_index=float("nan") if before is None else float(adjusted_rand_score(before, labels)),
        judgment=judgment,
        is_kept=is_within or before is None,
    )


def _split(
    points: DivisiblePoints, labels: Ints, squared: Floats, below: Places, radius: float, seed: int
) -> tuple[Ints, Floats] | None:
    """Return labels and squared distances after splitting some clusters; None if none falls apart."""
    labels, squared = labels.copy(), squared.copy()
    order = np.argsort(labels, kind="stable")
    start = np.searchsorted(labels[order], np.arange(int(labels.max()) + 2))
    count = len(start) - 1
    is_split = False
    for cluster in below:
        rows = order[start[cluster] : start[cluster + 1]]
        if squared[rows].max() <= radius * radius:
            continue
        parts = dp_means(points.subset(rows), radius=radius, seed=seed, tolerance=TOLERANCE)
        # The first part keeps the number of the cluster, the others get new ones.
        labels[rows] = np.where(parts.labels == 0, np.int32(cluster), parts.labels + np.int32(count - 1))
        squared[rows] = parts.squared
        count += parts.num_clusters - 1
        is_split |= parts.num_clusters > 1
    return (labels, squared) if is_split else None
