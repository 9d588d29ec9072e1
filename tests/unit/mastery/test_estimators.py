"""Estimators of mastery: causal, fitted on training steps only, better than a constant, compared fairly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from unit.mastery.planted_steps import PlantedSteps, planted_steps

from edpipe.datasets.strategy_splits import StrategySplit, split_strategies
from edpipe.errors import TrainingError
from edpipe.mastery.choose import estimated_mastery, mastery_estimators
from edpipe.mastery.compare import (
    COMPARISON_SCHEMA,
    area_under_curve,
    compare_estimators,
    step_losses,
    student_interval,
)
from edpipe.mastery.estimate import MasteryEstimator
from edpipe.mastery.running_mean import RunningMean, running_mean
from edpipe.mastery.steps import MasterySteps, mastery_steps_of
from edpipe.setting_groups import EmbeddingSettings
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic.tutor_log import GUESS, LEARNING, SLIP

NAMES = ["mean", "pfa", "bkt", "tracer"]


def causal_answers(steps: MasterySteps) -> np.ndarray:
    """Stand in for a trained tracer: any function of earlier answers."""
    right, wrong = steps.prior_counts
    return np.add.reduceat((right + 1) / (right + wrong + 2), steps.kc_start[:-1]) / np.diff(steps.kc_start)


def estimator_of(name: str) -> MasteryEstimator:
    estimators = mastery_estimators(EmbeddingSettings(), causal_answers)
    return next(one for one in estimators if one.name == name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PlantedSteps:
    return planted_steps(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def split(world: PlantedSteps, tmp_path_factory: pytest.TempPathFactory) -> StrategySplit:
    home = tmp_path_factory.mktemp("home")
    return split_strategies(world.planted.dataset, load_settings("smoke", home=home), views="all")


@pytest.fixture(scope="module")
def fitted(world: PlantedSteps, split: StrategySplit) -> dict[str, MasteryEstimator]:
    return {name: estimator_of(name).fit(world.steps.within(split.train)) for name in NAMES}


def with_estimator(settings: Settings, name: str) -> Settings:
    return settings.model_copy(
        update={"embedding": settings.embedding.model_copy(update={"estimator": name})}
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_prediction_does_not_depend_on_answers_from_that_step_onwards(world, fitted, name, seed):
    rng = np.random.default_rng(seed)
    student = rng.choice(world.steps.student)
    mine = np.flatnonzero(world.steps.student == student)
    step = rng.choice(mine)
    changed = world.steps.is_correct.copy()
    later = np.arange(len(changed)) >= step
    changed[later] = rng.integers(0, 2, later.sum())
    before = fitted[name].predict(world.steps)
    after = fitted[name].predict(replace(world.steps, is_correct=changed))
    seen = np.arange(len(changed)) <= step
    np.testing.assert_array_equal(after[seen], before[seen])


@pytest.mark.parametrize("name", NAMES)
def test_prediction_does_not_depend_on_other_students(world, fitted, name):
    chosen = np.isin(world.steps.student, [1, 5, 40])
    alone = fitted[name].predict(world.steps.where(chosen))
    np.testing.assert_allclose(alone, fitted[name].predict(world.steps)[chosen], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_and_masteries_are_chances(world, split, fitted, name):
    for values in (
        fitted[name].predict(world.steps),
        fitted[name].mastery(world.steps.within(split.train)),
    ):
        assert ((values > 0) & (values < 1)).all()


@pytest.mark.parametrize("name", ["mean", "pfa", "bkt"])
def test_mastery_is_what_would_be_foretold_for_one_more_step_with_the_kc(world, fitted, name):
    steps = world.steps
    mastery = fitted[name].mastery(steps)
    counts = steps.practice
    for row in np.random.default_rng(0).integers(0, counts.height, 10):
        student, kc = counts["student"][int(row)], counts["kc"][int(row)]
        mine = steps.where(steps.student == student)
        asked = replace(
            mine,
            attempt=np.append(mine.attempt, mine.attempt[-1]),
            student=np.append(mine.student, student),
            is_correct=np.append(mine.is_correct, 0).astype(np.uint8),
            kc_start=np.append(mine.kc_start, mine.kc_start[-1] + 1),
            kcs=np.append(mine.kcs, kc).astype(np.int32),
        )
        assert fitted[name].predict(asked)[-1] == pytest.approx(mastery[row], rel=1e-9)


def test_bkt_and_pfa_beat_the_constant_and_the_mean_on_planted_answers(world, split):
    held_out = np.concatenate([split.valid, split.test])
    estimators = mastery_estimators(EmbeddingSettings())
    table = compare_estimators(estimators, world.steps, split.train, held_out, seed=1)
    losses = dict(table.select("estimator", "log_loss").rows())
    is_judged = np.isin(world.steps.attempt, held_out)
    right = world.steps.is_correct[is_judged]
    constant = world.steps.within(split.train).is_correct.mean()
    of_constant = log_loss(right, np.full(len(right), constant))
    of_truth = log_loss(right, world.chance[is_judged])
    assert of_truth < min(losses.values())
    assert losses["bkt"] < of_constant - 0.05
    assert losses["pfa"] < of_constant - 0.05
    assert max(losses["bkt"], losses["pfa"]) < losses["mean"] < of_constant


def test_mastery_lies_near_the_planted_chance(world, split, fitted):
    of_train = world.steps.within(split.train)
    counts = of_train.practice
    dataset, planted = world.planted.dataset, world.planted.world
    # The name of a student ends in his number.
    student = [int(dataset.student_ids[code][-8:]) for code in counts["student"]]
    kc = [planted.kc_names.index(dataset.kc_ids[code]) for code in counts["kc"]]
    unknown = (1 - planted.mastery[student, kc]) * (1 - LEARNING) ** counts["num_scored"].to_numpy()
    chance = GUESS + (1 - GUESS - SLIP) * (1 - unknown)
    weights = np.sqrt(counts["num_scored"].to_numpy())
    error = {
        name: np.average((fitted[name].mastery(of_train) - chance) ** 2, weights=weights) for name in NAMES
    }
    spread = np.average((chance - np.average(chance, weights=weights)) ** 2, weights=weights)
    assert max(error["bkt"], error["pfa"]) < error["mean"]
    assert error["bkt"] < spread


def test_the_comparison_agrees_with_other_implementations(world, split):
    table = compare_estimators([RunningMean()], world.steps, split.train, split.valid, seed=1)
    assert dict(table.schema) == COMPARISON_SCHEMA
    row = table.row(0, named=True)
    chance = RunningMean().fit(world.steps.within(split.train)).predict(world.steps)
    is_judged = np.isin(world.steps.attempt, split.valid)
    right, chance = world.steps.is_correct[is_judged], chance[is_judged]
    assert row["log_loss"] == pytest.approx(log_loss(right, chance))
    assert row["auc"] == pytest.approx(roc_auc_score(right, chance))
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((right - chance) ** 2)))
    assert row["log_loss_low"] < row["log_loss"] < row["log_loss_high"]
    assert row["num_students"] == len(np.unique(world.steps.student[is_judged]))


def test_ties_count_half_and_one_kind_alone_has_no_area():
    right = np.array([True, False, True, False])
    assert area_under_curve(right, np.array([0.5, 0.5, 0.9, 0.1])) == pytest.approx(3.5 / 4)
    assert np.isnan(area_under_curve(np.array([True, True]), np.array([0.1, 0.2])))


def test_the_interval_draws_whole_students():
    losses = np.repeat([0.0, 1.0], 500)
    low, high = student_interval(losses, np.repeat([0, 1], 500).astype(np.int32), seed=1)
    assert (low, high) == (0.0, 1.0)
    low, high = student_interval(losses, np.arange(1000, dtype=np.int32), seed=1)
    assert 0.45 < low < 0.5 < high < 0.55


def test_a_sure_and_wrong_prediction_costs_a_finite_loss():
    assert step_losses(np.array([False]), np.array([1.0]))[0] == pytest.approx(16.1, abs=0.1)


def test_best_is_the_lowest_loss_and_of_equals_the_first(world, split):
    class Named(RunningMean):
        def __init__(self, name: str, shrinkage: float) -> None:
            super().__init__(shrinkage=shrinkage)
            self.name = name

    estimators = [Named("worse", 500.0), Named("first", 5.0), Named("second", 5.0)]
    table = compare_estimators(estimators, world.steps, split.train, split.valid, seed=1)
    assert table.filter("is_used")["estimator"].to_list() == ["first"]


def test_the_best_estimator_gives_the_mastery_and_the_table_is_kept(world, split, settings):
    found = estimated_mastery(with_estimator(settings, "best"), world.steps, split)(
        world.planted.dataset, split.train
    )
    assert found.estimator in {"pfa", "bkt"}
    assert found.comparison.filter("is_used")["estimator"].item() == found.estimator
    assert found.comparison["estimator"].to_list() == ["mean", "pfa", "bkt"]


@pytest.mark.parametrize("name", NAMES)
def test_a_named_estimator_is_used_and_compared_all_the_same(world, split, settings, name):
    found = estimated_mastery(with_estimator(settings, name), world.steps, split, tracer=causal_answers)(
        world.planted.dataset, split.train
    )
    assert found.estimator == name
    assert found.comparison["estimator"].to_list() == NAMES
    assert found.comparison.filter("is_used")["estimator"].to_list() == [name]


def test_without_a_tracer_it_cannot_be_chosen(world, split, settings):
    mastery_of = estimated_mastery(with_estimator(settings, "tracer"), world.steps, split)
    with pytest.raises(TrainingError, match="there is none"):
        mastery_of(world.planted.dataset, split.train)


def test_where_no_answer_is_known_mastery_is_neutral(world, split, settings):
    nothing = world.steps.where(np.zeros(world.steps.num_steps, dtype=bool))
    found = estimated_mastery(with_estimator(settings, "best"), nothing, split)(
        world.planted.dataset, split.train
    )
    assert found.estimator == "mean"
    assert found.comparison is None
    assert found.values["mastery"].unique().to_list() == [0.5]
    assert found.values["num_scored"].sum() == 0


@pytest.mark.parametrize("name", ["best", *NAMES])
def test_answers_in_test_attempts_change_neither_mastery_nor_choice(world, split, settings, name):
    flipped = np.where(
        np.isin(world.steps.attempt, split.test), 1 - world.steps.is_correct, world.steps.is_correct
    ).astype(np.uint8)
    both = [
        estimated_mastery(with_estimator(settings, name), steps, split, tracer=causal_answers)(
            world.planted.dataset, split.train
        )
        for steps in (world.steps, replace(world.steps, is_correct=flipped))
    ]
    assert both[0].values.equals(both[1].values)
    assert both[0].comparison.drop("seconds").equals(both[1].comparison.drop("seconds"))


def test_the_running_mean_of_steps_is_that_of_counts(world, split):
    steps = world.steps
    counted = pl.DataFrame(
        {
            "attempt": steps.attempt[steps.pair_step],
            "kc": steps.kcs,
            "right": steps.is_correct[steps.pair_step],
        }
    )
    observations = (
        counted.group_by("attempt", "kc")
        .agg(num_steps=pl.len(), num_correct=pl.col("right").cast(pl.Int32).sum())
        .with_columns(num_scored="num_steps", prior_scored=0, prior_correct=0)
        .sort("attempt", "kc")
        .select(world.planted.dataset.observations.columns)
        .cast(dict(world.planted.dataset.observations.schema))
    )
    dataset = replace(world.planted.dataset, observations=observations)
    of_counts = running_mean(dataset, split.train)
    of_train = steps.within(split.train)
    of_steps = RunningMean().fit(of_train).mastery(of_train)
    np.testing.assert_allclose(of_steps, of_counts.values["mastery"].to_numpy())
    assert of_counts.values["student"].to_list() == of_train.practice["student"].to_list()


def test_steps_stand_by_student_and_order_whatever_the_order_of_rows(world):
    shuffled = world.step_kcs.sample(fraction=1.0, shuffle=True, seed=3)
    found = mastery_steps_of(world.planted.dataset, shuffled)
    for name in ("attempt", "student", "is_correct", "kc_start", "kcs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(world.steps, name))
    assert found.keys.equals(world.steps.keys)
    assert (np.diff(found.student) >= 0).all()


def test_counts_before_a_step_are_those_of_a_slow_loop(world):
    steps = world.steps.where(world.steps.student < 6)
    right, wrong = steps.prior_counts
    counts: dict[tuple[int, int], list[int]] = {}
    for pair, step in enumerate(steps.pair_step):
        before = counts.setdefault((int(steps.student[step]), int(steps.kcs[pair])), [0, 0])
        assert [wrong[pair], right[pair]] == before
        before[steps.is_correct[step]] += 1
