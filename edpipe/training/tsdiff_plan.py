"""What a training of a forecaster would be: its network, its options, its key, and facts about its series."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from edpipe.datasets.calendar_features import num_calendar_features
from edpipe.datasets.series_source import SourcedTask
from edpipe.errors import SettingsError
from edpipe.prediction.forecast import Sampling, TrainedForecaster
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.settings import Settings
from edpipe.training.run import TrainingRun
from edpipe.training.tsdiff_schedule import schedule_fields, schedule_name
from models.tsdiff import ConditionalConfig, SeriesDiffusion, TSDiffConfig, build_tsdiff

NetworkConfig = TSDiffConfig | ConditionalConfig
FAMILY: Final = "tsdiff"
RUN_KEY_LENGTH: Final = 16
# A change of the training recipe that gives other weights for equal settings raises this.
RECIPE: Final = 4
# Settings besides the network's that change the weights or what is drawn from them.
OPTIONS: Final = (
    "model",
    "transform",
    "scaling",
    "batch_size",
    "batches_per_epoch",
    "learning_rate",
    "weight_decay",
    "max_epochs",
    "patience",
    "ema_decay",
    "is_refitted",
    "num_members",
    "num_samples",
    "num_steps",
    "guidance",
    "guidance_scale",
    "calibration",
    "precision",
)
# Settings that say which series a run is about and how they are divided.
ASKED: Final = (
    "source",
    "grain",
    "series",
    "measure",
    "file",
    "holes",
    "min_students",
    "min_scored",
    "context_length",
    "prediction_length",
    "lags",
    "num_windows",
)


def plan_tsdiff(settings: Settings, sourced: SourcedTask) -> tuple[TrainingRun, NetworkConfig]:
    """Return the run that would be made, and its network."""
    asked, task = settings.tsdiff, sourced.task
    _refuse_transform(asked, sourced)
    config = network_config(asked, sourced)
    options: dict[str, Any] = {name: getattr(asked, name) for name in OPTIONS}
    options |= {"seed": settings.seed}
    # Where it is off, runs from before there was one are still what is asked for.
    if asked.curriculum:
        options["curriculum"] = asked.curriculum
    if asked.level_weight:
        options["level_weight"] = asked.level_weight
    # Lists as a file gives them back: a run read again equals the run that was made.
    config_values = json.loads(json.dumps(config.to_dict()))
    described = [RECIPE, sourced.fingerprint, config_values, list(task.lags), options]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    with torch.random.fork_rng(devices=[]):
        network = build_tsdiff(config)
    run = TrainingRun(
        run_dir=settings.runs_dir / digest[:RUN_KEY_LENGTH],
        run_key=digest[:RUN_KEY_LENGTH],
        config={**config_values, "betas": schedule_name(config)} if config.betas else config_values,
        options=options,
        fingerprint=sourced.fingerprint,
        source=sourced.sourced.source,
        steps="",
        num_parameters=asked.num_members * sum(weight.numel() for weight in network.parameters()),
        model=FAMILY,
        data={
            "asked": _asked_facts(asked),
            "account": dict(sourced.sourced.account),
            **data_facts(sourced),
        },
    )
    return run, config


def _asked_facts(asked: TSDiffSettings) -> dict[str, Any]:
    """Return what, asked again, gives the same series and windows; a file by its whole path."""
    values = {name: getattr(asked, name) for name in ASKED}
    if asked.file:
        values["file"] = str(Path(asked.file).resolve())
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def data_facts(sourced: SourcedTask) -> dict[str, Any]:
    """Return facts about series and windows as plain values, for ``run.json`` and the checkpoint."""
    task, series = sourced.task, sourced.task.series
    return {
        "source": sourced.sourced.source,
        "fingerprint": sourced.fingerprint,
        "frequency": series.frequency.name,
        "season": task.season,
        "lags": list(task.lags),
        "minimum": sourced.sourced.minimum,
        "maximum": sourced.sourced.maximum,
        "num_series": series.num_series,
        "num_train": int(task.train_ends.sum()),
        "num_valid": len(task.valid),
        "num_test": len(task.test),
    }


def network_config(asked: TSDiffSettings, sourced: SourcedTask) -> NetworkConfig:
    """Return the network's hyper-parameters for these series."""
    task = sourced.task
    common: dict[str, Any] = {
        "context_length": task.context_length,
        "prediction_length": task.prediction_length,
        "hidden_size": asked.hidden_size,
        "num_blocks": asked.num_blocks,
        "state_size": asked.state_size,
        "dropout": asked.dropout,
    }
    if asked.model == "unconditional":
        return TSDiffConfig(**common, num_lags=len(task.lags), **schedule_fields(asked, task))
    if asked.model == "conditional":
        diffusion = schedule_fields(asked, task)
        return ConditionalConfig(**common, lags=task.lags, dynamics="diffusion", **diffusion)
    season = min(task.season, task.context_length)
    return ConditionalConfig(
        **common,
        lags=task.lags,
        num_calendar=num_calendar_features(task.series.frequency) if asked.calendar else 0,
        prior=asked.prior,
        center=asked.center,
        season=season,
        # The context is told and needs no learning; before any, the forecast is the center with its error.
        future_only=asked.center != "none",
        zero_output=asked.center != "none",
    )


def _refuse_transform(asked: TSDiffSettings, sourced: SourcedTask) -> None:
    """Refuse to transform series that may hold values below 0."""
    minimum = sourced.sourced.minimum
    if asked.transform != "none" and (minimum is None or minimum < 0):
        raise SettingsError(
            "The series cannot be transformed.",
            where="`tsdiff.transform`",
            found=f"{asked.transform}, and values that may be below 0",
            expected="counts or shares, which are at least 0",
            next_step="Set `tsdiff.transform` to none.",
            state="Nothing was written.",
        )


def untuned(
    asked: TSDiffSettings, sourced: SourcedTask, members: Sequence[SeriesDiffusion]
) -> TrainedForecaster:
    """Return a forecaster before anything was chosen on validation."""
    return TrainedForecaster(
        members=tuple(members),
        shape=sourced.task.shape,
        scaling=asked.scaling,
        sampling=Sampling(asked.num_samples, max(asked.num_steps, 1), asked.guidance, asked.guidance_scale),
        calibration=None,
        data=data_facts(sourced),
        transform=asked.transform,
    )
