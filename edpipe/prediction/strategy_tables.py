"""Predicted strategies in published ids: one row an attempt, or one a question."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import StrategyDataset
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.mastery.embedding import Embedding
from edpipe.prediction.asked import asked_attempts
from edpipe.prediction.known import Known, recoded
from edpipe.prediction.strategy import TrainedPredictor, predict_strategies

BETWEEN_KCS = " ~~ "


def predict_asked(
    predictor: TrainedPredictor, embedding: Embedding, known: Known, asked: pl.DataFrame
) -> pl.DataFrame:
    """Predict the strategy of pairs of student and problem that need not be in any dataset.

    Parameters
    ----------
    predictor
        A trained predictor.
    embedding, known
        Vectors, and ids and answers behind them, in the same codes.
    asked
        ``student_id, problem_id`` and, where a problem may be unknown, ``section_id``.

    Returns
    -------
    polars.DataFrame
        ``strategy``, KCs joined by `` ~~ ``, and ``confidence`` in [0, 1], in the order of the rows asked.
    """
    attempts = asked_attempts(known, asked)
    vectors = recoded(embedding, known, attempts.dataset)
    predicted = predict_strategies(predictor, attempts.dataset, vectors, attempts.rows)
    found = named_strategies(attempts.dataset, predicted)
    place = np.empty(len(attempts.order), dtype=np.int64)
    place[attempts.order] = np.arange(len(attempts.order))
    return found.select("strategy", "confidence")[place.tolist()]


def named_strategies(dataset: StrategyDataset, predicted: PredictedStrategies) -> pl.DataFrame:
    """Return predicted strategies as ``strategy`` (text), ``kc_ids``, ``num_kcs`` and ``confidence``."""
    names = np.array(dataset.kc_ids, dtype=object)
    kc_ids = [names[predicted.strategy(place)].tolist() for place in range(len(predicted))]
    frame = pl.DataFrame({"kc_ids": kc_ids}, schema={"kc_ids": pl.List(pl.String)})
    return frame.select(
        strategy=pl.col("kc_ids").list.join(BETWEEN_KCS),
        kc_ids="kc_ids",
        num_kcs=pl.col("kc_ids").list.len().cast(pl.Int32),
        confidence=pl.Series(predicted.confidence).clip(0, 1),
    )


def strategies_table(
    dataset: StrategyDataset,
    predicted: PredictedStrategies,
    split: StrategySplit,
    *,
    model_name: str,
    model_version: int,
    scored_at: datetime | None = None,
) -> pl.DataFrame:
    """Return the rows of ``predictions.strategies``: one an attempt that was predicted."""
    attempts = dataset.attempts[predicted.rows]

    def ids(kind: str) -> pl.Series:
        published = np.array(getattr(dataset, f"{kind}_ids"), dtype=object)
        return pl.Series(f"{kind}_id", published[attempts[kind].to_numpy()].tolist(), dtype=pl.String)

    return pl.concat(
        [
            attempts.select(
                pl.lit(dataset.source).alias("source"),
                ids("student"),
                ids("section"),
                ids("problem"),
                "problem_view",
                split.parts(dataset.num_attempts)[predicted.rows],
            ),
            named_strategies(dataset, predicted),
        ],
        how="horizontal",
    ).with_columns(
        model_name=pl.lit(model_name),
        model_version=pl.lit(model_version, dtype=pl.Int32),
        scored_at=pl.lit(scored_at or datetime.now(UTC), dtype=pl.Datetime("us", "UTC")),
    )
