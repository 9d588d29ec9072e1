"""Discriminative score: how well a classifier tells synthetic windows from real ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.evaluation.synthesis.measured import Measured, auc_measured, mean_measured

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NUM_FOLDS: Final = 5


def tell_apart(
    real: Floats,
    synthetic: Floats,
    real_groups: Ints,
    *,
    num_trees: int = 50,
    num_draws: int = 200,
    seed: int = 0,
) -> dict[str, Measured]:
    """Cross-validate boosted trees on values, changes, and summaries of windows.

    As many windows of each kind are shown. Real windows that may share steps stay in one fold, and each
    window is judged by trees that did not see it.

    Parameters
    ----------
    real, synthetic
        Shapes ``(num_real, length)`` and ``(num_synthetic, length)``.
    real_groups
        The same number for real windows that may share steps. Shape ``(num_real,)``.
    num_trees
        Boosting rounds.
    num_draws
        Draws of the intervals; 0 gives none.
    seed
        Seed of folds and draws.

    Returns
    -------
    dict
        ``discriminative_auc``, 0.5 where nothing can be told and 1 where everything can, and
        ``discriminative_accuracy``.

    Raises
    ------
    ValueError
        If a kind has fewer windows than there are folds.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

    number = min(len(real), len(synthetic))
    if number < NUM_FOLDS:
        raise ValueError(f"at least {NUM_FOLDS} windows of each kind are needed; got {number}.")
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(real))[:number])
    other = np.sort(random.permutation(len(synthetic))[:number])
    inputs = window_features(np.concatenate([real[chosen], synthetic[other]]))
    is_synthetic = np.arange(2 * number) >= number
    # Groups of synthetic windows are all their own; numbers below 0 meet no real one.
    groups = np.concatenate([real_groups[chosen], -1 - np.arange(number)])
    fold = np.concatenate(
        [_folds(real_groups[chosen], random), _folds(np.arange(number, dtype=np.int64), random)]
    )
    score = np.zeros(2 * number)
    for place in range(NUM_FOLDS):
        is_held = fold == place
        trees = HistGradientBoostingClassifier(
            max_iter=num_trees, min_samples_leaf=20, early_stopping=False, random_state=seed
        )
        # Small trees gain nothing by several threads, and on a busy machine they wait for each other.
        with threadpool_limits(1, user_api="openmp"):
            trees.fit(inputs[~is_held], is_synthetic[~is_held])
            score[is_held] = trees.predict_proba(inputs[is_held])[:, 1]
    is_right = ((score >= 0.5) == is_synthetic).astype(np.float64)
    return {
        "discriminative_auc": auc_measured(is_synthetic, score, groups, num_draws=num_draws, random=random),
        "discriminative_accuracy": mean_measured(is_right, groups, num_draws=num_draws, random=random),
    }


def window_features(windows: Floats) -> Floats:
    """Return values, changes from step to step, and size and roughness of each window.

    Shape ``(num_windows, 2 * length + 4)``.
    """
    change = np.diff(windows, axis=1)
    spread, roughness = windows.std(axis=1), np.sqrt((change**2).mean(axis=1))
    summaries = [
        windows.mean(axis=1),
        spread,
        roughness,
        roughness / np.maximum(spread, 1e-12),
        np.abs(windows).max(axis=1),
    ]
    return np.concatenate([windows, change, np.stack(summaries, axis=1)], axis=1)


def _folds(groups: Ints, random: np.random.Generator) -> Ints:
    """Return a fold for each row, whole groups in one, folds about as large as each other.

    Rows themselves are divided where there are fewer groups than folds.
    """
    distinct, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(distinct) < NUM_FOLDS:
        return random.permutation(len(groups)) % NUM_FOLDS
    filled = np.zeros(NUM_FOLDS, dtype=np.int64)
    fold = np.zeros(len(distinct), dtype=np.int64)
    order = random.permutation(len(distinct))
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold[group] = int(filled.argmin())
        filled[fold[group]] += sizes[group]
    return fold[codes]
