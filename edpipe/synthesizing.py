"""The verb of synthetic series: a trained model in, a long table out, and a judgement of the release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import SettingsError, TrainingError
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.datasets.forecast_task import ForecastTask
    from edpipe.evaluation.synthesis.judge import SynthesisJudgement
    from edpipe.evaluation.synthesis.release import ReleaseFigure
    from edpipe.prediction.forecast import TrainedForecaster
    from edpipe.prediction.synthesize import Synthesis

MODEL = "tsdiff"


@dataclass(frozen=True, slots=True)
class SynthesisPlan:
    """What a call would synthesize.

    Attributes
    ----------
    trained_in
        Folder of the training run.
    num, length, frequency
        Series, their steps, and how long a step is.
    """

    trained_in: Path
    num: int
    length: int
    frequency: str


@dataclass(frozen=True, slots=True, eq=False)
class SynthesisRequest:
    """An unconditional model and what it was trained on; nothing is drawn yet."""

    trained: TrainedForecaster
    task: ForecastTask
    plan: SynthesisPlan


def synthesize(
    settings: Settings | None = None,
    *,
    num: int = 1_000,
    length: int | None = None,
    run_dir: Path | None = None,
) -> pl.DataFrame:
    """Draw synthetic series from an unconditional model of `tsdiff`.

    They look like series of the training part, but tell nothing of any date: all begin at one moment. That
    they leak nothing is not promised; :func:`edpipe.synthesizing.judged` measures it.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`.
    num
        Series.
    length
        Steps of each, at most and by default those of the window that the model was trained on.
    run_dir
        Folder of a training run; by default the unconditional one that was finished last.

    Returns
    -------
    polars.DataFrame
        ``series_id, time, target``.

    Raises
    ------
    TrainingError
        If no unconditional model was trained, or its series have changed.
    SettingsError
        If a number is out of range, or the model is told the past.
    """
    settings = settings or load_settings()
    request = open_synthesis(settings, num=num, length=length, run_dir=run_dir)
    return drawn(request, settings).to_frame(request.plan.length)


def open_synthesis(
    settings: Settings, *, num: int = 1_000, length: int | None = None, run_dir: Path | None = None
) -> SynthesisRequest:
    """Open the model and the series of a call of :func:`synthesize`; nothing is drawn."""
    from edpipe.datasets.series_source import sourced_task
    from edpipe.families.raw_data import refuse_changed_data
    from edpipe.families.tsdiff_evaluation import settings_asked
    from edpipe.prediction.forecast import load_forecaster
    from edpipe.prediction.synthesize import check_length, unconditional_members
    from edpipe.training.run import read_run

    if num < 1:
        raise SettingsError(
            "The number of series is out of range.",
            where="flag `--num`",
            found=str(num),
            expected="at least 1",
            state="Nothing was written.",
        )
    chosen = run_dir or newest_unconditional(settings)
    # What a release leaks is told by steps that its networks have not seen.
    trained = load_forecaster(chosen, accelerator=settings.tsdiff.accelerator).before_validation()
    unconditional_members(trained)
    steps = check_length(length, trained.shape.length)
    run = read_run(chosen)
    sourced = sourced_task(settings_asked(settings, trained.data["asked"]))
    refuse_changed_data(run, sourced.fingerprint)
    frequency = sourced.task.series.frequency.name
    return SynthesisRequest(trained, sourced.task, SynthesisPlan(chosen, num, steps, frequency))


def drawn(request: SynthesisRequest, settings: Settings) -> Synthesis:
    """Draw what was opened."""
    from edpipe.prediction.synthesize import synthesize as draw

    return draw(
        request.trained,
        request.task,
        num_windows=request.plan.num,
        seed=settings.seed,
        progress=settings.progress,
    )


def judged(
    request: SynthesisRequest, synthesis: Synthesis, settings: Settings, *, num_trees: int = 50
) -> SynthesisJudgement:
    """Judge what was drawn: what it is good for, how alike it is, and what a release of it leaks.

    Without ``num_trees``, rounds of boosting, neither a classifier nor a forecaster of trees is tried.
    """
    from edpipe.evaluation.synthesis.judge import judge_synthesis

    return judge_synthesis(
        request.task,
        {MODEL: synthesis.unit_windows()},
        trained=request.trained,
        num_draws=settings.tsdiff.bootstrap,
        num_trees=num_trees,
        seed=settings.seed,
        progress=settings.progress,
    )


def released(request: SynthesisRequest, synthesis: Synthesis, settings: Settings) -> ReleaseFigure:
    """Measure whether what was drawn tells who was trained on: the figure that goes with every release."""
    from edpipe.evaluation.synthesis.release import release_figure

    return release_figure(
        request.task,
        synthesis.unit_windows(),
        name=f"run {request.plan.trained_in.name}",
        num_draws=settings.tsdiff.bootstrap,
        seed=settings.seed,
    )


def newest_unconditional(settings: Settings) -> Path:
    """Return the folder of the unconditional run that was finished last.

    Raises
    ------
    TrainingError
        If there is none.
    """
    from edpipe.families.runs import finished_runs
    from edpipe.training.run import RUN_FILE, read_run

    finished = finished_runs(settings, MODEL)
    found = [one for one in finished if read_run(one).options.get("model") == "unconditional"]
    if not found:
        raise TrainingError(
            "No model of whole series has been trained yet.",
            where=str(settings.runs_dir),
            found=f"{len(finished)} finished runs of {MODEL}, all told the past" if finished else "no run",
            expected="a finished run of an unconditional model",
            next_step="Run `edpipe --set tsdiff.model=unconditional train tsdiff`.",
            state="Nothing was written.",
        )
    return max(found, key=lambda folder: (folder / RUN_FILE).stat().st_mtime_ns)
