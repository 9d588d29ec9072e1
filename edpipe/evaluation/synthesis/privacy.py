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
# Windows whose nearest neighbors are looked for at most: shares of more are hardly sharper.
MAX_ASKED: Final = 2_000
# Distances held in memory at once.
_CELLS_AT_ONCE: Final = 4_000_000


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
        to the nearest held-out piece, of the first ``MAX_ASKED`` synthetic pieces.
    held_out_to_training
        The same from held-out pieces, at most as many, to all training pieces.
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
    held_out_to_training: Floats | None = None,
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
        Pieces of the same length and unit as the others; only the guess of membership looks at more than
        the first ``MAX_ASKED``. Shape ``(num_synthetic, length)``.
    training, held_out
        Real pieces.
    matched
        Sets of places in ``training`` that are as many and lie as closely together as the held-out pieces.
    held_out_to_training
        What :func:`held_out_distances` gives, where it is known already.
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
    some = synthetic[:MAX_ASKED]
    to_matched, to_training, nearest = _nearest_of_sets(some, training.values, matched)
    to_held_out, held_nearest = nearest_distance(some, held_out.values)
    # Pieces with one neighbor stand or fall with it; held-out groups get numbers of their own.
    is_training = to_training < to_held_out
    groups = np.where(is_training, training.groups[nearest], -1 - held_out.groups[held_nearest])
    each = to_held_out[:, None]
    closer = ((to_matched < each) + 0.5 * (to_matched == each)).mean(axis=1)
    mean_matched = to_matched.mean(axis=1)
    if held_out_to_training is None:
        held_out_to_training = held_out_distances(training, held_out, seed=seed)
    near = float(np.quantile(held_out_to_training, NEAR_SHARE))
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
    return Leakage(measured, to_training, mean_matched, to_held_out, held_out_to_training)


def held_out_distances(training: Pieces, held_out: Pieces, *, seed: int = 0) -> Floats:
    """Return the distance of held-out pieces, or some of them, to the nearest training piece."""
    chosen = np.random.default_rng(seed).permutation(len(held_out))[:MAX_ASKED]
    distances, _ = nearest_distance(held_out.values[np.sort(chosen)], training.values)
    return distances


def membership_by_distance(
    synthetic: Floats, training: Pieces, held_out: Pieces, *, num_draws: int, random: np.random.Generator
) -> Measured:
    """Return the AUC of whoever has the release alone and guesses that near pieces were trained on.

    As many pieces of each kind are drawn.
    """
    number = min(len(training), len(held_out), MAX_ASKED)
    members, others = (
        pieces.take(np.sort(random.permutation(len(pieces))[:number])) for pieces in (training, held_out)
    )
    distance, _ = nearest_distance(np.concatenate([members.values, others.values]), synthetic)
    return membership(members, others, -distance, num_draws=num_draws, random=random)


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
    rows_at_once = max(_CELLS_AT_ONCE // len(reference), 1)
    for first in range(0, len(windows), rows_at_once):
        rows = slice(first, first + rows_at_once)
        part = windows[rows] - center
        squared = part @ other.T  # (rows, num_reference), changed in place
        squared *= -2
        squared += size
        own = (part**2).sum(axis=1)
        nearest[rows] = squared.argmin(axis=1)
        to_all[rows] = own + squared[np.arange(len(part)), nearest[rows]]
        for number, places in enumerate(sets):
            to_sets[rows, number] = own + squared[:, places].min(axis=1)
    to_sets, to_all = (np.sqrt(np.maximum(squares, 0.0) / windows.shape[1]) for squares in (to_sets, to_all))
    return to_sets, to_all, nearest
