"""The logged recommender: past behaviors and items asked about in, a table with a probability a row out.

MLflow keeps this file itself and runs it to load the model, so no pickle is involved. What it needs of
``edpipe`` and ``models`` is logged beside it; the checkpoint is its artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
from mlflow.pyfunc.model import PythonModel

from edpipe.prediction.diffumin import load_recommender
from edpipe.prediction.recommend import History, ItemScorer


class DiffuMINModel(PythonModel):
    """Predict for each student whether the items asked about are taken up next."""

    def load_context(self, context: Any) -> None:
        """Read the checkpoint, which holds tensors and plain values only."""
        self.trained = load_recommender(Path(context.artifacts["checkpoint"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return ``student_id, item_id, probability`` of the rows that are asked about, in their order.

        The past has no row in the answer, as a missing number would be no JSON; the index of the answer holds
        the labels of the rows that were asked about.

        Parameters
        ----------
        context
            MLflow's.
        model_input
            ``student_id, item_id, outcome, is_asked``: the past of each student in order, and the items asked
            about, which stand anywhere and are no part of the past. An item that training does not know is
            one of no known category; the outcome may be missing.
        params
            Not used.
        """
        del context, params
        ids = model_input["item_id"].astype(str)
        catalog = self._catalog(sorted(set(ids)))
        scorer = ItemScorer(self.trained, catalog)
        place = {name: row for row, name in enumerate(catalog["item_id"].to_list())}
        rows = np.array([place[name] for name in ids], dtype=np.int64)
        words = [None if pd.isna(word) else str(word) for word in _outcomes(model_input)]
        is_asked = model_input["is_asked"].to_numpy(dtype=bool)
        student = model_input["student_id"].astype(str).to_numpy()
        found = np.zeros(len(rows))
        for number, one in enumerate(sorted(set(student))):
            past = np.flatnonzero((student == one) & ~is_asked)
            asked = np.flatnonzero((student == one) & is_asked)
            if len(asked):
                history = History(number, rows[past], [words[row] for row in past], rows[past])
                found[asked] = scorer.probabilities(history, rows[asked])
        return pd.DataFrame(
            {
                "student_id": student[is_asked],
                "item_id": ids.to_numpy()[is_asked],
                "probability": found[is_asked],
            },
            index=model_input.index[is_asked],
        )

    def _catalog(self, ids: list[str]) -> pl.DataFrame:
        """Return what training knows of items."""
        known = self.trained.catalog.select("item_id", "category_ids", "part")
        return pl.DataFrame({"item_id": pl.Series(ids, dtype=pl.String)}).join(
            known, on="item_id", how="left", maintain_order="left"
        )


def _outcomes(model_input: pd.DataFrame) -> list[Any]:
    """Return the outcomes of rows; none where the column is missing."""
    if "outcome" not in model_input:
        return [None] * len(model_input)
    return list(model_input["outcome"])


mlflow.models.set_model(DiffuMINModel())
