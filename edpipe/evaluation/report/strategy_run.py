"""What a training run of a strategy predictor left behind, and the clusters that it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.evaluation.report.intervals import Row
from edpipe.evaluation.report.trained import Trained, read_trained
from edpipe.evaluation.results import EVALUATION_FOLDER

EXACT = "exact_match"
LOOKUP = "lookup"
PAIRED_FILE = "paired.parquet"
EQUITY_FILE = "equity.parquet"
BUDGETS_FILE = "learning_curve.parquet"
MAP_FILE = "map.parquet"


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """One run of a predictor with its evaluation, its learning curve and the map of its clusters.

    Parts that do not exist are None: ``paired`` holds gains over the lookup, ``rates`` errors by KC and
    mastery group.
    """

    trained: Trained
    paired: pl.DataFrame | None = None
    rates: pl.DataFrame | None = None
    budgets: pl.DataFrame | None = None
    points: pl.DataFrame | None = None

    @property
    def predictor(self) -> str | None:
        """The model that was learned; the best where there are several."""
        return next(iter(self.trained.learned), None)

    @property
    def lookup(self) -> str | None:
        """The baseline to beat: the most frequent strategy of the problem, else of the section."""
        baselines = [model for model in self.trained.models if model not in self.trained.learned]
        return LOOKUP if LOOKUP in baselines else next(iter(baselines), None)

    def row(self, model: str | None, subset: str = "all", metric: str = EXACT) -> Row | None:
        """Return one measured score with its interval; None where it was not measured."""
        frame = self.trained.scores(subset)
        if frame.is_empty():
            return None
        found = frame.filter((pl.col("model") == model) & (pl.col("metric") == metric))
        return found.row(0, named=True) if len(found) else None

    def gain(self, model: str | None, subset: str = "all", metric: str = EXACT) -> Row | None:
        """Return how much better than the lookup a model is, with the interval of the difference."""
        if self.paired is None:
            return None
        found = self.paired.filter(
            (pl.col("model") == model)
            & (pl.col("reference") == self.lookup)
            & (pl.col("split") == self.trained.split)
            & (pl.col("subset") == subset)
            & (pl.col("metric") == metric)
        )
        return {**found.row(0, named=True), "value": found["difference"][0]} if len(found) else None


def read_strategy_run(run_dir: Path | None, clusters_dir: Path) -> StrategyRun:
    """Read what exists below ``run_dir`` and, of its clusters, below ``clusters_dir``; None gives nothing."""
    trained = read_trained(run_dir, ranking=EXACT)
    if run_dir is None:
        return StrategyRun(trained)
    key = _clusters_key(trained.facts)
    evaluation = run_dir / EVALUATION_FOLDER
    return StrategyRun(
        trained,
        paired=_read(evaluation / PAIRED_FILE),
        rates=_read(evaluation / EQUITY_FILE),
        budgets=_read(evaluation / BUDGETS_FILE),
        points=_read(clusters_dir / key / MAP_FILE) if key else None,
    )


def _clusters_key(facts: Mapping[str, Any]) -> str:
    """Return the folder of the clusters that a run was trained with, as its ``run.json`` names it."""
    data = facts.get("data")
    found = facts.get("clusters_key") or (data.get("clusters_key") if isinstance(data, dict) else None)
    return str(found or "")


def _read(path: Path) -> pl.DataFrame | None:
    return pl.read_parquet(path) if path.exists() else None
