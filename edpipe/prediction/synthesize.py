"""Synthetic series: windows drawn from an unconditional model, with levels of real windows restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.frequency import Frequency
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import ScaleRule, Scaling
from edpipe.datasets.series_windows import Windows, training_windows
from edpipe.errors import SettingsError
from edpipe.prediction.forecast import TrainedForecaster, refuse_other_frequency
from edpipe.progress import Mode, track

if TYPE_CHECKING:
    from torch import Tensor

Singles = NDArray[np.float32]
SamplerName = Literal["ddim", "ddpm"]
# Steps of the sampler where nobody names them, or all of the model's if it has fewer.
NUM_STEPS: Final = 50
# Training windows whose mean tells where the noisiest windows lie.
_CENTER_WINDOWS: Final = 512
# Synthetic series have no date: this one stands for none.
NO_DATE: Final = np.datetime64("1970-01-01", "us")
# A level below this share of the usual one would blow a window up.
_FLOOR_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Synthesis:
    """Synthetic windows, each with a level.

    Attributes
    ----------
    scaled
        As the network draws them. Shape ``(num_windows, length)``.
    loc, scale
        Level of each window: what is added after ``scaled`` was multiplied by the scale.
        Shape ``(num_windows,)``.
    rule
        Rule of the scale.
    context_length
        First steps of a window, whose mean size is the unit of :meth:`unit_windows`.
    frequency
        Grid of the steps.
    minimum, maximum
        Bounds of the values; None if there is none.
    """

    scaled: Singles
    loc: NDArray[np.float64]
    scale: NDArray[np.float64]
    rule: ScaleRule
    context_length: int
    frequency: Frequency
    minimum: float | None = None
    maximum: float | None = None

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.scaled)

    @property
    def length(self) -> int:
        """Steps of a window."""
        return int(self.scaled.shape[1])

    def values(self) -> NDArray[np.float64]:
        """Return the windows in the unit of the series, within their bounds. Shape of ``scaled``."""
        found = self.scaled.astype(np.float64) * self.scale[:, None] + self.loc[:, None]
        return np.clip(found, self.minimum, self.maximum)

    def unit_windows(self) -> NDArray[np.float64]:
        """Return the windows divided by the mean size of their context. Shape of ``scaled``.

        A model that was trained on such windows drew them so, and they are left as they are; its contexts
        have about the mean size 1.
        """
        values = self.values()
        if self.rule == "context_mean":
            return values / self.scale[:, None]
        return values / context_sizes(values, self.context_length)[:, None]

    def to_frame(self, length: int | None = None, *, start: np.datetime64 = NO_DATE) -> pl.DataFrame:
        """Return the long table ``series_id, time, target``, a series a window.

        Parameters
        ----------
        length
            First steps that are kept of each; all by default.
        start
            Moment of the first step of every series. Windows begin at any hour or weekday, so it tells
            nothing.

        Raises
        ------
        SettingsError
            If windows are shorter than ``length``.
        """
        steps = check_length(length, self.length)
        digits = max(len(str(len(self))), 4)
        names = [f"synthetic_{number:0{digits}d}" for number in range(1, len(self) + 1)]
        return pl.DataFrame(
            {
                "series_id": pl.Series(names, dtype=pl.String).gather(np.repeat(np.arange(len(self)), steps)),
                "time": np.tile(self.frequency.times(start, np.arange(steps)), len(self)),
                "target": self.values()[:, :steps].reshape(-1),
            }
        )


def synthesize(
    trained: TrainedForecaster,
    task: ForecastTask,
    *,
    num_windows: int = 1_000,
    num_steps: int | None = None,
    sampler: SamplerName = "ddim",
    seed: int = 0,
    progress: Mode = "auto",
) -> Synthesis:
    """Draw synthetic windows and give each the level of a training window.

    The network draws the shape of a window, divided by its scale. Location and scale come together from one
    training window, drawn with replacement and apart from the shape: whatever ties shapes to levels is lost,
    and every level is one that occurred. Equal calls give equal windows.

    Parameters
    ----------
    trained
        An unconditional model.
    task
        What it was trained on: levels come from windows before ``task.train_ends``.
    num_windows
        How many, at least 1.
    num_steps
        Calls of the network for a window; by default 50, or all of the model's if it has fewer.
    sampler
        ``ddim``, or ``ddpm``, which draws noise at each step and wants all of them.
    seed
        Seed of all draws.
    progress
        How progress is shown.

    Raises
    ------
    SettingsError
        If the model is told the past, or the series of the task are of another frequency.
    """
    members = unconditional_members(trained)
    refuse_other_frequency(trained, task.series)
    scaling = Scaling.fit(task.series, task.train_ends, trained.scaling)
    encoder = WindowEncoder(task.series, trained.shape, scaling)
    random = np.random.default_rng([seed, 1])
    levels = encoder.encode(_drawn(task, trained, num_windows, random), with_future=True)
    center = _channel_means(encoder, _drawn(task, trained, _CENTER_WINDOWS, random))
    steps = min(num_steps or NUM_STEPS, members[0].config.num_diffusion_steps)
    parts = []
    with track("Synthesize", total=num_windows, unit="windows", mode=progress) as work:
        for place, member in enumerate(members):
            share = (num_windows + place) // len(members)
            if share:
                parts.append(
                    _member_windows(member, share, steps, sampler, [seed, place], center, work.advance)
                )
    return Synthesis(
        scaled=np.concatenate(parts),
        loc=levels.loc.numpy().astype(np.float64),
        scale=levels.scale.numpy().astype(np.float64),
        rule=trained.scaling,
        context_length=trained.shape.context_length,
        frequency=task.series.frequency,
        minimum=trained.data["minimum"],
        maximum=trained.data["maximum"],
    )


def unconditional_members(trained: TrainedForecaster) -> tuple[Any, ...]:
    """Return the networks of a model that is not told the past.

    Raises
    ------
    SettingsError
        If the model is told the past.
    """
    if trained.is_conditional:
        raise SettingsError(
            "The model draws what follows a past, not whole series.",
            where="`tsdiff.model`",
            found=str(trained.data.get("model", "a forecaster that is told the past")),
            expected="unconditional",
            next_step="Run `edpipe --set tsdiff.model=unconditional train tsdiff`, and synthesize from it.",
            state="Nothing was written.",
        )
    return trained.members


def check_length(length: int | None, longest: int) -> int:
    """Return how many steps are kept of each window.

    Raises
    ------
    SettingsError
        If ``length`` is below 1 or above ``longest``.
    """
    if length is None:
        return longest
    if not 1 <= length <= longest:
        raise SettingsError(
            "Synthetic series cannot have this length.",
            where="`length`",
            found=str(length),
            expected=f"1 to {longest} steps, the window that the model was trained on",
            next_step="Ask for fewer steps, or train with a longer `tsdiff.context_length`.",
            state="Nothing was written.",
        )
    return length


def context_sizes(windows: NDArray[np.floating], context_length: int) -> NDArray[np.float64]:
    """Return the mean absolute value of each context, at least a tenth of the usual one, above 0.

    Shapes: ``windows`` ``(num_windows, length)``; returns ``(num_windows,)``.
    """
    sizes = np.abs(windows[:, :context_length]).mean(axis=1, dtype=np.float64)
    usual = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 1.0
    return np.asarray(np.maximum(sizes, _FLOOR_SHARE * usual), dtype=np.float64)


def _drawn(
    task: ForecastTask, trained: TrainedForecaster, num_windows: int, random: np.random.Generator
) -> Windows:
    return training_windows(
        task.train_ends,
        prediction_length=trained.shape.prediction_length,
        min_history=trained.shape.context_length,
        num_windows=num_windows,
        random=random,
    )


def _channel_means(encoder: WindowEncoder, windows: Windows) -> Tensor:
    """Return the mean of series and lags over observed scaled values. Shape ``(channels,)``."""
    values, observed = encoder.encode(windows, with_future=True).scaled()
    return values.sum((0, 1)) / observed.sum((0, 1)).clamp(min=1)


def _member_windows(
    member: Any,
    number: int,
    num_steps: int,
    sampler: SamplerName,
    seed: list[int],
    center: Tensor,
    advance: Any,
) -> Singles:
    import torch

    from models.diffusion import DDIM, DDPM
    from models.tsdiff.synthesis import draw_windows

    word = int(np.random.SeedSequence([*seed, 2]).generate_state(1, np.uint64)[0] >> 1)
    # Noise of the CPU: the same windows come from any device, up to rounding.
    generator = torch.Generator().manual_seed(word)
    drawn = draw_windows(
        member,
        number,
        num_steps,
        generator,
        sampler=DDIM() if sampler == "ddim" else DDPM(),
        center=center,
        on_windows=advance,
    )
    return np.asarray(drawn.cpu().numpy(), dtype=np.float32)
