"""Whether every mastery group is served alike: gaps, worst group, the same problem mix, errors by KC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.evaluation.strategy.groups import GROUPS
from edpipe.evaluation.strategy.intervals import Estimate, Floats, StudentDraws

# Attempts with (for misses) or without (for false alarms) a KC that a group needs for a rate.
LEAST_ATTEMPTS = 20
KC_SCHEMA = {
    "kc": pl.Int64,
    "group": pl.String,
    "false_positive_rate": pl.Float64,
    "false_negative_rate": pl.Float64,
    "num_without": pl.Int64,
    "num_with": pl.Int64,
}


@dataclass(frozen=True, slots=True, eq=False)
class GroupedAttempts:
    """Attempts of one part of a split with their mastery groups.

    Attributes
    ----------
    group
        Place in :data:`~edpipe.evaluation.strategy.groups.GROUPS`, -1 for none. Shape ``(n,)``.
    section
        Codes. Shape ``(n,)``.
    draws
        Draws of their students.
    """

    group: Places
    section: Places
    draws: StudentDraws

    def gaps(self, top: Floats, bottom: Floats) -> dict[str, Estimate]:
        """Return how a ratio differs between groups; empty where fewer than two groups have attempts.

        ``gap`` is the largest less the smallest, ``worst`` the smallest, ``ratio`` the smallest over the
        largest, ``gap_standardized`` the gap if all groups met the sections in equal parts: sections that
        some group never met are left out, the others weigh as in all attempts together.
        """
        values, draws = self.draws.by_group(top, bottom, self.group, len(GROUPS))
        has_any = ~np.isnan(values)
        if has_any.sum() < 2:
            return {}
        least, most = values[has_any].min(), values[has_any].max()
        low, high = _ends(draws[has_any])
        found = {
            "gap": Estimate(float(most - least), high - low),
            "worst": Estimate(float(least), low),
            "ratio": Estimate(
                float(least / most) if most else np.nan,
                np.divide(low, high, out=np.full(low.shape, np.nan), where=high > 0),
            ),
        }
        standardized = self._standardized(top, bottom, np.flatnonzero(has_any))
        return found if standardized is None else {**found, "gap_standardized": standardized}

    def gap_by_chance(self, top: Floats, bottom: Floats, *, seed: int, num_shuffles: int = 100) -> Estimate:
        """Return the gap that groups of the same sizes would have if all students were served alike.

        Students change places between groups, each with the group of most of their attempts; the value is
        the mean over the shuffles, which are its draws. A measured gap within the interval is no finding.
        """
        code = self.draws.code
        known = self.group >= 0
        votes = np.bincount(
            code[known] * len(GROUPS) + self.group[known], minlength=self.draws.num_students * len(GROUPS)
        ).reshape(-1, len(GROUPS))
        placed = np.flatnonzero(votes.sum(axis=1))
        usual = votes[placed].argmax(axis=1)
        sums = [
            np.bincount(code[known], weights=column[known], minlength=self.draws.num_students)[placed]
            for column in (top, bottom)
        ]
        random = np.random.default_rng([seed, num_shuffles])
        found = np.full(num_shuffles, np.nan)
        for number in range(num_shuffles):
            group = random.permutation(usual)
            parts = [np.bincount(group, weights=column, minlength=len(GROUPS)) for column in sums]
            rates = parts[0][parts[1] > 0] / parts[1][parts[1] > 0]
            if len(rates) > 1:
                found[number] = rates.max() - rates.min()
        is_found = ~np.isnan(found)
        return Estimate(float(found[is_found].mean()) if is_found.any() else float("nan"), found)

    def _standardized(self, top: Floats, bottom: Floats, groups: Places) -> Estimate | None:
        num_sections = int(self.section.max()) + 1
        cell = np.where(self.group >= 0, self.group * num_sections + self.section, -1)
        values, draws = self.draws.by_group(top, bottom, cell, len(GROUPS) * num_sections)
        values = values.reshape(len(GROUPS), num_sections)[groups]
        draws = draws.reshape(len(GROUPS), num_sections, -1)[groups]
        shared = ~np.isnan(values).any(axis=0)
        if not shared.any():
            return None
        weight = np.bincount(
            self.section[self.group >= 0],
            weights=bottom[self.group >= 0],
            minlength=num_sections,
        )[shared]
        mixed = values[:, shared] @ weight / weight.sum()
        kept = draws[:, shared]  # (groups, sections, draws)
        # A draw without a group in a section leaves that section out for the group.
        weights = np.where(np.isnan(kept), 0, weight[None, :, None])
        totals = weights.sum(axis=1)
        drawn = np.divide(
            (np.nan_to_num(kept) * weights).sum(axis=1),
            totals,
            out=np.full(totals.shape, np.nan),
            where=totals > 0,
        )
        return Estimate(*_spread(mixed, drawn))


def kc_rates(
    dataset: StrategyDataset, predicted: PredictedStrategies, group: Places
) -> tuple[pl.DataFrame, dict[str, float]]:
    """Compare, KC by KC, how often groups are told a KC they do not use, or not told one they use.

    Each KC is a yes-or-no question to every attempt in the sections where the KC is used at all. A group
    counts for a rate with at least :data:`LEAST_ATTEMPTS` attempts. Equal false positive rates are
    predictive equality, equal false negative rates equal opportunity.

    Returns
    -------
    tuple
        Rates by KC and group, columns :data:`KC_SCHEMA`; and ``false_positive_rate``,
        ``false_negative_rate``: the mean over KCs of the largest less the smallest rate, NaN if none.
    """
    rows = predicted.rows
    true_kcs, true_start = dataset.strategies(rows)
    num_kcs, num_groups = dataset.num_kcs, len(GROUPS)
    used = _pairs(true_kcs, true_start, num_kcs)
    told = _pairs(predicted.kcs, predicted.start, num_kcs)
    known = group >= 0
    size = num_groups * num_kcs

    def counts(pairs: Places) -> Places:
        attempt, kc = pairs // num_kcs, pairs % num_kcs
        chosen = known[attempt]
        cell = group[attempt[chosen]] * num_kcs + kc[chosen]
        return np.bincount(cell, minlength=size).reshape(num_groups, num_kcs)

    with_kc = counts(used)
    missed = counts(np.setdiff1d(used, told, assume_unique=True))
    alarms = counts(np.setdiff1d(told, used, assume_unique=True))
    # Attempts of each group in the sections where the KC is used.
    section = dataset.section[rows].astype(np.int64)
    in_section = np.zeros((dataset.num_sections, num_kcs), dtype=np.int64)
    in_section[section[used // num_kcs], used % num_kcs] = 1
    met = np.bincount(
        group[known] * dataset.num_sections + section[known], minlength=num_groups * dataset.num_sections
    ).reshape(num_groups, -1)
    without_kc = met @ in_section - with_kc
    false_positive = _rate(alarms, without_kc)
    false_negative = _rate(missed, with_kc)
    kcs = np.flatnonzero(with_kc.sum(axis=0))
    frame = pl.DataFrame(
        {
            "kc": np.tile(kcs, num_groups),
            "group": [name for name in GROUPS for _ in kcs],
            "false_positive_rate": false_positive[:, kcs].ravel(),
            "false_negative_rate": false_negative[:, kcs].ravel(),
            "num_without": without_kc[:, kcs].ravel(),
            "num_with": with_kc[:, kcs].ravel(),
        },
        schema=KC_SCHEMA,
    )
    return frame, {
        "false_positive_rate": _mean_gap(false_positive),
        "false_negative_rate": _mean_gap(false_negative),
    }


def _pairs(kcs: NDArray[np.int32], start: Places, num_kcs: int) -> Places:
    """Return attempt and KC of each sequence as one number, each pair once; unknown KCs are left out."""
    attempt = np.repeat(np.arange(len(start) - 1), np.diff(start))
    known = kcs >= 0
    return np.unique(attempt[known] * num_kcs + kcs[known])


def _rate(count: Places, total: Places) -> Floats:
    found: Floats = np.divide(count, total, out=np.full(count.shape, np.nan), where=total >= LEAST_ATTEMPTS)
    return found


def _mean_gap(rate: Floats) -> float:
    """Return the mean over KCs of the spread between groups, over KCs that two groups have a rate of."""
    compared = rate[:, (~np.isnan(rate)).sum(axis=0) >= 2]
    if not compared.size:
        return float("nan")
    return float((np.nanmax(compared, axis=0) - np.nanmin(compared, axis=0)).mean())


def _spread(values: Floats, draws: Floats) -> tuple[float, Floats]:
    low, high = _ends(draws)
    return float(values.max() - values.min()), high - low


def _ends(draws: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and the largest of each column; a draw may leave a group without a student."""
    is_known = ~np.isnan(draws)
    any_known = is_known.any(axis=0)
    low = np.where(any_known, np.where(is_known, draws, np.inf).min(axis=0), np.nan)
    high = np.where(any_known, np.where(is_known, draws, -np.inf).max(axis=0), np.nan)
    return low, high
