"""On data from its own model, BKT finds the parameters and predicts nearly as well as the truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from unit.evaluation.simulated_answers import simulate_bkt

from edpipe.evaluation.baselines import BKT, ItemDifficulty
from edpipe.evaluation.metrics import log_loss

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(3))
def test_bkt_recovers_random_parameters_and_predicts_like_the_truth(seed):
    random = np.random.default_rng(seed)
    low, high = np.array([0.1, 0.05, 0.05, 0.03]), np.array([0.7, 0.3, 0.35, 0.25])
    planted = {kc: tuple(random.uniform(low, high).tolist()) for kc in range(1, 9)}
    answers, item_kcs = simulate_bkt(8000, 15, planted, seed=seed)
    fitted = BKT().fit(answers, item_kcs)
    found = fitted.parameters.sort("kc_key").drop("kc_key").to_numpy()
    assert np.abs(found - np.array(list(planted.values()))).max() < 0.06

    asked = answers.filter(pl.col("split") == "test")
    right = asked["is_correct"].to_numpy()
    loss = log_loss(right, fitted.predict(asked)["probability"].to_numpy())
    # The parameters that made the data, filtered in the same way, are the best any tracer can do.
    oracle = BKT().fit(answers, item_kcs)
    oracle._parameters = np.array(list(planted.values()))
    best = log_loss(right, oracle.predict(asked)["probability"].to_numpy())
    assert loss == pytest.approx(best, rel=2e-3)
    constant = ItemDifficulty().fit(answers, item_kcs).predict(asked)["probability"].to_numpy()
    assert loss < log_loss(right, constant)
