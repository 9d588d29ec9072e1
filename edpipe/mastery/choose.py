"""Mastery by the estimator that foretells held-out steps best, or by the one that the settings name."""

from __future__ import annotations

import polars as pl

from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.errors import TrainingError
from edpipe.mastery.bkt import BKTMastery
from edpipe.mastery.compare import compare_estimators
from edpipe.mastery.estimate import (
    MASTERY_SCHEMA,
    SHRINKAGE,
    Mastery,
    MasteryEstimator,
    MasteryOf,
    kc_means,
)
from edpipe.mastery.given import Answers, GivenMastery
from edpipe.mastery.pfa import PFAMastery
from edpipe.mastery.running_mean import RunningMean, practice
from edpipe.mastery.steps import MasterySteps, mastery_steps
from edpipe.setting_groups import EmbeddingSettings
from edpipe.settings import Settings


def mastery_estimators(options: EmbeddingSettings, tracer: Answers | None = None) -> list[MasteryEstimator]:
    """Return fresh estimators, simplest first; the tracer only where one is given."""
    simple: list[MasteryEstimator] = [
        RunningMean(shrinkage=options.shrinkage),
        PFAMastery(),
        BKTMastery(),
    ]
    if tracer is None:
        return simple
    return [*simple, GivenMastery("tracer", tracer, shrinkage=options.shrinkage)]


def estimated_mastery(
    settings: Settings,
    steps: MasterySteps,
    split: StrategySplit,
    *,
    tracer: Answers | None = None,
) -> MasteryOf:
    """Return mastery by the chosen estimator, as :func:`~edpipe.mastery.embed.embed` takes it.

    ``settings.embedding.estimator`` names it; ``best`` is the lowest log loss on the validation attempts.
    Where no answer is known, on either side, ``best`` is the running mean and nothing is compared.

    Parameters
    ----------
    settings
        ``settings.embedding``, ``settings.seed`` and ``settings.progress``.
    steps
        Answered steps of the dataset; see :func:`~edpipe.mastery.steps.mastery_steps`.
    split
        Estimators are fitted on its training attempts and compared on its validation attempts.
    tracer
        Chances of steps by a tracer trained on training attempts, if there is one.
    """
    options = settings.embedding

    def mastery_of(dataset: StrategyDataset, rows: Places) -> Mastery:
        estimators = {one.name: one for one in mastery_estimators(options, tracer)}
        if options.estimator != "best" and options.estimator not in estimators:
            raise TrainingError(
                "The tracer is to estimate mastery and there is none.",
                where="setting `embedding.estimator`",
                found=repr(options.estimator),
                expected=f"`best` or one of {', '.join(estimators)}",
                next_step="Train a tracer on this source first, or choose another estimator.",
                state="Nothing was written.",
            )
        can_compare = steps.within(rows).num_steps and steps.within(split.valid).num_steps
        if not can_compare:
            name = "mean" if options.estimator == "best" else options.estimator
            fitted = estimators[name].fit(steps.within(rows))
            return mastery_after(dataset, rows, steps, fitted, shrinkage=options.shrinkage)
        table = compare_estimators(
            list(estimators.values()),
            steps,
            rows,
            split.valid,
            seed=settings.seed,
            progress=settings.progress,
        )
        if options.estimator != "best":
            table = table.with_columns(is_used=pl.col("estimator") == options.estimator)
        used = table.filter("is_used")["estimator"].item()
        return mastery_after(dataset, rows, steps, estimators[used], table, shrinkage=options.shrinkage)

    return mastery_of


def warehouse_mastery(
    settings: Settings, split: StrategySplit, *, tracer: Answers | None = None
) -> MasteryOf:
    """Return :func:`estimated_mastery` on the published steps, which are read when it is called."""

    def mastery_of(dataset: StrategyDataset, rows: Places) -> Mastery:
        steps = mastery_steps(settings, dataset)
        return estimated_mastery(settings, steps, split, tracer=tracer)(dataset, rows)

    return mastery_of


def mastery_after(
    dataset: StrategyDataset,
    rows: Places,
    steps: MasterySteps,
    estimator: MasteryEstimator,
    comparison: pl.DataFrame | None = None,
    *,
    shrinkage: float = SHRINKAGE,
) -> Mastery:
    """Return mastery by a fitted estimator after the given attempts; the mean of a KC without answers."""
    seen = steps.within(rows)
    counts = seen.practice
    kc_mean = kc_means(counts, dataset.num_kcs, shrinkage=shrinkage)
    estimated = counts.select("student", "kc", "num_scored").with_columns(
        mastery=pl.Series(estimator.mastery(seen), dtype=pl.Float64)
    )
    met = practice(dataset, rows).select("student", "kc")
    values = met.join(estimated, on=["student", "kc"], how="left", maintain_order="left").with_columns(
        mastery=pl.col("mastery").fill_null(pl.Series(kc_mean[met["kc"].to_numpy()])),
        num_scored=pl.col("num_scored").fill_null(0),
    )
    return Mastery(
        values.select(pl.col(name).cast(kind) for name, kind in MASTERY_SCHEMA.items()),
        kc_mean,
        estimator.name,
        comparison,
    )
