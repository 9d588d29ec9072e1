"""Run the epochs that are missing and finish the run, whatever the family of the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.callbacks import Callback

from edpipe.checkpoints import load_checkpoint
from edpipe.errors import TrainingError
from edpipe.progress import Mode
from edpipe.training.callbacks import BEST_FILE, LAST_FILE, EpochKeeper, FiniteLoss, ShowProgress
from edpipe.training.run import TrainingRun
from edpipe.training.trainer import TrainerSettings, build_trainer, fit
from models.optimization import OptimizerConfig


class OptimizerSettings(TrainerSettings, Protocol):
    """The settings of a family that say how its weights move."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        ...

    @property
    def weight_decay(self) -> float:
        """Weight decay of matrices."""
        ...

    @property
    def ema_decay(self) -> float:
        """Decay of the averaged weights."""
        ...

    @property
    def max_epochs(self) -> int:
        """Most epochs."""
        ...


def run_epochs(
    settings: OptimizerSettings,
    module_of: Callable[[OptimizerConfig], LightningModule],
    data: LightningDataModule,
    keeper: EpochKeeper[Any],
    *,
    family: str,
    run_dir: Path,
    batches: int,
    seed: int,
    progress: Mode,
    callbacks: Sequence[Callback] = (),
    table_learning_rate: float | None = None,
    title: str = "",
) -> None:
    """Train until all epochs are done or patience is at its end, from the last whole epoch on.

    Parameters
    ----------
    settings
        How to train.
    module_of
        Makes the module; called with the random state that ``seed`` gives.
    data
        Batches.
    keeper
        Receives the figures; its past is read from the folder's checkpoint.
    family
        Word of the command line and of the settings.
    run_dir
        Folder of the run.
    batches
        Batches of an epoch on one device.
    seed
        Seed of weights and dropout.
    progress
        How to show it.
    callbacks
        What else happens, before the keeper looks at the epoch.
    table_learning_rate
        Peak learning rate of tables, where they have one of their own.
    title
        What the progress says is trained, where the family alone does not tell.

    Raises
    ------
    TrainingError
        If the loss is not finite or a checkpoint cannot be read.
    """
    checkpoint = _checkpoint(run_dir, keeper, family)
    if keeper.is_done or len(keeper.epochs) >= settings.max_epochs:
        return
    # The caller's random numbers stay as they were.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        total = batches * settings.max_epochs
        # Shown after the keeper has the epoch's figures. Where epochs are decided it is a second training.
        told = title or family
        told = told if keeper.num_epochs is None else f"{told} again"
        shown = ShowProgress(told, keeper, progress, batches * (keeper.num_epochs or settings.max_epochs))
        around = [FiniteLoss(family), *callbacks, keeper, shown]
        trainer = build_trainer(settings, run_dir, max_epochs=settings.max_epochs, callbacks=around)
        ranks = trainer.world_size
        optimizer = OptimizerConfig(
            learning_rate=settings.learning_rate,
            table_learning_rate=table_learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=max(1, batches // (2 * ranks)),
            total_steps=max(1, total // ranks),
            ema_decay=settings.ema_decay,
            seed=seed,
        )
        fit(trainer, module_of(optimizer), data, checkpoint=checkpoint)


def _checkpoint(run_dir: Path, keeper: EpochKeeper[Any], family: str) -> Path | None:
    """Return the checkpoint to go on from, after ``keeper`` has read its past from it."""
    path = run_dir / LAST_FILE
    if not path.exists():
        return None
    try:
        state = load_checkpoint(path)
        keeper.load_state_dict(state["callbacks"][keeper.state_key])
    except Exception as error:
        raise TrainingError(
            "The checkpoint of an interrupted training cannot be read.",
            where=str(path),
            found=f"{type(error).__name__}: {error}",
            expected="a checkpoint written by this version",
            next_step=f"Start the training anew with `edpipe train {family} --fresh`.",
            state="Nothing was changed.",
        ) from error
    return path


def finish(
    run: TrainingRun,
    started: float,
    *,
    best_epoch: int,
    num_epochs: int,
    metrics: Mapping[str, float],
    data: Mapping[str, Any] | None = None,
) -> TrainingRun:
    """Mark a run as finished, whose weights are written, and remove what only an unfinished one needs.

    Parameters
    ----------
    run
        As it was planned.
    started
        ``time.monotonic()`` when this call began to train.
    best_epoch, num_epochs, metrics
        What came of it.
    data
        More about the data.
    """
    finished = replace(
        run,
        best_epoch=best_epoch,
        num_epochs=num_epochs,
        metrics=metrics,
        data={**run.data, **(data or {})},
        seconds=round(time.monotonic() - started, 3),
        is_new=True,
    )
    finished.save()
    for file in (*run.run_dir.rglob(LAST_FILE), *run.run_dir.rglob(BEST_FILE)):
        file.unlink()
    return finished
