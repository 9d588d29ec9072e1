"""How well a network sees through noise of each strength: the loss by diffusion time."""

from __future__ import annotations

from typing import Final

import polars as pl

from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_transform import transformed
from edpipe.datasets.series_windows import Windows
from edpipe.prediction.forecast import TrainedForecaster

NUM_TIMES: Final = 20


def diffusion_losses(
    trained: TrainedForecaster, series: SeriesSet, windows: Windows, *, seed: int
) -> pl.DataFrame:
    """Return ``time, loss``, cleanest first: means over windows whose future is known and all members.

    ``time`` is the diffusion step of a model of steps, and lies in (0, 1] for a flow.

    Parameters
    ----------
    trained
        A trained forecaster.
    series, windows
        Where the windows lie; few are enough.
    seed
        Seed of the noise, the same at every time.
    """
    import torch

    ends = series.lengths.copy()
    for number, origin in zip(windows.series, windows.origins, strict=True):
        ends[number] = min(ends[number], origin)
    seen = transformed(series, trained.transform)
    encoder = WindowEncoder(seen, trained.shape, Scaling.fit(seen, ends, trained.scaling))
    batch = encoder.encode(windows, with_future=True)
    rows: list[tuple[float, float]] = []
    process = trained.members[0].process
    most = getattr(process, "num_steps", NUM_TIMES)
    with torch.inference_mode():
        for time in reversed(process.times(min(NUM_TIMES, most))[:-1]):
            total = 0.0
            for member in trained.members:
                noise = member.white_noise(batch, torch.Generator().manual_seed(seed))
                losses = member.window_losses(batch, time.expand(len(batch)), noise)
                counted = member.counted(batch)
                total += float((losses * counted).sum() / counted.sum().clamp(min=1))
            rows.append((float(time), total / len(trained.members)))
    return pl.DataFrame(rows, schema={"time": pl.Float64, "loss": pl.Float64}, orient="row")
