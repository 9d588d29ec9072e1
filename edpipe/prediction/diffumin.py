"""A trained recommender: its file, and the probabilities that it gives to rows of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.impressions import ImpressionDataset, Split
from edpipe.datasets.impressions_batches import ImpressionEncoder, ImpressionRows, impression_batches
from edpipe.datasets.impressions_features import FeatureMap
from edpipe.device import sampling_device
from edpipe.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

    from models.diffumin import DiffuMIN, DiffuMINConfig

DIFFUMIN_FILE: Final = "diffumin.pt"
DIFFUMIN_FORMAT: Final = 1


@dataclass(frozen=True, eq=False)
class TrainedRecommender:
    """A recommender and what it needs to know of the data that it is asked about.

    Attributes
    ----------
    model
        Network, in evaluation mode.
    features
        Numbers of items, categories and outcomes, as in training.
    catalog
        ``item_id, category_ids, part, popularity`` of the items that it may be asked about; popularity is how
        often training rows hold the item.
    data
        Source, log, target and fingerprint, and what was ``asked`` when it was trained.
    options
        How it was trained.
    """

    model: DiffuMIN
    features: FeatureMap
    catalog: pl.DataFrame
    data: Mapping[str, Any]
    options: Mapping[str, Any]

    def encoder(self, dataset: ImpressionDataset) -> ImpressionEncoder:
        """Return what turns a dataset's requests into batches in the numbers of this model."""
        return ImpressionEncoder.of(
            dataset,
            self.features,
            max_length=int(self.options["max_length"]),
            negatives=int(self.options["negatives"]),
            seed=int(self.options["seed"]),
        )

    def asked_like(self, other: TrainedRecommender) -> TrainedRecommender:
        """Return the same network, asked about the very rows that another is: by its negatives and seed."""
        rows = {name: other.options[name] for name in ("negatives", "seed", "batch_size")}
        return replace(self, options={**self.options, **rows})


def checkpoint_content(
    config: DiffuMINConfig,
    weights: Mapping[str, Tensor],
    dataset: ImpressionDataset,
    *,
    asked: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what `diffumin.pt` holds: tensors and plain values only."""
    import torch

    catalog = dataset.catalog
    return {
        "format": DIFFUMIN_FORMAT,
        "config": config.to_dict(),
        "state_dict": dict(weights),
        "features": dataset.features.to_dict(),
        "catalog": {
            "item_ids": catalog["item_id"].to_list(),
            "category_ids": catalog["category_ids"].to_list(),
            "parts": catalog["part"].to_list(),
            "popularity": torch.from_numpy(np.array(dataset.columns["popularity"])),
        },
        "data": {
            "source": dataset.options.source,
            "log_name": dataset.options.log_name,
            "target": dataset.options.target,
            "fingerprint": dataset.fingerprint,
            "asked": {group: dict(values) for group, values in asked.items()},
        },
        "options": dict(options),
    }


def load_recommender(path: Path, *, accelerator: str = "cpu") -> TrainedRecommender:
    """Load a recommender from a run folder or its `diffumin.pt`; no code in the file is run.

    Parameters
    ----------
    path
        The folder or the file.
    accelerator
        Where its network is put, by Lightning's name: ``auto`` is a GPU if there is one.

    Raises
    ------
    TrainingError
        If there is no such file or it has another format.
    """
    import torch

    from models.diffumin import build_diffumin, config_from_dict

    file = path / DIFFUMIN_FILE if path.is_dir() else path
    if not file.exists():
        raise TrainingError(
            "There is no trained recommender here.",
            where=str(file),
            found="no such file",
            expected=f"`{DIFFUMIN_FILE}` of a finished run",
            next_step="Run `edpipe train diffumin`.",
        )
    content = load_checkpoint(file)
    if content.get("format") != DIFFUMIN_FORMAT:
        raise TrainingError(
            "The recommender has a format that this version does not read.",
            where=str(file),
            found=repr(content.get("format")),
            expected=str(DIFFUMIN_FORMAT),
            next_step="Train again with this version.",
        )
    with torch.random.fork_rng(devices=[]):
        model = build_diffumin(config_from_dict(content["config"]))
    model.load_state_dict(content["state_dict"])
    catalog = content["catalog"]
    return TrainedRecommender(
        model=model.eval().to(sampling_device(accelerator)),
        features=FeatureMap.from_dict(content["features"]),
        catalog=pl.DataFrame(
            {
                "item_id": catalog["item_ids"],
                "category_ids": pl.Series(catalog["category_ids"], dtype=pl.List(pl.String)),
                "part": pl.Series(catalog["parts"], dtype=pl.Int64),
                "popularity": catalog["popularity"].numpy(),
            },
            schema_overrides={"item_id": pl.String},
        ),
        data=content["data"],
        options=content["options"],
    )


def predict_split(
    trained: TrainedRecommender,
    dataset: ImpressionDataset,
    split: Split,
    *,
    on_requests: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Return the probability of every row of a part of the split.

    Noise that the configuration draws anew comes from the seed of the training, so equal calls give equal
    rows.

    Parameters
    ----------
    trained
        A trained recommender.
    dataset
        Rows of its target, in which its items are looked up.
    split
        Part to take.
    on_requests
        Called with the number of requests done, batch by batch.

    Returns
    -------
    DataFrame
        See :func:`rows_frame`, with ``probability``.
    """
    import torch

    device = next(trained.model.parameters()).device
    generator = torch.Generator(device).manual_seed(int(trained.options["seed"]))
    encoder, requests = trained.encoder(dataset), dataset.requests(split)
    frames, done = [], 0
    with torch.inference_mode():
        for rows, batch in impression_batches(encoder, split, int(trained.options["batch_size"])):
            probability = trained.model.probabilities(batch.to(device), generator)
            chosen = requests[done : done + len(batch.students)]
            done += len(chosen)
            frame = rows_frame(dataset, chosen, rows)
            frames.append(frame.with_columns(probability=probability.double().cpu().numpy()))
            if on_requests is not None:
                on_requests(len(chosen))
    return pl.concat(frames)


def drawn_rows(encoder: ImpressionEncoder, split: Split, *, most_requests: int, seed: int) -> pl.DataFrame:
    """Return rows of a part of the split without a probability: all, or those of some random requests.

    Parameters
    ----------
    encoder
        Dataset, and how negatives are drawn.
    split
        Part to take.
    most_requests
        Requests from which some are drawn instead.
    seed
        Seed of that draw.
    """
    requests = encoder.dataset.requests(split)
    if len(requests) > most_requests:
        chosen = np.random.default_rng(seed).choice(len(requests), most_requests, replace=False)
        requests = requests[np.sort(chosen)]
    return rows_frame(encoder.dataset, requests, encoder.draw(requests))


def rows_frame(dataset: ImpressionDataset, requests: NDArray[np.int64], rows: ImpressionRows) -> pl.DataFrame:
    """Return the rows of some requests as a frame, in their order.

    Parameters
    ----------
    dataset
        Where they come from.
    requests
        Numbers of the requests.
    rows
        Their rows.

    Returns
    -------
    DataFrame
        ``student`` (row of the dataset's students), ``request``, ``item`` (row of the catalog), ``history``
        (behaviors known then), ``clicked``.
    """
    asked = requests[rows.requests]
    return pl.DataFrame(
        {
            "student": np.asarray(dataset.columns["student"])[asked].astype(np.int64),
            "request": asked,
            "item": rows.items,
            "history": dataset.history_lengths(requests)[rows.requests],
            "clicked": rows.clicked > 0,
        }
    )
