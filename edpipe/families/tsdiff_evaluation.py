"""Backtest of a trained forecaster, and of a champion on another's validation windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edpipe.datasets.series_source import SourcedTask, account_words, sourced_task
from edpipe.errors import RegistryError
from edpipe.evaluation.forecast.baselines.named import named_forecasters
from edpipe.evaluation.forecast.cross_fit import cross_fitted
from edpipe.evaluation.forecast.evaluate import Part, evaluate_forecasts, save_frames, subset_metrics
from edpipe.evaluation.forecast.metrics import window_scores
from edpipe.evaluation.results import EVALUATION_FOLDER
from edpipe.families.raw_data import refuse_changed_data
from edpipe.prediction.forecast import forecast_windows, load_forecaster
from edpipe.prediction.forecast_losses import diffusion_losses
from edpipe.tracking.validation import validation_of
from edpipe.training.run import read_run
from edpipe.training.tsdiff_choice import fit_calibration
from edpipe.training.tsdiff_validation import some_windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edpipe.datasets.forecasts import Forecasts
    from edpipe.evaluation.results import Evaluation
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun


LOSSES_FILE: Final = "diffusion_loss.parquet"
MAX_LOSS_WINDOWS: Final = 64


def settings_asked(settings: Settings, asked: Mapping[str, Any]) -> Settings:
    """Return the settings with series and windows as they were when a run was trained.

    A file is looked for where the settings name one now: files move.
    """
    given = {**asked, "lags": tuple(asked["lags"])}
    if asked["file"] and settings.tsdiff.file:
        given["file"] = settings.tsdiff.file
    return settings.model_copy(update={"tsdiff": settings.tsdiff.model_copy(update=given)})


def evaluated_run(settings: Settings, run: TrainingRun) -> tuple[SourcedTask, Evaluation]:
    """Score a run beside the baselines of the settings on the series that it was trained on.

    Validation windows are forecast by networks that have not seen them, and corrected by what was fitted to
    other validation windows; test windows by what is kept with the model, fitted to validation alone.

    Raises
    ------
    TrainingError
        If the series have changed since the run was trained.
    """
    sourced = sourced_task(settings_asked(settings, run.data["asked"]))
    refuse_changed_data(run, sourced.fingerprint)
    task = sourced.task

    def predict(part: Part) -> Forecasts:
        trained = load_forecaster(run.run_dir, accelerator=settings.tsdiff.accelerator)
        if part == "test":
            return forecast_windows(trained, task.series, task.test, seed=settings.seed)
        found = forecast_windows(
            trained.before_validation(), task.series, task.valid, seed=settings.seed, is_calibrated=False
        )
        kind = str(run.options["calibration"])
        corrected = cross_fitted(
            found, task.truth(task.valid), lambda forecasts, truth: fit_calibration(kind, forecasts, truth)
        )
        return trained.bounded(corrected)

    asked = settings.tsdiff
    evaluation = evaluate_forecasts(
        settings,
        run.run_dir,
        task=task,
        model=str(run.options["model"]),
        predict=predict,
        baselines=named_forecasters((*asked.baselines, *asked.peers), settings.seed),
        data_fingerprint=run.fingerprint,
        notes=account_words(sourced.sourced.account),
    )
    if not (run.run_dir / EVALUATION_FOLDER / LOSSES_FILE).exists():
        windows = some_windows(task.valid, MAX_LOSS_WINDOWS)
        judged = load_forecaster(run.run_dir).before_validation()
        losses = diffusion_losses(judged, task.series, windows, seed=settings.seed)
        save_frames(run.run_dir, {LOSSES_FILE: losses})
    return sourced, evaluation


def came_too_late(settings: Settings, evaluation: Evaluation) -> tuple[str, ...]:
    """Say which forecasters of the settings are not in an evaluation that was stored before."""
    asked = settings.tsdiff
    names = [one.name for one in named_forecasters((*asked.baselines, *asked.peers), settings.seed)]
    missing = [repr(name) for name in names if name not in evaluation.summary["baselines"]]
    if not missing:
        return ()
    return (
        f"Not in the table: {', '.join(missing)}. Asked for after the test of this run had been opened, "
        "which is done once: train with another seed (`--set seed=1`), then evaluate beside them.",
    )


def validation_scores_of(
    settings: Settings, champion: ModelVersion, candidate: ModelVersion
) -> dict[str, float]:
    """Measure a registered forecaster on the validation windows of another's run.

    Raises
    ------
    RegistryError
        If it forecasts another frequency, or fewer steps.
    """
    run = read_run(settings.runs_dir / candidate.run_key)
    sourced = sourced_task(settings_asked(settings, run.data["asked"]))
    refuse_changed_data(run, sourced.fingerprint)
    task = sourced.task
    # The candidate's validation steps may be among those that the champion was trained on at last.
    folder, accelerator = settings.runs_dir / champion.run_key, settings.tsdiff.accelerator
    trained = load_forecaster(folder, accelerator=accelerator).before_validation()
    steps, frequency = trained.shape.prediction_length, str(trained.data["frequency"])
    if frequency != task.series.frequency.name or steps < task.prediction_length:
        raise RegistryError(
            "The champion forecasts other series, so the two scores cannot be compared.",
            where=f"versions {champion.version} and {candidate.version} of `{candidate.name}`",
            found=f"champion: {steps} {frequency} steps",
            expected=f"at least {task.prediction_length} {task.series.frequency.name} steps",
            next_step="Keep models of other frequencies in another home, or with another MLflow server.",
            state="No alias was moved.",
        )
    found = forecast_windows(trained, task.series, task.valid, seed=settings.seed)
    cut = np.ascontiguousarray(found.values[:, :, : task.prediction_length])
    scores = window_scores(found.map(cut), task.truth(task.valid))
    metrics = subset_metrics(task, "valid", task.valid, {"champion": scores})
    return dict(validation_of(settings, candidate.name, metrics).scores)
