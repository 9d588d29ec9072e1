"""What two versions of a family are compared by: the deciding score, groups, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from edpipe.setting_groups_registry import PromotionSettings

# Tag that names the group that is served worst.
WORST_GROUP = "worst_group"


@dataclass(frozen=True, slots=True)
class Contest:
    """What versions of one family are compared by, all on validation rows.

    Attributes
    ----------
    deciding, title
        Metric that decides, and its name in a sentence.
    is_higher_better
        Whether its higher value wins; otherwise the lower does.
    beside
        Metrics that are recorded with it.
    groups, groups_title
        Subsets that are groups of students or series, and what they are, in the plural.
    group_metric, group_title, is_group_higher_better
        Metric of the groups, its name in a sentence, and which way it is better.
    calibration, calibration_title
        Metric of calibration, and its name in a sentence.
    ideal, bound
        Its best value, and the setting of `promotion` that says how far from it is well.
    """

    deciding: str
    title: str
    beside: tuple[str, ...]
    groups: tuple[str, ...]
    groups_title: str
    group_metric: str
    group_title: str
    calibration: str
    calibration_title: str
    ideal: float
    bound: str
    is_higher_better: bool = False
    is_group_higher_better: bool = False

    @property
    def worst_metric(self) -> str:
        """Name of the score of the group that is served worst."""
        return f"{WORST_GROUP}_{self.group_metric}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics over all validation rows that a promotion needs or records."""
        return tuple(dict.fromkeys((self.deciding, *self.beside, self.calibration)))

    def wins(self, new: float, old: float) -> bool:
        """Return whether a value of the deciding metric beats another; one that is no number never does."""
        return new > old if self.is_higher_better else new < old

    def band(self, bounds: PromotionSettings) -> tuple[float, float]:
        """Return least and greatest value of a good calibration; it cannot be below 0."""
        width = float(getattr(bounds, self.bound))
        return round(max(self.ideal - width, 0.0), 6), round(self.ideal + width, 6)

    def worst_group(self, metrics: pl.DataFrame, *, least_rows: int) -> tuple[str, float] | None:
        """Return the group that is served worst with its score; None where no group is large enough.

        Parameters
        ----------
        metrics
            ``subset, metric, value, num_interactions`` of one model on validation rows.
        least_rows
            Rows below which a group is too small to be judged.
        """
        rows = metrics.filter(
            pl.col("subset").is_in(self.groups)
            & (pl.col("metric") == self.group_metric)
            & (pl.col("num_interactions") >= least_rows)
            & pl.col("value").is_finite()
        ).sort("value", "subset", descending=[not self.is_group_higher_better, False])
        return (str(rows["subset"][0]), float(rows["value"][0])) if rows.height else None


MASTERY_THIRDS = tuple(f"mastery:{name}" for name in ("low", "middle", "high"))
MASTERY_FIFTHS = tuple(
    f"mastery:{name}" for name in ("lowest", "low", "middle", "high", "highest", "short_history")
)
HISTORIES = tuple(f"history:{name}" for name in ("0", "1-20", "21-100", "101-1,000", "1,001+"))
LEVELS = tuple(f"level:{name}" for name in ("low", "middle", "high"))
TRACING = Contest(
    deciding="log_loss",
    title="validation log loss",
    beside=("auc",),
    groups=MASTERY_THIRDS,
    groups_title="mastery groups",
    group_metric="log_loss",
    group_title="log loss",
    calibration="calibration_error",
    calibration_title="calibration error on validation answers",
    ideal=0.0,
    bound="max_calibration_error",
)
STRATEGY = Contest(
    deciding="log_loss",
    title="validation log loss a token",
    beside=("exact_match",),
    groups=MASTERY_FIFTHS,
    groups_title="mastery groups",
    group_metric="exact_match",
    group_title="exact match",
    is_group_higher_better=True,
    calibration="calibration_error",
    calibration_title="calibration error of the confidence on validation attempts",
    ideal=0.0,
    bound="max_calibration_error",
)
TSDIFF = Contest(
    deciding="crps",
    title="validation CRPS",
    beside=("coverage_90",),
    groups=LEVELS,
    groups_title="groups of series by their level",
    group_metric="crps",
    group_title="CRPS",
    calibration="coverage_90",
    calibration_title="share of validation steps inside the 90 % interval",
    ideal=0.9,
    bound="coverage_tolerance",
)
DIFFUMIN = Contest(
    deciding="auc",
    title="validation AUC",
    is_higher_better=True,
    beside=("log_loss", "predicted_over_clicked"),
    groups=HISTORIES,
    groups_title="groups of students by the length of their history",
    group_metric="auc",
    group_title="AUC",
    is_group_higher_better=True,
    calibration="predicted_over_clicked",
    calibration_title="number of predicted clicks for each real one",
    ideal=1.0,
    bound="click_tolerance",
)
CONTESTS: Mapping[str, Contest] = {
    "tracing": TRACING,
    "strategy": STRATEGY,
    "tsdiff": TSDIFF,
    "diffumin": DIFFUMIN,
}


def contest_of(name: str) -> Contest:
    """Return what the versions of a registered name are compared by."""
    return CONTESTS.get(name, TRACING)
