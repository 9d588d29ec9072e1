"""What a training of a recommender would be: its network, its options, its key, and what it was asked."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
import torch

from edpipe.datasets.impressions import ImpressionDataset, Split
from edpipe.datasets.impressions_batches import ImpressionEncoder
from edpipe.errors import SettingsError, TrainingError
from edpipe.setting_groups_diffumin_network import CHOICES
from edpipe.settings import Settings
from edpipe.training.run import TrainingRun
from models.diffumin import DiffuMINConfig, build_diffumin, preset

FAMILY: Final = "diffumin"
RUN_KEY_LENGTH: Final = 16
# A change of the training recipe that gives other weights for equal settings raises this.
RECIPE: Final = 2
# Settings besides the network's that change the weights.
OPTIONS: Final = (
    "preset",
    "learning_rate",
    "item_learning_rate",
    "weight_decay",
    "max_epochs",
    "patience",
    "ema_decay",
    "precision",
)
# What the network is made of, whatever the preset.
SIZES: Final = (
    "long_term",
    "field_size",
    "num_channels",
    "kept_share",
    "short_term_window",
    "num_retrieved",
    "mlp_sizes",
    "dropout",
)
# Rules of the network, each as in the preset unless it is given.
RULES: Final = ("augmentation", *CHOICES)
# Settings of the data, asked again, that give the same rows and the same negatives.
DATA: Final = (
    "source",
    "log",
    "target",
    "max_length",
    "negatives",
    "min_history",
    "valid",
    "test",
    "num_categories",
    "batch_size",
)
ROWS_A_LOOK: Final = 4_096


def plan_diffumin(settings: Settings, dataset: ImpressionDataset) -> tuple[TrainingRun, DiffuMINConfig]:
    """Return the run that would be made, and its network.

    Raises
    ------
    SettingsError
        If the sizes do not fit each other.
    TrainingError
        If a part of the split is empty, or holds one class only.
    """
    for split in ("train", "valid"):
        refuse_one_class(settings, dataset, split)
    config = network_config(settings, dataset)
    asked, of_data = settings.diffumin, settings.recommendation
    options: dict[str, Any] = {"model": asked.long_term} | {name: getattr(asked, name) for name in OPTIONS}
    options |= {name: getattr(of_data, name) for name in ("max_length", "negatives", "batch_size")}
    options |= {"seed": settings.seed}
    # Lists as a file gives them back: a run read again equals the run that was made.
    config_values = json.loads(json.dumps(config.to_dict()))
    described = [RECIPE, dataset.fingerprint, config_values, options]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    with torch.random.fork_rng(devices=[]):
        network = build_diffumin(config)
    run = TrainingRun(
        run_dir=settings.runs_dir / digest[:RUN_KEY_LENGTH],
        run_key=digest[:RUN_KEY_LENGTH],
        config=config_values,
        options=options,
        fingerprint=dataset.fingerprint,
        source=dataset.options.source,
        steps=dataset.options.log_name,
        num_parameters=sum(weight.numel() for weight in network.parameters()),
        model=FAMILY,
        data={
            "asked": {
                "recommendation": {name: getattr(of_data, name) for name in DATA},
                "diffumin": json.loads(
                    json.dumps({name: getattr(asked, name) for name in (*SIZES, *RULES, *OPTIONS)})
                ),
            },
            "target": dataset.options.target,
            "num_students": dataset.num_students,
            "num_items": len(dataset.catalog),
            "impressions": dict(dataset.account),
        },
    )
    return run, config


def settings_asked(settings: Settings, run: TrainingRun) -> Settings:
    """Return the settings with data, network and seed as they were when a run was trained."""
    asked = run.data["asked"]
    given = {**asked["diffumin"], "mlp_sizes": tuple(asked["diffumin"]["mlp_sizes"])}
    return settings.model_copy(
        update={
            "seed": int(run.options["seed"]),
            "recommendation": settings.recommendation.model_copy(update=asked["recommendation"]),
            "diffumin": settings.diffumin.model_copy(update=given),
        }
    )


def network_config(settings: Settings, dataset: ImpressionDataset) -> DiffuMINConfig:
    """Return the network's hyper-parameters for these data.

    Raises
    ------
    SettingsError
        If the sizes do not fit each other.
    """
    asked, features = settings.diffumin, dataset.features
    changes: dict[str, Any] = {name: getattr(asked, name) for name in SIZES}
    changes |= {name: value for name in RULES if (value := getattr(asked, name)) is not None}
    if asked.long_term != "diffumin":
        changes["short_term_condition"] = "none"  # there is no channel to be told of
    if asked.long_term == "sim_hard":
        changes["category_field"] = _category_field(dataset)
    try:
        return preset(
            asked.preset,
            features.field_sizes,
            num_outcomes=features.num_outcomes,
            num_context=features.num_context,
            noise_seed=settings.seed,
            **changes,
        )
    except ValueError as error:
        raise SettingsError(
            "The sizes of the network do not fit each other.",
            where="settings `diffumin`",
            found=str(error),
            expected="sizes that fit the fields of an item: " + ", ".join(features.field_names),
            next_step="Change the setting that is named.",
            state="Nothing was trained.",
        ) from error


def _category_field(dataset: ImpressionDataset) -> int:
    """Return the first field for a category; a network that searches by it needs one."""
    names = dataset.features.field_names
    if "category" not in names:
        raise SettingsError(
            "Items have no category to search by.",
            where="settings `diffumin.long_term`, `recommendation.num_categories`",
            found=f"sim_hard, and the fields {', '.join(names)}",
            expected="at least one category",
            next_step="Raise `recommendation.num_categories`, or take sim_soft.",
            state="Nothing was trained.",
        )
    return names.index("category")


def refuse_one_class(settings: Settings, dataset: ImpressionDataset, split: Split) -> None:
    """Refuse a part of the split in which every row has the same label: nothing can be ordered there.

    Raises
    ------
    TrainingError
        With the number of rows; also if there is none.
    """
    requests = dataset.requests(split)
    encoder = ImpressionEncoder.of(
        dataset,
        dataset.features,
        max_length=1,
        negatives=settings.recommendation.negatives,
        seed=settings.seed,
    )
    seen: set[float] = set()
    num_rows = 0
    for start in range(0, len(requests), ROWS_A_LOOK):
        clicked = encoder.draw(requests[start : start + ROWS_A_LOOK]).clicked
        seen |= set(np.unique(clicked).tolist())
        num_rows += len(clicked)
        if len(seen) > 1:
            return
    raise TrainingError(
        f"All rows of the split {split!r} have the same label.",
        where=f"target {dataset.options.target!r} of source {dataset.options.source!r}, log "
        f"{dataset.options.log_name!r}",
        found=f"{num_rows:,} rows, all {'1' if 1.0 in seen else '0'}",
        expected="both, or no AUC is defined",
        next_step="Ingest more students, choose another `recommendation.target`, or raise "
        f"`recommendation.{'valid' if split == 'valid' else 'negatives'}`.",
        state="Nothing was trained.",
    )
