"""Commands on models: train, evaluate, promote, score, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, rows_of, say

if TYPE_CHECKING:
    from edpipe.families.family import Family
    from edpipe.settings import Settings

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Model = Annotated[str, typer.Argument(help="tracing, strategy, tsdiff or diffumin.")]
FEW_STUDENTS = 30
KINDS = {"tracing": "tracer", "strategy": "predictor", "tsdiff": "forecaster", "diffumin": "recommender"}
RunDir = Annotated[Path | None, typer.Option("--run", help="Folder of a training run; default the newest.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (train, evaluate, promote, score, report):
        app.command()(command)


def train(
    context: typer.Context,
    model: Model,
    source: Annotated[
        str | None,
        typer.Option(
            help="Ingested source to learn from. tracing: ednet (the default), assistments, kddcup, "
            "datashop or mathia; strategy: kddcup (the default), datashop or mathia; tsdiff: any with times, "
            "ednet is the default; diffumin: any, and clicks, ednet is the default."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of going on.")] = False,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Train a model; stop it with Ctrl-C, and the same command goes on.

    Example: `edpipe train tracing`, `edpipe --preset full --set tracing.model=dkt train tracing`,
    `edpipe train strategy --source kddcup`, `edpipe train tsdiff`, `edpipe --set tsdiff.file=visits.csv train
    tsdiff`, `edpipe train diffumin --source clicks`. A predictor of strategies needs an embedding and
    clusters, which are made on the way, with a line each. Formats for machines give one row, the run.
    """
    from edpipe import train as verb
    from edpipe.datasets.series_source import account_words
    from edpipe.datasets.strategy_lengths import single_step_words
    from edpipe.families.impression_words import impression_words

    family, settings = _family(context, model, source)
    run = verb(
        model,
        settings,
        resume=not fresh,
        dry_run=dry_run,
        on_made=lambda made: say(made.line),
    )
    kind = f"{run.options.get('model', run.config['kind'])} {KINDS[family.name]}"
    if not run.run_key:
        say(f"Would train: {kind}; what it learns from is made first and names the run.")
        return
    for line in (*account_words(run.data.get("account", {})), *impression_words(run.data)):
        say(line)
    facts = f"{kind}, {run.num_parameters:,} parameters, run {run.run_key}"
    if dry_run:
        say(f"Would train: {facts}, in {run.run_dir}")
        return
    figures = ", ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
    say(f"{'Trained' if run.is_new else 'Trained before'}: {facts}")
    best = 0 if run.best_epoch is None else run.best_epoch + 1
    say(f"Best epoch {best or '0 (before training)'} of {run.num_epochs}: {figures}")
    if words := single_step_words(float(run.data.get("single_step_share", 0.0))):
        say(words)
    say(f"Run: {run.run_dir}")
    if form is not Format.table:
        columns = ("model", "run_key", "source", "best_epoch", "num_epochs", "num_parameters", "run_dir")
        emit([{**rows_of([run], columns)[0], "best_epoch": best, **run.metrics}], form)


def evaluate(
    context: typer.Context,
    model: Model = "tracing",
    run_dir: RunDir = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Compare a trained model with the baselines on the test part, and register it.

    Example: `edpipe evaluate`, `edpipe evaluate strategy`, `edpipe evaluate tsdiff` (a rolling backtest),
    `edpipe evaluate diffumin`.
    The test split is opened once for a run; a second call shows the result.
    """
    from edpipe import evaluate as verb
    from edpipe.learning import comparison, newest_run

    family, settings = _family(context, model)
    if dry_run:
        chosen = run_dir or newest_run(settings, model)
        say(f"Would score {chosen} and the baselines on validation and test {family.rows}, and register it.")
        return
    done = verb(model, settings, run_dir=run_dir)
    title = f"Test {family.rows}; intervals by {family.subject}-level bootstrap"
    emit(comparison(done.run.run_dir), form, title=title)
    counts = done.evaluation.metrics.filter(split="test", subset="all").row(0, named=True)
    say(f"{counts['num_interactions']:,} {family.rows} of {counts['num_students']:,} test {family.subjects}.")
    if family.subjects == "students" and counts["num_students"] < FEW_STUDENTS:
        say(f"Warning: fewer than {FEW_STUDENTS} test students: the intervals say little.")
    for statement in done.statements:
        say(statement)
    for warning in done.evaluation.warnings:
        say(f"Warning: {warning}")
    say(f"Registered: {done.version.name} version {done.version.version}")


def promote(
    context: typer.Context,
    model: Model = "tracing",
    version: Annotated[int | None, typer.Option(help="Candidate; default the newest.", min=1)] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Make a version the champion, if every rule lets it.

    Example: `edpipe promote`, `edpipe promote strategy --version 3 --dry-run`. It must be better than the
    champion on the same validation rows, no worse for the group served worst, and its calibration and latency
    must lie within bounds (`promotion.…` in `edpipe doctor --settings`). Back: `edpipe rollback`.
    """
    from edpipe import promote as verb
    from edpipe import versions
    from edpipe.learning import warnings_of

    family, settings = _family(context, model)
    decided = verb(model, settings, version=version, dry_run=dry_run)
    say(decided.reason)
    for verdict in decided.verdicts:
        say(f"- {verdict.rule}: {verdict.outcome}. {verdict.reason}")
    for warning in warnings_of(model, settings, version=decided.version):
        say(f"Warning: {warning}")
    emit(
        [
            {
                "version": one.version,
                "alias": ", ".join(one.aliases),
                **{
                    title: float(one.tags.get(f"valid.{metric}", "nan"))
                    for metric, title in family.validation.items()
                },
                "run": one.run_key,
            }
            for one in versions(model, settings)
        ],
        form,
        title=f"Versions of {model}",
    )


def score(context: typer.Context, model: Model = "tracing", dry_run: DryRun = False) -> None:
    """Write and publish the champion's predictions: mastery, strategies and clusters, forecasts, or items.

    Example: `edpipe score`, `edpipe score strategy`, `edpipe score tsdiff`, `edpipe score diffumin`. Tables:
    predictions.kc_mastery; predictions.strategies, predictions.strategy_clusters,
    predictions.cluster_profiles; predictions.activity_forecasts; predictions.recommendations.
    """
    from edpipe import publish, versions
    from edpipe import score as verb
    from edpipe.families.tables import table_lines

    family, settings = _family(context, model)
    if dry_run:
        say(f"Would score with the champion of {model!r} and publish {', '.join(family.tables)}.")
        return
    started = time.time()
    paths = verb(model, settings)
    chosen = next(one for one in versions(model, settings) if "champion" in one.aliases)
    say(f"Scored with {model} version {chosen.version}.")
    for line in table_lines(paths, since=started):
        say(line)
    if settings.warehouse_path.exists():
        say(f"Published: {publish(settings)}")
    else:
        folder = ", ".join(sorted({str(path.parent) for path in paths}))
        say(f"Not published for SQL, because no warehouse has been built here: the rows lie in {folder}.")


def report(
    context: typer.Context,
    run_dir: RunDir = None,
    output: Annotated[Path | None, typer.Option(help="HTML file to write.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Write one self-contained HTML file: reconciliation, activity, models, mastery, equity.

    Example: `edpipe report`, `edpipe report --output class.html`.
    """
    from edpipe import report as verb

    settings = settings_of(context)
    if dry_run:
        say(f"Would write {output or settings.reports_dir / 'report.html'}.")
        return
    say(f"HTML report: {verb(settings, run_dir=run_dir, output=output)}")


def _family(context: typer.Context, model: str, source: str | None = None) -> tuple[Family, Settings]:
    """Return the family of a name, unknown ones refused, and the settings with its source on top."""
    from edpipe.learning import family_of

    family = family_of(model)
    # A flag that was not given must not hide one of `--set`.
    flags: dict[str, Any] = {} if source is None else {family.group: {"source": source}}
    return family, settings_of(context, **flags)
