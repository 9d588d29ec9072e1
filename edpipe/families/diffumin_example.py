"""One student of the test as an example: what a recommender would show, and what each channel adds to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from edpipe.prediction.candidates import CandidateRules
from edpipe.prediction.diffumin import load_recommender
from edpipe.prediction.histories import PublishedHistories
from edpipe.prediction.learning import PublishedLearning
from edpipe.prediction.recommend import ItemScorer, best_places, candidate_rows

if TYPE_CHECKING:
    from edpipe.datasets.impressions import ImpressionDataset
    from edpipe.settings import Settings
    from edpipe.training.run import TrainingRun

NUM_ITEMS: Final = 3
EXAMPLE_SCHEMA: Final = {
    "student_id": pl.String,
    "num_behaviors": pl.Int64,
    "rank": pl.Int32,
    "item_id": pl.String,
    "category": pl.String,
    "probability": pl.Float64,
    "overall_effect": pl.Float64,
    "channel": pl.Int32,
    "channel_effect": pl.Float64,
    "behavior_id": pl.String,
    "behavior_category": pl.String,
    "steps_back": pl.Int32,
    "weight": pl.Float64,
}
FIRST_OF: Final = "select min(student_id) from core.students where student_key in ({keys})"


def example_table(settings: Settings, run: TrainingRun, dataset: ImpressionDataset) -> pl.DataFrame | None:
    """Return the best items of one student, with the behaviors that each channel kept for them.

    The student is that of the test with the median number of behaviors, the lower of two middle ones; of
    equal ones the first by published id. All that the student did is the past, as
    :func:`edpipe.recommend` sees it.

    Parameters
    ----------
    settings
        Where the published warehouse is, and what may be recommended.
    run
        A training run.
    dataset
        That it was trained on.

    Returns
    -------
    DataFrame or None
        One row a behavior that was kept, the items by rank, behaviors by falling weight; an item for which
        nothing was kept has one row without a behavior. Categories are the first of each item. None where the
        network has no channels, or draws new noise for each score.
    """
    trained = load_recommender(run.run_dir)
    config = trained.model.config
    if config.long_term != "diffumin" or config.inference_noise == "drawn":
        return None
    histories = PublishedHistories(settings, str(trained.data["source"]), str(trained.data["log_name"]))
    student_id = _median_student(settings, dataset)
    whole, history = histories.catalog, histories.of(student_id)
    asked = settings.diffumin
    every = candidate_rows(trained, whole, asked.num_candidates)
    left = CandidateRules(asked, histories, PublishedLearning(settings, histories.source), every).of(history)
    # Only what is scored or was done is looked up, however large the catalog is.
    rows = np.union1d(left.rows, history.items)
    catalog = whole[rows]
    history = replace(history, items=np.searchsorted(rows, history.items))
    candidates = np.searchsorted(rows, left.rows)
    scorer = ItemScorer(trained, catalog)
    probabilities = scorer.probabilities(history, candidates)
    ids = catalog["item_id"].to_list()
    category = {
        name: next(iter(known or ()), None)
        for name, known in zip(ids, catalog["category_ids"].to_list(), strict=True)
    }
    best = best_places(
        probabilities, candidates, NUM_ITEMS, gains=left.gains, num_reranked=asked.num_reranked
    )
    found: list[dict[str, Any]] = []
    for rank, place in enumerate(best.tolist(), start=1):
        item = int(candidates[place])
        grounds = scorer.grounds(history, item, most=None)
        shown = {
            "student_id": student_id,
            "num_behaviors": len(history.items),
            "rank": rank,
            "item_id": ids[item],
            "category": category[ids[item]],
            "probability": float(probabilities[place]),
            "overall_effect": grounds.overall_effect,
        }
        found += [
            {
                **shown,
                "channel": one.channel,
                "channel_effect": one.channel_effect,
                "behavior_id": one.item_id,
                "behavior_category": category[one.item_id],
                "steps_back": one.steps_back,
                "weight": one.weight,
            }
            for one in grounds.reasons
        ] or [shown]
    return pl.DataFrame(found, schema=EXAMPLE_SCHEMA)


def _median_student(settings: Settings, dataset: ImpressionDataset) -> str:
    """Return the published id of the student of the test with the median number of behaviors."""
    from edpipe.warehouse import query

    requests = dataset.requests("test")
    students = np.unique(np.asarray(dataset.columns["student"])[requests])
    offsets = np.asarray(dataset.columns["offsets"])
    lengths = offsets[students + 1] - offsets[students]
    middle = np.sort(lengths)[(len(lengths) - 1) // 2]
    keys = np.asarray(dataset.columns["student_key"])[students[lengths == middle]]
    return str(query(settings, FIRST_OF.format(keys=", ".join(map(str, keys.tolist())))).item())
