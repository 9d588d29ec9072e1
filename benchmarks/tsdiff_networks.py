"""Networks of one size, trained equally long and kept in files, and how well they forecast."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series_batches import WindowDataModule, WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_source import SourcedSeries, SourcedTask
from edpipe.datasets.series_windows import Mask, Windows
from edpipe.evaluation.forecast.metrics import WindowScores, window_scores
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.training.tsdiff_plan import network_config
from edpipe.training.tsdiff_schedule import curriculum_of, schedule_name
from edpipe.training.tsdiff_validation import some_windows
from models.optimization import OptimizerConfig, plain_state
from models.tsdiff import (
    ConditionalForecaster,
    SeriesDiffusion,
    TSDiff,
    build_tsdiff,
    config_from_dict,
    guided_sample,
)
from models.tsdiff.lightning_module import TSDiffModule

CENTER_WINDOWS = 2_000
GUIDED_STEPS = (10, 20)
GUIDANCE_SCALES = (1.0, 4.0, 16.0)
TOLD_STEPS = (1, 2, 4, 8, 16)
CHOICE_WINDOWS, CHOICE_SAMPLES = 10, 12


@dataclass(frozen=True)
class Study:
    """A set, and the size of everything."""

    task: ForecastTask
    asked: TSDiffSettings
    training_steps: int
    num_samples: int
    seeds: tuple[int, ...]
    home: Path

    def encoder(self) -> WindowEncoder:
        """Return what turns windows into batches, scaled by training steps."""
        scaling = Scaling.fit(self.task.series, self.task.train_ends, self.asked.scaling)
        return WindowEncoder(self.task.series, self.task.shape, scaling)

    def settings(self, **given: Any) -> TSDiffSettings:
        """Return the settings with what an option asks for, checked."""
        return TSDiffSettings(**{**self.asked.model_dump(), **given})

    def file(self, seed: int, given: dict[str, Any], name: str) -> Path:
        """Return where something of an option is kept."""
        words = [f"{name}={value}" for name, value in sorted(given.items())]
        return self.home / f"{self.task.name}-{self.training_steps}" / "-".join([*words, f"{seed}"]) / name

    def network(self, seed: int, **given: Any) -> tuple[SeriesDiffusion, float]:
        """Return a network trained as an option asks, and the seconds it took."""
        file = self.file(seed, given, "network.pt")
        if not file.exists():
            before = time.process_time()
            network = trained(self, self.settings(**given), seed)
            seconds = time.process_time() - before
            config, state = network.config.to_dict(), plain_state(network)
            save(file, {"config": config, "state": state, "seconds": seconds})
            print(f"trained {given}, seed {seed}: {seconds:.0f} s", flush=True)
        kept = torch.load(file, weights_only=True)
        network = build_tsdiff(config_from_dict(kept["config"]))
        network.load_state_dict(kept["state"])
        return network.eval(), float(kept["seconds"])


def trained(study: Study, asked: TSDiffSettings, seed: int) -> SeriesDiffusion:
    """Train a network for the steps of the study; return the averaged weights at the end."""
    sourced = SourcedSeries(study.task.series, "file", study.task.minimum, None, {})
    config = network_config(asked, SourcedTask(study.task, sourced, study.task.name))
    if getattr(config, "betas", ()):
        print(f"chosen schedule: {schedule_name(config)}", flush=True)
    torch.manual_seed(seed)
    network = build_tsdiff(config)
    data = WindowDataModule(
        study.task,
        study.encoder().scaling,
        batch_size=asked.batch_size,
        batches_per_epoch=study.training_steps,
        seed=seed,
    )
    if isinstance(network, ConditionalForecaster):
        network.fit_center(partial(data.windows_to_fit, CENTER_WINDOWS))
    optimizer = OptimizerConfig(
        learning_rate=asked.learning_rate,
        weight_decay=asked.weight_decay,
        warmup_steps=64,
        total_steps=study.training_steps,
        ema_decay=asked.ema_decay,
        seed=seed,
    )
    module = TSDiffModule(network, optimizer, curriculum=curriculum_of(asked, optimizer))
    trainer = Trainer(
        max_epochs=1,
        limit_val_batches=0,
        gradient_clip_val=0.5,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train_dataloaders=data.train_dataloader())
    return module.trained().eval()


def forecast(
    study: Study,
    model: SeriesDiffusion,
    windows: Windows,
    num_steps: int,
    *,
    scale: float = 4.0,
    kind: str = "quantile",
    hidden: Mask | None = None,
) -> Forecasts:
    """Draw paths of windows, steps of their context hidden or not."""
    batch = study.encoder().encode(windows, with_future=False, hidden=hidden)
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, ConditionalForecaster):
        paths = model.sample(batch, study.num_samples, num_steps, generator, is_antithetic=True)
    else:
        assert isinstance(model, TSDiff)
        whole = guided_sample(
            model, batch, study.num_samples, num_steps, generator, kind=kind, guidance_scale=scale
        )
        paths = whole[..., study.task.context_length :]
    samples = np.nan_to_num(paths.numpy(), nan=0.0, posinf=1e6, neginf=-1e6)
    return Forecasts.of_samples(windows, samples).at_least(study.task.minimum)


def scored(study: Study, found: Forecasts) -> WindowScores:
    return window_scores(found, study.task.truth(found.windows))


@dataclass(frozen=True)
class Outcome:
    """An option at one seed and number of steps."""

    seed: int
    num_steps: int
    scale: float | None
    valid_crps: float | None
    scores: WindowScores
    training_seconds: float
    sampling_seconds: float


def outcomes(study: Study, seed: int, **given: Any) -> list[Outcome]:
    """Train an option; return its test scores at each number of steps, the scale chosen on validation."""
    model, seconds = study.network(seed, **given)
    is_told = isinstance(model, ConditionalForecaster)
    some = some_windows(study.task.valid, CHOICE_WINDOWS)
    few = replace(study, num_samples=CHOICE_SAMPLES)
    found = []
    for num_steps in TOLD_STEPS if is_told else GUIDED_STEPS:
        file = study.file(seed, given, f"{num_steps}-steps.pt")
        if not file.exists():
            valid = {
                scale: scored(few, forecast(few, model, some, num_steps, scale=scale)).value("crps")
                for scale in ((1.0,) if is_told else GUIDANCE_SCALES)
            }
            scale = min(valid, key=valid.__getitem__)
            before = time.process_time()
            paths = forecast(study, model, study.task.test, num_steps, scale=scale).values
            spent = time.process_time() - before
            save(
                file,
                {"scale": scale, "crps": valid[scale], "seconds": spent, "paths": torch.from_numpy(paths)},
            )
        kept = torch.load(file, weights_only=True)
        scores = scored(study, Forecasts.of_samples(study.task.test, kept["paths"].numpy()))
        shown = None if is_told else kept["scale"]
        found.append(Outcome(seed, num_steps, shown, kept["crps"], scores, seconds, kept["seconds"]))
        print(f"  {given}, seed {seed}, {num_steps} steps: {scores.value('crps'):.4f}", flush=True)
    return found


def save(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, file.with_suffix(".partial"))
    file.with_suffix(".partial").replace(file)


def best(found: Sequence[Outcome]) -> Outcome:
    """Return the number of steps that validation chooses."""
    return min(found, key=lambda one: float("inf") if one.valid_crps is None else one.valid_crps)
