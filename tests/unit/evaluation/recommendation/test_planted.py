from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from recommender_data import faithful_dataset

from edpipe.datasets.impressions_batches import ImpressionEncoder
from edpipe.errors import SettingsError
from edpipe.evaluation.recommendation.planted import planted_chances
from edpipe.prediction.diffumin import drawn_rows
from edpipe.sources.synthetic import PlantedTruth, read_truth, save_truth, write_interests

NUM_CATEGORIES = 4


def test_the_truth_comes_back_as_it_was_saved(tmp_path):
    made = write_interests(tmp_path / "log", num_students=3, noise=0.2)
    save_truth(tmp_path / "truth", made, noise=0.2)
    found = read_truth(tmp_path / "truth")
    assert found.interests.equals(made.interests)
    assert found.items.equals(made.items.select("item", "topic"))
    assert found.noise == 0.2
    with pytest.raises(SettingsError, match="planted"):
        read_truth(tmp_path / "log")


@pytest.mark.parametrize(("noise", "negatives"), [(0.0, 1), (0.3, 1), (0.3, 3)])
def test_chances_are_those_of_a_plain_reading(tmp_path, noise, negatives):
    dataset = faithful_dataset(tmp_path)
    num_items, num_students = len(dataset.catalog), dataset.num_students
    truth = PlantedTruth(
        pl.DataFrame(
            {
                "student": range(num_students),
                "topic": [1 + one % NUM_CATEGORIES for one in range(num_students)],
            }
        ),
        pl.DataFrame(
            {"item": range(num_items), "topic": [1 + one % NUM_CATEGORIES for one in range(num_items)]}
        ),
        noise,
    )
    encoder = ImpressionEncoder.of(dataset, dataset.features, max_length=9, negatives=negatives)
    rows = drawn_rows(encoder, "test", most_requests=10**6, seed=0)
    found = planted_chances(
        rows,
        dataset,
        truth,
        student_numbers=np.arange(num_students),
        item_numbers=np.arange(num_items),
        negatives=negatives,
    )
    columns = {name: np.asarray(column) for name, column in dataset.columns.items()}
    for row in range(0, len(rows), 7):
        student, history, item = (int(rows[name][row]) for name in ("student", "history", "item"))
        start = columns["offsets"][student]
        met = set(columns["item"][start : start + history].tolist())
        ever = set(columns["item"][start : columns["offsets"][student + 1]].tolist())
        left = [one for one in range(num_items) if one not in met]
        own = [one for one in left if one % NUM_CATEGORIES == student % NUM_CATEGORIES]
        taken = noise / len(left) + (1 - noise) / len(own) * (item in own)
        others = [columns["popularity"][one] for one in range(num_items) if one not in ever or one == item]
        beside = negatives * columns["popularity"][item] / sum(others)
        assert found[row] == pytest.approx(taken / (taken + beside) if taken else 0.0)
    clicked = rows["clicked"].to_numpy()
    assert found[clicked].mean() > found[~clicked].mean() + 0.3
