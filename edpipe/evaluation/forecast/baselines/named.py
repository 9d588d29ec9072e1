"""Forecasters by the names that settings use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from edpipe.evaluation.forecast.baselines.boosted import BoostedForecaster
from edpipe.evaluation.forecast.baselines.forecaster import Forecaster
from edpipe.evaluation.forecast.baselines.gluonts import GluontsForecaster
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.baselines.ridge import RidgeForecaster
from edpipe.evaluation.forecast.baselines.statistical import StatisticalForecaster

# Each takes the seed.
MADE: Final[dict[str, Callable[[int], Forecaster]]] = {
    "last_value": lambda _: last_value(),
    "seasonal_naive": lambda _: seasonal_naive(),
    "ridge": lambda seed: RidgeForecaster(seed=seed),
    "boosted": lambda seed: BoostedForecaster(seed=seed),
    "auto_ets": lambda _: StatisticalForecaster("auto_ets"),
    "auto_arima": lambda _: StatisticalForecaster("auto_arima"),
    "deepar": lambda seed: GluontsForecaster("deepar", seed=seed),
    "tft": lambda seed: GluontsForecaster("tft", seed=seed),
    "patchtst": lambda seed: GluontsForecaster("patchtst", seed=seed),
}


def named_forecasters(names: Sequence[str], seed: int) -> list[Forecaster]:
    """Return forecasters by name, in order.

    Raises
    ------
    SettingsError
        If the package of one is not installed.
    """
    return [MADE[name](seed) for name in names]
