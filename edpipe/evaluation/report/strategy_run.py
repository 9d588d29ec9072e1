"""What a training run of a strategy predictor left behind, and the clusters that it learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.advice import train_command
from edpipe.evaluation.report.intervals import Row
from edpipe.evaluation.report.trained import Trained, read_trained
from edpipe.evaluation.results import EVALUATION_FOLDER
from edpipe.settings import Settings

EXACT = "exact_match"
LOOKUP = "lookup"
PAIRED_FILE = "paired.parquet"
EQUITY_FILE = "equity.parquet"
BUDGETS_FILE = "learning_curve.parquet"
MAP_FILE = "map.parquet"
ROUNDS_FILE = "rounds.parquet"
EMBEDDING_FILE = "embedding.json"


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """One run of a predictor with its evaluation, its learning curve and the map of its clusters.

    Parts that do not exist are None: ``paired`` holds gains over the lookup, ``rates`` errors by KC and
    mastery group, ``points`` the map, ``rounds`` those of refinement, ``estimators`` the comparison of
    estimators of mastery.
    """

    trained: Trained
    paired: pl.DataFrame | None = None
    rates: pl.DataFrame | None = None
    budgets: pl.DataFrame | None = None
    points: pl.DataFrame | None = None
    rounds: pl.DataFrame | None = None
    estimators: tuple[Row, ...] = ()

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


def read_strategy_run(run_dir: Path | None, settings: Settings) -> StrategyRun:
    """Read what exists of a run, its embedding and its clusters; None gives nothing."""
    trained = read_trained(run_dir, ranking=EXACT, command=train_command(settings, "strategy"))
    if run_dir is None:
        return StrategyRun(trained)
    evaluation = run_dir / EVALUATION_FOLDER
    embedding, clusters = (
        folder / key if (key := _key(trained.facts, name)) else None
        for folder, name in (
            (settings.embeddings_dir, "embedding_key"),
            (settings.clusters_dir, "clusters_key"),
        )
    )
    return StrategyRun(
        trained,
        paired=_read(evaluation / PAIRED_FILE),
        rates=_read(evaluation / EQUITY_FILE),
        budgets=_read(evaluation / BUDGETS_FILE),
        points=_read(clusters / MAP_FILE) if clusters else None,
        rounds=_read(clusters / ROUNDS_FILE) if clusters else None,
        estimators=_estimators(embedding) if embedding else (),
    )


def _key(facts: Mapping[str, Any], name: str) -> str:
    """Return the name of a folder that a run learned from, as its ``run.json`` tells."""
    data = facts.get("data")
    return str(data.get(name) or "") if isinstance(data, dict) else ""


def _estimators(embedding: Path) -> tuple[Row, ...]:
    file = embedding / EMBEDDING_FILE
    return tuple(json.loads(file.read_text("utf-8")).get("estimators", ())) if file.exists() else ()


def _read(path: Path) -> pl.DataFrame | None:
    return pl.read_parquet(path) if path.exists() else None
