"""The best items of each student by a registered recommender, as a table."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from edpipe.families.tables import MadeFrom, is_made_from, replace_table, table_path
from edpipe.prediction.candidates import CandidateRules, left_out_words
from edpipe.prediction.diffumin import load_recommender
from edpipe.prediction.histories import STUDENTS_A_PIECE, PublishedHistories
from edpipe.prediction.learning import PublishedLearning
from edpipe.prediction.recommend import ItemScorer, best_places, candidate_rows
from edpipe.progress import track

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion

RECOMMENDATIONS: Final = "recommendations"
# Raise it when the same model and data would give other rows: a table that is there is then made again.
TABLE_VERSION: Final = "2"
# Settings that say which rows the table holds.
RULES: Final = (
    *("num_recommended", "num_candidates", "is_new_only", "is_deployed_only"),
    *("is_unmastered_only", "mastered_from", "rank_by", "num_reranked"),
)


def write_recommendations(settings: Settings, chosen: ModelVersion) -> Path:
    """Write the best items of each student by a registered version, or find them up to date.

    Students with nothing left to recommend have no row. The file says how many items each rule left out.
    """
    asked = settings.diffumin
    trained = load_recommender(settings.runs_dir / chosen.run_key)
    histories = PublishedHistories(settings, str(trained.data["source"]), str(trained.data["log_name"]))
    learning = PublishedLearning(settings, histories.source, STUDENTS_A_PIECE)
    how = [TABLE_VERSION, histories.digest, *(getattr(asked, name) for name in RULES)]
    if asked.is_unmastered_only or asked.rank_by == "gain":
        how.append(learning.digest)
    digest = hashlib.sha256(repr(how).encode()).hexdigest()
    made_from = MadeFrom(chosen.name, chosen.version, digest)
    if is_made_from(settings, RECOMMENDATIONS, made_from):
        return table_path(settings, RECOMMENDATIONS)
    scorer = ItemScorer(trained, histories.catalog)
    every = candidate_rows(trained, histories.catalog, asked.num_candidates)
    rules = CandidateRules(asked, histories, learning, every)
    left_out: Counter[str] = Counter()
    num_undated = 0
    students: list[str] = []
    ranks: list[int] = []
    items: list[int] = []
    chances: list[float] = []
    gains: list[float | None] = []
    with track("Recommend", total=histories.num_students, unit="students", mode=settings.progress) as work:
        for student_id, history in histories.every():
            left = rules.of(history)
            left_out.update(left.left_out)
            num_undated += left.num_undated
            probabilities = scorer.probabilities(history, left.rows)
            best = best_places(
                probabilities,
                left.rows,
                asked.num_recommended,
                gains=left.gains,
                num_reranked=asked.num_reranked,
            )
            students += [student_id] * len(best)
            ranks += range(1, len(best) + 1)
            items += left.rows[best].tolist()
            chances += probabilities[best].tolist()
            gains += [None] * len(best) if left.gains is None else left.gains[best].tolist()
            work.advance()
    frame = pl.DataFrame(
        {
            "student_id": pl.Series(students, dtype=pl.String),
            "rank": pl.Series(ranks, dtype=pl.Int32),
            "item_id": histories.catalog["item_id"].gather(items),
            "probability": pl.Series(chances, dtype=pl.Float64),
            "gain": pl.Series(gains, dtype=pl.Float64),
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
    note = left_out_words(left_out, num_undated)
    return replace_table(
        settings, RECOMMENDATIONS, frame, made_from, note=note and f"Of all students, {note}."
    )
