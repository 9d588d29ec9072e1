"""Train a strategy predictor: from attempts and vectors to a run folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.datasets.strategy_batches import StrategyDataModule
from edpipe.datasets.strategy_encoder import StrategyEncoder
from edpipe.datasets.strategy_history import RunningCounts, answer_history
from edpipe.datasets.strategy_memory import StrategyMemory, remember
from edpipe.errors import TrainingError
from edpipe.mastery.embedding import Embedding
from edpipe.prediction.strategy import STRATEGY_FILE, STRATEGY_FORMAT, TrainedPredictor, load_predictor
from edpipe.setting_groups import StrategySettings
from edpipe.settings import Settings
from edpipe.training.callbacks import BEST_FILE, LAST_FILE, EpochKeeper
from edpipe.training.epochs import run_epochs
from edpipe.training.figures import StrategyEpoch
from edpipe.training.run import RUN_FILE, TrainingRun
from edpipe.training.strategy_validation import judge_untrained, judging_rows, validation_batches
from models.optimization import plain_state
from models.strategy import (
    LSTMStrategyConfig,
    StrategyConfig,
    StrategyModel,
    TransformerStrategyConfig,
    build_strategy_model,
    config_from_dict,
)
from models.strategy.lightning_module import StrategyModule
from models.strategy.tokens import FIRST_KC

RUN_KEY_LENGTH = 16
# A change of the training recipe that gives other weights for equal settings raises this.
RECIPE = 3
# Settings besides the network's that change the weights or what is decoded.
OPTIONS = (
    "num_examples",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "max_epochs",
    "patience",
    "ema_decay",
    "precision",
    "beam_size",
    "max_length",
    "length_penalty",
)


def train_predictor(
    dataset: StrategyDataset,
    embedding: Embedding,
    train_rows: Places,
    valid_rows: Places,
    settings: Settings,
    run_dir: Path | None = None,
    *,
    resume: bool = True,
    on_epoch: Callable[[StrategyEpoch], None] | None = None,
    max_steps: int | None = None,
    answers: RunningCounts | None = None,
) -> TrainedPredictor:
    """Train the predictor that ``settings.strategy`` describes, or find it trained in ``run_dir``.

    Vocabulary, examples, KCs of sections, mastery groups and weights come from ``train_rows`` alone; of
    other attempts only the answers before a training attempt are read. Where no epoch is better on
    validation than the weights before training, a lookup, these are kept as epoch -1. At last the chances
    are calibrated on the validation attempts (:meth:`~models.strategy.StrategyModel.calibrate`). A run that
    was interrupted goes on after its last whole epoch and ends with the weights of an unbroken one, bit for
    bit on a CPU.

    Parameters
    ----------
    dataset
        Attempts.
    embedding
        Vectors in its codes.
    train_rows, valid_rows
        Attempts to learn from, and to stop by; of the latter at most ``MAX_VALID_ATTEMPTS`` of
        :mod:`~edpipe.training.strategy_validation`, drawn by the seed, are looked at.
    settings
        Everything.
    run_dir
        Folder of the run; None trains in a folder that goes away, and only the predictor stays.
    resume
        Whether to take up earlier work in ``run_dir``; otherwise it starts anew.
    on_epoch
        Called with the figures of each epoch once they are safe on disk.
    max_steps
        Optimizer steps, for a comparison at equal steps: ``settings.strategy.max_epochs`` stretches of
        equally many steps, however many attempts there are, without an early stop. By default epochs are
        passes over the attempts.
    answers
        Answers before each attempt, where they have been counted already.

    Raises
    ------
    TrainingError
        If there is no attempt, the loss is not finite, ``run_dir`` holds another run, or an earlier
        checkpoint cannot be read.
    """
    _check_rows(train_rows, valid_rows)
    if run_dir is None:
        with tempfile.TemporaryDirectory(prefix="edpipe-") as folder:
            return train_predictor(
                dataset,
                embedding,
                train_rows,
                valid_rows,
                settings,
                Path(folder) / "run",
                on_epoch=on_epoch,
                max_steps=max_steps,
                answers=answers,
            )
    train_rows = np.unique(train_rows)
    run = plan_predictor(dataset, embedding, train_rows, valid_rows, settings, run_dir, max_steps=max_steps)
    if not resume:
        shutil.rmtree(run_dir, ignore_errors=True)
    if (run_dir / RUN_FILE).exists():
        return _found(run)
    run_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    answers = answers or answer_history(dataset)
    memory = remember(
        dataset,
        train_rows,
        answers,
        embedding.kc_mean,
        shrinkage=settings.embedding.shrinkage,
        seed=settings.seed,
    )
    encoder = StrategyEncoder.of(
        dataset,
        embedding,
        memory,
        num_examples=settings.strategy.num_examples,
        answers=answers,
        train_rows=train_rows,
    )
    judging = judging_rows(valid_rows, settings.seed)
    keeper = _train(settings, encoder, train_rows, judging, run, max_steps, on_epoch)
    best = keeper.best
    if best is None:  # pragma: no cover - Lightning ran no epoch
        raise TrainingError("No epoch was trained.", where=str(run_dir), state="No model was written.")
    untrained = _untrained(run, settings.seed)
    batches = validation_batches(encoder, judging)
    before = judge_untrained(untrained, batches)
    model = untrained.eval()
    if before.score >= best.score:
        best = before
    else:
        model.load_state_dict(load_checkpoint(run_dir / BEST_FILE))
    model.calibrate(batches)
    finished = replace(
        run,
        best_epoch=best.epoch,
        num_epochs=len(keeper.epochs),
        metrics={"valid_loss": best.valid_loss, "valid_next_accuracy": best.valid_next_accuracy},
        seconds=round(time.monotonic() - started, 3),
        is_new=True,
    )
    _write_predictor(finished, model, memory, dataset, embedding, len(train_rows))
    finished.save()
    for name in (LAST_FILE, BEST_FILE):
        (run_dir / name).unlink(missing_ok=True)
    return load_predictor(run_dir)


def plan_predictor(
    dataset: StrategyDataset,
    embedding: Embedding,
    train_rows: Places,
    valid_rows: Places,
    settings: Settings,
    run_dir: Path | None = None,
    *,
    max_steps: int | None = None,
) -> TrainingRun:
    """Return the run that :func:`train_predictor` would make; nothing is written.

    Its ``run_dir`` is the one given, else the folder in ``settings.runs_dir`` that its key names.
    """
    train_rows = np.unique(train_rows)
    used, _ = dataset.strategies(train_rows)
    config = predictor_config(settings.strategy, len(np.unique(used)), embedding.dim)
    options: dict[str, Any] = {name: getattr(settings.strategy, name) for name in OPTIONS}
    options |= {"shrinkage": settings.embedding.shrinkage, "seed": settings.seed, "max_steps": max_steps}
    options["num_attempts"] = len(train_rows)
    rows = hashlib.sha256()
    for part in (train_rows, np.unique(valid_rows)):
        rows.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    for vectors in (embedding.students, embedding.problems, embedding.sections, embedding.kcs):
        rows.update(np.ascontiguousarray(vectors).tobytes())
    described = [RECIPE, dataset.fingerprint, rows.hexdigest(), config.to_dict(), options]
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:RUN_KEY_LENGTH]
    with torch.device("meta"):
        network = build_strategy_model(config)
    return TrainingRun(
        run_dir=run_dir or settings.runs_dir / key,
        run_key=key,
        config=config.to_dict(),
        options=options,
        fingerprint=dataset.fingerprint,
        source=dataset.source,
        steps="",
        num_parameters=sum(weight.numel() for weight in network.parameters()),
        model="strategy",
    )


def predictor_config(settings: StrategySettings, num_kcs: int, vector_size: int) -> StrategyConfig:
    """Return the network's hyper-parameters for this many KCs and vectors of this width."""
    if settings.model == "lstm":
        return LSTMStrategyConfig(num_tokens=num_kcs + FIRST_KC, vector_size=vector_size)
    return TransformerStrategyConfig(
        num_tokens=num_kcs + FIRST_KC,
        vector_size=vector_size,
        size=settings.size,
        num_layers=settings.num_layers,
        dropout=settings.dropout,
        num_heads=settings.num_heads,
    )


def _train(
    settings: Settings,
    encoder: StrategyEncoder,
    train_rows: Places,
    valid_rows: Places,
    run: TrainingRun,
    max_steps: int | None,
    on_epoch: Callable[[StrategyEpoch], None] | None,
) -> EpochKeeper[StrategyEpoch]:
    """Run the epochs that are missing."""
    strategy = settings.strategy
    num_batches = None if max_steps is None else -(-max_steps // strategy.max_epochs)
    data = StrategyDataModule(
        encoder,
        train_rows,
        valid_rows,
        batch_size=strategy.batch_size,
        seed=settings.seed,
        num_batches=num_batches,
    )
    config = predictor_config(strategy, len(encoder.memory.kc_ids), encoder.embedding.dim)
    keeper = EpochKeeper(
        run.run_dir,
        StrategyEpoch,
        patience=strategy.patience if max_steps is None else strategy.max_epochs,
        on_epoch=on_epoch,
    )
    run_epochs(
        strategy,
        lambda optimizer: StrategyModule(build_strategy_model(config), optimizer),
        data,
        keeper,
        family="strategy",
        run_dir=run.run_dir,
        batches=data.batches_per_epoch,
        seed=settings.seed,
        progress=settings.progress,
    )
    return keeper


def _untrained(run: TrainingRun, seed: int) -> StrategyModel:
    """Return the network that training began with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_strategy_model(config_from_dict(run.config))


def _write_predictor(
    run: TrainingRun,
    model: StrategyModel,
    memory: StrategyMemory,
    dataset: StrategyDataset,
    embedding: Embedding,
    number: int,
) -> None:
    """Write the best weights with all that is needed to use them: tensors and plain values only."""
    options = dict(run.options)
    content = {
        "format": STRATEGY_FORMAT,
        "config": dict(run.config),
        "state_dict": plain_state(model),
        "memory": memory.to_dict(),
        "data": {
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "embedding_key": str(embedding.manifest.get("key", "")),
            "num_attempts": number,
            **{name: options[name] for name in ("num_examples", "beam_size", "max_length", "length_penalty")},
        },
        "metrics": {
            **run.metrics,
            "best_epoch": run.best_epoch,
            "num_epochs": run.num_epochs,
            "seconds": run.seconds,
        },
        "options": options,
    }
    scratch = run.run_dir / f".{STRATEGY_FILE}"
    torch.save(content, scratch)
    scratch.replace(run.run_dir / STRATEGY_FILE)


def _found(run: TrainingRun) -> TrainedPredictor:
    """Return the finished predictor in the run's folder if it is that run."""
    found = json.loads((run.run_dir / RUN_FILE).read_text(encoding="utf-8")).get("run_key")
    if found != run.run_key:
        raise TrainingError(
            "The folder holds another run.",
            where=str(run.run_dir / RUN_FILE),
            found=f"run {found}",
            expected=f"run {run.run_key}",
            next_step="Choose another folder, or start anew with `--fresh`.",
            state="Nothing was changed.",
        )
    return load_predictor(run.run_dir)


def _check_rows(train_rows: Places, valid_rows: Places) -> None:
    empty = [name for name, rows in (("train", train_rows), ("valid", valid_rows)) if not len(rows)]
    if empty:
        raise TrainingError(
            f"There is no attempt to {' and '.join(empty)}.",
            where="rows of the split",
            found=f"train {len(train_rows):,}, valid {len(valid_rows):,}",
            expected="at least one of each",
            next_step="Raise `strategy.budget`, or ingest more students.",
            state="Nothing was trained.",
        )
