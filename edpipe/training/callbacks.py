"""What happens around the epochs: finite losses, curves, checkpoints, the stop, progress."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from edpipe.errors import TrainingError
from edpipe.progress import Mode, Track, track
from edpipe.training.figures import Figures
from models.optimization import OptimizedModule, plain_state

# Looking at a loss waits for the device; weights that went wrong stay wrong until the next look.
BATCHES_BETWEEN_LOOKS = 20
LAST_FILE = "last.ckpt"
BEST_FILE = "best.pt"


F = TypeVar("F", bound=Figures)


class FiniteLoss(Callback):
    """Stop with a :class:`TrainingError` when the loss is no number any more.

    Parameters
    ----------
    family
        Group of settings that the message names.
    """

    def __init__(self, family: str) -> None:
        self._family = family

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss every few batches and at an epoch's end."""
        del pl_module, batch
        if batch_idx % BATCHES_BETWEEN_LOOKS and not trainer.is_last_batch:
            return
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        if not math.isfinite(loss):
            raise TrainingError(
                "The training loss is not finite.",
                where=f"epoch {trainer.current_epoch + 1}, batch {batch_idx + 1}",
                found=repr(loss),
                expected="a finite number",
                next_step=f"Lower `{self._family}.learning_rate`; with 16-bit precision, take `32-true`.",
                state="The last finished epoch's checkpoint is kept.",
            )


class EpochKeeper(Callback, Generic[F]):
    """Write curves, the best weights and a checkpoint after each epoch; stop when nothing gets better.

    All files appear by rename, weights before the checkpoint that speaks of them, so a run killed at any
    point goes on from the last whole epoch.

    Parameters
    ----------
    run_dir
        Folder to write to.
    figures
        What an epoch is described by.
    patience
        Epochs without a better score on validation before the stop.
    num_epochs
        Epochs after which to stop, whatever the scores, and to keep the last one's weights: how long to train
        was decided elsewhere. None looks at the scores.
    on_epoch
        Called with each epoch's figures after everything is written.
    """

    def __init__(
        self,
        run_dir: Path,
        figures: type[F],
        *,
        patience: int,
        num_epochs: int | None = None,
        on_epoch: Callable[[F], None] | None = None,
    ) -> None:
        self.num_epochs = num_epochs
        self._run_dir = run_dir
        self._figures = figures
        self._patience = patience
        self._on_epoch = on_epoch
        self.epochs: list[F] = []

    @property
    def best(self) -> F | None:
        """The first epoch with the highest score; the last one where their number was decided."""
        if self.num_epochs is not None:
            return self.epochs[-1] if self.epochs else None
        return max(self.epochs, key=lambda epoch: epoch.score, default=None)

    @property
    def is_done(self) -> bool:
        """Whether patience is at its end, or the epochs that were decided."""
        if self.num_epochs is not None:
            return len(self.epochs) >= self.num_epochs
        return self.best is not None and len(self.epochs) - 1 - self.best.epoch >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """Return the figures of all epochs as plain values."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the figures of the epochs before."""
        self.epochs = [self._figures(**values) for values in state_dict["epochs"]]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the epoch."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = self._figures.of(trainer.current_epoch, figures)
        self.epochs.append(epoch)
        trainer.should_stop = trainer.should_stop or self.is_done
        if trainer.is_global_zero:
            self._write_curves()
            if self.best is epoch and isinstance(pl_module, OptimizedModule):
                _replace(
                    self._run_dir / BEST_FILE,
                    lambda path: torch.save(plain_state(pl_module.trained()), path),
                )
        scratch = self._run_dir / f".{LAST_FILE}"
        trainer.save_checkpoint(scratch)  # every process takes part
        if trainer.is_global_zero:
            scratch.replace(self._run_dir / LAST_FILE)
        if self._on_epoch is not None:
            self._on_epoch(epoch)

    def _write_curves(self) -> None:
        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as file:
                rows = csv.DictWriter(file, list(asdict(self.epochs[0])), lineterminator="\n")
                rows.writeheader()
                rows.writerows(asdict(epoch) for epoch in self.epochs)

        _replace(self._run_dir / "curves.csv", write)


class ShowProgress(Callback):
    """Count batches in edpipe's own style, with the last epoch's figures beside.

    Parameters
    ----------
    family
        What is trained.
    keeper
        Holds the figures of the epochs.
    mode
        How to show it.
    total
        Batches that the training would take if it did not stop early.
    """

    def __init__(self, family: str, keeper: EpochKeeper[Any], mode: Mode, total: int) -> None:
        self._family = family
        self._keeper = keeper
        self._mode = mode
        self._total = total
        self._stack = ExitStack()
        self._track: Track | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to show."""
        del pl_module
        shown = track(f"train {self._family}", total=self._total, unit="batches", mode=self._mode)
        self._track = self._stack.enter_context(shown)
        self._track.advance(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count one batch."""
        del trainer, pl_module, outputs, batch, batch_idx
        if self._track is not None:
            self._track.advance()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's figures."""
        del trainer, pl_module
        if self._track is not None and self._keeper.epochs:
            self._track.note(self._keeper.epochs[-1].words)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop showing."""
        del trainer, pl_module
        self._stack.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop showing, so that a bar does not stay on the screen."""
        del trainer, pl_module
        self._stack.__exit__(type(exception), exception, exception.__traceback__)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a neighbor of ``path``, then rename it."""
    scratch = path.with_name(f".{path.name}")
    write(scratch)
    scratch.replace(path)
