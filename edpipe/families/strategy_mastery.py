"""Chances of single steps by a tracer of the same source, for the estimators of mastery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from edpipe.families.runs import finished_runs
from edpipe.training.run import read_run

if TYPE_CHECKING:
    from edpipe.families.strategy_parts import Attempts
    from edpipe.mastery.estimate import Float, MasteryOf
    from edpipe.mastery.given import Answers
    from edpipe.mastery.steps import MasterySteps
    from edpipe.settings import Settings

STEP = ["student_key", "interaction_number"]


def tracer_of(settings: Settings, attempts: Attempts) -> Path | None:
    """Return the newest run of a tracer that may foretell steps of these attempts.

    It must have learned from the same source, a step a question. With another split than by student it
    may have seen what is held out, so there is none then.
    """
    if attempts.split.kind != "students" or settings.embedding.estimator not in {"best", "tracer"}:
        return None
    found = [
        folder
        for folder in finished_runs(settings, "tracing")
        if (run := read_run(folder)).source == attempts.dataset.source and run.steps == "questions"
    ]
    return max(found, key=lambda folder: (folder / "run.json").stat().st_mtime_ns, default=None)


def mastery_of(settings: Settings, attempts: Attempts, tracer: Path | None) -> MasteryOf:
    """Return what estimates mastery from the published steps of the attempts' source."""
    from edpipe.mastery.choose import estimated_mastery
    from edpipe.mastery.steps import mastery_steps

    steps = mastery_steps(settings, attempts.dataset)
    answers = None if tracer is None else tracer_answers(settings, attempts.dataset.source, tracer)
    return estimated_mastery(settings, steps, attempts.split, tracer=answers)


def tracer_answers(settings: Settings, source: str, run_dir: Path) -> Answers:
    """Return a function that gives the chance of each step, from the student's earlier steps alone.

    The tracer predicts all answers of the source once, when it is first asked. A step that it has no answer
    to gets the mean.
    """
    kept: list[pl.DataFrame] = []

    def answers(steps: MasterySteps) -> Float:
        if not kept:
            kept.append(_predicted(settings, source, run_dir))
        joined = steps.keys.join(kept[0], on=STEP, how="left", maintain_order="left")["probability"]
        found: Float = joined.fill_null(strategy="mean").fill_null(0.5).to_numpy().astype(np.float64)
        return found

    return answers


def _predicted(settings: Settings, source: str, run_dir: Path) -> pl.DataFrame:
    from edpipe.datasets.tracing_source import tracing_dataset
    from edpipe.prediction.tracing import predict

    tracing = settings.tracing.model_copy(update={"source": source, "steps": "questions"})
    dataset = tracing_dataset(settings.model_copy(update={"tracing": tracing}))
    return predict(run_dir, dataset, None).select(pl.col(STEP).cast(pl.Int64), "probability")
