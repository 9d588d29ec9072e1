"""Everything about forecasts: sections, and what to read first."""

from __future__ import annotations

from dataclasses import replace

from edpipe.evaluation.report.forecast_calibration import forecast_calibration
from edpipe.evaluation.report.forecast_fan import fan_figure
from edpipe.evaluation.report.forecast_run import ForecastRun
from edpipe.evaluation.report.forecast_scores import enough, forecast_scores
from edpipe.evaluation.report.forecast_steps import forecast_errors
from edpipe.evaluation.report.page import Section


def forecasts(run: ForecastRun) -> list[Section]:
    """Return the sections on forecasts; one that says what is missing where no run was evaluated."""
    scored = forecast_scores(run)
    if run.forecaster is None:
        return [scored]
    fans = fan_figure(run)
    if fans is not None:
        scored = replace(scored, figures=[fans, *scored.figures])
    return [scored, forecast_calibration(run), forecast_errors(run)]


def forecast_warnings(run: ForecastRun) -> list[str]:
    """Return what to read first about the forecaster."""
    evaluation = run.trained.evaluation
    said = enough(run)
    warnings = evaluation.warnings if evaluation else ()
    # The evaluation warns of the same baseline in other words.
    of_rival = f"{run.rival!r} has "
    return [*said, *(one for one in warnings if not (said and one.startswith(of_rival)))]
