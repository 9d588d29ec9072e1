"""The one place where a Trainer is built and run."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

GRADIENT_CLIP = 1.0


class TrainerSettings(Protocol):
    """The settings of a family that Lightning gets as they are."""

    @property
    def accelerator(self) -> str:
        """Lightning's accelerator."""
        ...

    @property
    def devices(self) -> str:
        """Lightning's devices."""
        ...

    @property
    def precision(self) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
        """Lightning's precision."""
        ...

    @property
    def strategy(self) -> str:
        """Lightning's strategy."""
        ...


def build_trainer(
    settings: TrainerSettings, run_dir: Path, *, max_epochs: int, callbacks: Sequence[Callback]
) -> Trainer:
    """Return a Trainer that writes nothing by itself and shows nothing.

    Parameters
    ----------
    settings
        Accelerator, devices, precision and strategy, handed to Lightning as they are.
    run_dir
        Folder of the run.
    max_epochs
        Most epochs.
    callbacks
        Everything that happens around the epochs.
    """
    devices: str | int = int(settings.devices) if settings.devices.isdigit() else settings.devices
    with quiet():
        return Trainer(
            accelerator=settings.accelerator,
            devices=devices,
            precision=settings.precision,
            strategy=settings.strategy,
            max_epochs=max_epochs,
            callbacks=list(callbacks),
            default_root_dir=run_dir,
            gradient_clip_val=GRADIENT_CLIP,
            num_sanity_val_steps=0,
            # After a restart Lightning fetches the first batch before it tells the sampler the epoch; a new
            # loader each epoch asks for the epoch itself.
            reload_dataloaders_every_n_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,  # our sampler deals out whole batches of like length
        )


def fit(
    trainer: Trainer, module: LightningModule, data: LightningDataModule, *, checkpoint: Path | None
) -> None:
    """Train, from ``checkpoint`` on if there is one.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts; Lightning would end the whole program.
    """
    with quiet(), _own_interrupts():
        try:
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as error:
            raise KeyboardInterrupt from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice and banners from the screen; errors still show."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
            warnings.filterwarnings("ignore", message=".*num_workers.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Give Ctrl-C its old meaning back: Lightning leaves it switched off after the first one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
