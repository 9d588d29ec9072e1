"""What is chosen on validation windows after training: steps, strength of guidance, spread."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import Singles
from edpipe.evaluation.forecast.calibration import Calibration, QuantileOffsets, SpreadFactor
from edpipe.evaluation.forecast.metrics import mean_weighted_quantile_loss
from edpipe.prediction.forecast import TrainedForecaster, forecast_windows
from edpipe.progress import track
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.settings import Settings
from edpipe.training.tsdiff_validation import some_windows

# Windows that decide, and that the spread is measured on; more of both take longer than they teach. Guided
# steps cost several times as much as plain ones, and there are more of them.
MAX_CHOICE_WINDOWS: Final = 64
MAX_CALIBRATION_WINDOWS: Final = 1024
MAX_GUIDED_CHOICE_WINDOWS: Final = 24
MAX_GUIDED_CALIBRATION_WINDOWS: Final = 64
# Paths that tell candidates apart; the spread is measured with as many as are asked for.
CHOICE_SAMPLES: Final = 32
STEPS: Final = (1, 2, 4, 8, 16)
GUIDED_STEPS: Final = (10, 20)
GUIDANCE_SCALES: Final = (1.0, 4.0, 16.0)


def chosen(trained: TrainedForecaster, task: ForecastTask, settings: Settings) -> TrainedForecaster:
    """Return the forecaster with all that its settings leave to validation windows.

    Candidates are compared by their CRPS after the correction of the spread, because few steps draw paths
    that are too close together.
    """
    asked = settings.tsdiff
    candidates = list(_candidates(trained, settings))
    is_guided = not trained.is_conditional
    if len(candidates) > 1:
        windows = some_windows(task.valid, MAX_GUIDED_CHOICE_WINDOWS if is_guided else MAX_CHOICE_WINDOWS)
        truth = task.truth(windows)
        losses = []
        few = min(asked.num_samples, CHOICE_SAMPLES)
        with track("Choose the sampler", total=len(candidates), unit="ways", mode=settings.progress) as work:
            for candidate in candidates:
                found = forecast_windows(
                    candidate.with_sampling(num_samples=few), task.series, windows, seed=settings.seed
                )
                fitted = fit_calibration(asked.calibration, found, truth)
                corrected = found if fitted is None else candidate.bounded(fitted.apply(found))
                losses.append(mean_weighted_quantile_loss(corrected, truth))
                work.advance()
        trained = candidates[losses.index(min(losses))]
    else:
        trained = candidates[0]
    if asked.calibration == "none":
        return trained
    most = MAX_GUIDED_CALIBRATION_WINDOWS if is_guided else MAX_CALIBRATION_WINDOWS
    windows = some_windows(task.calibration_windows(), most)
    with track("Calibrate", total=len(windows), unit="windows", mode=settings.progress) as work:
        found = forecast_windows(trained, task.series, windows, seed=settings.seed, on_windows=work.advance)
    return replace(trained, calibration=fit_calibration(asked.calibration, found, task.truth(windows)))


def fit_calibration(kind: str, forecasts: Forecasts, truth: Singles) -> Calibration | None:
    """Return the correction of a kind: ``spread``, ``offsets``, or None for ``none``."""
    if kind == "spread":
        return SpreadFactor.fit(forecasts, truth)
    return QuantileOffsets.fit(forecasts, truth) if kind == "offsets" else None


def _candidates(trained: TrainedForecaster, settings: Settings) -> list[TrainedForecaster]:
    asked = settings.tsdiff
    if asked.model == "one_step":
        return [trained.with_sampling(num_steps=1)]
    if trained.is_conditional:
        return [trained.with_sampling(num_steps=number) for number in _steps(asked, STEPS)]
    steps = _steps(asked, GUIDED_STEPS)
    has_scale = asked.guidance != "covariance"
    scales = GUIDANCE_SCALES if has_scale and not asked.guidance_scale else (asked.guidance_scale or 1.0,)
    return [
        trained.with_sampling(num_steps=number, guidance_scale=scale)
        for number, scale in itertools.product(steps, scales)
    ]


def _steps(asked: TSDiffSettings, usual: Sequence[int]) -> list[int]:
    """Return the numbers of steps to compare: that of the settings, or the usual ones that there can be."""
    if asked.num_steps:
        return [asked.num_steps]
    most = asked.num_diffusion_steps if asked.is_in_steps else max(usual)
    return sorted({min(number, most) for number in usual})
