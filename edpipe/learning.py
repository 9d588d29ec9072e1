"""The verbs that need a model: train, evaluate, promote, score, report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import SettingsError, TrainingError
from edpipe.raw import landed
from edpipe.settings import Settings, closest, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.datasets.tracing import TracingDataset
    from edpipe.evaluation.results import Evaluation
    from edpipe.tracking.promotion import Promotion
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.callbacks import Epoch
    from edpipe.training.run import TrainingRun

MODELS = ("tracing",)
METRICS = {
    "auc": "AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A training run, how good it is, and under which version it is registered."""

    run: TrainingRun
    evaluation: Evaluation
    version: ModelVersion


def train(
    model: str = "tracing", settings: Settings | None = None, *, resume: bool = True, dry_run: bool = False
) -> TrainingRun:
    """Train a model on the training students, choose its weights on the validation students.

    The same data, configuration and seed give the run that is there already; an interrupted run goes on.
    The run is in MLflow from its start, with the status that really happened.

    Parameters
    ----------
    model
        ``tracing``.
    settings
        Default: :func:`edpipe.load_settings`. `settings.tracing` says which tracer, on which source.
    resume
        Take up an interrupted run; otherwise it starts anew.
    dry_run
        Say what would be trained; write nothing that stays.

    Raises
    ------
    SettingsError
        If the source that `settings.tracing.source` names has not been ingested.
    TrainingError
        If a split is empty, the loss is not finite, or a checkpoint cannot be read.
    """
    settings = _checked(model, settings)
    _refuse_absent_source(settings)
    from edpipe.training.tracing import train_tracing

    if dry_run:
        return train_tracing(settings, dry_run=True)
    from edpipe.datasets.tracing_source import tracing_dataset
    from edpipe.tracking.runs import RUN_KEY, start_run

    dataset = tracing_dataset(settings)
    planned = train_tracing(settings, dataset=dataset, dry_run=True)
    if resume and (planned.run_dir / "run.json").exists():
        return train_tracing(settings, dataset=dataset)

    with start_run(settings, model, planned.run_key, tags={RUN_KEY: planned.run_key}) as run:
        run.log_params({**planned.config, **planned.options})

        def log(epoch: Epoch) -> None:
            figures = {key: value for key, value in asdict(epoch).items() if key != "epoch"}
            run.log_metrics(figures, step=epoch.epoch)

        return train_tracing(settings, dataset=dataset, resume=resume, on_epoch=log)


def evaluate(
    model: str = "tracing",
    settings: Settings | None = None,
    *,
    run_dir: Path | None = None,
) -> Evaluated:
    """Score a trained model beside the baselines on validation and test students, and register it.

    The test split is opened once for a run: a second call returns what was measured.

    Parameters
    ----------
    model
        ``tracing``.
    settings
        Default: :func:`edpipe.load_settings`.
    run_dir
        Folder of the training run; by default the newest.

    Raises
    ------
    TrainingError
        If there is no finished run, or the data have changed since it was trained.
    """
    settings = _checked(model, settings)
    from edpipe.datasets.tracing_frames import examples, item_kcs
    from edpipe.evaluation.evaluate import evaluate_tracing
    from edpipe.prediction.tracing import predict
    from edpipe.registration import register_run
    from edpipe.training.run import read_run

    run = read_run(run_dir or newest_run(settings))
    dataset = _dataset_of(run, settings)

    def predictions(asked: pl.DataFrame) -> dict[str, pl.DataFrame]:
        import polars as pl

        # The tracer reads both splits from the dataset, with the history that the rows alone lack.
        splits = [predict(run.run_dir, dataset, split) for split in ("valid", "test")]
        frame = pl.concat(splits)
        if frame.height != asked.height:
            raise TrainingError(
                "The tracer and the baselines would be scored on different rows.",
                where=str(run.run_dir),
                found=f"{frame.height:,} and {asked.height:,} rows",
                expected="the same validation and test rows",
            )
        return {str(run.config["kind"]): frame}

    evaluation = evaluate_tracing(
        settings,
        run.run_dir,
        examples=lambda: examples(dataset),
        item_kcs=item_kcs(dataset),
        predict=predictions,
        data_fingerprint=run.fingerprint,
    )
    return Evaluated(run, evaluation, register_run(model, settings, run, dataset, evaluation))


def promote(
    model: str = "tracing",
    settings: Settings | None = None,
    *,
    run_dir: Path | None = None,
    version: int | None = None,
    dry_run: bool = False,
) -> Promotion:
    """Make a registered version the champion, if it beats the champion on the same validation students.

    Parameters
    ----------
    model
        ``tracing``.
    settings
        Default: :func:`edpipe.load_settings`.
    run_dir, version
        The candidate, by its run's folder or its number; by default the newest version.
    dry_run
        Decide and change nothing.

    Raises
    ------
    RegistryError
        If there is no such version.
    """
    settings = _checked(model, settings)
    from edpipe.tracking import promotion

    if run_dir is not None and version is None:
        version = next(
            (one.version for one in versions(model, settings) if one.run_key == run_dir.name), None
        )
    return promotion.promote(
        settings,
        model,
        version,
        rescore=lambda champion, candidate: _rescore(settings, champion, candidate),
        dry_run=dry_run,
    )


def score(model: str = "tracing", settings: Settings | None = None) -> Path:
    """Write every student's mastery of every KC by the champion, for ``predictions.kc_mastery``.

    Publish afterwards (:func:`edpipe.publish`), so that readers see it.

    Parameters
    ----------
    model
        ``tracing``.
    settings
        Default: :func:`edpipe.load_settings`.

    Raises
    ------
    RegistryError
        If there is no champion yet.
    """
    settings = _checked(model, settings)
    from edpipe.datasets.tracing_source import tracing_dataset
    from edpipe.prediction.mastery import mastery
    from edpipe.prediction.published_ids import with_published_ids
    from edpipe.prediction.scoring import score_kc_mastery
    from edpipe.prediction.tracing import load_tracer
    from edpipe.tracking.registry import champion

    chosen = champion(settings, model)
    tracer = load_tracer(settings.runs_dir / chosen.run_key)
    dataset = tracing_dataset(_settings_for(settings, tracer.data["source"], tracer.data["steps"]))
    return score_kc_mastery(
        settings,
        with_published_ids(settings, dataset, mastery(tracer, dataset)),
        model_name=model,
        model_version=chosen.version,
        data_fingerprint=dataset.fingerprint,
    )


def report(
    settings: Settings | None = None, *, run_dir: Path | None = None, output: Path | None = None
) -> Path:
    """Write one self-contained HTML file about the published tables and the newest run.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`.
    run_dir
        Folder of the training run to show; by default the newest that was evaluated, else the newest.
    output
        File to write; by default ``<home>/reports/report.html``.

    Raises
    ------
    ContractError
        If nothing has been published yet.
    TrainingError
        If ``run_dir`` holds no finished run.
    """
    settings = settings or load_settings()
    from edpipe.evaluation.report import write_report
    from edpipe.training.run import read_run

    if run_dir is not None:
        run_dir = read_run(run_dir).run_dir
    elif _finished_runs(settings):
        run_dir = newest_run(settings, evaluated=True)
    return write_report(settings, run_dir=run_dir, output=output)


def versions(model: str = "tracing", settings: Settings | None = None) -> list[ModelVersion]:
    """Return the registered versions of a model, with their aliases."""
    settings = _checked(model, settings)
    from edpipe.tracking import registry

    return registry.versions(settings, model)


def newest_run(settings: Settings, *, evaluated: bool = False) -> Path:
    """Return the folder of the run that was finished last; ``evaluated`` prefers those that were scored.

    Raises
    ------
    TrainingError
        If none was finished.
    """
    finished = _finished_runs(settings)
    if not finished:
        raise TrainingError(
            "No model has been trained yet.",
            where=str(settings.runs_dir),
            expected="the folder of a finished run",
            next_step="Run `edpipe train tracing`.",
        )
    if evaluated:
        finished = [one for one in finished if (one / "evaluation" / "summary.json").exists()] or finished
    return max(finished, key=lambda folder: (folder / "run.json").stat().st_mtime_ns)


def trained_lines(settings: Settings) -> list[str]:
    """Say which runs and reports exist, without asking the registry."""
    finished = _finished_runs(settings)
    scored = [run for run in finished if (run / "evaluation" / "summary.json").exists()]
    if not finished:
        return ["Nothing has been trained: run `edpipe train tracing`."]
    newest = newest_run(settings)
    told = [f"Training runs: {len(finished)}, of them {len(scored)} evaluated; newest {newest}."]
    if newest not in scored:
        told.append("The newest run is not evaluated: run `edpipe evaluate`.")
    reports = sorted(settings.reports_dir.glob("*.html"))
    return told + [f"Report: {path}." for path in reports]


def comparison(run_dir: Path, *, split: str = "test") -> pl.DataFrame:
    """Return one row a model: each metric on all rows of a split, with its interval, best AUC first."""
    import polars as pl

    from edpipe.evaluation.results import Evaluation

    rows = Evaluation.load(run_dir).metrics.filter(
        (pl.col("split") == split) & (pl.col("subset") == "all") & pl.col("metric").is_in(list(METRICS))
    )
    interval = pl.format(
        "{} [{}, {}]", *(pl.col(name).round(3).cast(pl.String) for name in ("value", "low", "high"))
    )
    best_first = rows.filter(pl.col("metric") == "auc").sort("value", descending=True)["model"]
    wide = rows.with_columns(interval.alias("text")).pivot("metric", index="model", values="text")
    order = pl.DataFrame({"model": best_first})
    return order.join(wide, on="model", maintain_order="left").select(
        "model", *(pl.col(name).alias(title) for name, title in METRICS.items())
    )


def _checked(model: str, settings: Settings | None) -> Settings:
    if model not in MODELS:
        raise SettingsError(
            f"There is no model {model!r}.",
            where="argument MODEL",
            found=repr(model),
            expected=f"one of {', '.join(MODELS)}",
            next_step=closest(model, list(MODELS)),
            state="Nothing was changed.",
        )
    return settings or load_settings()


def _refuse_absent_source(settings: Settings) -> None:
    present = sorted({manifest.source for manifest in landed(settings.raw_dir)})
    source = settings.tracing.source
    if present and source not in present:
        raise SettingsError(
            f"Nothing of the source {source!r} has been ingested.",
            where="flag `--source`, setting `tracing.source`",
            found=repr(source),
            expected=f"one of {', '.join(present)}",
            next_step=f"Add `--source {present[0]}`, or ingest {source!r}.",
            state="Nothing was trained.",
        )


def _finished_runs(settings: Settings) -> list[Path]:
    return [path.parent for path in settings.runs_dir.glob("*/run.json")]


def _settings_for(settings: Settings, source: str, steps: str) -> Settings:
    tracing = settings.tracing.model_copy(update={"source": source, "steps": steps})
    return settings.model_copy(update={"tracing": tracing})


def _dataset_of(run: TrainingRun, settings: Settings) -> TracingDataset:
    """Open the data that the run was trained on; refuse others, whose splits may differ."""
    from edpipe.datasets.tracing_source import tracing_dataset

    dataset = tracing_dataset(_settings_for(settings, run.source, run.steps))
    if dataset.fingerprint != run.fingerprint:
        raise TrainingError(
            "The training examples have changed since this run was trained.",
            where=str(run.run_dir),
            found=f"fingerprint {dataset.fingerprint}",
            expected=run.fingerprint,
            next_step="Run `edpipe train tracing` for a run on the present data.",
            state="Nothing was changed.",
        )
    return dataset


def _rescore(settings: Settings, champion: ModelVersion, candidate: ModelVersion) -> dict[str, float]:
    """Measure the champion on the candidate's validation students."""
    from edpipe.evaluation.metrics import auc, log_loss
    from edpipe.prediction.tracing import predict
    from edpipe.training.run import read_run

    run = read_run(settings.runs_dir / candidate.run_key)
    frame = predict(settings.runs_dir / champion.run_key, _dataset_of(run, settings), "valid")
    correct, probability = frame["is_correct"].to_numpy(), frame["probability"].to_numpy()
    return {"log_loss": log_loss(correct, probability), "auc": auc(correct, probability)}
