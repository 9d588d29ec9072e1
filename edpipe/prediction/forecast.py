"""Forecasts of a trained diffusion model: quantiles and paths of windows of any series of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import Holes, SeriesSet
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import ScaleRule, Scaling
from edpipe.datasets.series_transform import Transform, restored, transformed
from edpipe.datasets.series_windows import Windows, WindowShape
from edpipe.device import sampling_device
from edpipe.errors import SettingsError, TrainingError
from edpipe.evaluation.forecast.calibration import Calibration, calibration_from_dict

if TYPE_CHECKING:
    from torch import Tensor

    from models.batches import WindowBatch
    from models.tsdiff import SeriesDiffusion

TSDIFF_FILE: Final = "tsdiff.pt"
TSDIFF_FORMAT: Final = 2
WINDOWS_AT_ONCE: Final = 64
# Paths that go through a network together: on a CPU what its caches hold, on a GPU what fills it.
PATHS_AT_ONCE: Final = 128
GUIDED_PATHS_AT_ONCE: Final = 512
PATHS_AT_ONCE_ON_GPU: Final = 8192
# Steps of the linear solver at each step of guidance by covariances: more cost more and change little.
COVARIANCE_ITERATIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Sampling:
    """How paths are drawn.

    Attributes
    ----------
    num_samples
        Paths of a window, over all members.
    num_steps
        Calls of the network for a path.
    guidance, guidance_scale
        How the past guides an unconditional model, and how strongly.
    """

    num_samples: int
    num_steps: int
    guidance: str = "quantile"
    guidance_scale: float = 4.0


@dataclass(frozen=True, eq=False)
class TrainedForecaster:
    """One or more networks that forecast together, with all that forecasting needs.

    Attributes
    ----------
    members
        Networks of one configuration, in evaluation mode.
    shape
        What a window holds.
    scaling
        Rule for location and scale.
    sampling
        How paths are drawn.
    calibration
        Correction of the spread; None leaves it.
    data
        Source, grain, measure, frequency, season, bounds and fingerprint of what it was trained on.
    transform
        What values become before the networks see them.
    judged
        The networks as validation windows chose them, before these were trained on too; empty where there
        was no second training.
    """

    members: tuple[SeriesDiffusion, ...]
    shape: WindowShape
    scaling: ScaleRule
    sampling: Sampling
    calibration: Calibration | None
    data: dict[str, Any]
    transform: Transform = "none"
    judged: tuple[SeriesDiffusion, ...] = ()

    @property
    def is_conditional(self) -> bool:
        """Whether the networks are told the past; otherwise it guides them."""
        from models.tsdiff import ConditionalForecaster

        return isinstance(self.members[0], ConditionalForecaster)

    def bounded(self, forecasts: Forecasts) -> Forecasts:
        """Return forecasts within the values that the series can take."""
        found = forecasts.at_least(self.data["minimum"])
        maximum = self.data["maximum"]
        return found if maximum is None else found.map(np.minimum(found.values, np.float32(maximum)))

    def before_validation(self) -> TrainedForecaster:
        """Return the forecaster whose networks have seen no validation step: for scores on those."""
        return replace(self, members=self.judged or self.members)

    def to(self, device: str) -> TrainedForecaster:
        """Move the networks, and return this."""
        for network in (*self.members, *self.judged):
            network.to(device)
        return self

    def with_sampling(self, **changes: Any) -> TrainedForecaster:
        """Return the same networks, sampled otherwise."""
        return replace(self, sampling=replace(self.sampling, **changes))


def load_forecaster(path: Path, *, accelerator: str = "cpu") -> TrainedForecaster:
    """Load a forecaster from a run folder or its `tsdiff.pt`; no code in the file is run.

    Parameters
    ----------
    path
        The folder or the file.
    accelerator
        Where its networks are put, by Lightning's name: ``auto`` is a GPU if there is one.

    Raises
    ------
    TrainingError
        If there is no such file or it has another format.
    """
    import torch

    from models.tsdiff import build_tsdiff, config_from_dict

    file = path / TSDIFF_FILE if path.is_dir() else path
    if not file.exists():
        raise TrainingError(
            "There is no trained forecaster here.",
            where=str(file),
            found="no such file",
            expected=f"`{TSDIFF_FILE}` of a finished run",
            next_step="Run `edpipe train tsdiff`.",
        )
    content = load_checkpoint(file)
    if content.get("format") != TSDIFF_FORMAT:
        raise TrainingError(
            "The forecaster has a format that this version does not read.",
            where=str(file),
            found=repr(content.get("format")),
            expected=str(TSDIFF_FORMAT),
            next_step="Train again with this version.",
        )
    config = config_from_dict(content["config"])

    def network(weights: dict[str, Tensor]) -> SeriesDiffusion:
        with torch.random.fork_rng(devices=[]):
            member = build_tsdiff(config)
        member.load_state_dict(weights)
        return member.eval()

    data = dict(content["data"])
    calibration = content["calibration"]
    found = TrainedForecaster(
        members=tuple(map(network, content["members"])),
        shape=WindowShape(config.context_length, config.prediction_length, tuple(data["lags"])),
        scaling=content["scaling"],
        sampling=Sampling(**content["sampling"]),
        calibration=calibration_from_dict(calibration) if calibration else None,
        data=data,
        transform=content["transform"],
        judged=tuple(map(network, content["judged"])),
    )
    return found.to(sampling_device(accelerator))


def forecast_windows(
    trained: TrainedForecaster,
    series: SeriesSet,
    windows: Windows,
    *,
    seed: int,
    is_calibrated: bool = True,
    on_windows: Callable[[int], None] | None = None,
) -> Forecasts:
    """Draw paths of windows. Nothing at or beyond a window's origin is read.

    Parameters
    ----------
    trained
        A trained forecaster.
    series
        Series of its frequency, with the history of each window.
    windows
        Where to forecast; an origin may be the end of its series.
    seed
        Seed of all noise: equal calls give equal paths.
    is_calibrated
        Whether the spread is corrected.
    on_windows
        Called with the number of windows done, batch by batch.

    Raises
    ------
    SettingsError
        If the series have another frequency.
    """
    refuse_other_frequency(trained, series)
    # A series' own size counts only where its context says too little; it is measured before any origin.
    ends = series.lengths.copy()
    np.minimum.at(ends, windows.series, windows.origins)
    seen = transformed(series, trained.transform)
    encoder = WindowEncoder(seen, trained.shape, Scaling.fit(seen, ends, trained.scaling))
    parts = []
    for begin in range(0, len(windows), WINDOWS_AT_ONCE):
        part = windows.take(slice(begin, begin + WINDOWS_AT_ONCE))
        paths = _paths(trained, encoder.encode(part, with_future=False), [seed, begin])
        parts.append(restored(paths, trained.transform))
        if on_windows is not None:
            on_windows(len(part))
    shape = (0, trained.sampling.num_samples, trained.shape.prediction_length)
    found = Forecasts.of_samples(windows, np.concatenate([np.empty(shape, np.float32), *parts]))
    if is_calibrated and trained.calibration is not None and len(windows):
        found = trained.calibration.apply(found)
    return trained.bounded(found)


def holes_of(trained: TrainedForecaster) -> Holes:
    """Return what a step without a row holds in series like those that a forecaster learned from."""
    asked = trained.data["asked"]
    is_share = not asked["file"] and asked["measure"] == "accuracy"
    return "mask" if is_share or (asked["file"] and asked["holes"] == "mask") else "zero"


def windows_at_end(series: SeriesSet) -> Windows:
    """Return the window of each series whose forecast begins after its last step."""
    return Windows(np.arange(series.num_series, dtype=np.int64), series.lengths.astype(np.int64))


def refuse_other_frequency(trained: TrainedForecaster, series: SeriesSet) -> None:
    """Refuse series of another frequency than the forecaster learned from.

    Raises
    ------
    SettingsError
        With both frequencies.
    """
    known = trained.data["frequency"]
    if series.frequency.name != known:
        raise SettingsError(
            "The series have another frequency than the model was trained on.",
            where="column `time`",
            found=series.frequency.name,
            expected=str(known),
            next_step=f"Give {known} series, or train a model on yours: `--set tsdiff.file=FILE`.",
            state="Nothing was written.",
        )


def _paths(trained: TrainedForecaster, batch: WindowBatch, seed: list[int]) -> np.ndarray[Any, Any]:
    """Return paths of all members. Shape ``(batch, num_samples, prediction_length)``."""
    import torch

    sampling, number = trained.sampling, len(trained.members)
    drawn = []
    for place, member in enumerate(trained.members):
        share = (sampling.num_samples + place) // number
        if not share:
            continue
        # One word of state from several numbers, so that members and batches draw unlike noise.
        word = int(np.random.SeedSequence([*seed, place]).generate_state(1, np.uint64)[0] >> 1)
        device = next(member.parameters()).device
        generator = torch.Generator(device).manual_seed(word)
        drawn.append(_draw(member, batch.to(device), share, sampling, generator).cpu().numpy())
    return np.concatenate(drawn, axis=1)


def _draw(
    member: SeriesDiffusion, batch: WindowBatch, number: int, sampling: Sampling, generator: Any
) -> Tensor:
    from models.tsdiff import ConditionalForecaster, TSDiff

    is_on_cpu = batch.target.device.type == "cpu"
    if isinstance(member, ConditionalForecaster):
        return member.sample(
            batch,
            number,
            sampling.num_steps,
            generator,
            is_antithetic=True,
            rows_at_once=PATHS_AT_ONCE if is_on_cpu else PATHS_AT_ONCE_ON_GPU,
        )
    if not isinstance(member, TSDiff):
        raise TypeError(f"no way to sample a {type(member).__name__}.")
    from models.diffusion import DDIM, DPMSolver2M
    from models.tsdiff.guided import guided_sample

    whole = guided_sample(
        member,
        batch,
        number,
        sampling.num_steps,
        generator,
        kind=sampling.guidance,  # type: ignore[arg-type]  # checked by the settings
        guidance_scale=sampling.guidance_scale,
        # Guidance by covariances is smooth enough for a second order to pay.
        sampler=DPMSolver2M() if sampling.guidance == "covariance" else DDIM(),
        num_iterations=COVARIANCE_ITERATIONS,
        rows_at_once=GUIDED_PATHS_AT_ONCE if is_on_cpu else PATHS_AT_ONCE_ON_GPU,
    )
    return whole[..., member.config.context_length :]
