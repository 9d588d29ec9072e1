"""The best items of each student by a registered recommender, as a table."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from edpipe.families.tables import MadeFrom, is_made_from, replace_table, table_path
from edpipe.prediction.diffumin import load_recommender
from edpipe.prediction.histories import PublishedHistories
from edpipe.prediction.recommend import ItemScorer, candidate_rows, ranked
from edpipe.progress import track

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion

RECOMMENDATIONS: Final = "recommendations"
# Raise it when the same model and data would give other rows: a table that is there is then made again.
TABLE_VERSION: Final = "1"


def write_recommendations(settings: Settings, chosen: ModelVersion) -> Path:
    """Write the best items of each student by a registered version, or find them up to date.

    Students with nothing left to recommend have no row.
    """
    asked = settings.diffumin
    trained = load_recommender(settings.runs_dir / chosen.run_key)
    histories = PublishedHistories(settings, str(trained.data["source"]), str(trained.data["log_name"]))
    how = (TABLE_VERSION, histories.digest, asked.num_recommended, asked.num_candidates, asked.is_new_only)
    digest = hashlib.sha256(repr(how).encode()).hexdigest()
    made_from = MadeFrom(chosen.name, chosen.version, digest)
    if is_made_from(settings, RECOMMENDATIONS, made_from):
        return table_path(settings, RECOMMENDATIONS)
    scorer = ItemScorer(trained, histories.catalog)
    candidates = candidate_rows(trained, histories.catalog, asked.num_candidates)
    students: list[str] = []
    ranks: list[int] = []
    items: list[int] = []
    chances: list[float] = []
    with track("Recommend", total=histories.num_students, unit="students", mode=settings.progress) as work:
        for student_id, history in histories.every():
            shown = candidates[~np.isin(candidates, history.met)] if asked.is_new_only else candidates
            probabilities = scorer.probabilities(history, shown)
            best = ranked(probabilities, shown, asked.num_recommended)
            students += [student_id] * len(best)
            ranks += range(1, len(best) + 1)
            items += shown[best].tolist()
            chances += probabilities[best].tolist()
            work.advance()
    frame = pl.DataFrame(
        {
            "student_id": pl.Series(students, dtype=pl.String),
            "rank": pl.Series(ranks, dtype=pl.Int32),
            "item_id": histories.catalog["item_id"].gather(items),
            "probability": pl.Series(chances, dtype=pl.Float64),
        }
    ).select(
        pl.lit(str(trained.data["source"])).alias("source"),
        pl.lit(str(trained.data["log_name"])).alias("log_name"),
        pl.lit(str(trained.data["target"])).alias("target"),
        pl.all(),
        pl.lit(chosen.name).alias("model_name"),
        pl.lit(chosen.version, dtype=pl.Int32).alias("model_version"),
        pl.lit(datetime.now(UTC), dtype=pl.Datetime("us", "UTC")).alias("scored_at"),
    )
    return replace_table(settings, RECOMMENDATIONS, frame, made_from)
