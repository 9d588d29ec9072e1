"""Shares of a budget."""

from __future__ import annotations

import numpy as np
import pytest

from edpipe.datasets.samplers.apportionment import apportion


@pytest.mark.parametrize("budget", range(12))
def test_shares_sum_to_the_budget_within_one_and_the_size(budget: int) -> None:
    sizes = np.array([1, 6, 2])
    shares = apportion(sizes, budget, np.sqrt(sizes))
    assert shares.sum() == min(budget, 9)
    assert (shares <= sizes).all()
    assert budget < 3 or (shares >= 1).all()


def test_places_follow_the_weights_where_no_cap_binds() -> None:
    assert apportion(np.full(3, 100), 60, np.array([1.0, 2.0, 3.0])).tolist() == [10, 20, 30]


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        apportion(np.array([1]), 1, np.array([0.0]))
