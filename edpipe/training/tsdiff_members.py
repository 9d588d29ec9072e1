"""Train one network of a forecaster, and the student of one step that learns from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from pytorch_lightning import LightningModule

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series_batches import WindowDataModule
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_source import SourcedTask
from edpipe.datasets.series_transform import transformed
from edpipe.errors import TrainingError
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.settings import Settings
from edpipe.training.callbacks import BEST_FILE, EpochKeeper
from edpipe.training.epochs import run_epochs
from edpipe.training.figures import TSDiffEpoch
from edpipe.training.tsdiff_plan import FAMILY, NetworkConfig, untuned
from edpipe.training.tsdiff_schedule import curriculum_of
from edpipe.training.tsdiff_validation import VALIDATION_STEPS, ValidationCrps
from models.optimization import OptimizerConfig
from models.tsdiff import ConditionalConfig, ConditionalForecaster, SeriesDiffusion, build_tsdiff
from models.tsdiff.lightning_module import ConsistencyModule, TSDiffModule

OnEpoch = Callable[[TSDiffEpoch], None]
Keeper = EpochKeeper[TSDiffEpoch]
# Distance between the seeds of members: far more than anything adds to a seed.
SEED_STRIDE: Final = 100_003
# Windows that a center and its errors are fitted to.
CENTER_WINDOWS: Final = 10_000
# Averaged weights are the target of a distillation, so it needs some averaging.
STUDENT_EMA: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A trained network, and the figures of each stage of its training."""

    network: SeriesDiffusion
    keepers: tuple[Keeper, ...]

    @property
    def num_epochs(self) -> tuple[int | None, ...]:
        """Epochs up to the best one, by stage."""
        return tuple(None if keeper.best is None else keeper.best.epoch + 1 for keeper in self.keepers)


@dataclass(frozen=True, slots=True)
class Stage:
    """One training: on what, where to, from which seed.

    Attributes
    ----------
    task
        Series and windows.
    folder
        Where its checkpoints are.
    seed
        Of weights, windows and noise.
    num_epochs
        How long, where that was decided before; None looks at validation windows.
    first_epoch
        Number under which its first epoch is told.
    """

    task: ForecastTask
    folder: Path
    seed: int
    num_epochs: int | None
    first_epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class MemberTraining:
    """What the trainings of all members share.

    Attributes
    ----------
    settings
        Everything.
    sourced
        Series and windows.
    config
        Network of each member.
    run_dir
        Folder of the run; each member has one below it.
    on_epoch
        Called with the figures of each epoch, counted on from member to member.
    """

    settings: Settings
    sourced: SourcedTask
    config: NetworkConfig
    run_dir: Path
    on_epoch: OnEpoch | None

    def member(self, number: int) -> Member:
        """Train a member, or find it trained: without the validation steps, which choose its weights."""
        return self._stages(number, self.sourced.task, f"member-{number}", None)

    def refitted(self, number: int, first: Member) -> SeriesDiffusion:
        """Train a member once more, on validation steps too, for as long as was best the first time."""
        task = self.sourced.task.with_validation_in_training()
        return self._stages(number, task, f"member-{number}/refit", first).network

    def _stages(self, number: int, task: ForecastTask, folder: str, before: Member | None) -> Member:
        """Train a network and, where asked, the student that learns from it."""
        asked = self.settings.tsdiff
        num_stages = 2 if asked.model == "one_step" else 1
        seed = self.settings.seed + number * SEED_STRIDE
        lengths = before.num_epochs if before else (None,) * num_stages
        first_epoch = number * num_stages * asked.max_epochs
        keeper, network = self._stage(
            Stage(task, self.run_dir / folder, seed, lengths[0], first_epoch),
            lambda optimizer, data: TSDiffModule(
                self._untrained(data),
                optimizer,
                curriculum=curriculum_of(asked, optimizer),
                is_compiled=asked.is_compiled,
            ),
            asked,
            num_steps=asked.num_steps or min(VALIDATION_STEPS, self.config.num_diffusion_steps),
        )
        if asked.model != "one_step":
            return Member(network, (keeper,))
        if not isinstance(network, ConditionalForecaster):  # pragma: no cover - the settings made it
            raise TypeError(f"only a flow can be distilled; got {type(network).__name__}.")
        teacher = network
        of_student, student = self._stage(
            Stage(task, self.run_dir / folder / "student", seed, lengths[1], first_epoch + asked.max_epochs),
            lambda optimizer, _: ConsistencyModule(teacher, optimizer, is_compiled=asked.is_compiled),
            asked.model_copy(update={"ema_decay": max(asked.ema_decay, STUDENT_EMA)}),
            num_steps=1,
        )
        return Member(student, (keeper, of_student))

    def _untrained(self, data: WindowDataModule) -> SeriesDiffusion:
        """Return a network before training, its center fitted to training windows."""
        network = build_tsdiff(self.config)
        if isinstance(network, ConditionalForecaster):
            network.fit_center(partial(data.windows_to_fit, CENTER_WINDOWS))
        return network

    def _stage(
        self,
        stage: Stage,
        module_of: Callable[[OptimizerConfig, WindowDataModule], LightningModule],
        asked: TSDiffSettings,
        *,
        num_steps: int,
    ) -> tuple[Keeper, SeriesDiffusion]:
        """Run the epochs that are missing and return their figures with the weights that are kept."""
        task, folder, is_judged = stage.task, stage.folder, stage.num_epochs is None
        folder.mkdir(parents=True, exist_ok=True)
        told = self.on_epoch

        def log(epoch: TSDiffEpoch) -> None:
            if told is not None and is_judged:
                told(replace(epoch, epoch=stage.first_epoch + epoch.epoch))

        keeper = EpochKeeper(
            folder, TSDiffEpoch, patience=asked.patience, num_epochs=stage.num_epochs, on_epoch=log
        )
        seen = replace(task, series=transformed(task.series, asked.transform))
        data = WindowDataModule(
            seen,
            Scaling.fit(seen.series, seen.train_ends, asked.scaling),
            batch_size=asked.batch_size,
            batches_per_epoch=asked.batches_per_epoch,
            seed=stage.seed,
            level_weight=asked.level_weight,
        )
        look = ValidationCrps(untuned(asked, self.sourced, ()), task, num_steps=num_steps, seed=stage.seed)
        run_epochs(
            asked,
            lambda optimizer: module_of(optimizer, data),
            data,
            keeper,
            family=FAMILY,
            run_dir=folder,
            batches=asked.batches_per_epoch,
            seed=stage.seed,
            progress=self.settings.progress,
            # Guided sampling takes longer than an epoch.
            callbacks=[look] if is_judged and isinstance(self.config, ConditionalConfig) else [],
        )
        if keeper.best is None:  # pragma: no cover - Lightning ran no epoch
            raise TrainingError("No epoch was trained.", where=str(folder), state="No model was written.")
        with torch.random.fork_rng(devices=[]):
            network = build_tsdiff(self.config)
        network.load_state_dict(load_checkpoint(folder / BEST_FILE))
        return keeper, network.eval()
