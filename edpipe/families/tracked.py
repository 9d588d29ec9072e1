"""A training that is in MLflow from its start, with the status that really happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.training.run import TrainingRun

OnEpoch = Callable[[Any], None]


def train_tracked(
    settings: Settings,
    planned: TrainingRun,
    train: Callable[[OnEpoch | None], TrainingRun],
    *,
    resume: bool,
) -> TrainingRun:
    """Train with parameters and each epoch's figures in MLflow; a finished run asks MLflow nothing.

    Parameters
    ----------
    settings
        Where the store is.
    planned
        The run that would be made; its family names the experiment.
    train
        Trains, calling back with the figures of each epoch, a dataclass with ``epoch``.
    resume
        Whether a finished run stands.
    """
    if resume and (planned.run_dir / "run.json").exists():
        return train(None)
    from edpipe.tracking.runs import RUN_KEY, start_run

    with start_run(settings, planned.model, planned.run_key, tags={RUN_KEY: planned.run_key}) as run:
        run.log_params({**planned.config, **planned.options})

        def log(epoch: Any) -> None:
            figures = {key: value for key, value in asdict(epoch).items() if key != "epoch"}
            # Kept from 0, shown from 1.
            run.log_metrics(figures, step=epoch.epoch + 1)

        return train(log)
