"""The verbs that need a model: train, evaluate, promote, score, report; each for a family of models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe import accounts
from edpipe.advice import only_clicks, train_command
from edpipe.errors import RegistryError, SettingsError, TrainingError
from edpipe.families.diffumin import DiffuMINFamily
from edpipe.families.family import Evaluated, Family, OnMade
from edpipe.families.runs import (
    comparison_of,
    finished_runs,
    is_scored,
    model_of,
    newest_run,
    run_lines,
)
from edpipe.families.strategy import StrategyFamily
from edpipe.families.tracing import TracingFamily
from edpipe.families.tsdiff import TSDiffFamily
from edpipe.operations.runs import Run, recorded
from edpipe.setting_groups import closest
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.tracking.promotion import Promotion
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

__all__ = [
    "MODELS",
    "Evaluated",
    "champion_lines",
    "comparison",
    "evaluate",
    "family_of",
    "models_on",
    "newest_run",
    "promote",
    "report",
    "score",
    "train",
    "trained_lines",
    "versions",
]

FAMILIES: dict[str, Family] = {
    one.name: one for one in (TracingFamily(), StrategyFamily(), TSDiffFamily(), DiffuMINFamily())
}
MODELS = tuple(FAMILIES)


def train(
    model: str = "tracing",
    settings: Settings | None = None,
    *,
    resume: bool = True,
    dry_run: bool = False,
    on_made: OnMade | None = None,
) -> TrainingRun:
    """Train a model on the training part, choose its weights on the validation part.

    The same data, configuration and seed give the run that is there already; an interrupted run goes on.
    The run is in MLflow from its start, with the status that really happened. A predictor of strategies
    needs an embedding and clusters, which are made on the way where they are not there.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    settings
        Default: :func:`edpipe.load_settings`. `settings.tracing`, `settings.strategy`, `settings.tsdiff` and
        `settings.diffumin` say which model, on which source; of the last, `settings.recommendation` does.
    resume
        Take up an interrupted run; otherwise it starts anew.
    dry_run
        Say what would be trained; write nothing that stays.
    on_made
        Called with what was made on the way, embedding and clusters, once it is safe on disk.

    Raises
    ------
    SettingsError
        If the source that the settings name has not been ingested.
    TrainingError
        If a split is empty, the loss is not finite, or a checkpoint cannot be read.
    """
    family = family_of(model)
    settings = settings or load_settings()
    with _recorded(settings, "train", family, is_dry_run=dry_run) as run:
        trained = family.train(settings, resume=resume, dry_run=dry_run, on_made=on_made)
        run.made(lambda: accounts.of_training(trained))
    return trained


def evaluate(
    model: str = "tracing",
    settings: Settings | None = None,
    *,
    run_dir: Path | None = None,
) -> Evaluated:
    """Score a trained model beside the baselines on validation and test rows, and register it.

    The test split is opened once for a run: a second call returns what was measured. A snapshot of the
    training data is kept for :func:`edpipe.drift`.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    settings
        Default: :func:`edpipe.load_settings`.
    run_dir
        Folder of the training run; by default the newest of the family.

    Raises
    ------
    TrainingError
        If there is no finished run of this family, or the data have changed since it was trained.
    """
    family = family_of(model)
    settings = settings or load_settings()
    from edpipe.families.drift_snapshot import take_snapshot

    with _recorded(settings, "evaluate", family) as run:
        chosen = _run_of(family, run_dir or newest_run(settings, model))
        was_scored = is_scored(chosen.run_dir)
        done = family.evaluate(settings, chosen)
        take_snapshot(settings, done)
        run.made(lambda: accounts.of_evaluation(done, is_up_to_date=was_scored))
    return done


def promote(
    model: str = "tracing",
    settings: Settings | None = None,
    *,
    run_dir: Path | None = None,
    version: int | None = None,
    dry_run: bool = False,
) -> Promotion:
    """Make a registered version the champion, if it beats the champion on the same validation rows.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
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
    family = family_of(model)
    settings = settings or load_settings()
    from edpipe.tracking import promotion

    with _recorded(settings, "promote", family, is_dry_run=dry_run) as run:
        if run_dir is not None and version is None:
            version = next(
                (one.version for one in versions(model, settings) if one.run_key == run_dir.name), None
            )
        decided = promotion.promote(
            settings,
            model,
            version,
            rescore=lambda champion, candidate: family.rescore(settings, champion, candidate),
            dry_run=dry_run,
        )
        run.made(lambda: accounts.of_promotion(decided))
    return decided


def score(model: str = "tracing", settings: Settings | None = None) -> list[Path]:
    """Write the prediction tables of a family by its champion.

    ``tracing`` gives every student's mastery of every KC, ``predictions.kc_mastery``; ``strategy`` gives
    ``predictions.strategies``, ``predictions.strategy_clusters`` and ``predictions.cluster_profiles``;
    ``tsdiff`` gives ``predictions.activity_forecasts``; ``diffumin`` gives ``predictions.recommendations``.
    Publish afterwards (:func:`edpipe.publish`), so that readers see them.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    settings
        Default: :func:`edpipe.load_settings`.

    Returns
    -------
    list of Path
        The files written, or found up to date.

    Raises
    ------
    RegistryError
        If there is no champion yet.
    """
    family = family_of(model)
    settings = settings or load_settings()
    from edpipe.tracking.registry import champion

    before = accounts.stamps(settings, family.tables)
    with _recorded(settings, "score", family) as run:
        chosen = champion(settings, model)
        written = family.score(settings, chosen)
        run.made(lambda: accounts.of_scores(written, chosen.uri, before))
    return written


def report(
    settings: Settings | None = None,
    *,
    run_dir: Path | Sequence[Path] | None = None,
    output: Path | None = None,
) -> Path:
    """Write one self-contained HTML file about the published tables and the newest runs.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`.
    run_dir
        Folders of training runs to show, one a family; by default, and for families that are not among
        them, the newest that was evaluated, else the newest.
    output
        File to write; by default ``<home>/reports/report.html``.

    Raises
    ------
    ContractError
        If nothing has been published yet and no model has been trained.
    TrainingError
        If ``run_dir`` holds no finished run.
    """
    settings = settings or load_settings()
    with recorded(settings, "report") as run:
        written = _write_report(settings, [run_dir] if isinstance(run_dir, Path) else run_dir or (), output)
        run.made(lambda: accounts.of_report(written, settings))
    return written


def _write_report(settings: Settings, run_dirs: Sequence[Path], output: Path | None) -> Path:
    """Choose a run a family, and write the page."""
    from edpipe.evaluation.report import write_report
    from edpipe.training.run import read_run

    shown = {
        model: newest_run(settings, model, evaluated=True)
        for model in MODELS
        if finished_runs(settings, model)
    }
    for folder in run_dirs:
        run = read_run(folder)
        shown[run.model] = run.run_dir
    return write_report(
        settings,
        run_dir=shown.get("tracing"),
        strategy_run_dir=shown.get("strategy"),
        forecast_run_dir=shown.get("tsdiff"),
        recommend_run_dir=shown.get("diffumin"),
        output=output,
    )


def versions(model: str = "tracing", settings: Settings | None = None) -> list[ModelVersion]:
    """Return the registered versions of a model, with their aliases."""
    family_of(model)
    from edpipe.tracking import registry

    return registry.versions(settings or load_settings(), model)


def trained_lines(settings: Settings) -> list[str]:
    """Say which embeddings, clusters, runs and reports exist, without asking the registry."""
    told = [
        f"{title}: {len(found)}, in {folder}."
        for title, folder, file in (
            ("Embeddings", settings.embeddings_dir, "embedding.json"),
            ("Clusterings", settings.clusters_dir, "clusters.json"),
        )
        if (found := sorted(folder.glob(f"*/{file}")))
    ]
    runs = [line for model in MODELS for line in run_lines(settings, model)]
    if not runs:
        # Clicks are no answers: only recommenders learn from them.
        model = "diffumin" if only_clicks(settings) else "tracing"
        return [*told, f"Nothing has been trained: run `{train_command(settings, model)}`."]
    reports = sorted(settings.reports_dir.glob("*.html"))
    return [*told, *runs, *(f"Report: {path}." for path in reports)]


def champion_lines(settings: Settings) -> list[str]:
    """Say which version of each family is champion, and how good it was on validation rows.

    The registry is asked only about families that have an evaluated run.
    """
    told = []
    for model, family in FAMILIES.items():
        if not any(is_scored(run) for run in finished_runs(settings, model)):
            continue
        try:
            chosen = next((one for one in versions(model, settings) if "champion" in one.aliases), None)
        except RegistryError as error:
            told.append(f"Champion of {model}: {error.what}")
            continue
        if chosen is None:
            told.append(f"Champion of {model}: none yet, run `edpipe promote {model}`.")
            continue
        metric, title = next(iter(family.validation.items()))
        value = float(chosen.tags.get(f"valid.{metric}", "nan"))
        told.append(f"Champion of {model}: version {chosen.version}, {title} {value:.4f}.")
        told += stale_tables(model, settings, champion=chosen.version)
    return told


def stale_tables(model: str, settings: Settings, *, champion: int) -> list[str]:
    """Say which prediction tables of a family are of another version than its champion."""
    from edpipe.families.tables import stale_lines

    return stale_lines(settings, family_of(model).tables, model, champion)


def comparison(run_dir: Path, *, split: str = "test", subset: str = "all") -> pl.DataFrame:
    """Return one row a model: each metric on a subset of a split, with its interval, best first.

    Tracers and recommenders are ordered by AUC, predictors of strategies by exact match, forecasters by CRPS.
    """
    family = FAMILIES[model_of(run_dir)]
    return comparison_of(run_dir, family.titles, split=split, subset=subset, lowest_first=family.lowest_first)


def models_on(settings: Settings, sources: Iterable[str]) -> list[str]:
    """Return the families whose source in the settings is one of these."""
    known = set(sources)
    return [model for model, family in FAMILIES.items() if family.source(settings) in known]


def family_of(model: str) -> Family:
    """Return a family by its name.

    Raises
    ------
    SettingsError
        If there is none; the closest name is given.
    """
    if model not in FAMILIES:
        raise SettingsError(
            f"There is no model {model!r}.",
            where="argument MODEL",
            found=repr(model),
            expected=f"one of {', '.join(MODELS)}",
            next_step=closest(model, list(MODELS)),
            state="Nothing was changed.",
        )
    return FAMILIES[model]


def _recorded(
    settings: Settings, step: str, family: Family, *, is_dry_run: bool = False
) -> AbstractContextManager[Run]:
    """Leave one line about a step of a family."""
    return recorded(settings, step, family=family.name, source=family.source(settings), is_dry_run=is_dry_run)


def _run_of(family: Family, run_dir: Path) -> TrainingRun:
    """Read a run; refuse one of another family."""
    from edpipe.training.run import read_run

    run = read_run(run_dir)
    if run.model != family.name:
        raise TrainingError(
            f"This is a run of {run.model}, not of {family.name}.",
            where=str(run_dir),
            found=run.model,
            expected=family.name,
            next_step=f"Run `edpipe evaluate {run.model}`, or leave `--run` out.",
            state="Nothing was changed.",
        )
    return run


def warnings_of(
    model: str = "tracing", settings: Settings | None = None, *, version: int | None = None
) -> tuple[str, ...]:
    """Return what the evaluation of a registered version warns of; nothing where its run is gone.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    settings
        Default: :func:`edpipe.load_settings`.
    version
        By default the newest.
    """
    settings = settings or load_settings()
    from edpipe.evaluation.results import Evaluation

    known = [one for one in versions(model, settings) if version in (None, one.version)]
    folder = settings.runs_dir / known[-1].run_key if known else None
    return Evaluation.load(folder).warnings if folder and is_scored(folder) else ()
