"""The logged predictor of strategies: pairs of student and problem in, strategies out.

MLflow keeps this file itself and runs it to load the model, so no pickle is involved. What it needs of
``edpipe`` and ``models`` is logged beside it; checkpoint, vectors, ids and the answers so far are its
artifacts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
from mlflow.pyfunc.model import PythonModel

from edpipe.mastery.embedding import load_embedding
from edpipe.prediction.known import Known
from edpipe.prediction.strategy import load_predictor
from edpipe.prediction.strategy_tables import predict_asked


class StrategyModel(PythonModel):
    """Predict the strategy of each student at each problem, before any step is seen."""

    def load_context(self, context: Any) -> None:
        """Read the checkpoint, which holds tensors and plain values only, and what stands beside it."""
        self.predictor = load_predictor(Path(context.artifacts["checkpoint"]))
        self.embedding = load_embedding(Path(context.artifacts["embedding"]))
        self.known = Known.load(Path(context.artifacts["known"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a strategy, KCs joined by `` ~~ ``, and its confidence a row, in the order of the rows.

        Parameters
        ----------
        context
            MLflow's.
        model_input
            ``student_id, problem_id`` and, where a problem may be unknown, ``section_id``. Students are
            asked about after all their answers in the data that the model was trained on.
        params
            Not used.
        """
        del context, params
        columns = {name: pl.Series(list(model_input[name]), dtype=pl.String) for name in model_input.columns}
        asked = pl.DataFrame({name: column for name, column in columns.items() if name.endswith("_id")})
        found = predict_asked(self.predictor, self.embedding, self.known, asked)
        return pd.DataFrame(
            {"strategy": found["strategy"].to_list(), "confidence": found["confidence"].to_list()}
        )


mlflow.models.set_model(StrategyModel())
