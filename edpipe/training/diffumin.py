"""Train a recommender: from settings and a warehouse to a run folder."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.impressions import ImpressionDataset
from edpipe.datasets.impressions_batches import ImpressionDataModule
from edpipe.datasets.impressions_source import impression_dataset
from edpipe.errors import TrainingError
from edpipe.prediction.diffumin import DIFFUMIN_FILE, checkpoint_content, load_recommender
from edpipe.settings import Settings
from edpipe.training.callbacks import BEST_FILE, EpochKeeper
from edpipe.training.diffumin_plan import FAMILY, plan_diffumin
from edpipe.training.epochs import finish, run_epochs
from edpipe.training.figures import ClickEpoch
from edpipe.training.run import RUN_FILE, TrainingRun, read_run
from models.diffumin import DiffuMINConfig, build_diffumin
from models.diffumin.lightning_module import DiffuMINModule, DistillationModule
from models.optimization import OptimizerConfig

OnEpoch = Callable[[ClickEpoch], None]
ModuleOf = Callable[[OptimizerConfig], DiffuMINModule]


def train_diffumin(
    settings: Settings,
    *,
    resume: bool = True,
    dry_run: bool = False,
    on_epoch: OnEpoch | None = None,
    dataset: ImpressionDataset | None = None,
    runs_dir: Path | None = None,
) -> TrainingRun:
    """Train the recommender that ``settings.diffumin`` describes, or find it trained.

    The weights of the epoch with the highest AUC on validation are kept. With the augmentation ``distilled``
    the same network with a diffusion is trained first, or found trained, as the teacher.

    A run is named by data, configuration and seed. One that was finished is returned as it is; one that was
    interrupted goes on after its last whole epoch and ends with the weights of an unbroken run, bit for bit
    on a CPU.

    Parameters
    ----------
    settings
        Everything; ``settings.recommendation`` says what is learned from.
    resume
        Whether to take up earlier work of the same run; otherwise it starts anew.
    dry_run
        Say what would be trained and write nothing that stays.
    on_epoch
        Called with the figures of each epoch once they are safe on disk.
    dataset
        Data to train on; by default what the warehouse holds.
    runs_dir
        Parent of the run's folder; by default that of all runs.

    Raises
    ------
    TrainingError
        If there is no example, a split has one class only, the loss is not finite, or a checkpoint cannot be
        read.
    SettingsError
        If the sizes of the network do not fit each other.
    """
    if dry_run and dataset is None:
        with tempfile.TemporaryDirectory(prefix="edpipe-") as folder:
            return plan_diffumin(settings, impression_dataset(settings, folder=Path(folder)))[0]
    dataset = dataset or impression_dataset(settings)
    run, config = plan_diffumin(settings, dataset)
    if runs_dir is not None:
        run = replace(run, run_dir=runs_dir / run.run_key)
    if dry_run:
        return run
    if not resume:
        shutil.rmtree(run.run_dir, ignore_errors=True)
    if (run.run_dir / RUN_FILE).exists():
        return read_run(run.run_dir)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    module_of = _module_of(settings, dataset, run, config)
    keeper = _train(settings, dataset, run, module_of, on_epoch)
    best = keeper.best
    if best is None:  # pragma: no cover - Lightning ran no epoch
        raise TrainingError("No epoch was trained.", where=str(run.run_dir), state="No model was written.")
    _write_recommender(run, config, dataset)
    return finish(
        run,
        started,
        best_epoch=best.epoch,
        num_epochs=len(keeper.epochs),
        metrics={"valid_auc": best.valid_auc, "valid_loss": best.valid_loss},
    )


def _module_of(
    settings: Settings, dataset: ImpressionDataset, run: TrainingRun, config: DiffuMINConfig
) -> ModuleOf:
    """Return what makes the module that is trained."""
    if config.augmentation != "distilled":
        return lambda optimizer: DiffuMINModule(build_diffumin(config), optimizer)
    of_teacher = settings.diffumin.model_copy(update={"augmentation": "diffusion"})
    teacher_run = train_diffumin(
        settings.model_copy(update={"diffumin": of_teacher}), dataset=dataset, runs_dir=run.run_dir.parent
    )
    teacher = load_recommender(teacher_run.run_dir).model
    return lambda optimizer: DistillationModule(teacher, optimizer)


def _train(
    settings: Settings,
    dataset: ImpressionDataset,
    run: TrainingRun,
    module_of: ModuleOf,
    on_epoch: OnEpoch | None,
) -> EpochKeeper[ClickEpoch]:
    """Run the epochs that are missing."""
    of_data = settings.recommendation
    data = ImpressionDataModule(
        dataset,
        max_length=of_data.max_length,
        negatives=of_data.negatives,
        batch_size=of_data.batch_size,
        seed=settings.seed,
    )
    keeper = EpochKeeper(run.run_dir, ClickEpoch, patience=settings.diffumin.patience, on_epoch=on_epoch)
    run_epochs(
        settings.diffumin,
        module_of,
        data,
        keeper,
        family=FAMILY,
        run_dir=run.run_dir,
        batches=data.batches_per_epoch,
        seed=settings.seed,
        progress=settings.progress,
        table_learning_rate=settings.diffumin.item_learning_rate,
        title=f"{FAMILY} ({settings.diffumin.long_term})",
    )
    return keeper


def _write_recommender(run: TrainingRun, config: DiffuMINConfig, dataset: ImpressionDataset) -> None:
    """Write the best weights with all that is needed to use them: tensors and plain values only."""
    weights = load_checkpoint(run.run_dir / BEST_FILE)
    content = checkpoint_content(config, weights, dataset, asked=run.data["asked"], options=run.options)
    scratch = run.run_dir / f".{DIFFUMIN_FILE}"
    torch.save(content, scratch)
    scratch.replace(run.run_dir / DIFFUMIN_FILE)
