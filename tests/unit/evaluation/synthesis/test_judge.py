"""Generators side by side: a copier, an honest one, and the plain ones that are always there."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from window_worlds import LENGTH, PREDICTION, ar1_task, ar1_windows

from edpipe.errors import ContractError
from edpipe.evaluation.synthesis.judge import METRICS, judge_synthesis
from edpipe.evaluation.synthesis.real_windows import (
    held_out_pieces,
    matched_stretches,
    piece_length,
    real_unit_windows,
    training_pieces,
)

TASK = ar1_task()
ALL = np.ones(TASK.series.num_series, dtype=bool)


@pytest.fixture(scope="module")
def judgement():
    random = np.random.default_rng(5)
    copies = real_unit_windows(TASK, 200, random).values + 1e-4 * random.normal(size=(200, LENGTH))
    return judge_synthesis(
        TASK,
        {"honest": ar1_windows(200, 1), "copier": copies},
        num_draws=50,
        num_trees=2,
        progress="none",
    )


def value(judgement, generator, metric, column="value"):
    rows = judgement.scores.filter(pl.col("generator") == generator, pl.col("metric") == metric)
    return rows[column].item()


def test_a_copier_is_useful_and_leaks(judgement):
    assert abs(value(judgement, "copier", "linear_score_minus_real")) < 0.01
    assert value(judgement, "copier", "near_copies", "low") > 0.5
    assert value(judgement, "copier", "membership_distance") > 0.5
    findings = {one.generator: one.finding for one in judgement.verdicts}
    assert findings["copier"] == "leaks"
    assert findings["honest"] != "leaks"


def test_scores_come_with_intervals_and_in_order(judgement):
    scores = judgement.scores
    assert scores.columns == ["generator", "metric", "value", "low", "high"]
    assert scores["generator"].unique(maintain_order=True).to_list() == [
        "real",
        "honest",
        "copier",
        "block_bootstrap",
        "gaussian",
    ]
    of_honest = scores.filter(pl.col("generator") == "honest")["metric"].to_list()
    assert of_honest == [name for name in METRICS if name != "membership_loss"]
    assert scores.filter(pl.col("low") > pl.col("high")).height == 0
    assert value(judgement, "real", "linear_score_minus_real") == 0


def test_tables_for_figures_hold_each_generator(judgement):
    assert set(judgement.distances["reference"]) == {"training", "held_out"}
    assert judgement.distances.height == 2 * 4 * 200
    assert judgement.examples.height == 5 * 8 * LENGTH
    first = judgement.autocorrelation.filter(pl.col("lag") == 1)
    assert first["value"].min() > 0.2
    assert judgement.num_real == 200
    assert judgement.num_test == len(TASK.test)


def test_equal_calls_give_equal_judgements(judgement):
    windows = {"honest": ar1_windows(60, 1)}
    first, second = (
        judge_synthesis(TASK, windows, num_draws=10, num_trees=0, progress="none") for _ in range(2)
    )
    assert first.scores.equals(second.scores)
    assert "downstream_boosted" not in first.scores["metric"].to_list()


def test_training_and_held_out_pieces_share_no_step():
    length = piece_length(TASK)
    assert length == LENGTH
    training, held_out = training_pieces(TASK, length, ALL), held_out_pieces(TASK, length, ALL)
    assert (training.cuts.origins + length <= TASK.train_ends[training.cuts.series]).all()
    assert (held_out.cuts.origins >= TASK.train_ends[held_out.cuts.series]).all()
    np.testing.assert_allclose(np.abs(training.values).mean(axis=1), 1, rtol=1e-4)


def test_matched_stretches_are_as_many_pieces_and_as_close_together_as_the_held_out_ones():
    length = piece_length(TASK)
    training, held_out = training_pieces(TASK, length, ALL), held_out_pieces(TASK, length, ALL)
    for places in matched_stretches(TASK, training, held_out, number=4, random=np.random.default_rng(0)):
        some = training.cuts.take(places)
        np.testing.assert_array_equal(np.bincount(some.series), np.bincount(held_out.cuts.series))
        for one in range(TASK.series.num_series):
            assert (np.diff(some.origins[some.series == one]) == 1).all()


def test_pieces_are_shorter_where_little_was_held_out():
    short = ar1_task(num_series=30, num_windows=1, length=60)
    length = piece_length(short)
    held_out = short.series.lengths - short.train_ends
    assert length <= 2 * PREDICTION < LENGTH
    assert (held_out - length).clip(0).sum() < 100 <= (held_out - length + 1).sum()


def test_pieces_of_every_phase_of_the_season_fit_into_what_was_held_out():
    weekly = replace(ar1_task(num_series=30, num_windows=2), season=7)
    held_out = weekly.series.lengths - weekly.train_ends
    assert int(held_out.max()) - piece_length(weekly) + 1 >= 7
    assert piece_length(weekly) == 10


def test_too_little_held_out_is_refused():
    with pytest.raises(ContractError, match="held out"):
        piece_length(ar1_task(num_series=1, num_windows=2))


def test_names_of_the_plain_generators_are_taken():
    with pytest.raises(ValueError, match="gaussian"):
        judge_synthesis(TASK, {"gaussian": ar1_windows(10, 1)}, progress="none")
