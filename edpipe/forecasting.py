"""The verb of forecasts: series in, quantiles or sample paths out, by the champion or a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edpipe.errors import SettingsError
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.datasets.forecasts import Forecasts
    from edpipe.datasets.series import SeriesSet
    from edpipe.datasets.series_source import SourcedSeries
    from edpipe.prediction.forecast import TrainedForecaster

MODEL = "tsdiff"
Output = Literal["quantiles", "samples"]


@dataclass(frozen=True, slots=True)
class ForecastPlan:
    """What a call would forecast: which series, with which model, how far.

    Attributes
    ----------
    trained_in
        Folder of the training run.
    version
        Registered version; None for a run that was named.
    num_series, horizon, frequency
        Series, steps ahead, and how long a step is.
    """

    trained_in: Path
    version: int | None
    num_series: int
    horizon: int
    frequency: str


@dataclass(frozen=True, slots=True, eq=False)
class ForecastRequest:
    """A forecaster and the series that it is asked about: the beginning of everything that samples.

    Attributes
    ----------
    trained
        Networks and how they are sampled.
    sourced
        Series with an account of what was left out.
    plan
        The same in a few words.
    """

    trained: TrainedForecaster
    sourced: SourcedSeries
    plan: ForecastPlan


def forecast(
    frame: pl.DataFrame | None = None,
    settings: Settings | None = None,
    *,
    series: str | None = None,
    horizon: int | None = None,
    output: Output = "quantiles",
    quantile_levels: Sequence[float] | None = None,
    num_samples: int | None = None,
    run_dir: Path | None = None,
) -> pl.DataFrame:
    """Forecast series from their ends: a long table in, a long table out.

    Parameters
    ----------
    frame
        ``series_id, time, target`` on the frequency that the model was trained on; a missing target is an
        unobserved step. By default the warehouse's activity that the model learned from, as it is now.
    settings
        Default: :func:`edpipe.load_settings`.
    series
        Of the warehouse's: ``all``, ``total`` or ``part``; by default those of the model.
    horizon
        Steps ahead, at most those that the model forecasts, which is the default.
    output
        ``quantiles`` gives ``series_id, time, step, mean`` and a column a quantile (``quantile_05``, …);
        ``samples`` gives ``series_id, time, step, sample, target``, whole paths.
    quantile_levels
        Between 0 and 1; by default 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95.
    num_samples
        Sample paths; by default those of the model.
    run_dir
        Folder of a training run; by default the champion of `tsdiff`.

    Raises
    ------
    RegistryError
        If there is no champion.
    SettingsError
        If the horizon or a level is out of range, or the series have another frequency.
    ContractError
        If the table breaks its grid.
    """
    settings = settings or load_settings()
    request = open_request(frame, settings, series=series, horizon=horizon, run_dir=run_dir)
    return answer(request, settings, output=output, quantile_levels=quantile_levels, num_samples=num_samples)


def open_request(
    frame: pl.DataFrame | None,
    settings: Settings,
    *,
    series: str | None = None,
    horizon: int | None = None,
    run_dir: Path | None = None,
) -> ForecastRequest:
    """Open the forecaster and the series of a call of :func:`forecast`; nothing is sampled."""
    from edpipe.datasets.series_source import file_series, sourced_series
    from edpipe.families.tsdiff_evaluation import settings_asked
    from edpipe.prediction.forecast import holes_of, load_forecaster, refuse_other_frequency

    version = None
    if run_dir is None:
        from edpipe.tracking.registry import champion

        chosen = champion(settings, MODEL)
        run_dir, version = settings.runs_dir / chosen.run_key, chosen.version
    trained = load_forecaster(run_dir, accelerator=settings.tsdiff.accelerator)
    asked = settings_asked(settings, trained.data["asked"])
    if series is not None:
        _refuse_unknown_series(series)
        asked = asked.model_copy(update={"tsdiff": asked.tsdiff.model_copy(update={"series": series})})
    if frame is None:
        sourced = sourced_series(asked)
    else:
        given = asked.tsdiff.model_copy(update={"holes": holes_of(trained)})
        sourced = file_series(frame, given, frequency=_frequency_of_short(frame, trained))
    refuse_other_frequency(trained, sourced.series)
    most = trained.shape.prediction_length
    if horizon is not None and not 1 <= horizon <= most:
        raise SettingsError(
            "The horizon is out of range.",
            where="flag `--horizon`",
            found=str(horizon),
            expected=f"1 to {most}, the steps that the model forecasts",
            next_step=f"Train for more: `edpipe --set tsdiff.prediction_length={horizon} train tsdiff`."
            if horizon > most
            else "Ask for at least one step.",
            state="Nothing was written.",
        )
    frequency = sourced.series.frequency.name
    plan = ForecastPlan(run_dir, version, sourced.series.num_series, horizon or most, frequency)
    return ForecastRequest(trained, sourced, plan)


def answer(
    request: ForecastRequest,
    settings: Settings,
    *,
    output: Output = "quantiles",
    quantile_levels: Sequence[float] | None = None,
    num_samples: int | None = None,
) -> pl.DataFrame:
    """Sample what was opened, and return it as :func:`forecast` does."""
    from edpipe.prediction.forecast_frames import quantile_frame, sample_frame

    levels = checked_levels(quantile_levels)
    found = sampled(request, settings, num_samples=num_samples)
    if output == "samples":
        return sample_frame(request.sourced.series, found, num_samples or found.values.shape[1])
    return quantile_frame(request.sourced.series, found, levels)


def checked_levels(quantile_levels: Sequence[float] | None) -> list[float]:
    """Return quantile levels in rising order; the usual ones where None.

    Raises
    ------
    SettingsError
        If there is none, or one does not lie between 0 and 1.
    """
    from edpipe.datasets.forecast_levels import DEFAULT_LEVELS

    levels = sorted({*(DEFAULT_LEVELS if quantile_levels is None else quantile_levels)})
    if not levels or not 0 < levels[0] <= levels[-1] < 1:
        raise SettingsError(
            "Quantile levels are out of range.",
            where="flag `--levels`",
            found=", ".join(map(str, levels)) or "none",
            expected="numbers between 0 and 1",
            state="Nothing was written.",
        )
    return levels


def sampled(request: ForecastRequest, settings: Settings, *, num_samples: int | None = None) -> Forecasts:
    """Return sample paths of what was opened, cut to its horizon."""
    import numpy as np

    from edpipe.prediction.forecast import forecast_windows, windows_at_end
    from edpipe.progress import track

    trained = request.trained
    if num_samples is not None:
        if num_samples < 1:
            raise SettingsError(
                "The number of samples is out of range.",
                where="flag `--samples`",
                found=str(num_samples),
                expected="at least 1",
                state="Nothing was written.",
            )
        trained = trained.with_sampling(num_samples=num_samples)
    series: SeriesSet = request.sourced.series
    windows = windows_at_end(series)
    with track("Forecast", total=len(windows), unit="series", mode=settings.progress) as work:
        found = forecast_windows(trained, series, windows, seed=settings.seed, on_windows=work.advance)
    return found.map(np.ascontiguousarray(found.values[:, :, : request.plan.horizon]))


def _refuse_unknown_series(series: str) -> None:
    from edpipe.setting_groups import closest

    known = ["all", "total", "part"]
    if series not in known:
        raise SettingsError(
            "There are no such series.",
            where="flag `--series`",
            found=repr(series),
            expected=f"one of {', '.join(known)}",
            next_step=closest(series, known),
            state="Nothing was written.",
        )


def _frequency_of_short(frame: pl.DataFrame, trained: TrainedForecaster) -> str | None:
    """Return the model's frequency where a table is too short to tell its own, else None."""
    if not {"series_id", "time"} <= set(frame.columns) or not frame.height:
        return None
    shortest = frame.group_by("series_id").len()["len"].min()
    return str(trained.data["frequency"]) if shortest == 1 else None
