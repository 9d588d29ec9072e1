"""Judge generators of synthetic windows side by side: what they are good for, and what they leak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.evaluation.forecast.intervals import WindowDraws
from edpipe.evaluation.forecast.metrics import WindowScores
from edpipe.evaluation.synthesis.discriminative import tell_apart
from edpipe.evaluation.synthesis.downstream import DOWNSTREAM, Calendar, downstream_scores
from edpipe.evaluation.synthesis.generators import block_bootstrap, gaussian
from edpipe.evaluation.synthesis.linear_score import check_windows, linear_scores
from edpipe.evaluation.synthesis.measured import Measured
from edpipe.evaluation.synthesis.membership import membership_by_loss
from edpipe.evaluation.synthesis.privacy import Leakage, held_out_distances, leakage
from edpipe.evaluation.synthesis.real_windows import (
    Pieces,
    UnitWindows,
    held_out_pieces,
    matched_stretches,
    piece_length,
    real_test_windows,
    real_unit_windows,
    some_series,
    training_pieces,
    unit_pieces,
)
from edpipe.evaluation.synthesis.verdict import Verdict, verdict
from edpipe.prediction.forecast import TrainedForecaster
from edpipe.progress import Mode, track

Floats = NDArray[np.float64]
REAL: Final = "real"
CONTROL: Final = "gaussian"
BLOCKS: Final = "block_bootstrap"
METRICS: Final = (
    "linear_score",
    "linear_score_minus_real",
    "downstream_ridge",
    "downstream_boosted",
    "discriminative_auc",
    "discriminative_accuracy",
    "closer_to_training",
    "distance_ratio",
    "near_copies",
    "membership_distance",
    "membership_loss",
)
NUM_MATCHED: Final = 8
NUM_EXAMPLES: Final = 8
_SCORES: Final = {
    "generator": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@dataclass(frozen=True, slots=True, eq=False)
class SynthesisJudgement:
    """All that is known of generators, as tables.

    Attributes
    ----------
    scores
        ``generator, metric, value, low, high``; metrics as in :data:`METRICS`, ends NaN where there is no
        interval. ``real`` are real training windows, as many as were synthesized.
    verdicts
        One for each generator that was given.
    distances
        ``generator, reference, distance``: of each synthetic piece to the nearest of as many ``training`` and
        ``held_out`` pieces.
    autocorrelation
        ``generator, lag, value``: mean over windows.
    examples
        ``generator, window, step, value``: the first windows, divided by the mean size of their context.
    num_real, num_test, piece_length
        Real windows learned from, test windows, and steps of the pieces whose distances are measured.
    """

    scores: pl.DataFrame
    verdicts: tuple[Verdict, ...]
    distances: pl.DataFrame
    autocorrelation: pl.DataFrame
    examples: pl.DataFrame
    num_real: int
    num_test: int
    piece_length: int


def judge_synthesis(
    task: ForecastTask,
    generators: Mapping[str, NDArray[np.floating]],
    *,
    trained: TrainedForecaster | None = None,
    num_draws: int = 200,
    num_trees: int = 50,
    seed: int = 0,
    progress: Mode = "auto",
) -> SynthesisJudgement:
    """Judge synthetic windows beside real ones, blocks of real ones, and a normal law.

    Usefulness: a ridge regression and two forecasters with a spread learn from each generator's windows, and
    are scored on the real test windows. Likeness: a classifier tries to tell them from real windows. Leakage:
    distances and guesses of membership compare training pieces with pieces that nothing was trained on.

    Parameters
    ----------
    task
        Series and windows; generators saw steps before ``task.train_ends`` only.
    generators
        By name, windows divided by the mean size of their context, such as
        :meth:`~edpipe.prediction.synthesize.Synthesis.unit_windows` gives. Shape ``(num_windows, length)``.
    trained
        The unconditional model behind the first generator, for the guess of membership by its loss.
    num_draws
        Draws of the intervals; 0 gives none.
    num_trees
        Boosting rounds of the classifier and of the second forecaster; 0 leaves both out.
    seed
        Seed of all draws.
    progress
        How progress is shown.

    Raises
    ------
    ContractError
        If training windows are without exception gappy, or too little was held out.
    ValueError
        If windows have another length than the task's, or a name is taken.
    """
    taken = sorted({REAL, CONTROL, BLOCKS} & set(generators))
    if taken or not generators:
        raise ValueError(f"generators need names other than {REAL}, {CONTROL}, {BLOCKS}; got {taken}.")
    given = {name: np.asarray(windows, dtype=np.float64) for name, windows in generators.items()}
    for windows in given.values():
        check_windows(windows, task.context_length + task.prediction_length)
    number = max(len(windows) for windows in given.values())
    random = np.random.default_rng([seed, 3])
    real = real_unit_windows(task, number, random)
    everything = {
        REAL: real.values,
        **given,
        BLOCKS: block_bootstrap(
            real, number, block_length=_block_length(task.season, real.values.shape[1]), random=random
        ),
        CONTROL: gaussian(real.values, number, random=random),
    }
    judge = _Judge(task, real, num_draws, num_trees, seed)
    found: dict[str, dict[str, Measured]] = {}
    leaks: dict[str, Leakage] = {}
    with track("Judge", total=len(everything), unit="generators", mode=progress) as work:
        for name, windows in everything.items():
            work.note(name)
            found[name] = judge.usefulness(windows)
            if name != REAL:
                found[name] |= judge.likeness(windows)
                leaks[name] = judge.leakage(windows)
                found[name] |= leaks[name].measured
            work.advance()
    if trained is not None:
        by_loss = membership_by_loss(
            trained, task, judge.training, judge.held_out, num_draws=num_draws, seed=seed
        )
        if by_loss is not None:
            found[next(iter(given))]["membership_loss"] = by_loss
    return SynthesisJudgement(
        scores=_score_frame(found),
        verdicts=tuple(verdict(name, found[name], found[CONTROL]) for name in given),
        distances=_distance_frame(leaks),
        autocorrelation=_autocorrelation_frame(everything),
        examples=_example_frame(everything),
        num_real=len(real.values),
        num_test=len(task.test),
        piece_length=judge.training.values.shape[1],
    )


def _block_length(season: int, length: int) -> int:
    """Return the steps of whole seasons that fill a quarter of a window, at most half of it."""
    seasons = -(-length // (4 * season))
    return max(min(seasons * season, length // 2), 1)


class _Judge:
    """The real windows that every generator is held against, prepared once."""

    training: Pieces
    held_out: Pieces

    def __init__(
        self, task: ForecastTask, real: UnitWindows, num_draws: int, num_trees: int, seed: int
    ) -> None:
        self._real = real
        self._num_draws = num_draws
        self._num_trees = num_trees
        self._seed = seed
        self._test = real_test_windows(task)
        self._calendar = Calendar(task.series.frequency, task.season)
        self._draws = WindowDraws(task.test, num_draws=num_draws, seed=seed)
        self._of_real: WindowScores = linear_scores(real.values, self._test)
        random = np.random.default_rng([seed, 4])
        length = piece_length(task)
        chosen = some_series(task, length, random)
        self.training = training_pieces(task, length, chosen)
        self.held_out = held_out_pieces(task, length, chosen)
        self._matched = matched_stretches(
            task, self.training, self.held_out, number=NUM_MATCHED, random=random
        )
        self._held_out_to_training = held_out_distances(self.training, self.held_out, seed=seed)

    def usefulness(self, windows: Floats) -> dict[str, Measured]:
        """Return the scores on real test windows of forecasters that learned from ``windows``."""
        linear = linear_scores(windows, self._test)
        difference = self._draws.difference(linear, self._of_real, "crps")
        found = {
            "linear_score": self._measured(linear),
            "linear_score_minus_real": Measured(difference.value, *difference.interval),
        }
        for kind in DOWNSTREAM:
            if kind == "boosted" and not self._num_trees:
                continue
            scores = downstream_scores(
                kind, windows, self._test, self._calendar, num_trees=self._num_trees, seed=self._seed
            )
            found[f"downstream_{kind}"] = self._measured(scores)
        return found

    def likeness(self, windows: Floats) -> dict[str, Measured]:
        """Return how well a classifier tells ``windows`` from real ones."""
        if not self._num_trees:
            return {}
        return tell_apart(
            self._real.values,
            windows,
            self._real.groups,
            num_trees=self._num_trees,
            num_draws=self._num_draws,
            seed=self._seed,
        )

    def leakage(self, windows: Floats) -> Leakage:
        """Return what the last steps of ``windows`` tell of training pieces."""
        pieces = unit_pieces(windows[:, -self.training.values.shape[1] :])
        return leakage(
            pieces,
            self.training,
            self.held_out,
            self._matched,
            held_out_to_training=self._held_out_to_training,
            num_draws=self._num_draws,
            seed=self._seed,
        )

    def _measured(self, scores: WindowScores) -> Measured:
        estimate = self._draws.estimate(scores, "crps")
        return Measured(estimate.value, *estimate.interval)


def _score_frame(found: Mapping[str, Mapping[str, Measured]]) -> pl.DataFrame:
    rows = [
        (generator, metric, of[metric].value, of[metric].low, of[metric].high)
        for generator, of in found.items()
        for metric in METRICS
        if metric in of
    ]
    return pl.DataFrame(rows, schema=_SCORES, orient="row")


def _distance_frame(leaks: Mapping[str, Leakage]) -> pl.DataFrame:
    parts = [
        pl.DataFrame({"distance": distance}).select(
            pl.lit(generator).alias("generator"), pl.lit(reference).alias("reference"), "distance"
        )
        for generator, one in leaks.items()
        for reference, distance in (("training", one.to_matched), ("held_out", one.to_held_out))
    ]
    return pl.concat(parts)


def _autocorrelation_frame(everything: Mapping[str, Floats]) -> pl.DataFrame:
    parts = []
    for generator, windows in everything.items():
        centered = windows - windows.mean(axis=1, keepdims=True)
        power = np.maximum((centered**2).sum(axis=1), 1e-12)
        lags = np.arange(1, max(windows.shape[1] // 2, 2))
        values = [
            float(((centered[:, :-lag] * centered[:, lag:]).sum(axis=1) / power).mean()) for lag in lags
        ]
        parts.append(
            pl.DataFrame({"lag": lags, "value": values}).select(
                pl.lit(generator).alias("generator"), "lag", "value"
            )
        )
    return pl.concat(parts)


def _example_frame(everything: Mapping[str, Floats]) -> pl.DataFrame:
    parts = []
    for generator, windows in everything.items():
        some = windows[:NUM_EXAMPLES]
        window, step = np.indices(some.shape).reshape(2, -1)
        parts.append(
            pl.DataFrame({"window": window, "step": step, "value": some.reshape(-1)}).select(
                pl.lit(generator).alias("generator"), "window", "step", "value"
            )
        )
    return pl.concat(parts)
