"""What a training run of a forecaster left behind, with its rolling backtest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edpipe.advice import train_command
from edpipe.evaluation.report.intervals import Row
from edpipe.evaluation.report.trained import Trained, read_trained
from edpipe.evaluation.results import EVALUATION_FOLDER
from edpipe.settings import Settings

CRPS, COVERED = "crps", "coverage_90"
PAIRED_FILE = "paired.parquet"
BY_STEP_FILE = "by_step.parquet"
PIT_FILE = "pit.parquet"
FAN_FILE = "fan.parquet"
HISTORY_FILE = "fan_history.parquet"
LOSSES_FILE = "diffusion_loss.parquet"


@dataclass(frozen=True, slots=True)
class ForecastRun:
    """One run of a forecaster with its evaluation.

    Parts that do not exist are None: ``paired`` holds the forecaster minus each baseline, ``by_step`` scores
    by step ahead, ``pit`` histograms, ``fan`` quantiles of test windows with what came, ``history`` what
    came before the first of them, ``losses`` the network's loss by strength of the noise.
    """

    trained: Trained
    paired: pl.DataFrame | None = None
    by_step: pl.DataFrame | None = None
    pit: pl.DataFrame | None = None
    fan: pl.DataFrame | None = None
    history: pl.DataFrame | None = None
    losses: pl.DataFrame | None = None

    @property
    def forecaster(self) -> str | None:
        """The model that was learned."""
        return next(iter(self.trained.learned), None)

    @property
    def baselines(self) -> list[str]:
        """The others, the best first."""
        return [model for model in self.trained.models if model not in self.trained.learned]

    @property
    def rival(self) -> str | None:
        """The baseline that validation would choose: choosing it on the test would flatter it."""
        evaluation = self.trained.evaluation
        if evaluation is None:
            return None
        known = evaluation.metrics.filter(
            (pl.col("split") == "valid")
            & (pl.col("subset") == "all")
            & (pl.col("metric") == CRPS)
            & pl.col("model").is_in(self.baselines)
            & pl.col("value").is_not_nan()
        )
        if known.is_empty():
            return next(iter(self.baselines), None)
        return str(known.sort("value", "model")["model"][0])

    def row(self, model: str | None, metric: str = CRPS, subset: str = "all") -> Row | None:
        """Return one measured score with its interval; None where it was not measured."""
        frame = self.trained.scores(subset)
        if frame.is_empty():
            return None
        found = frame.filter((pl.col("model") == model) & (pl.col("metric") == metric))
        return found.row(0, named=True) if len(found) else None

    def difference(self, reference: str | None, metric: str = CRPS) -> Row | None:
        """Return the forecaster minus a baseline with the interval of the difference."""
        if self.paired is None:
            return None
        found = self.paired.filter(
            (pl.col("model") == self.forecaster)
            & (pl.col("reference") == reference)
            & (pl.col("split") == self.trained.split)
            & (pl.col("metric") == metric)
        )
        return {**found.row(0, named=True), "value": found["difference"][0]} if len(found) else None

    def part(self, frame: pl.DataFrame | None) -> pl.DataFrame | None:
        """Return the rows of the reported split; None where there are none."""
        if frame is None:
            return None
        found = frame.filter(pl.col("split") == self.trained.split)
        return found if len(found) else None


def read_forecast_run(run_dir: Path | None, settings: Settings) -> ForecastRun:
    """Read what exists of a run; None gives nothing."""
    command = train_command(settings, "tsdiff")
    trained = read_trained(run_dir, ranking=CRPS, command=command, lowest_first=True)
    if run_dir is None:
        return ForecastRun(trained)
    evaluation = run_dir / EVALUATION_FOLDER
    return ForecastRun(
        trained,
        paired=_read(evaluation / PAIRED_FILE),
        by_step=_read(evaluation / BY_STEP_FILE),
        pit=_read(evaluation / PIT_FILE),
        fan=_read(evaluation / FAN_FILE),
        history=_read(evaluation / HISTORY_FILE),
        losses=_read(evaluation / LOSSES_FILE),
    )


def _read(path: Path) -> pl.DataFrame | None:
    return pl.read_parquet(path) if path.exists() else None
