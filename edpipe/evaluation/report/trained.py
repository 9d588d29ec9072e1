"""What a training run left behind, as far as it got."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.evaluation.results import EVALUATION_FOLDER, SUMMARY_FILE, Evaluation

RUN_FILE = "run.json"
CURVES_FILE = "curves.csv"


@dataclass(frozen=True, slots=True)
class Trained:
    """One training run: its facts, its curve, and its evaluation, each where it exists.

    ``ranking`` is the metric that orders the models, the best first, which is the lowest where
    ``lowest_first``; ``command`` trains one.
    """

    key: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    curves: pl.DataFrame | None = None
    evaluation: Evaluation | None = None
    ranking: str = "auc"
    command: str = "edpipe train tracing"
    lowest_first: bool = False

    @property
    def split(self) -> str | None:
        """The split to report: the test where it was opened, otherwise validation."""
        if self.evaluation is None:
            return None
        known = set(self.evaluation.metrics["split"])
        return next((split for split in ("test", "valid", "train") if split in known), None)

    def scores(self, subset: str) -> pl.DataFrame:
        """Return the metric rows of one subset of the reported split."""
        if self.evaluation is None:
            return pl.DataFrame()
        return self.evaluation.metrics.filter(
            (pl.col("split") == self.split) & (pl.col("subset") == subset) & pl.col("value").is_not_nan()
        )

    @property
    def models(self) -> list[str]:
        """Models, the best first."""
        scores = self.scores("all")
        if scores.is_empty():
            return []
        best_first = scores.filter(pl.col("metric") == self.ranking)
        descending = [not self.lowest_first, False]
        return best_first.sort("value", "model", descending=descending)["model"].to_list()

    @property
    def learned(self) -> list[str]:
        """Models that are no baseline; all models where that is not recorded."""
        baselines = self.evaluation.summary.get("baselines", []) if self.evaluation else []
        return [model for model in self.models if model not in baselines] or self.models


def read_trained(
    run_dir: Path | None, *, command: str, ranking: str = "auc", lowest_first: bool = False
) -> Trained:
    """Read what exists below ``run_dir``; None gives an empty run."""
    if run_dir is None or not run_dir.is_dir():
        return Trained(ranking=ranking, command=command, lowest_first=lowest_first)
    facts_file, curves_file = run_dir / RUN_FILE, run_dir / CURVES_FILE
    facts = json.loads(facts_file.read_text("utf-8")) if facts_file.exists() else {}
    curves = pl.read_csv(curves_file) if curves_file.exists() else None
    evaluated = (run_dir / EVALUATION_FOLDER / SUMMARY_FILE).exists()
    evaluation = Evaluation.load(run_dir) if evaluated else None
    return Trained(run_dir.name, facts, curves, evaluation, ranking, command, lowest_first)
