"""What the scores of a recommender mean, in sentences: where it pays, and where a plain floor is enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import polars as pl

from edpipe.evaluation.recommendation.stored import HISTORIES, PLANTED, history_name

# Predicted over real clicks that needs no remark.
CALIBRATED: Final = (0.9, 1.1)
# Share of the behaviors in one channel from which several interests are one.
COLLAPSED: Final = 0.9


def verdicts(metrics: pl.DataFrame, paired: pl.DataFrame, model: str) -> Iterator[str]:
    """Say how a recommender does on the test beside the floor that validation would choose.

    Parameters
    ----------
    metrics, paired
        Of an evaluation.
    model
        Name of the recommender.
    """
    best = best_floor(metrics, model)
    if best is not None:
        yield _beside(paired, model, best)
        yield from _by_history(metrics, model, best)
    yield from _calibration(metrics, model)
    planted = metrics.filter(split="test", subset="all", metric="auc", model=PLANTED)
    if planted.height:
        yield (
            "These data were planted: who knows the interests reaches a test AUC of "
            f"{planted['value'][0]:.4f}, and nobody more but by luck."
        )


def best_floor(metrics: pl.DataFrame, model: str) -> str | None:
    """Return the floor that validation would choose: choosing it on the test would flatter it."""
    rivals = (
        metrics.filter(split="valid", subset="all", metric="auc")
        .filter(~pl.col("model").is_in([model, PLANTED]) & pl.col("value").is_not_nan())
        .sort("value", "model", descending=[True, False])
    )
    return None if rivals.is_empty() else str(rivals["model"][0])


def _beside(paired: pl.DataFrame, model: str, best: str) -> str:
    row = paired.filter(split="test", subset="all", model=model, reference=best, metric="auc")
    difference, low, high = row.select("difference", "low", "high").row(0)
    if math.isnan(low):  # no draws
        return (
            f"On the test the AUC of {model!r} less that of {best!r}, the best floor, is {difference:+.4f}."
        )
    words = f"by {difference:+.4f} AUC ({low:+.4f} to {high:+.4f})"
    if low > 0:
        return f"On the test {model!r} is ahead of {best!r}, the best floor on validation, {words}."
    if high < 0:
        return (
            f"On the test {best!r}, the best floor on validation, is ahead of {model!r}: they differ "
            f"{words}. {best!r} is what to use here."
        )
    return (
        f"On the test {model!r} and {best!r}, the best floor on validation, cannot be told apart: they "
        f"differ {words}. {best!r} is enough here."
    )


def _by_history(metrics: pl.DataFrame, model: str, best: str) -> Iterator[str]:
    """Say in which lengths of history the recommender gains on the floor."""
    gains = []
    for low, high in HISTORIES:
        found = metrics.filter(split="test", subset=history_name(low, high), metric="auc")
        values = dict(found.select("model", "value").rows())
        gain = values.get(model, math.nan) - values.get(best, math.nan)
        if not math.isnan(gain):
            gains.append((history_name(low, high).removeprefix("history:"), gain))
    if len(gains) > 1:
        told = ", ".join(f"{name}: {gain:+.4f}" for name, gain in gains)
        yield f"Gain in test AUC on {best!r} by behaviors known before: {told}."


def _calibration(metrics: pl.DataFrame, model: str) -> Iterator[str]:
    row = metrics.filter(split="test", subset="all", metric="predicted_over_clicked", model=model)
    value = float(row["value"][0])
    is_calibrated = CALIBRATED[0] <= value <= CALIBRATED[1]
    use = (
        "its probabilities can be read as such" if is_calibrated else "its order can be used, not its chances"
    )
    yield f"{model!r} predicts {value:.2f} clicks for each that comes: {use}."


def channel_alarm(channels: pl.DataFrame) -> str | None:
    """Return a sentence where one of several channels holds nearly all behaviors; None where none does.

    Parameters
    ----------
    channels
        How channels are loaded: ``channel, routed_share``.
    """
    fullest = channels.sort("routed_share", "channel", descending=[True, False])
    if len(fullest) < 2 or fullest["routed_share"][0] <= COLLAPSED:
        return None
    share = 100 * fullest["routed_share"][0]
    return (
        f"Channel {fullest['channel'][0]} of {len(fullest)} takes {share:.1f} % of the behaviors: "
        "the interests are one. Compare with `diffumin.long_term=mean` before paying for channels."
    )
