"""The verb of refinement: a forecast that is there already in, a likelier one with a spread out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import RegistryError, SettingsError
from edpipe.forecasting import MODEL, Output
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.datasets.series import SeriesSet
    from edpipe.prediction.forecast import TrainedForecaster
    from edpipe.prediction.refine import BaseForecast, Refining


@dataclass(frozen=True, slots=True)
class RefinementPlan:
    """What a call would refine.

    Attributes
    ----------
    trained_in
        Folder of the training run.
    num_series, num_paths, horizon, frequency
        Series of the base forecast, its paths (1 is points), its steps, and how long a step is.
    """

    trained_in: Path
    num_series: int
    num_paths: int
    horizon: int
    frequency: str


@dataclass(frozen=True, slots=True, eq=False)
class RefinementRequest:
    """An unconditional model, the history, and the forecast to refine."""

    trained: TrainedForecaster
    series: SeriesSet
    base: BaseForecast
    how: Refining
    plan: RefinementPlan


def refine(
    base: pl.DataFrame,
    frame: pl.DataFrame | None = None,
    settings: Settings | None = None,
    *,
    output: Output = "quantiles",
    quantile_levels: Sequence[float] | None = None,
    how: Refining | None = None,
    run_dir: Path | None = None,
) -> pl.DataFrame:
    """Refine the forecast of a rule, a spreadsheet or another model: long tables in, a long table out.

    Parameters
    ----------
    base
        ``series_id, time, value``, points, or with a column ``sample``, paths; at most as many steps as the
        model forecasts, from one step after the history or earlier.
    frame
        History ``series_id, time, target``; by default the warehouse's series that the model learned from.
        What it holds at or after the first step of the base forecast is not read.
    settings
        Default: :func:`edpipe.load_settings`.
    output
        ``quantiles`` or ``samples``, as of :func:`edpipe.forecast`.
    quantile_levels
        Between 0 and 1; by default 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95.
    how
        Paths, method and strength; default :class:`~edpipe.prediction.refine.Refining`.
    run_dir
        Folder of an unconditional training run; by default the champion of `tsdiff` if it is one, else the
        unconditional run that was finished last.

    Raises
    ------
    TrainingError
        If no unconditional model was trained.
    SettingsError
        If the run named is of a model that is told the past, or a number is out of range.
    ContractError
        If a table breaks its grid, or the forecast does not follow its history.
    """
    settings = settings or load_settings()
    request = open_refinement(base, frame, settings, how=how, run_dir=run_dir)
    return refined(request, settings, output=output, quantile_levels=quantile_levels)


def open_refinement(
    base: pl.DataFrame,
    frame: pl.DataFrame | None,
    settings: Settings,
    *,
    how: Refining | None = None,
    run_dir: Path | None = None,
) -> RefinementRequest:
    """Open the model, the history and the base forecast of a call of :func:`refine`."""
    from edpipe.datasets.series_source import file_series, sourced_series
    from edpipe.families.tsdiff_evaluation import settings_asked
    from edpipe.prediction.forecast import holes_of, load_forecaster, refuse_other_frequency
    from edpipe.prediction.refine import Refining, base_forecast, checked, with_value

    chosen = checked(how or Refining())
    folder = run_dir or unconditional_run(settings)
    trained = load_forecaster(folder, accelerator=settings.tsdiff.accelerator)
    refuse_conditional(trained, folder)
    asked = settings_asked(settings, trained.data["asked"])
    if frame is None:
        series = sourced_series(asked).series
    else:
        given = asked.tsdiff.model_copy(update={"holes": holes_of(trained)})
        series = file_series(frame, given).series
    refuse_other_frequency(trained, series)
    found = base_forecast(with_value(base), series, trained.shape.prediction_length)
    num_series, num_paths, horizon = found.paths.shape
    plan = RefinementPlan(folder, num_series, num_paths, horizon, series.frequency.name)
    return RefinementRequest(trained, series, found, chosen, plan)


def refined(
    request: RefinementRequest,
    settings: Settings,
    *,
    output: Output = "quantiles",
    quantile_levels: Sequence[float] | None = None,
) -> pl.DataFrame:
    """Refine what was opened, and return it as :func:`refine` does."""
    from edpipe.forecasting import checked_levels
    from edpipe.prediction.forecast_frames import quantile_frame, sample_frame
    from edpipe.prediction.refine import refine_forecast
    from edpipe.progress import track

    levels = checked_levels(quantile_levels)
    with track("Refine", total=request.plan.num_series, unit="series", mode=settings.progress) as work:
        found = refine_forecast(
            request.trained,
            request.series,
            request.base,
            request.how,
            seed=settings.seed,
            on_windows=work.advance,
        )
    if output == "samples":
        return sample_frame(request.series, found, found.values.shape[1])
    return quantile_frame(request.series, found, levels)


def unconditional_run(settings: Settings) -> Path:
    """Return the run of the champion if it is unconditional, else the unconditional run finished last.

    Raises
    ------
    TrainingError
        If there is none.
    """
    from edpipe.synthesizing import newest_unconditional
    from edpipe.tracking.registry import champion
    from edpipe.training.run import read_run

    try:
        folder = settings.runs_dir / champion(settings, MODEL).run_key
    except RegistryError:
        return newest_unconditional(settings)
    is_unconditional = read_run(folder).options.get("model") == "unconditional"
    return folder if is_unconditional else newest_unconditional(settings)


def refuse_conditional(trained: TrainedForecaster, run_dir: Path) -> None:
    """Refuse a model that knows no likelihood of whole windows.

    Raises
    ------
    SettingsError
        With what to train.
    """
    if trained.is_conditional:
        raise SettingsError(
            "The model is told the past, so it cannot say how likely a whole window is.",
            where=f"run {run_dir.name}",
            found=f"`tsdiff.model` {trained.data.get('model', 'flow')}",
            expected="unconditional",
            next_step="Run `edpipe --set tsdiff.model=unconditional train tsdiff`, and refine with that run.",
            state="Nothing was written.",
        )
