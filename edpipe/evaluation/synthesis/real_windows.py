"""Real windows to hold synthetic ones against: of training, of the test, and pieces never trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import (
    Windows,
    all_windows,
    future_target,
    past_target,
    training_windows,
)
from edpipe.errors import ContractError
from edpipe.evaluation.forecast.baselines.forecaster import filled_forward

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Fewer held-out pieces than this, and shorter ones are cut.
MIN_PIECES: Final = 100
SHORTEST_PIECE: Final = 4
# Pieces of both parts that are compared at most: they are held in memory.
MAX_PIECES: Final = 150_000
# A piece's size is at least this share of the usual one: a piece of zeros would blow up.
_FLOOR_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class UnitWindows:
    """Real windows divided by the mean absolute value of their context.

    Attributes
    ----------
    values
        Shape ``(num_windows, length)``.
    groups
        The same number for windows that share steps, or may. Shape ``(num_windows,)``.
    phases
        Place of the first step in the season. Shape ``(num_windows,)``.
    """

    values: Floats
    groups: Ints
    phases: Ints


@dataclass(frozen=True, slots=True, eq=False)
class TestWindows:
    """The test windows of a task as forecasters without a calendar see them.

    Attributes
    ----------
    windows
        Series and origins.
    context
        Divided by ``scale``, gaps filled. Shape ``(num_windows, context_length)``.
    scale
        Mean absolute value of each context. Shape ``(num_windows,)``.
    truth
        What came, in its own unit, NaN where unobserved. Shape ``(num_windows, prediction_length)``.
    """

    __test__ = False  # pytest takes the name for a test's

    windows: Windows
    context: Floats
    scale: Floats
    truth: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Equally long pieces of series, each divided by its mean absolute value.

    Attributes
    ----------
    cuts
        Series, and first step in place of an origin.
    values
        Shape ``(num_pieces, length)``.
    groups
        The same number for pieces that may share steps. Shape ``(num_pieces,)``.
    """

    cuts: Windows
    values: Floats
    groups: Ints

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self.values)

    def take(self, index: Ints) -> Pieces:
        """Return the pieces that ``index`` selects, in its order."""
        return Pieces(self.cuts.take(index), self.values[index], self.groups[index])


def real_unit_windows(task: ForecastTask, number: int, random: np.random.Generator) -> UnitWindows:
    """Draw windows of the training part without a gap; the published comparison draws as many as synthetic.

    Raises
    ------
    ContractError
        If every training window has gaps.
    """
    length = task.context_length + task.prediction_length
    windows = training_windows(
        task.train_ends,
        prediction_length=task.prediction_length,
        min_history=task.context_length,
        num_windows=4 * number,
        random=random,
    )
    past = past_target(task.series, windows, task.context_length)
    whole = np.concatenate([past, task.truth(windows)], axis=1).astype(np.float64)
    kept = np.flatnonzero(~np.isnan(whole).any(axis=1))[:number]
    if not len(kept):
        raise ContractError(
            "No training window is without gaps.",
            where=f"`{task.name}`",
            found=f"{len(windows)} windows drawn",
            expected="windows whose every step is observed",
            next_step="Fill the gaps, or shorten the context.",
        )
    scaling = Scaling.fit(task.series, task.train_ends, "context_mean")
    _, scale = scaling.of_context(past[kept], windows.series[kept])
    begins = windows.origins[kept] - task.context_length
    start = task.series.frequency.number(task.series.starts)[0][windows.series[kept]]
    return UnitWindows(
        whole[kept] / scale[:, None],
        _groups(Windows(windows.series[kept], begins), length),
        (start + begins) % task.season,
    )


def real_test_windows(task: ForecastTask) -> TestWindows:
    """Return the task's test windows; nothing at or beyond an origin tells of their scale."""
    past = past_target(task.series, task.test, task.context_length).astype(np.float64)
    scaling = Scaling.fit(task.series, task.test_begins, "context_mean")
    _, scale = scaling.of_context(past, task.test.series)
    context = filled_forward(past, task.season) / scale[:, None]
    return TestWindows(task.test, context, scale, task.truth(task.test))


def piece_length(task: ForecastTask) -> int:
    """Return how long pieces are: a whole window, or less where the steps after training are too few.

    Pieces of every phase of the season are to fit in: pieces that all begin at midnight are far from others
    for that reason alone.

    Raises
    ------
    ContractError
        If hardly any step was held out.
    """
    held_out = task.series.lengths - task.train_ends
    longest = min(task.context_length + task.prediction_length, int(held_out.max()))
    with_every_phase = int(held_out.max()) - task.season + 1
    if with_every_phase >= SHORTEST_PIECE:
        longest = min(longest, with_every_phase)
    for length in range(longest, SHORTEST_PIECE - 1, -1):
        if np.maximum(held_out - length + 1, 0).sum() >= MIN_PIECES:
            return length
    raise ContractError(
        "Too little was held out from training to tell what a release leaks.",
        where=f"`{task.name}`, steps from `train_ends` on",
        found=f"at most {int(held_out.max())} steps of {len(held_out)} series",
        expected=f"{MIN_PIECES} pieces of at least {SHORTEST_PIECE} steps",
        next_step="Keep more validation and test windows: raise `tsdiff.num_windows`.",
    )


def some_series(task: ForecastTask, length: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Choose series at random that have at most ``MAX_PIECES`` pieces together; all where they have fewer.

    True for a chosen series. Shape ``(num_series,)``.
    """
    number = np.maximum(task.series.lengths - length + 1, 0)
    order = random.permutation(task.series.num_series)
    is_within = np.cumsum(number[order]) <= MAX_PIECES
    is_within[0] = True
    chosen = np.zeros(task.series.num_series, dtype=bool)
    chosen[order[is_within]] = True
    return chosen


def training_pieces(task: ForecastTask, length: int, chosen: NDArray[np.bool_]) -> Pieces:
    """Return all pieces without a gap before the end of training, of the series chosen."""
    cuts = all_windows(task.train_ends, prediction_length=length, min_history=0)
    return _pieces(task, cuts, length, chosen)


def held_out_pieces(task: ForecastTask, length: int, chosen: NDArray[np.bool_]) -> Pieces:
    """Return all pieces without a gap of which training saw no step, of the series chosen."""
    cuts = all_windows(task.series.lengths, prediction_length=length, min_history=0, begins=task.train_ends)
    return _pieces(task, cuts, length, chosen)


def matched_stretches(
    task: ForecastTask,
    training: Pieces,
    held_out: Pieces,
    *,
    number: int,
    random: np.random.Generator,
) -> list[Ints]:
    """Draw sets of training pieces that lie as closely together as the held-out ones.

    From each series one stretch as long as its held-out part, so that both sets have as many pieces with as
    many steps in common, and the nearest of each is as near by chance.

    Returns
    -------
    list
        ``number`` arrays of places in ``training``.
    """
    found = []
    length = held_out.values.shape[1]
    held = task.series.lengths - task.train_ends
    in_held_out = np.bincount(held_out.cuts.series, minlength=task.series.num_series) > 0
    for _ in range(number):
        room = np.maximum(task.train_ends - held, 0)
        begin = np.floor(random.random(len(room)) * (room + 1)).astype(np.int64)
        first = training.cuts.origins - begin[training.cuts.series]
        span = held[training.cuts.series] - length
        is_in = (first >= 0) & (first <= span) & in_held_out[training.cuts.series]
        if is_in.any():
            found.append(np.flatnonzero(is_in))
    return found or [np.arange(len(training), dtype=np.int64)]


def unit_pieces(values: NDArray[np.floating]) -> Floats:
    """Return pieces divided by their mean absolute value. Shape ``(num_pieces, length)``."""
    sizes = np.abs(values).mean(axis=1, dtype=np.float64)
    usual = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 1.0
    return np.asarray(values / np.maximum(sizes, _FLOOR_SHARE * usual)[:, None], dtype=np.float64)


def _pieces(task: ForecastTask, cuts: Windows, length: int, chosen: NDArray[np.bool_]) -> Pieces:
    cuts = cuts.take(chosen[cuts.series])
    values = future_target(task.series, cuts, length)
    kept = np.flatnonzero(~np.isnan(values).any(axis=1))
    if not len(kept):
        raise ContractError(
            "Every piece of the series has gaps.",
            where=f"`{task.name}`",
            found=f"{len(cuts)} pieces of {length} steps",
            expected="pieces whose every step is observed",
            next_step="Fill the gaps, or keep more validation and test windows.",
        )
    part = cuts.take(kept)
    # A floor of each series' own, as levels differ by far between series.
    sizes = np.abs(values[kept]).mean(axis=1, dtype=np.float64)
    scaling = Scaling.fit(task.series, task.series.lengths, "series_mean")
    sizes = np.maximum(sizes, _FLOOR_SHARE * scaling.series_scale[part.series])
    return Pieces(part, values[kept] / sizes[:, None], _groups(part, length))


def _groups(cuts: Windows, length: int) -> Ints:
    """Return one number a series and stretch of ``length`` steps."""
    return np.asarray(cuts.series * 1_000_000 + cuts.origins // max(length, 1), dtype=np.int64)
