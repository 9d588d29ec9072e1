"""Train a forecaster: from settings and series to a run folder."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import torch

from edpipe.datasets.series_source import SourcedTask, sourced_task
from edpipe.device import sampling_device
from edpipe.prediction.forecast import TSDIFF_FILE, TSDIFF_FORMAT, TrainedForecaster
from edpipe.settings import Settings
from edpipe.training.epochs import finish
from edpipe.training.figures import TSDiffEpoch
from edpipe.training.run import CURVES_FILE, RUN_FILE, TrainingRun, read_run
from edpipe.training.tsdiff_choice import chosen
from edpipe.training.tsdiff_members import Keeper, MemberTraining, OnEpoch
from edpipe.training.tsdiff_plan import NetworkConfig, plan_tsdiff, untuned
from models.optimization import plain_state


def train_tsdiff(
    settings: Settings,
    *,
    resume: bool = True,
    dry_run: bool = False,
    on_epoch: OnEpoch | None = None,
    sourced: SourcedTask | None = None,
) -> TrainingRun:
    """Train the forecaster that ``settings.tsdiff`` describes, or find it trained.

    Training sees steps before the validation windows only. Validation windows choose the weights, the steps
    of the sampler, the strength of guidance and the correction of the spread. Once nothing is left to choose,
    and where ``is_refitted`` asks for it, the networks are trained anew with the validation steps among
    their training steps, each for as many epochs as was best. Members of an ensemble are trained one after
    the other. A run that was interrupted goes on after its last whole epoch and ends with the weights of an
    unbroken one, bit for bit on a CPU.

    Parameters
    ----------
    settings
        Everything.
    resume
        Whether to take up earlier work of the same run; otherwise it starts anew.
    dry_run
        Say what would be trained and write nothing.
    on_epoch
        Called with the figures of each epoch once they are safe on disk; epochs are counted on from member
        to member.
    sourced
        Series to train on; by default those of the settings.

    Raises
    ------
    TrainingError
        If no series is long enough, the loss is not finite, or a checkpoint cannot be read.
    """
    sourced = sourced or sourced_task(settings)
    run, config = plan_tsdiff(settings, sourced)
    if dry_run:
        return run
    if not resume:
        shutil.rmtree(run.run_dir, ignore_errors=True)
    if (run.run_dir / RUN_FILE).exists():
        return read_run(run.run_dir)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    training = MemberTraining(settings, sourced, config, run.run_dir, on_epoch)
    members = [training.member(number) for number in range(settings.tsdiff.num_members)]
    keepers = [member.keepers[-1] for member in members]
    networks = [member.network for member in members]
    before = untuned(settings.tsdiff, sourced, networks).to(sampling_device(settings.tsdiff.accelerator))
    trained = chosen(before, sourced.task, settings)
    if settings.tsdiff.is_refitted:
        again = [training.refitted(number, member) for number, member in enumerate(members)]
        trained = replace(trained, members=tuple(again), judged=tuple(networks))
    _write_curves(run.run_dir, keepers)
    _write_forecaster(run, config, trained)
    best = [keeper.best for keeper in keepers if keeper.best is not None]
    return finish(
        run,
        started,
        best_epoch=best[0].epoch,
        num_epochs=len(keepers[0].epochs),
        metrics=_mean_figures(best),
        data={
            "num_steps": trained.sampling.num_steps,
            "guidance_scale": trained.sampling.guidance_scale,
        },
    )


def _mean_figures(best: list[TSDiffEpoch]) -> dict[str, float]:
    """Return the mean figures of the members' best epochs; what no epoch measured is left out."""
    names = ("valid_crps", "valid_loss")
    found = {name: sum(getattr(epoch, name) for epoch in best) / len(best) for name in names}
    return {name: value for name, value in found.items() if value == value}  # noqa: PLR0124  (not NaN)


def _write_curves(run_dir: Path, keepers: list[Keeper]) -> None:
    """Write the mean curve of the members; each member's own stands in its folder."""
    epochs = [asdict(epoch) for keeper in keepers for epoch in keeper.epochs]
    means = pl.DataFrame(epochs).group_by("epoch").mean().sort("epoch")
    scratch = run_dir / f".{CURVES_FILE}"
    means.write_csv(scratch)
    scratch.replace(run_dir / CURVES_FILE)


def _write_forecaster(run: TrainingRun, config: NetworkConfig, trained: TrainedForecaster) -> None:
    """Write weights with all that is needed to use them: tensors and plain values only."""
    content = {
        "format": TSDIFF_FORMAT,
        "config": config.to_dict(),
        "members": [plain_state(member) for member in trained.members],
        "judged": [plain_state(member) for member in trained.judged],
        "scaling": trained.scaling,
        "transform": trained.transform,
        "sampling": asdict(trained.sampling),
        "calibration": None if trained.calibration is None else trained.calibration.to_dict(),
        "data": {**trained.data, "asked": dict(run.data["asked"]), "model": run.options["model"]},
        "options": dict(run.options),
    }
    scratch = run.run_dir / f".{TSDIFF_FILE}"
    torch.save(content, scratch)
    scratch.replace(run.run_dir / TSDIFF_FILE)
