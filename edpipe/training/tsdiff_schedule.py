"""How noise grows in a model of diffusion steps, and which noise levels its training begins with."""

from __future__ import annotations

from typing import Any, Final

import torch

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_transform import transformed
from edpipe.datasets.series_windows import all_windows
from edpipe.errors import TrainingError
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.training.tsdiff_validation import some_windows
from models.diffusion import Curriculum, ScheduleScore, candidate_schedules, choose_schedule
from models.optimization import OptimizerConfig
from models.tsdiff import ConditionalConfig, TSDiffConfig

# Training windows that a schedule is chosen on, spread evenly.
SCHEDULE_WINDOWS: Final = 1_000


def schedule_fields(asked: TSDiffSettings, task: ForecastTask) -> dict[str, Any]:
    """Return what a network's configuration says of noise: steps, schedule, and what is predicted."""
    parameterization: str = asked.parameterization
    if parameterization == "auto":
        parameterization = "noise" if asked.schedule == "linear" else "velocity"
    fields = {"num_diffusion_steps": asked.num_diffusion_steps, "parameterization": parameterization}
    if asked.schedule == "zero_terminal":
        return {**fields, "schedule": "linear", "is_zero_terminal": True}
    if asked.schedule == "chosen":
        best = best_schedule(asked, task)
        return {**fields, "schedule": "given", "betas": tuple(best.betas.tolist())}
    return {**fields, "schedule": asked.schedule}


def best_schedule(asked: TSDiffSettings, task: ForecastTask) -> ScheduleScore:
    """Return the schedule of the steps asked for that fits the training windows best.

    Windows are measured as the network sees them; none reaches a step that training may not see. Nothing is
    drawn: equal series give an equal schedule.

    Raises
    ------
    TrainingError
        If no training window is without a gap.
    """
    windows = all_windows(
        task.train_ends, prediction_length=task.prediction_length, min_history=task.context_length
    )
    series = transformed(task.series, asked.transform)
    encoder = WindowEncoder(series, task.shape, Scaling.fit(series, task.train_ends, asked.scaling))
    batch = encoder.encode(some_windows(windows, SCHEDULE_WINDOWS), with_future=True)
    whole = batch.scaled()[0][batch.observed.all(1), :, 0]
    if not len(whole):
        raise TrainingError(
            "No noise schedule can be chosen.",
            where="`tsdiff.schedule`",
            found=f"a gap in each of {len(batch):,} training windows of {task.shape.length} steps",
            expected="a window without a gap",
            next_step="Name a schedule, for example `--set tsdiff.schedule=cosine`, or shorten the context.",
            state="Nothing was written.",
        )
    return choose_schedule(whole, candidate_schedules((asked.num_diffusion_steps,)))


def schedule_name(config: TSDiffConfig | ConditionalConfig) -> str:
    """Return the name of a schedule that was chosen; its numbers say little to a reader."""
    betas = torch.tensor(config.betas, dtype=torch.float64)
    known = candidate_schedules((len(betas),))
    return next((name for name, values in known.items() if torch.equal(values, betas)), "given")


def curriculum_of(asked: TSDiffSettings, optimizer: OptimizerConfig) -> Curriculum | None:
    """Return which noise levels the first steps draw; None where all steps draw all of them."""
    if not asked.curriculum:
        return None
    return Curriculum(warmup_steps=round(asked.curriculum * optimizer.total_steps))
