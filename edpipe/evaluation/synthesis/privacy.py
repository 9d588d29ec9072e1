"""Whether synthetic windows lie nearer to what was trained on than to what was not, and who was in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.evaluation.synthesis.measured import Measured, auc_measured, mean_measured, ratio_measured
from edpipe.evaluation.synthesis.real_windows import Pieces

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# A synthetic window is a near copy if it is nearer to training than this share of held-out windows are.
NEAR_SHARE: Final = 0.05
_ROWS_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Leakage:
    """Distances of synthetic pieces, and what follows from them.

    Attributes
    ----------
    measured
        ``closer_to_training``: share of synthetic pieces nearer to training than to held-out pieces, as many
        of both; 0.5 where nothing leaks. ``distance_ratio``: mean distance to training over that to held-out
        pieces; 1. ``near_copies``: share nearer to any training piece than 95 % of held-out pieces are; 0.05.
        ``membership_distance``: AUC of telling training from held-out pieces by their distance to the
        nearest synthetic one; 0.5.
    to_training, to_matched, to_held_out
        Root mean squared difference to the nearest training piece of all, of as many as were held out, and
        to the nearest held-out piece. Shape ``(num_synthetic,)``.
    held_out_to_training
        The same from held-out pieces to all training pieces. Shape ``(num_held_out,)``.
    """

    measured: dict[str, Measured]
    to_training: Floats
    to_matched: Floats
    to_held_out: Floats
    held_out_to_training: Floats


def leakage(
    synthetic: Floats,
    training: Pieces,
    held_out: Pieces,
    matched: Sequence[Ints],
    *,
    num_draws: int = 200,
    seed: int = 0,
) -> Leakage:
    """Measure what synthetic pieces tell of training pieces.

    Held-out pieces are the control: they come from the same series and no generator saw them. Where series
    change over time, later pieces differ from earlier ones for that reason, too, and so a generator that can
    copy nothing belongs beside each that may.

    Parameters
    ----------
    synthetic
        Pieces of the same length and unit as the others. Shape ``(num_synthetic, length)``.
    training, held_out
        Real pieces.
    matched
        Sets of places in ``training`` that are as many and lie as closely together as the held-out pieces.
    num_draws
        Draws of the intervals; 0 gives none.
    seed
        Seed of the draws.

    Raises
    ------
    ValueError
        If a set is empty or lengths differ.
    """
    if not len(synthetic) or not len(held_out) or not all(len(places) for places in matched) or not matched:
        raise ValueError("synthetic, held-out and each matched set of training pieces must not be empty.")
    random = np.random.default_rng(seed)
    to_matched, to_training, nearest = _nearest_of_sets(synthetic, training.values, matched)
    to_held_out, held_nearest = nearest_distance(synthetic, held_out.values)
    # Pieces with one neighbor stand or fall with it; held-out groups get numbers of their own.
    is_training = to_training < to_held_out
    groups = np.where(is_training, training.groups[nearest], -1 - held_out.groups[held_nearest])
    each = to_held_out[:, None]
    closer = ((to_matched < each) + 0.5 * (to_matched == each)).mean(axis=1)
    mean_matched = to_matched.mean(axis=1)
    held_to_training, _ = nearest_distance(held_out.values, training.values)
    near = float(np.quantile(held_to_training, NEAR_SHARE))
    measured = {
        "closer_to_training": mean_measured(closer, groups, num_draws=num_draws, random=random),
        "distance_ratio": ratio_measured(
            mean_matched, to_held_out, groups, num_draws=num_draws, random=random
        ),
        "near_copies": mean_measured(
            (to_training < near).astype(np.float64), groups, num_draws=num_draws, random=random
        ),
        "membership_distance": membership_by_distance(
            synthetic, training, held_out, num_draws=num_draws, random=random
        ),
    }
    return Leakage(measured, to_training, mean_matched, to_held_out, held_to_training)


def membership_by_distance(
    synthetic: Floats, training: Pieces, held_out: Pieces, *, num_draws: int, random: np.random.Generator
) -> Measured:
    """Return the AUC of whoever has the release alone and guesses that near pieces were trained on.

    As many training pieces as there are held-out ones are drawn.
    """
    number = min(len(training), len(held_out))
    members = training.take(np.sort(random.permutation(len(training))[:number]))
    distance, _ = nearest_distance(np.concatenate([members.values, held_out.values]), synthetic)
    return membership(members, held_out, -distance, num_draws=num_draws, random=random)


def membership(
    members: Pieces, others: Pieces, score: Floats, *, num_draws: int, random: np.random.Generator
) -> Measured:
    """Return the AUC of a score that is to be higher for members; their scores come first."""
    is_member = np.arange(len(members) + len(others)) < len(members)
    groups = np.concatenate([members.groups, others.groups])
    return auc_measured(is_member, score, groups, num_draws=num_draws, random=random)


def nearest_distance(windows: Floats, reference: Floats) -> tuple[Floats, Ints]:
    """Return the root mean squared difference to the nearest reference, and which it is.

    Shapes ``(num_windows,)``.
    """
    everything = np.arange(len(reference), dtype=np.int64)
    distances, _, nearest = _nearest_of_sets(windows, reference, [everything])
    return distances[:, 0], nearest


def _nearest_of_sets(windows: Floats, reference: Floats, sets: Sequence[Ints]) -> tuple[Floats, Floats, Ints]:
    """Return the distance to each set, ``(num_windows, num_sets)``, to all, and the nearest of all."""
    if windows.shape[1] != reference.shape[1]:
        raise ValueError(f"pieces must be as long; got {windows.shape[1]} and {reference.shape[1]}.")
    to_sets = np.empty((len(windows), len(sets)))
    to_all, nearest = np.empty(len(windows)), np.empty(len(windows), dtype=np.int64)
    # Around a common center the squares are small, and their difference keeps its digits.
    center = reference.mean(axis=0)
    other = reference - center
    size = (other**2).sum(axis=1)
    for first in range(0, len(windows), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        part = windows[rows] - center
        squared = (part**2).sum(axis=1)[:, None] + size - 2 * part @ other.T
        distance = np.sqrt(np.maximum(squared, 0.0) / windows.shape[1])
        nearest[rows] = distance.argmin(axis=1)
        to_all[rows] = distance.min(axis=1)
        for number, places in enumerate(sets):
            to_sets[rows, number] = distance[:, places].min(axis=1)
    return to_sets, to_all, nearest
