"""Every baseline: predictions depend on earlier answers only, and come from training students only."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from unit.evaluation.simulated_answers import simulate

from edpipe.errors import ContractError
from edpipe.evaluation.baselines import Baseline, tracing_baselines

NAMES = [baseline.name for baseline in tracing_baselines()]
ANSWERS, ITEM_KCS = simulate(40, mean_answers=15)


def baseline_of(name: str) -> Baseline:
    return next(baseline for baseline in tracing_baselines() if baseline.name == name)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Baseline]:
    return {name: baseline_of(name).fit(ANSWERS, ITEM_KCS) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@hypothesis_settings(deadline=None, max_examples=25)
@given(student=st.integers(1, 40), step=st.integers(1, 25), seed=st.integers(0, 2**16))
def test_prediction_does_not_depend_on_answers_from_that_step_onwards(fitted, name, student, step, seed):
    random = pl.Series(np.random.default_rng(seed).random(len(ANSWERS)) < 0.5)
    later = (pl.col("student_key") == student) & (pl.col("interaction_number") >= step)
    changed = ANSWERS.with_columns(is_correct=pl.when(later).then(random).otherwise("is_correct"))
    seen = (pl.col("student_key") != student) | (pl.col("interaction_number") <= step)
    before = fitted[name].predict(ANSWERS).filter(seen)["probability"]
    after = fitted[name].predict(changed).filter(seen)["probability"]
    assert before.equals(after)


@pytest.mark.parametrize("name", NAMES)
def test_prediction_does_not_depend_on_later_rows_being_there(fitted, name):
    short = ANSWERS.filter(pl.col("interaction_number") <= 7)
    whole = fitted[name].predict(ANSWERS).filter(pl.col("interaction_number") <= 7)
    assert fitted[name].predict(short).equals(whole)


@pytest.mark.parametrize("name", NAMES)
def test_fitting_never_looks_at_students_outside_the_training_split(fitted, name):
    outside = pl.col("split") != "train"
    flipped = ANSWERS.with_columns(
        is_correct=pl.when(outside).then(~pl.col("is_correct")).otherwise("is_correct")
    )
    other = baseline_of(name).fit(flipped, ITEM_KCS)
    assert other.predict(ANSWERS).equals(fitted[name].predict(ANSWERS))


@pytest.mark.parametrize("name", NAMES)
def test_prediction_does_not_depend_on_other_students_or_row_order(fitted, name):
    alone = ANSWERS.filter(pl.col("student_key") == 5).sample(fraction=1, shuffle=True, seed=1)
    whole = fitted[name].predict(ANSWERS).filter(pl.col("student_key") == 5)
    assert fitted[name].predict(alone)["probability"].to_list() == pytest.approx(
        whole["probability"].to_list(), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_items_and_kcs_never_met_get_a_probability(fitted, name):
    strange = ANSWERS.head(20).with_columns(item_key=pl.lit(10_000, dtype=pl.Int32))
    probability = fitted[name].predict(strange)["probability"]
    assert probability.is_between(0, 1).all()
    assert probability.is_not_nan().all()


@pytest.mark.parametrize("name", NAMES)
def test_prediction_frame_has_the_agreed_columns_in_order(fitted, name):
    predicted = fitted[name].predict(ANSWERS.with_columns(is_first_row=pl.lit(True)).reverse())
    assert predicted.columns == [
        "student_key",
        "interaction_number",
        "item_key",
        "is_correct",
        "is_first_row",
        "probability",
    ]
    assert predicted["probability"].dtype == pl.Float64
    assert predicted.drop("probability", "is_first_row").equals(
        ANSWERS.select(predicted.columns[:4]).sort("student_key", "interaction_number")
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_training_rows_are_refused(name):
    with pytest.raises(ContractError, match="needs training rows"):
        baseline_of(name).fit(ANSWERS.with_columns(split=pl.lit("test")), ITEM_KCS)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_give_no_predictions(fitted, name):
    assert len(fitted[name].predict(ANSWERS.clear())) == 0
