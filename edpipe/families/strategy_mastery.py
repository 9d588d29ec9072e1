"""A tracer of the same source as one of the estimators of mastery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.families.runs import finished_runs
from edpipe.training.run import read_run

if TYPE_CHECKING:
    from edpipe.datasets.strategy import Places, StrategyDataset
    from edpipe.datasets.tracing import TracingDataset
    from edpipe.families.strategy_parts import Attempts
    from edpipe.mastery.estimate import Mastery, MasteryOf
    from edpipe.settings import Settings


def tracer_of(settings: Settings, attempts: Attempts) -> Path | None:
    """Return the newest run of a tracer that may foretell steps of these attempts.

    It must have learned from the answers of the same source as they are now, a step a question: another
    fingerprint may mean another split. With another split of the attempts than by student it may have seen
    what is held out, so there is none then.
    """
    if attempts.split.kind != "students" or settings.embedding.estimator not in {"best", "tracer"}:
        return None
    source = attempts.dataset.source
    runs = [read_run(folder) for folder in finished_runs(settings, "tracing")]
    runs = [run for run in runs if run.source == source and run.steps == "questions"]
    if not runs:
        return None
    fingerprint = answers_of(settings, source).fingerprint
    found = [run.run_dir for run in runs if run.fingerprint == fingerprint]
    return max(found, key=lambda folder: (folder / "run.json").stat().st_mtime_ns, default=None)


def mastery_of(settings: Settings, attempts: Attempts, tracer: Path | None) -> MasteryOf:
    """Return what estimates mastery from the published steps, which are read when it is called."""
    from edpipe.mastery.choose import warehouse_mastery
    from edpipe.prediction.tracer_mastery import tracer_answers

    def estimated(dataset: StrategyDataset, rows: Places) -> Mastery:
        foretold = None if tracer is None else tracer_answers(tracer, answers_of(settings, dataset.source))
        return warehouse_mastery(settings, attempts.split, tracer=foretold)(dataset, rows)

    return estimated


def answers_of(settings: Settings, source: str) -> TracingDataset:
    """Return the answers of a source as a tracer reads them, a step a question."""
    from edpipe.datasets.tracing_source import tracing_dataset

    tracing = settings.tracing.model_copy(update={"source": source, "steps": "questions"})
    return tracing_dataset(settings.model_copy(update={"tracing": tracing}))
