"""Which estimator of mastery foretells held-out steps best."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places
from edpipe.errors import TrainingError
from edpipe.mastery.estimate import Float, MasteryEstimator
from edpipe.mastery.steps import MasterySteps
from edpipe.progress import Mode, track

# A sure and wrong prediction would cost infinity.
SMALLEST_CHANCE = 1e-7
NUM_DRAWS = 500
COMPARISON_SCHEMA: dict[str, pl.DataType] = {
    "estimator": pl.String(),
    "log_loss": pl.Float64(),
    "log_loss_low": pl.Float64(),
    "log_loss_high": pl.Float64(),
    "auc": pl.Float64(),
    "rmse": pl.Float64(),
    "num_steps": pl.Int64(),
    "num_students": pl.Int64(),
    "seconds": pl.Float64(),
    "is_used": pl.Boolean(),
}


def compare_estimators(
    estimators: Sequence[MasteryEstimator],
    steps: MasterySteps,
    train: Places,
    held_out: Places,
    *,
    seed: int,
    progress: Mode = "none",
) -> pl.DataFrame:
    """Fit each estimator on training steps and judge it on held-out ones, each foretold from earlier steps.

    Parameters
    ----------
    estimators
        Estimators; they are fitted here.
    steps
        Answered steps.
    train, held_out
        Attempts to fit on and to judge by. What came before a held-out step is taken from both. Shapes
        ``(n,)``.
    seed
        Seed of the intervals.
    progress
        How the work is shown.

    Returns
    -------
    DataFrame
        One row an estimator, in the order given; columns :data:`COMPARISON_SCHEMA`. ``log_loss`` in nats a
        step with the 95 % interval of a bootstrap over students, ``auc``, ``rmse``, the held-out
        ``num_steps`` and ``num_students``, ``seconds`` to fit and foretell. ``is_used`` marks the lowest log
        loss; of equals the first.

    Raises
    ------
    TrainingError
        If no training step or no held-out step has a known outcome.
    """
    of_train = steps.within(train)
    known = steps.within(np.concatenate([train, held_out]))
    is_judged = np.isin(known.attempt, held_out)
    if not of_train.num_steps or not is_judged.any():
        raise TrainingError(
            "Estimators of mastery cannot be compared: there are no known first attempts.",
            where="steps of the training and validation attempts",
            found=f"{of_train.num_steps} training steps, {int(is_judged.sum())} held-out steps",
            expected="at least one of each",
            next_step="Set `embedding.estimator` to `mean`, or choose another `strategy.split`.",
            state="Nothing was written.",
        )
    right = known.is_correct[is_judged].astype(bool)
    students = known.student[is_judged]
    rows = []
    with track(
        "Compare estimators of mastery", total=len(estimators), unit="estimators", mode=progress
    ) as work:
        for estimator in estimators:
            work.note(estimator.name)
            started = time.perf_counter()
            chance = estimator.fit(of_train).predict(known)[is_judged]
            seconds = time.perf_counter() - started
            losses = step_losses(right, chance)
            low, high = student_interval(losses, students, seed=seed)
            rows.append(
                {
                    "estimator": estimator.name,
                    "log_loss": float(losses.mean()),
                    "log_loss_low": low,
                    "log_loss_high": high,
                    "auc": area_under_curve(right, chance),
                    "rmse": float(np.sqrt(np.square(right - chance).mean())),
                    "num_steps": len(right),
                    "num_students": len(np.unique(students)),
                    "seconds": round(seconds, 3),
                }
            )
            work.advance()
    table = pl.DataFrame(rows)
    is_best = pl.int_range(pl.len()) == pl.col("log_loss").arg_min()
    return table.with_columns(is_used=is_best).select(
        pl.col(name).cast(kind) for name, kind in COMPARISON_SCHEMA.items()
    )


def step_losses(right: NDArray[np.bool_], chance: Float) -> Float:
    """Return the negative log likelihood of each step in nats. Shape ``(num_steps,)``."""
    clipped = np.clip(chance, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)
    losses: Float = -np.log(np.where(right, clipped, 1 - clipped))
    return losses


def area_under_curve(right: NDArray[np.bool_], chance: Float) -> float:
    """Return how often a right step is ranked above a wrong one; equals count half, NaN without pairs."""
    from scipy.stats import rankdata

    num_right = int(right.sum())
    pairs = num_right * (len(right) - num_right)
    if not pairs:
        return float("nan")
    won = rankdata(chance)[right].sum() - num_right * (num_right + 1) / 2
    return float(won / pairs)


def student_interval(losses: Float, students: NDArray[np.int32], *, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean loss over draws of whole students."""
    _, owner = np.unique(students, return_inverse=True)
    total, count = np.bincount(owner, weights=losses), np.bincount(owner).astype(np.float64)
    rng = np.random.default_rng([seed, 2])
    drawn = rng.multinomial(len(total), np.full(len(total), 1 / len(total)), size=NUM_DRAWS)
    means = drawn @ total / (drawn @ count)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
