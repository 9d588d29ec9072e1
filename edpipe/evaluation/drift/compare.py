"""Compare what came since with the snapshot of training: one row a thing that was measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.evaluation.drift.histogram import Histogram, stability_index
from edpipe.evaluation.drift.snapshot import SCORE, Snapshot
from edpipe.evaluation.metrics import Float, Int

# Of the stability index, as banks use it; of new things; of calibration; of the volume's ratio.
INDEX_BOUNDS = (0.1, 0.25)
UNSEEN_BOUNDS = (0.05, 0.2)
CALIBRATION_BOUNDS = (0.03, 0.1)
VOLUME_BOUNDS = (2.0, 4.0)
# How often chance alone may pass a bound, over all that is compared at once.
CHANCE = 0.01
FEWEST_CLUSTERS = 2
WORDS = ("stable", "some", "strong")
BY_CHANCE = "chance"
SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "kind": pl.String,
    "name": pl.String,
    "begins_at": pl.Datetime("us", "UTC"),
    "num_rows": pl.Int64,
    "num_students": pl.Int64,
    "value": pl.Float64,
    "chance": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "expected": pl.Float64,
    "observed": pl.Float64,
    "verdict": pl.String,
}


def compare(snapshot: Snapshot, rows: pl.DataFrame) -> pl.DataFrame:
    """Compare rows with a snapshot.

    Verdicts are ``stable``, ``some``, ``strong``, and ``chance`` where a bound is passed by no more than so
    few students would pass it by luck.

    Parameters
    ----------
    snapshot
        What the model was trained on.
    rows
        What came since: ``at, student``, the features, ``item``, ``kcs``, and ``score`` with ``observed``
        (what came, 0 to 1) where there are any.

    Returns
    -------
    DataFrame
        Kind ``input`` or ``score``: the stability index, and what chance may make of it. ``unseen``: the
        share of rows with something that training never met. ``calibration``: observed less expected, a row
        a week, with an interval. ``volume``: rows of a day over those of training, all days and each.
    """
    student = rows["student"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    found: list[dict[str, object]] = []
    shared = CHANCE / max(1, len(snapshot.features) + (snapshot.score is not None))
    for name, histogram in snapshot.features.items():
        found.append({"kind": "input", "name": name, **_index(histogram, rows[name], student, shared)})
    scored = rows.filter(pl.col("score").is_not_null()) if "score" in rows.columns else rows.clear()
    if snapshot.score is not None and scored.height:
        owner = scored["student"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        found.append({"kind": "score", "name": SCORE, **_index(snapshot.score, scored[SCORE], owner, shared)})
    found += _unseen(snapshot, rows)
    if "observed" in rows.columns:
        found += _calibration(scored.drop_nulls(["observed", "at"]))
    found += _volume(snapshot, rows)
    return pl.DataFrame(found, schema=SCHEMA)


def _index(histogram: Histogram, values: pl.Series, student: Int, chance: float) -> dict[str, object]:
    """Compare one feature; its index by chance allows for the rows of one student being alike."""
    from scipy.stats import chi2

    places = histogram.places(values)
    expected = np.array(histogram.shares)
    actual = np.bincount(places, minlength=histogram.num_bins) / max(1, len(places))
    value = stability_index(expected, actual)
    filled = int(((expected > 0) | (actual > 0)).sum())
    spread = 1 / max(1, len(places)) + 1 / max(1, histogram.num_rows)
    by_chance = design_effect(places, student, actual) * spread * chi2.ppf(1 - chance, max(1, filled - 1))
    return {
        "num_rows": len(places),
        "num_students": len(np.unique(student)),
        "value": value,
        "chance": float(by_chance),
        "verdict": _verdict(value, INDEX_BOUNDS, is_chance=value <= by_chance),
    }


def design_effect(places: Int, student: Int, shares: Float) -> float:
    r"""Return by how much the variance of shares exceeds that of independent rows, at least 1.

    The mean over bins of :math:`\sum_g r_{gb}^2 / (n\, p_b (1 - p_b))` with :math:`r_{gb}` what student
    ``g`` has more in bin ``b`` than the share says, weighted by :math:`1 - p_b`: the first-order correction
    of a chi-squared statistic for clusters.

    Parameters
    ----------
    places, student
        Bin and student of each row. Shape ``(num_rows,)``.
    shares
        Share of each bin. Shape ``(num_bins,)``.
    """
    _, owner = np.unique(student, return_inverse=True)
    num_students = int(owner.max()) + 1 if len(owner) else 0
    if num_students < FEWEST_CLUSTERS:
        return float("inf")
    counts = np.zeros((num_students, len(shares)))
    np.add.at(counts, (owner, places), 1.0)
    excess = counts - counts.sum(axis=1, keepdims=True) * shares
    variance = (excess**2).sum(axis=0) * num_students / (num_students - 1)
    filled = (shares > 0) & (shares < 1)
    # The weight cancels the factor 1 - p of each bin.
    total = (variance[filled] / (len(places) * shares[filled])).sum()
    return max(1.0, float(total / max(1e-12, (1 - shares[filled]).sum())))


def _unseen(snapshot: Snapshot, rows: pl.DataFrame) -> Iterator[dict[str, object]]:
    for name, known in snapshot.known.items():
        column = "item" if name == "items" else "kcs"
        ids = list(known)
        is_new = (
            ~pl.col(column).is_in(ids)
            if column == "item"
            else pl.col(column).list.eval(~pl.element().is_in(ids)).list.any()
        )
        share = float(rows.select(is_new.fill_null(value=False).mean()).item() or 0.0) if rows.height else 0.0
        yield {
            "kind": "unseen",
            "name": name,
            "num_rows": rows.height,
            "value": share,
            "verdict": _verdict(share, UNSEEN_BOUNDS),
        }


def _calibration(rows: pl.DataFrame) -> Iterator[dict[str, object]]:
    """Compare by week what was foretold with what came; intervals hold for all weeks together."""
    from scipy.stats import norm

    weeks = rows.with_columns(week=pl.col("at").dt.truncate("1w")).partition_by(
        "week", as_dict=True, maintain_order=False
    )
    width = float(norm.ppf(1 - CHANCE / 2 / max(1, len(weeks))))
    for (week,), part in sorted(weeks.items()):
        by_student = part.group_by("student").agg(
            error=(pl.col("observed") - pl.col("score")).sum(), rows=pl.len()
        )
        errors, counts = by_student["error"].to_numpy(), by_student["rows"].to_numpy()
        gap = float(errors.sum() / counts.sum())
        half = width * _cluster_error(
            errors - gap * counts, int(counts.sum()), float(part["observed"].cast(pl.Float64).sum())
        )
        clear = max(0.0, abs(gap) - half)
        yield {
            "kind": "calibration",
            "name": f"{week:%Y-%m-%d}",
            "begins_at": week,
            "num_rows": part.height,
            "num_students": by_student.height,
            "value": gap,
            "low": gap - half,
            "high": gap + half,
            "expected": part["score"].mean(),
            "observed": part["observed"].cast(pl.Float64).mean(),
            "verdict": _verdict(abs(gap), CALIBRATION_BOUNDS, is_chance=not clear > 0),
        }


def _cluster_error(excess: NDArray[np.float64], num_rows: int, num_came: float) -> float:
    """Return the standard error of a mean over rows of students; infinite for one student.

    It is at least that of free rows, half a row more of each kind: few rows that are all alike are not sure.
    """
    if len(excess) < FEWEST_CLUSTERS:
        return float("inf")
    share = (num_came + 0.5) / (num_rows + 1)
    free = np.sqrt(share * (1 - share) / num_rows)
    return max(float(free), float(np.sqrt((excess**2).sum() * len(excess) / (len(excess) - 1)) / num_rows))


def _volume(snapshot: Snapshot, rows: pl.DataFrame) -> Iterator[dict[str, object]]:
    if not snapshot.rows_a_day:
        return
    days = rows.drop_nulls("at").group_by(pl.col("at").dt.truncate("1d").alias("day")).len().sort("day")
    if days.is_empty():
        return
    typical = float(days["len"].median() or 0.0)  # type: ignore[arg-type]  # a column of counts
    ratio = typical / snapshot.rows_a_day
    yield {
        "kind": "volume",
        "name": "median day",
        "num_rows": rows.height,
        "value": ratio,
        "expected": snapshot.rows_a_day,
        "observed": typical,
        "verdict": _verdict(max(ratio, 1 / max(ratio, 1e-9)), VOLUME_BOUNDS),
    }
    for day, count in days.iter_rows():
        yield {
            "kind": "volume",
            "name": f"{day:%Y-%m-%d}",
            "begins_at": day,
            "num_rows": count,
            "value": count / snapshot.rows_a_day,
            "expected": snapshot.rows_a_day,
            "observed": float(count),
            "verdict": None,
        }


def _verdict(value: float, bounds: tuple[float, float], *, is_chance: bool = False) -> str:
    """Return how strong a drift is; one that chance explains is said to be that."""
    passed = sum(value >= bound for bound in bounds)
    return BY_CHANCE if passed and is_chance else WORDS[passed]
