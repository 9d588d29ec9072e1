"""The logged tracer: a table of answers in, a table with a probability a row out.

MLflow keeps this file itself and runs it to load the model, so no pickle is involved. It needs only
torch, numpy, pandas and the ``models`` package, whose code is logged beside it: a serving machine needs no
edpipe.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray

from models.batches import FIRST_KNOWN, PADDING, UNKNOWN, InteractionBatch
from models.tracing.build import build_tracer
from models.tracing.config import config_from_dict

CONTEXT_LENGTH = 200


class TracingModel(PythonModel):
    """Predict each answer of each student from the rows before it."""

    def load_context(self, context: Any) -> None:
        """Read the checkpoint, which holds tensors and plain values only."""
        checkpoint = torch.load(context.artifacts["checkpoint"], map_location="cpu", weights_only=True)
        self.tracer = build_tracer(config_from_dict(checkpoint["config"]))
        self.tracer.load_state_dict(checkpoint["state_dict"])
        self.tracer.eval()
        vocabulary = checkpoint["vocabulary"]
        self.context_length = int((context.model_config or {}).get("context_length", CONTEXT_LENGTH))
        self.numbers = {name: number for number, name in enumerate(vocabulary["item_ids"], FIRST_KNOWN)}
        self.item_kcs = np.asarray(vocabulary["item_kcs"], dtype=np.int64).copy()
        # As in training, an item without a KC has the unknown one, and so has an unknown item.
        is_bare = (self.item_kcs == PADDING).all(axis=1)
        is_bare[PADDING] = False
        self.item_kcs[is_bare, 0] = UNKNOWN
        self.scales = {name: tuple(vocabulary.get(name, (0.0, 1.0))) for name in ("elapsed", "lag")}

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return ``probability`` of a right answer, one a row, in the order of the rows.

        Parameters
        ----------
        context
            MLflow's.
        model_input
            ``student_id, item_id, is_correct, elapsed_seconds, answered_at``, and ``lag_seconds`` if it is
            known; where it is not, it is the time from the previous answer to the display of the item.
            Without times rows must stand in order. A row that is asked and not yet answered has a missing
            ``is_correct`` and must be the student's last.
        params
            Not used.
        """
        del context, params
        table = model_input.reset_index(drop=True)
        order = table.sort_values(["student_id", "answered_at"], kind="stable").index.to_numpy()
        ordered = table.loc[order]
        probability = np.empty(len(table))
        students = ordered["student_id"].to_numpy()
        bounds = [0, *(np.flatnonzero(students[1:] != students[:-1]) + 1).tolist(), len(table)]
        for first, last in itertools.pairwise(bounds):
            probability[order[first:last]] = self._trace(ordered.iloc[first:last])
        return pd.DataFrame({"probability": probability})

    def _trace(self, history: pd.DataFrame) -> NDArray[np.float64]:
        """Predict one student's rows, in windows that overlap by half."""
        columns = self._columns(history)
        length = len(history)
        probability = np.empty(length)
        overlap = self.context_length // 2
        done = 0
        while done < length:
            start = max(0, done - overlap)
            stop = min(length, start + self.context_length)
            window = {name: values[start:stop] for name, values in columns.items()}
            probability[done:stop] = self._probability(window)[done - start :]
            done = stop
        return probability

    def _columns(self, history: pd.DataFrame) -> dict[str, NDArray[Any]]:
        items = np.array([self.numbers.get(name, UNKNOWN) for name in history["item_id"]], dtype=np.int64)
        elapsed = history["elapsed_seconds"].to_numpy(dtype=np.float64, na_value=np.nan)
        answered: Any = pd.to_datetime(history["answered_at"], utc=True)
        seconds = (answered - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
        shown = seconds - np.nan_to_num(elapsed)
        lag = np.append(np.nan, np.maximum(shown[1:] - seconds[:-1], 0.0))
        if "lag_seconds" in history:
            given = history["lag_seconds"].to_numpy(dtype=np.float64, na_value=np.nan)
            lag = np.where(np.isnan(given), lag, given)
        correct = history["is_correct"].to_numpy(dtype=np.float64, na_value=np.nan)
        return {
            "items": items,
            "kcs": self.item_kcs[items],
            "correct": np.nan_to_num(correct),
            "elapsed": self._scaled("elapsed", elapsed),
            "lag": self._scaled("lag", lag),
        }

    def _scaled(self, name: str, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardize the logarithm as in training; a missing value becomes 0."""
        mean, deviation = self.scales[name]
        scaled: NDArray[np.float64] = np.nan_to_num((np.log1p(np.maximum(seconds, 0.0)) - mean) / deviation)
        return scaled

    def _probability(self, window: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        tensors = {name: torch.from_numpy(values)[None] for name, values in window.items()}
        batch = InteractionBatch(
            items=tensors["items"],
            kcs=tensors["kcs"],
            correct=tensors["correct"].float(),
            mask=tensors["items"] != PADDING,
            elapsed=tensors["elapsed"].float(),
            lag=tensors["lag"].float(),
        )
        with torch.inference_mode():
            probability = self.tracer(batch)[0].sigmoid().double()
        return np.array(probability.numpy(), dtype=np.float64)


mlflow.models.set_model(TracingModel())
