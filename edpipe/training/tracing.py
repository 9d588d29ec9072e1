"""Train a knowledge tracer: from settings and a warehouse to a run folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.tracing import PIECE_LENGTH, TracingDataset
from edpipe.datasets.tracing_batches import TracingDataModule
from edpipe.datasets.tracing_source import tracing_dataset
from edpipe.errors import TrainingError
from edpipe.setting_groups import TracingSettings
from edpipe.settings import Settings
from edpipe.training.callbacks import BEST_FILE, EpochKeeper
from edpipe.training.epochs import finish, run_epochs
from edpipe.training.figures import Epoch
from edpipe.training.run import RUN_FILE, TRACER_FILE, TrainingRun, read_run
from models.tracing import AttentionConfig, DKTConfig, TracerConfig, build_tracer
from models.tracing.lightning_module import KnowledgeTracingModule

RUN_KEY_LENGTH = 16
TRACER_FORMAT = 1
# A change of the training recipe that gives other weights for equal settings raises this.
RECIPE = 1
# Settings besides the network's that change the weights.
OPTIONS = ("batch_size", "learning_rate", "weight_decay", "max_epochs", "patience", "ema_decay", "precision")


def train_tracing(
    settings: Settings,
    *,
    resume: bool = True,
    dry_run: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    dataset: TracingDataset | None = None,
) -> TrainingRun:
    """Train the tracer that ``settings.tracing`` describes, or find it trained.

    A run is named by data, configuration and seed. One that was finished is returned as it is; one that was
    interrupted goes on after its last whole epoch and ends with the weights of an unbroken run, bit for bit
    on a CPU.

    Parameters
    ----------
    settings
        Everything.
    resume
        Whether to take up earlier work of the same run; otherwise it starts anew.
    dry_run
        Say what would be trained and write nothing that stays.
    on_epoch
        Called with the figures of each epoch once they are safe on disk.
    dataset
        Data to train on; by default what the warehouse holds.

    Raises
    ------
    TrainingError
        If a split is empty, the loss is not finite, or an earlier checkpoint cannot be read.
    """
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="edpipe-") as folder:
            run, _ = _plan(settings, dataset or tracing_dataset(settings, folder=Path(folder)))
        return run
    dataset = dataset or tracing_dataset(settings)
    run, config = _plan(settings, dataset)
    if not resume:
        shutil.rmtree(run.run_dir, ignore_errors=True)
    if (run.run_dir / RUN_FILE).exists():
        return read_run(run.run_dir)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    keeper = _train(settings, dataset, run, config, on_epoch)
    best = keeper.best
    if best is None:  # pragma: no cover - Lightning ran no epoch
        raise TrainingError("No epoch was trained.", where=str(run.run_dir), state="No model was written.")
    _write_tracer(run, config, dataset, settings.tracing)
    return finish(
        run,
        started,
        best_epoch=best.epoch,
        num_epochs=len(keeper.epochs),
        metrics={"valid_auc": best.valid_auc, "valid_loss": best.valid_loss},
    )


def tracer_config(settings: TracingSettings, dataset: TracingDataset) -> TracerConfig:
    """Return the network's hyper-parameters for this data."""
    vocabulary = dataset.vocabulary
    if settings.model == "dkt":
        return DKTConfig(
            num_items=vocabulary.num_items,
            num_kcs=vocabulary.num_kcs,
            size=settings.size,
            num_layers=settings.num_layers,
            dropout=settings.dropout,
            item_dropout=settings.item_dropout,
        )
    return AttentionConfig(
        num_items=vocabulary.num_items,
        num_kcs=vocabulary.num_kcs,
        size=settings.size,
        num_layers=settings.num_layers,
        dropout=settings.dropout,
        item_dropout=settings.item_dropout,
        num_heads=settings.num_heads,
    )


def _plan(settings: Settings, dataset: TracingDataset) -> tuple[TrainingRun, TracerConfig]:
    """Return the run that would be made, and its network."""
    config = tracer_config(settings.tracing, dataset)
    names = (
        "batch_size",
        "learning_rate",
        "weight_decay",
        "max_epochs",
        "patience",
        "ema_decay",
        "precision",
    )
    options: dict[str, Any] = {name: getattr(settings.tracing, name) for name in names}
    options |= {"context_length": context_length(settings.tracing, dataset), "seed": settings.seed}
    described = [RECIPE, dataset.fingerprint, config.to_dict(), options]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    with torch.device("meta"):
        network = build_tracer(config)
    run = TrainingRun(
        run_dir=settings.runs_dir / digest[:RUN_KEY_LENGTH],
        run_key=digest[:RUN_KEY_LENGTH],
        config=config.to_dict(),
        options=options,
        fingerprint=dataset.fingerprint,
        source=dataset.source,
        steps=dataset.steps,
        num_parameters=sum(weight.numel() for weight in network.parameters()),
    )
    return run, config


def context_length(settings: TracingSettings, dataset: TracingDataset) -> int:
    """Return how many steps a window holds: 200 where a step is a source row, as was published."""
    return PIECE_LENGTH if dataset.steps == "rows" else settings.context_length


def _train(
    settings: Settings,
    dataset: TracingDataset,
    run: TrainingRun,
    config: TracerConfig,
    on_epoch: Callable[[Epoch], None] | None,
) -> EpochKeeper[Epoch]:
    """Run the epochs that are missing."""
    tracing = settings.tracing
    data = TracingDataModule(
        dataset,
        context_length=int(run.options["context_length"]),
        batch_size=tracing.batch_size,
        seed=settings.seed,
    )
    keeper = EpochKeeper(run.run_dir, Epoch, patience=tracing.patience, on_epoch=on_epoch)
    run_epochs(
        tracing,
        lambda optimizer: KnowledgeTracingModule(build_tracer(config), optimizer),
        data,
        keeper,
        family="tracing",
        run_dir=run.run_dir,
        batches=data.batches_per_epoch,
        seed=settings.seed,
        progress=settings.progress,
    )
    return keeper


def _write_tracer(
    run: TrainingRun, config: TracerConfig, dataset: TracingDataset, settings: TracingSettings
) -> None:
    """Write the best weights with all that is needed to use them: tensors and plain values only."""
    weights = load_checkpoint(run.run_dir / BEST_FILE)
    vocabulary = dataset.vocabulary
    content = {
        "format": TRACER_FORMAT,
        "config": config.to_dict(),
        "state_dict": weights,
        "vocabulary": vocabulary.to_dict() | {"item_kcs": torch.from_numpy(vocabulary.item_kcs)},
        "data": {
            "source": dataset.source,
            "steps": dataset.steps,
            "fingerprint": dataset.fingerprint,
            "context_length": context_length(settings, dataset),
        },
        "options": dict(run.options),
    }
    scratch = run.run_dir / f".{TRACER_FILE}"
    torch.save(content, scratch)
    scratch.replace(run.tracer_path)
