"""The logged forecaster: a long table of series in, a long table of quantiles out.

MLflow keeps this file itself and runs it to load the model, so no pickle is involved. What it needs of
``edpipe`` and ``models`` is logged beside it; the checkpoint is its artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
from mlflow.pyfunc.model import PythonModel

from edpipe.datasets.forecast_levels import DEFAULT_LEVELS
from edpipe.datasets.series import SeriesSet
from edpipe.prediction.forecast import forecast_windows, holes_of, load_forecaster, windows_at_end
from edpipe.prediction.forecast_frames import quantile_frame

SEED = 7


class TSDiffModel(PythonModel):
    """Forecast each series of a table from its end."""

    def load_context(self, context: Any) -> None:
        """Read the checkpoint, which holds tensors and plain values only."""
        self.forecaster = load_forecaster(Path(context.artifacts["checkpoint"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return ``series_id, time, step, mean`` and a column a quantile, a row a series and step ahead.

        Parameters
        ----------
        context
            MLflow's.
        model_input
            ``series_id, time, target`` on the frequency that the model was trained on; a missing target is
            an unobserved step, a missing row is 0 or unobserved as in training.
        params
            Not used.
        """
        del context, params
        frame = pl.DataFrame(
            {
                "series_id": pl.Series([str(name) for name in model_input["series_id"]], dtype=pl.String),
                "time": pl.Series(pd.to_datetime(model_input["time"]).to_numpy()).cast(pl.Datetime("us")),
                "target": pl.Series(model_input["target"].to_numpy(dtype="float64")).fill_nan(None),
            }
        )
        data = self.forecaster.data
        series = SeriesSet.from_frame(
            frame, frequency=str(data["frequency"]), holes=holes_of(self.forecaster)
        )
        found = forecast_windows(self.forecaster, series, windows_at_end(series), seed=SEED)
        columns = quantile_frame(series, found, DEFAULT_LEVELS).to_dict(as_series=False)
        return pd.DataFrame(columns)


mlflow.models.set_model(TSDiffModel())
