"""What a training run of a recommender left behind, with its evaluation and a look at its channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.advice import train_command
from edpipe.evaluation.recommendation.stored import CHANNELS_FILE, EXAMPLE_FILE, PAIRED_FILE
from edpipe.evaluation.recommendation.verdicts import best_floor, verdicts
from edpipe.evaluation.report.intervals import Row
from edpipe.evaluation.report.trained import Trained, read_trained
from edpipe.evaluation.results import EVALUATION_FOLDER
from edpipe.settings import Settings

AUC, GROUPED_AUC, LOG_LOSS, RATIO = "auc", "grouped_auc", "log_loss", "predicted_over_clicked"


@dataclass(frozen=True, slots=True)
class RecommendRun:
    """One run of a recommender with its evaluation.

    Parts that do not exist are None: ``paired`` holds the recommender minus each other, ``channels`` how its
    channels are loaded, ``example`` one student's recommendations with what carries them.
    """

    trained: Trained
    paired: pl.DataFrame | None = None
    channels: pl.DataFrame | None = None
    example: pl.DataFrame | None = None

    @property
    def recommender(self) -> str | None:
        """The model that was learned."""
        return next(iter(self.trained.learned), None)

    @property
    def rival(self) -> str | None:
        """The floor that validation would choose; None where there is none."""
        evaluation, model = self.trained.evaluation, self.recommender
        return None if evaluation is None or model is None else best_floor(evaluation.metrics, model)

    @property
    def said(self) -> list[str]:
        """What the scores mean, in sentences; nothing where models were not compared."""
        evaluation, model = self.trained.evaluation, self.recommender
        if evaluation is None or model is None or self.paired is None:
            return []
        return list(verdicts(evaluation.metrics, self.paired, model))

    @property
    def config(self) -> dict[str, Any]:
        """Hyper-parameters of the network."""
        return dict(self.trained.facts.get("config", {}))

    def row(self, model: str | None, metric: str = AUC, subset: str = "all") -> Row | None:
        """Return one measured score with its interval; None where it was not measured."""
        frame = self.trained.scores(subset)
        if frame.is_empty() or model is None:
            return None
        found = frame.filter((pl.col("model") == model) & (pl.col("metric") == metric))
        return found.row(0, named=True) if len(found) else None

    def difference(self, reference: str | None, metric: str = AUC, subset: str = "all") -> Row | None:
        """Return the recommender minus another, with the interval of the difference."""
        if self.paired is None or reference is None:
            return None
        found = self.paired.filter(
            (pl.col("model") == self.recommender)
            & (pl.col("reference") == reference)
            & (pl.col("split") == self.trained.split)
            & (pl.col("subset") == subset)
            & (pl.col("metric") == metric)
            & pl.col("difference").is_not_nan()
        )
        return {**found.row(0, named=True), "value": found["difference"][0]} if len(found) else None


def read_recommend_run(run_dir: Path | None, settings: Settings) -> RecommendRun:
    """Read what exists of a run; None gives nothing."""
    trained = read_trained(run_dir, ranking=AUC, command=train_command(settings, "diffumin"))
    if run_dir is None:
        return RecommendRun(trained)
    evaluation = run_dir / EVALUATION_FOLDER
    return RecommendRun(
        trained,
        paired=_read(evaluation / PAIRED_FILE, "subset"),
        channels=_read(evaluation / CHANNELS_FILE),
        example=_read(evaluation / EXAMPLE_FILE, "overall_effect"),
    )


def _read(path: Path, *columns: str) -> pl.DataFrame | None:
    """Return a file of the evaluation; None where it is not there, or was made before it had a column."""
    if not path.exists():
        return None
    found = pl.read_parquet(path)
    return found if set(columns) <= set(found.columns) else None
