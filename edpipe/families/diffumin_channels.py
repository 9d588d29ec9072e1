"""How the channels of a recommender are loaded by students of the test, as a table beside the evaluation."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.prediction.diffumin import load_recommender

if TYPE_CHECKING:
    from edpipe.datasets.impressions import ImpressionDataset
    from edpipe.training.run import TrainingRun
    from models.batches import ImpressionBatch
    from models.diffumin import DiffuMIN
    from models.diffumin.channel_load import ChannelLoad

MOST_STUDENTS: Final = 200
# Ends of the shares that are told beside their mean: the central 80 % of the students.
SPREAD: Final = (0.1, 0.9)
CHANNEL_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "channel": pl.Int32,
    "routed_share": pl.Float64,
    "routed_low": pl.Float64,
    "routed_high": pl.Float64,
    "kept_share": pl.Float64,
    "empty_share": pl.Float64,
    "cosines": pl.List(pl.Float64),
    "num_students": pl.Int64,
    "num_impressions": pl.Int64,
}


def channel_table(run: TrainingRun, dataset: ImpressionDataset, *, seed: int) -> pl.DataFrame | None:
    """Return how some students' test items load the channels of a trained network.

    Of at most :data:`MOST_STUDENTS` students of the test, drawn by the seed, the first test request with a
    history is taken, with the items that stand beside its target. Labels are not looked at.

    Parameters
    ----------
    run
        A training run.
    dataset
        That it was trained on.
    seed
        Of the draw of students.

    Returns
    -------
    DataFrame or None
        One row a channel, from 1. ``routed_share`` and ``kept_share`` are means over students of the share of
        their behaviors, with the central 80 % of the students as ``routed_low`` and ``routed_high``;
        ``empty_share`` is the share of impressions for which the channel kept nothing; ``cosines`` holds the
        mean cosine with the interest of each channel, null where the two were never filled together. None
        where the network has no channels, or no such student a history.
    """
    trained = load_recommender(run.run_dir)
    if trained.model.config.long_term != "diffumin":
        return None
    requests = _first_requests(dataset, seed)
    if not len(requests):
        return None
    loads = _loads(trained.model, trained.encoder(dataset).encode(requests))
    routed = np.stack([load.routed.mean(dim=0).double().numpy() for load in loads])
    kept = np.stack([load.kept.mean(dim=0).double().numpy() for load in loads])
    empty = np.concatenate([load.kept.numpy() == 0 for load in loads])
    cosines = _means(np.concatenate([load.cosines.double().numpy() for load in loads]))
    low, high = np.quantile(routed, SPREAD, axis=0)
    return pl.DataFrame(
        {
            "channel": np.arange(1, routed.shape[1] + 1),
            "routed_share": routed.mean(axis=0),
            "routed_low": low,
            "routed_high": high,
            "kept_share": kept.mean(axis=0),
            "empty_share": empty.mean(axis=0),
            "cosines": cosines,
            "num_students": [len(loads)] * routed.shape[1],
            "num_impressions": [len(empty)] * routed.shape[1],
        },
        schema=CHANNEL_SCHEMA,
    )


def _first_requests(dataset: ImpressionDataset, seed: int) -> NDArray[np.int64]:
    """Return the first test request with a history of each of some students."""
    requests = dataset.requests("test")
    requests = requests[dataset.history_lengths(requests) > 0]
    students = np.asarray(dataset.columns["student"])[requests]
    first = requests[np.unique(students, return_index=True)[1]]
    if len(first) > MOST_STUDENTS:
        first = np.sort(np.random.default_rng(seed).choice(first, MOST_STUDENTS, replace=False))
    return first


def _loads(model: DiffuMIN, batch: ImpressionBatch) -> list[ChannelLoad]:
    from models.diffumin.caches import BehaviorCache, cache_items, model_version
    from models.diffumin.channel_load import channel_load

    version = model_version(model)
    bounds = batch.behavior_offsets.tolist()
    loads = []
    for request, (start, end) in enumerate(pairwise(bounds)):
        behaviors = BehaviorCache(model, int(batch.students[request]), version)
        behaviors.append(batch.behavior_items[start:end], batch.behavior_outcomes[start:end])
        items = cache_items(model, batch.target_items[batch.requests == request], version)
        loads.append(channel_load(model, behaviors, items))
    return loads


def _means(cosines: NDArray[np.float64]) -> list[list[float | None]]:
    """Return the mean over the first axis of what is defined, as plain lists."""
    is_known = ~np.isnan(cosines)
    number = is_known.sum(axis=0)
    sums = np.where(is_known, cosines, 0.0).sum(axis=0)
    return [
        [total / count if count else None for total, count in zip(*row, strict=True)]
        for row in zip(sums.tolist(), number.tolist(), strict=True)
    ]
