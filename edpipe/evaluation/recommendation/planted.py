"""What who knows the planted interests would say of rows: the chance that the item is the one taken up."""

from __future__ import annotations

import numpy as np
import polars as pl

from edpipe.datasets.impressions import ImpressionDataset
from edpipe.evaluation.metrics import Float, Int
from edpipe.sources.synthetic.interests import COMMON_TOPIC
from edpipe.sources.synthetic.interests_truth import PlantedTruth


def planted_chances(
    rows: pl.DataFrame,
    dataset: ImpressionDataset,
    truth: PlantedTruth,
    *,
    student_numbers: Int,
    item_numbers: Int,
    negatives: int,
) -> Float:
    """Return the true chance of each row, from the interests and what was met before.

    A new item is one of the student's interests, each as likely, or any, by the noise rate; the item beside
    it is drawn by popularity among those never met. That items met later are never shown is the only thing
    left out of account.

    Parameters
    ----------
    rows
        ``student, request, item``, rows of a request beside each other.
    dataset
        Where they come from; next items.
    truth
        Of the log.
    student_numbers, item_numbers
        Number in the log of each student and of each row of the catalog.
    negatives
        Items drawn beside each that was taken up.

    Returns
    -------
    Float
        In [0, 1]. Shape ``(num_rows,)``.
    """
    columns = dataset.columns
    topic_of = np.zeros(int(item_numbers.max()) + 1, dtype=np.int64)
    known = truth.items.filter(pl.col("item") < len(topic_of))
    topic_of[known["item"].to_numpy()] = known["topic"].to_numpy()
    topic = topic_of[item_numbers]
    interests = {
        student: group["topic"].to_numpy() for (student,), group in truth.interests.group_by("student")
    }
    popularity = np.asarray(columns["popularity"]).astype(np.float64)
    request, item = rows["request"].to_numpy(), rows["item"].to_numpy()
    starts = np.flatnonzero(np.diff(request, prepend=-1))
    found = np.empty(len(rows))
    for start, end in zip(starts, np.append(starts[1:], len(rows)), strict=True):
        student = int(columns["student"][request[start]])
        first = int(columns["request_offsets"][request[start]])
        begin = int(columns["offsets"][student])
        is_left = topic != COMMON_TOPIC
        is_left[columns["item"][begin : int(columns["history_end"][first])]] = False
        chance = _taken(topic, is_left, interests[int(student_numbers[student])], truth.noise)
        drawn = popularity.copy()
        bounds = columns["seen_offsets"][student : student + 2]
        drawn[columns["seen"][int(bounds[0]) : int(bounds[1])]] = 0.0
        asked = item[start:end]
        # The item that is taken up is never drawn: as a negative it is as likely as if it were not met.
        shown = popularity[asked] / (drawn.sum() + popularity[asked] * (drawn[asked] == 0))
        taken = chance[asked]
        found[start:end] = taken / np.maximum(taken + negatives * shown, np.finfo(np.float64).tiny)
    return found


def _taken(topic: Int, is_left: np.ndarray, interests: Int, noise: float) -> Float:
    """Return the chance of each item to be the next new one. Shape ``(num_items,)``."""
    chance: Float = np.where(is_left, noise / is_left.sum(), 0.0)
    for interest in interests:
        of_interest = is_left & (topic == interest)
        if of_interest.any():
            chance[of_interest] += (1 - noise) / len(interests) / of_interest.sum()
    return chance
