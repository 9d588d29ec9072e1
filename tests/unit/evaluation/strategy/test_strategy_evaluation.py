"""Evaluation of strategies: subsets, intervals, groups, gaps, the ledger and the warnings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted, planted_embedding

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.errors import ContractError
from edpipe.evaluation.results import Evaluation, openings
from edpipe.evaluation.strategy.baselines import lookup
from edpipe.evaluation.strategy.baselines.base import copied
from edpipe.evaluation.strategy.equity import GroupedAttempts, kc_rates
from edpipe.evaluation.strategy.evaluate import evaluate_strategies, verdicts
from edpipe.evaluation.strategy.groups import GROUPS, LEAST_HISTORY, mastery_groups
from edpipe.evaluation.strategy.intervals import StudentDraws
from edpipe.evaluation.strategy.score import attempt_subsets, score_strategies
from edpipe.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=60)


@pytest.fixture(scope="module")
def split(world: Planted) -> StrategySplit:
    part = world.dataset.attempts["split"].to_numpy()
    return StrategySplit("students", *(np.flatnonzero(part == name) for name in ("train", "valid", "test")))


def truth(world: Planted, rows: np.ndarray) -> PredictedStrategies:
    return copied(world.dataset, rows, rows, np.ones(len(rows)))


def test_ratios_are_sums_over_sums_and_draws_whole_students() -> None:
    student = np.array([3, 3, 8, 8, 9])
    top, bottom = np.array([1.0, 0, 1, 1, 0]), np.ones(5)
    draws = StudentDraws(student, num_draws=50, seed=1)
    found = draws.ratio(top, bottom)
    assert found.value == pytest.approx(0.6)
    drawn = np.random.default_rng(1).integers(0, 3, size=3)
    tops, bottoms = np.array([1.0, 2, 0]), np.array([2.0, 2, 1])
    assert found.draws[0] == pytest.approx(tops[drawn].sum() / bottoms[drawn].sum())
    assert found.interval[0] <= found.value <= found.interval[1]


def test_no_draws_give_values_without_intervals() -> None:
    found = StudentDraws(np.array([0, 1]), num_draws=0, seed=1).ratio(np.ones(2), np.ones(2))
    assert found.value == 1
    assert np.isnan(found.interval).all()


def test_departures_are_what_the_problem_mode_cannot_foretell(world: Planted, split: StrategySplit) -> None:
    said = lookup().fit(world.dataset, split.train).predict(world.dataset, split.test)
    frame = score_strategies(world.dataset, {"lookup": said}, split.train, num_draws=0).metrics
    exact = dict(frame.filter(pl.col("metric") == "exact_match").select("subset", "value").rows())
    assert exact["departures"] == 0
    assert exact["usual"] == 1
    masks = attempt_subsets(world.dataset, split.test, split.train, None)
    assert exact["seen_problems"] == pytest.approx(masks["usual"].sum() / masks["seen_problems"].sum())


def test_the_truth_scores_full_marks_in_every_subset_and_has_no_gap(
    world: Planted, split: StrategySplit
) -> None:
    groups = mastery_groups(world.dataset, split.train)
    said = truth(world, split.test)
    frame = score_strategies(world.dataset, {"truth": said}, split.train, groups=groups, num_draws=20).metrics
    exact = frame.filter((pl.col("metric") == "exact_match") & ~pl.col("subset").str.contains("gap"))
    assert (exact["value"] == 1).all()
    gaps = frame.filter(pl.col("subset").is_in(["mastery:gap", "mastery:gap_standardized"]))
    assert (gaps["value"] == 0).all()


def test_macro_means_are_in_the_table(world: Planted, split: StrategySplit) -> None:
    said = lookup().fit(world.dataset, split.train).predict(world.dataset, split.test)
    frame = score_strategies(world.dataset, {"lookup": said}, split.train, num_draws=5).metrics
    hits = [
        said.strategy(place).tolist() == world.dataset.strategy(int(row)).tolist()
        for place, row in enumerate(split.test)
    ]
    by_problem = pl.DataFrame({"problem": world.dataset.problem[split.test], "hit": hits})
    expected = by_problem.group_by("problem").agg(pl.col("hit").mean())["hit"].mean()
    found = frame.filter(pl.col("metric") == "exact_match_by_problem")["value"].item()
    assert found == pytest.approx(expected)


def test_gains_over_the_lookup_are_paired(world: Planted, split: StrategySplit) -> None:
    said = lookup().fit(world.dataset, split.train).predict(world.dataset, split.test)
    scores = score_strategies(world.dataset, {"lookup": said, "same": said}, split.train, num_draws=30)
    assert (scores.paired["difference"] == 0).all()
    assert (scores.paired["low"] == 0).all()
    assert (scores.paired["high"] == 0).all()


def test_models_must_be_asked_about_the_same_attempts(world: Planted) -> None:
    rows = np.arange(9)
    with pytest.raises(ContractError, match="same attempts"):
        score_strategies(world.dataset, {"a": truth(world, rows), "b": truth(world, rows[:5])}, rows)


def test_groups_are_fifths_of_training_students_and_frozen(world: Planted, split: StrategySplit) -> None:
    dataset = world.dataset
    groups = mastery_groups(dataset, split.train)
    student = dataset.student[split.train]
    group = groups.group_of(dataset, split.train)
    sizes = [len(np.unique(student[group == number])) for number in range(len(GROUPS))]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(np.unique(group[student == one])) == 1 for one in np.unique(student))


def test_groups_use_no_answer_outside_training_and_none_from_the_attempt_on(
    world: Planted, split: StrategySplit
) -> None:
    dataset = world.dataset
    groups = mastery_groups(dataset, split.train)
    row = int(split.test[5])
    later = pl.col("attempt") >= row
    outside = ~pl.col("attempt").is_in(split.train.tolist())
    flipped = dataset.observations.with_columns(
        num_correct=pl.when(later & outside).then(0).otherwise("num_correct").cast(pl.Int32)
    )
    changed = replace(dataset, observations=flipped)
    again = mastery_groups(changed, split.train)
    np.testing.assert_array_equal(groups.cuts, again.cuts)
    one = np.array([row])
    np.testing.assert_array_equal(groups.mastery_of(dataset, one), again.mastery_of(changed, one))


def test_a_new_student_has_no_group_before_enough_answers(world: Planted, split: StrategySplit) -> None:
    dataset = world.dataset
    groups = mastery_groups(dataset, split.train)
    scored = dataset.observations.group_by("attempt").agg(pl.col("num_scored").sum()).sort("attempt")
    each = scored["num_scored"].to_numpy()
    first = np.searchsorted(dataset.student, dataset.student)
    before = np.array([each[first[row] : row].sum() for row in split.test])
    np.testing.assert_array_equal(groups.group_of(dataset, split.test) == -1, before < LEAST_HISTORY)


def test_the_gap_is_the_largest_less_the_smallest_group() -> None:
    group = np.array([0, 0, 1, 1, 4, 4])
    draws = StudentDraws(np.arange(6), num_draws=10, seed=3)
    hits = np.array([0.0, 0, 1, 0, 1, 1])
    found = GroupedAttempts(group, np.zeros(6, dtype=np.int64), draws).gaps(hits, np.ones(6))
    assert found["gap"].value == 1
    assert found["worst"].value == 0
    assert found["ratio"].value == 0


def test_a_gap_between_equal_groups_is_what_chance_leaves_and_a_true_one_is_not() -> None:
    rng = np.random.default_rng(5)
    student = np.repeat(np.arange(200), 10)
    group = np.repeat(np.arange(200) % 5, 10)
    draws = StudentDraws(student, num_draws=0, seed=3)
    grouped = GroupedAttempts(group, np.zeros(2000, dtype=np.int64), draws)
    fair = (rng.random(2000) < 0.6).astype(np.float64)
    unfair = (rng.random(2000) < 0.45 + 0.1 * group).astype(np.float64)
    for hits, is_fair in ((fair, True), (unfair, False)):
        chance = grouped.gap_by_chance(hits, np.ones(2000), seed=1)
        found = grouped.gaps(hits, np.ones(2000))["gap"].value
        assert (found <= chance.interval[1]) == is_fair


def test_a_gap_of_problems_alone_vanishes_once_standardized() -> None:
    # Section 0 is hard for everybody; the first group meets it three times in four, the last one time.
    group = np.repeat([0, 4], 40)
    section = np.concatenate([np.tile([0, 0, 0, 1], 10), np.tile([0, 1, 1, 1], 10)])
    hits = (section == 1).astype(np.float64)
    draws = StudentDraws(np.arange(80), num_draws=10, seed=3)
    found = GroupedAttempts(group, section, draws).gaps(hits, np.ones(80))
    assert found["gap"].value == pytest.approx(0.5)
    assert found["gap_standardized"].value == pytest.approx(0)


def test_rates_by_kc_agree_with_counting(world: Planted, split: StrategySplit) -> None:
    dataset, rows = world.dataset, split.train
    said = lookup().fit(dataset, rows).predict(dataset, rows)
    group = mastery_groups(dataset, rows).group_of(dataset, rows)
    frame, _ = kc_rates(dataset, said, group)
    of_section = {
        section: {kc for row in rows if dataset.section[row] == section for kc in dataset.strategy(int(row))}
        for section in range(dataset.num_sections)
    }
    for kc, name, false_positive, false_negative, num_without, num_with in frame.sample(12, seed=1).rows():
        places = np.flatnonzero(group == GROUPS.index(name))
        used = np.array([kc in dataset.strategy(int(rows[place])) for place in places])
        told = np.array([kc in said.strategy(int(place)) for place in places])
        met = np.array([kc in of_section[dataset.section[rows[place]]] for place in places])
        assert num_with == used.sum()
        assert num_without == (met & ~used).sum()
        if num_without >= 20:
            assert false_positive == pytest.approx((told & ~used).sum() / num_without)
        if num_with >= 20:
            assert false_negative == pytest.approx((used & ~told).sum() / num_with)


def test_a_run_is_evaluated_once_and_the_opening_is_noted(
    world: Planted, split: StrategySplit, settings: Settings, tmp_path: Path
) -> None:
    asked: list[int] = []

    def predict(rows: np.ndarray) -> dict[str, PredictedStrategies]:
        asked.append(len(rows))
        return {"copy": truth(world, rows)}

    def evaluate() -> Evaluation:
        return evaluate_strategies(
            settings,
            tmp_path / "run",
            dataset=world.dataset,
            split=split,
            predict=predict,
            data_fingerprint="data",
            sampled=split.train[::4],
            embedding=planted_embedding(world),
        )

    found = evaluate()
    again = evaluate()
    assert asked == [len(split.valid), len(split.test)]
    assert len(openings(tmp_path / "run")) == 1
    assert again.metrics.equals(found.metrics)
    assert found.summary["models"][0] == "copy"
    assert {"lookup", "lookup_sampled", "markov_2", "mastery_lookup", "neighbors"} <= set(
        found.summary["baselines"]
    )
    assert found.value("copy", "exact_match") == 1
    assert any("leak" in warning for warning in found.warnings)
    assert any("12 students" in warning for warning in found.warnings)
    folder = tmp_path / "run" / "evaluation"
    paired = pl.read_parquet(folder / "paired.parquet")
    assert "better than the lookup" in next(iter(verdicts(paired, ["copy"])))
    assert pl.read_parquet(folder / "equity.parquet").height


def test_a_predictor_below_the_lookup_is_warned_about(
    world: Planted, split: StrategySplit, settings: Settings, tmp_path: Path
) -> None:
    first = np.zeros(1, dtype=np.int64)

    def predict(rows: np.ndarray) -> dict[str, PredictedStrategies]:
        return {"always": copied(world.dataset, rows, first.repeat(len(rows)), np.ones(len(rows)))}

    found = evaluate_strategies(
        settings,
        tmp_path / "run",
        dataset=world.dataset,
        split=split,
        predict=predict,
        data_fingerprint="data",
        baselines=[lookup()],
    )
    assert any("the lookup is enough" in warning for warning in found.warnings)
