"""The learning curve: what is measured, what is paid, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted, planted_embedding

from edpipe.datasets.samplers import Pool
from edpipe.datasets.samplers.pool import codes_of
from edpipe.evaluation.strategy.baselines import lookup
from edpipe.evaluation.strategy.learning_curve import CURVE_SCHEMA, Lesson, learning_curve
from edpipe.mastery.strategy_clusters import StrategyClusters
from edpipe.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=40)


@pytest.fixture
def pool(world: Planted) -> Pool:
    dataset = world.dataset
    rows = np.flatnonzero((dataset.attempts["split"] == "train").to_numpy())
    pair = codes_of(world.group[dataset.student].astype(np.int64), dataset.section.astype(np.int64))
    clusters = StrategyClusters(
        world.group.astype(np.int32), dataset.problem_section, pair.astype(np.int32), pl.DataFrame()
    )
    return Pool(dataset, rows, planted_embedding(world), clusters)


class Taught:
    """A lookup that notes its lessons."""

    def __init__(self, pool: Pool) -> None:
        self.dataset, self.lessons = pool.dataset, []

    def __call__(self, lesson: Lesson):
        self.lessons.append(lesson)
        fitted = lookup().fit(self.dataset, lesson.rows)
        return lambda rows: fitted.predict(self.dataset, rows)


def test_of(pool: Pool) -> np.ndarray:
    return np.flatnonzero((pool.dataset.attempts["split"] == "test").to_numpy())


test_of.__test__ = False


def test_every_point_is_measured_once_and_more_attempts_are_better(pool: Pool, settings: Settings) -> None:
    taught = Taught(pool)
    curve = learning_curve(
        pool,
        test_of(pool),
        {"lookup": taught},
        settings,
        samplers=("clusters", "uniform", "all"),
        budgets=(0.02, 1.0),
        seeds=(0, 1),
        num_draws=5,
    )
    assert dict(curve.schema) == CURVE_SCHEMA
    exact = curve.filter(pl.col("metric") == "exact_match")
    assert len(taught.lessons) == exact.height == 10  # `all` has one budget
    means = exact.group_by("budget").agg(pl.col("value").mean()).sort("budget")["value"].to_list()
    assert means[1] > means[0]
    full = exact.filter(pl.col("budget") == 1.0)["value"]
    assert full.n_unique() == 1  # at the whole budget all samplers are the same


def test_equal_steps_give_a_small_sample_more_passes(pool: Pool, settings: Settings) -> None:
    taught = Taught(pool)
    arguments = {"samplers": ("uniform",), "budgets": (0.1,), "seeds": (0,), "num_draws": 0}
    learning_curve(pool, test_of(pool), {"lookup": taught}, settings, equals=("epochs", "steps"), **arguments)
    passes = [lesson.passes for lesson in taught.lessons]
    assert passes[0] == 1
    assert passes[1] == pytest.approx(len(pool) / len(taught.lessons[1].rows))


def test_a_sampler_pays_for_what_it_needs(pool: Pool, settings: Settings) -> None:
    curve = learning_curve(
        pool,
        test_of(pool),
        {"lookup": Taught(pool)},
        settings,
        samplers=("clusters", "uniform", "kcenter"),
        budgets=(0.1,),
        seeds=(0,),
        seconds_embedding=100.0,
        seconds_clusters=1000.0,
        num_draws=0,
    ).filter(pl.col("metric") == "exact_match")
    paid = dict(curve.select("sampler", "seconds_sampler").rows())
    total = dict(curve.select("sampler", "seconds_total").rows())
    assert paid["clusters"] == pytest.approx(1100, abs=5)
    assert paid["kcenter"] == pytest.approx(100, abs=5)
    assert paid["uniform"] < 5
    assert total["clusters"] - total["uniform"] == pytest.approx(1000, abs=5)


def test_a_curve_goes_on_where_it_stopped(pool: Pool, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "evaluation" / "learning_curve.parquet"
    arguments = {"samplers": ("uniform",), "seeds": (0, 1), "num_draws": 0, "file": file}
    first = learning_curve(
        pool, test_of(pool), {"lookup": Taught(pool)}, settings, budgets=(0.1,), **arguments
    )
    taught = Taught(pool)
    both = learning_curve(
        pool,
        test_of(pool),
        {"lookup": taught},
        settings,
        budgets=(0.1, 0.5),
        **arguments,
    )
    assert len(taught.lessons) == 2
    assert both.head(first.height).equals(first)
    assert pl.read_parquet(file).equals(both)


def test_ours_beats_the_uniform_sample_at_a_tenth_on_planted_groups(pool: Pool, settings: Settings) -> None:
    curve = learning_curve(
        pool,
        test_of(pool),
        {"lookup": Taught(pool)},
        settings,
        budgets=(0.1,),
        seeds=(0, 1, 2),
        num_draws=0,
    ).filter(pl.col("metric") == "exact_match")
    means = dict(curve.group_by("sampler").agg(pl.col("value").mean()).rows())
    assert means["clusters"] > means["uniform"]
