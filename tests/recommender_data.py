"""Small recommenders: data in which the next item can be foretold, and settings that train in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import impression_data as data
import numpy as np
import polars as pl

from edpipe.datasets.impressions import ImpressionDataset
from edpipe.settings import Settings

NETWORK = {
    "field_size": 4,
    "num_channels": 2,
    "short_term_window": 4,
    "mlp_sizes": (16,),
    "max_epochs": 3,
    "patience": 3,
    "learning_rate": 0.01,
    "ema_decay": 0.9,
    "accelerator": "cpu",
    "bootstrap": 20,
}
DATA = {"max_length": 20, "batch_size": 32}


def with_recommender(settings: Settings, **changes: Any) -> Settings:
    """Return settings of a small recommender, with other values of either group."""
    of_data = {
        name: changes.pop(name)
        for name in list(changes)
        if name in type(settings.recommendation).model_fields
    }
    return settings.model_copy(
        update={
            "recommendation": settings.recommendation.model_copy(update={**DATA, **of_data}),
            "diffumin": settings.diffumin.model_copy(update={**NETWORK, **changes}),
        }
    )


def faithful_behaviors(num_students: int = 40, *, length: int = 12, seed: int = 3) -> pl.DataFrame:
    """Each student takes up items of one category alone, in random order, none twice: 16 items a category."""
    random = np.random.default_rng(seed)
    rows = []
    for student in range(num_students):
        items = 101 + 4 * random.permutation(16)[:length] + student % 4
        for number, item in enumerate(items, 1):
            rows.append(
                {
                    "student_key": 10 * student + 10,
                    "behavior_number": number,
                    "acted_milliseconds": data.START + 1000 * number,
                    "catalog_key": int(item),
                    "outcome_key": 1 + int(random.integers(2)),
                }
            )
    return pl.DataFrame(rows)


def faithful_dataset(folder: Path, **options: Any) -> ImpressionDataset:
    """Write :func:`faithful_behaviors` as a dataset of next items; who sees the category knows nearly all."""
    from edpipe.datasets.impressions import ImpressionOptions
    from edpipe.datasets.impressions_writer import write_impression_dataset

    rows = faithful_behaviors()
    return write_impression_dataset(
        folder,
        [data.sequences(rows)],
        [data.examples(rows)],
        catalog=data.catalog(64),
        outcomes=data.OUTCOMES,
        options=ImpressionOptions(
            source="ednet", log_name="answers", target="next_item", **{"valid": 0.2, "test": 0.2, **options}
        ),
    )
