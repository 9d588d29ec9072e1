"""What a version is judged by: its scores on validation rows, and the group it serves worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from edpipe.settings import Settings
from edpipe.tracking.contest import WORST_GROUP, contest_of
from edpipe.tracking.registry import valid_tag


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores on validation rows.

    Attributes
    ----------
    scores
        By metric; that of the group served worst only where groups are known.
    worst_group
        Name of that group; empty where it is not known.
    """

    scores: Mapping[str, float]
    worst_group: str = ""

    def tags(self) -> dict[str, str]:
        """Return the tags that a registered version keeps them in."""
        tags = {valid_tag(metric): repr(value) for metric, value in self.scores.items()}
        return tags | ({valid_tag(WORST_GROUP): self.worst_group} if self.worst_group else {})


def validation_of(settings: Settings, name: str, metrics: pl.DataFrame) -> Validation:
    """Return what versions of a name are judged by.

    Parameters
    ----------
    settings
        Says which groups are too small.
    name
        Registered name.
    metrics
        ``subset, metric, value, num_interactions`` of one model on validation rows.
    """
    contest = contest_of(name)
    everything = metrics.filter(pl.col("subset") == "all")
    known = dict(everything.select("metric", "value").iter_rows())
    scores = {metric: float(known[metric]) for metric in contest.metrics if known.get(metric) is not None}
    worst = contest.worst_group(metrics, least_rows=settings.promotion.least_group_rows)
    if worst is None:
        return Validation(scores)
    return Validation({**scores, contest.worst_metric: worst[1]}, worst[0])
