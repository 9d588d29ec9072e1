"""Share an integer budget among clusters."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray


def apportion(sizes: NDArray[np.int64], budget: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Share ``budget`` by weight, at least one and at most its size to each cluster.

    The shares sum to ``min(budget, sizes.sum())``. Where the budget is below the number of clusters, the
    heaviest get one each. Beyond one each, the next place goes to the largest ``weight / share`` (Adams'
    divisor method, which gives everyone one first); ties go to the earlier cluster.

    Parameters
    ----------
    sizes
        Members of each cluster, at least 1. Shape ``(num_clusters,)``.
    budget
        Places to share, at least 0.
    weights
        Positive weight of each cluster. Shape ``(num_clusters,)``.

    Returns
    -------
    ndarray
        Places of each cluster. Shape ``(num_clusters,)``.

    Raises
    ------
    ValueError
        If shapes differ, a size is below 1, a weight is not positive and finite, or the budget is negative.
    """
    if sizes.shape != weights.shape or sizes.ndim != 1:
        raise ValueError(f"sizes and weights must be alike vectors; got {sizes.shape} and {weights.shape}.")
    if budget < 0 or (sizes < 1).any() or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("budget must be at least 0, sizes at least 1, weights positive and finite.")
    shares = np.zeros(len(sizes), dtype=np.int64)
    shares[np.argsort(-weights, kind="stable")[:budget]] = 1
    queue = [(-float(weights[c]), c) for c in range(len(sizes)) if sizes[c] > 1]
    heapq.heapify(queue)
    for _ in range(min(budget, int(sizes.sum())) - int(shares.sum())):
        _, cluster = heapq.heappop(queue)
        shares[cluster] += 1
        if shares[cluster] < sizes[cluster]:
            heapq.heappush(queue, (-float(weights[cluster]) / int(shares[cluster]), cluster))
    return shares
