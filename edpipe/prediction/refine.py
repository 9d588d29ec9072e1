"""A forecast of somebody else, moved to where an unconditional model finds whole windows likely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import Windows, training_windows
from edpipe.errors import ContractError, SettingsError
from edpipe.prediction.forecast import TrainedForecaster, refuse_other_frequency
from edpipe.setting_groups import closest

if TYPE_CHECKING:
    from models.batches import WindowBatch

Method = Literal["langevin", "maximum_likelihood"]
Regularizer = Literal["mean_square", "quantile"]
WINDOWS_AT_ONCE: Final = 16
# Windows that say at which diffusion step the loss is like the mean over all steps.
NUM_REPRESENTATIVE: Final = 128
_KEYS: Final = ("series_id", "time", "value")


@dataclass(frozen=True, slots=True)
class Refining:
    """How a forecast is refined.

    Attributes
    ----------
    num_samples
        Paths of each series that points are copied to; paths keep their number.
    method
        ``langevin`` gives points a spread; ``maximum_likelihood`` adds no noise.
    regularizer
        What keeps paths near the base forecast.
    num_iterations, step_size
        Steps of the descent, and their size. The published one is 0.1; on validation windows of M4
        0.3 was better, on those of exchange rates equal.
    temperature
        How much noise ``langevin`` adds; 1 draws from what the energy describes, 0.01 is the published value.
        More gives points more spread.
    regularization
        Weight of the regularizer.
    """

    num_samples: int = 100
    method: Method = "langevin"
    regularizer: Regularizer = "quantile"
    num_iterations: int = 20
    step_size: float = 0.3
    temperature: float = 0.1
    regularization: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class BaseForecast:
    """A forecast as paths of windows of known series.

    Attributes
    ----------
    windows
        Series, and the first step forecast.
    paths
        Shape ``(num_windows, num_paths, num_steps)``; one path where the forecast is of points.
    """

    windows: Windows
    paths: NDArray[np.float32]


def checked(how: Refining) -> Refining:
    """Return the same, or refuse numbers and names that cannot be.

    Raises
    ------
    SettingsError
        With the field.
    """
    for name, kinds in (("method", get_args(Method)), ("regularizer", get_args(Regularizer))):
        if getattr(how, name) not in kinds:
            raise SettingsError(
                f"There is no such {name}.",
                where=f"flag `--{name}`",
                found=repr(getattr(how, name)),
                expected=f"one of {', '.join(kinds)}",
                next_step=closest(getattr(how, name), list(kinds)),
                state="Nothing was written.",
            )
    for name, least, is_met in (
        ("num_samples", "at least 1", how.num_samples >= 1),
        ("num_iterations", "at least 0", how.num_iterations >= 0),
        ("step_size", "above 0", how.step_size > 0),
        ("temperature", "at least 0", how.temperature >= 0),
        ("regularization", "at least 0", how.regularization >= 0),
    ):
        if not is_met:
            raise SettingsError(
                f"`{name}` is out of range.",
                where=f"`{name}`",
                found=str(getattr(how, name)),
                expected=least,
                state="Nothing was written.",
            )
    return how


def base_forecast(frame: pl.DataFrame, series: SeriesSet, most_steps: int) -> BaseForecast:
    """Lay a long table ``series_id, time, value[, sample]`` on the grid of the series that it forecasts.

    Parameters
    ----------
    frame
        One row a series, step ahead and sample. It begins at most one step after the end of its series;
        where it begins earlier, later steps of the series will not be read.
    series
        Series with their history.
    most_steps
        Steps that a model forecasts.

    Raises
    ------
    ContractError
        If a column, a series, a step or a sample is missing, or a value is not a number.
    """
    missing = [name for name in _KEYS if name not in frame.columns]
    if missing:
        raise _broken(
            "The base forecast lacks columns.", ", ".join(frame.columns), ", ".join((*_KEYS, "[sample]"))
        )
    if not frame.height:
        raise _broken("The base forecast is empty.", "0 rows", "one row a series and step")
    values = frame["value"].cast(pl.Float64, strict=False)
    if not values.is_finite().fill_null(value=False).all():
        raise _broken("The base forecast has gaps.", "a value that is no number", "a number in every row")
    sample = frame["sample"] if "sample" in frame.columns else pl.Series([0]).new_from_index(0, frame.height)
    rows = frame.select(pl.col("series_id").cast(pl.String), "time", values.alias("target")).with_columns(
        sample=sample
    )
    unknown = sorted({*rows["series_id"].to_list()} - {*series.ids})
    if unknown:
        found = ", ".join(map(repr, unknown[:5]))
        raise _broken("The base forecast is of unknown series.", found, "ids of the history's series")
    if rows.select(pl.struct("series_id", "time", "sample").is_duplicated().any()).item():
        raise _broken("Rows of the base forecast repeat.", "a row twice", "one row a series, time and sample")
    grid = _grid(rows, series)
    number = rows["sample"].n_unique()
    lengths = {*grid.lengths.tolist()}
    if len(lengths) > 1 or rows.height != grid.num_series * number * min(lengths):
        raise _broken(
            "Steps or samples of the base forecast are missing.",
            f"{rows.height} rows of {grid.num_series} series, {number} samples, {sorted(lengths)} steps",
            "every step of every series in every sample, as many steps for each series",
        )
    (num_steps,) = lengths
    if num_steps > most_steps:
        raise _broken(
            "The base forecast looks further ahead than the model.",
            f"{num_steps} steps",
            f"at most {most_steps}",
            "Cut it, or train with a longer `tsdiff.prediction_length`.",
        )
    ordered = rows.sort("series_id", "sample", "time")["target"].to_numpy().reshape(-1, number, num_steps)
    return BaseForecast(_windows(grid, series), ordered.astype(np.float32))


def refine_forecast(
    trained: TrainedForecaster,
    series: SeriesSet,
    base: BaseForecast,
    how: Refining,
    *,
    seed: int,
    on_windows: Callable[[int], None] | None = None,
) -> Forecasts:
    """Refine a base forecast. Nothing of a series at or beyond the first step forecast is read.

    A forecast of fewer steps than the model's is refined at the end of a window whose other steps are known.
    The spread is not corrected: the model's correction was fitted to forecasts of another kind.

    Parameters
    ----------
    trained
        A forecaster of unconditional networks; several share the paths.
    series
        Series of its frequency.
    base
        What to refine.
    how
        Paths, method and strength.
    seed
        Seed of all noise: equal calls give equal paths.
    on_windows
        Called with the number of windows done, batch by batch.

    Raises
    ------
    SettingsError
        If the series have another frequency.
    """
    refuse_other_frequency(trained, series)
    num_known = trained.shape.prediction_length - base.paths.shape[2]
    ends = series.lengths.copy()
    np.minimum.at(ends, base.windows.series, base.windows.origins)
    history = series.cut(ends)
    encoder = WindowEncoder(history, trained.shape, Scaling.fit(history, ends, trained.scaling))
    steps = [_representative_step(member, encoder, ends, seed) for member in trained.members]
    # The window ends where the forecast ends: what comes before it and is known stands in its future part.
    shifted = Windows(base.windows.series, base.windows.origins - num_known)
    parts = []
    for begin in range(0, len(shifted), WINDOWS_AT_ONCE):
        rows = slice(begin, begin + WINDOWS_AT_ONCE)
        batch = encoder.encode(shifted.take(rows), with_future=True)
        parts.append(_refined(trained, batch, base.paths[rows], steps, how, [seed, begin]))
        if on_windows is not None:
            on_windows(len(batch))
    paths = np.concatenate(parts)[:, :, num_known:]
    return trained.bounded(Forecasts.of_samples(base.windows, paths))


def _refined(
    trained: TrainedForecaster,
    batch: WindowBatch,
    paths: NDArray[np.float32],
    steps: list[int],
    how: Refining,
    seed: list[int],
) -> NDArray[Any]:
    """Return refined paths over the model's whole prediction, shared among its members."""
    import torch

    from models.tsdiff import refine

    num_windows, num_paths, num_steps = paths.shape
    num_samples = how.num_samples if num_paths == 1 else num_paths
    # Steps that are known are replaced by what is known; the others of them are left to the mean.
    context = batch.target[:, : trained.shape.context_length]
    counts = batch.observed[:, : trained.shape.context_length].sum(1).clamp(min=1)
    level = (context.sum(1) / counts).view(-1, 1, 1)
    before = level.expand(num_windows, num_paths, trained.shape.prediction_length - num_steps)
    whole = torch.cat([before, torch.from_numpy(paths)], dim=-1)
    drawn = []
    first, number = 0, len(trained.members)
    for place, (member, step) in enumerate(zip(trained.members, steps, strict=True)):
        share = (num_samples + place) // number
        if not share:
            continue
        word = int(np.random.SeedSequence([*seed, place]).generate_state(1, np.uint64)[0] >> 1)
        device = next(member.parameters()).device
        own = whole if num_paths == 1 else whole[:, first : first + share]
        first += share
        found = refine(
            member,  # type: ignore[arg-type]  # unconditional: checked when opened
            batch.to(device),
            own.to(device),
            step=step,
            num_samples=share,
            method=how.method,
            regularizer=how.regularizer,
            regularization=how.regularization,
            num_iterations=how.num_iterations,
            step_size=how.step_size,
            temperature=how.temperature,
            generator=torch.Generator(device).manual_seed(word),
        )
        drawn.append(found.cpu().numpy())
    return np.concatenate(drawn, axis=1)


def _representative_step(member: Any, encoder: WindowEncoder, ends: NDArray[np.int64], seed: int) -> int:
    """Return the diffusion step that stands for all, on windows of the history."""
    import torch

    from models.tsdiff import representative_step

    shape = encoder.shape
    usual = max(1, min(shape.context_length, int(ends.max()) - shape.prediction_length))
    windows = Windows(np.arange(len(ends), dtype=np.int64), ends.astype(np.int64))
    if ends.max() >= usual + shape.prediction_length:
        windows = training_windows(
            ends,
            prediction_length=shape.prediction_length,
            min_history=usual,
            num_windows=NUM_REPRESENTATIVE,
            random=np.random.default_rng(seed),
        )
    device = next(member.parameters()).device
    batches = (one.to(device) for one in encoder.batches(windows, NUM_REPRESENTATIVE, with_future=True))
    return representative_step(member, batches, torch.Generator(device).manual_seed(seed))


def _grid(rows: pl.DataFrame, series: SeriesSet) -> SeriesSet:
    """Return the steps of the base forecast, each once, on the grid of the series."""
    once = rows.group_by("series_id", "time").agg(pl.col("target").first())
    return SeriesSet.from_frame(once, frequency=series.frequency, holes="mask")


def _windows(grid: SeriesSet, series: SeriesSet) -> Windows:
    """Return which step of its series each forecast begins with."""
    place = {name: number for number, name in enumerate(series.ids)}
    owner = np.array([place[name] for name in grid.ids], dtype=np.int64)
    begins, off = series.frequency.number(grid.starts)
    starts, usual = series.frequency.number(series.starts[owner])
    origins = begins - starts
    ends = series.lengths[owner]
    wrong = np.flatnonzero((origins < 1) | (origins > ends) | (off != usual))
    if len(wrong):
        one = int(wrong[0])
        after = series.time_at(owner[one : one + 1], ends[one : one + 1])[0]
        raise _broken(
            "The base forecast does not follow its series.",
            f"series {grid.ids[one]!r} begins at {grid.starts[one].astype('datetime64[s]')}",
            f"a step of its grid, at the latest {after.astype('datetime64[s]')}, one after the last known",
            "Give the history up to the forecast (`--input`), or a forecast from the end of the history.",
        )
    return Windows(owner, origins)


def with_value(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table with its ``target`` as ``value``, as sample paths of a forecast have it."""
    is_named = "value" in frame.columns or "target" not in frame.columns
    return frame if is_named else frame.rename({"target": "value"})


def _broken(what: str, found: str, expected: str, next_step: str = "Mend the table.") -> ContractError:
    return ContractError(
        what,
        where="base forecast",
        found=found,
        expected=expected,
        next_step=next_step,
        state="Nothing was written.",
    )
