"""Commands on models: train, evaluate, promote, score, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, say

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Model = Annotated[str, typer.Argument(help="tracing.")]
FEW_STUDENTS = 30
RunDir = Annotated[Path | None, typer.Option("--run", help="Folder of a training run; default the newest.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (train, evaluate, promote, score, report):
        app.command()(command)


def train(
    context: typer.Context,
    model: Model,
    source: Annotated[str | None, typer.Option(help="Source of the answers: ednet, assistments.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of going on.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Train a model; stop it with Ctrl-C, and the same command goes on.

    Example: `edpipe train tracing`, `edpipe --preset full --set tracing.model=dkt train tracing`.
    """
    from edpipe import train as verb

    run = verb(model, settings_of(context, tracing={"source": source}), resume=not fresh, dry_run=dry_run)
    facts = f"{run.config['kind']} tracer, {run.num_parameters:,} parameters, run {run.run_key}"
    if dry_run:
        say(f"Would train: {facts}, in {run.run_dir}")
        return
    figures = ", ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
    say(f"{'Trained' if run.is_new else 'Trained before'}: {facts}")
    say(f"Best epoch (from 0) {run.best_epoch} of {run.num_epochs}: {figures}")
    say(f"Run: {run.run_dir}")


def evaluate(
    context: typer.Context,
    model: Model = "tracing",
    run_dir: RunDir = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Compare a trained model with the baselines on test students, and register it.

    Example: `edpipe evaluate`. The test split is opened once for a run; a second call shows the result.
    """
    from edpipe import evaluate as verb
    from edpipe.learning import comparison, newest_run

    settings = settings_of(context)
    if dry_run:
        chosen = run_dir or newest_run(settings)
        say(f"Would score {chosen} and the baselines on validation and test students, and register it.")
        return
    done = verb(model, settings, run_dir=run_dir)
    emit(comparison(done.run.run_dir), form, title="Test students; intervals by student-level bootstrap")
    counts = done.evaluation.metrics.filter(split="test", subset="all").row(0, named=True)
    say(f"{counts['num_interactions']:,} answers of {counts['num_students']:,} test students.")
    if counts["num_students"] < FEW_STUDENTS:
        say(f"Warning: fewer than {FEW_STUDENTS} test students: the intervals say little.")
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
    """Make a version the champion, if it beats the champion on the same validation students.

    Example: `edpipe promote`, `edpipe promote tracing --version 3 --dry-run`.
    """
    from edpipe import promote as verb
    from edpipe import versions

    settings = settings_of(context)
    decided = verb(model, settings, version=version, dry_run=dry_run)
    say(decided.reason)
    emit(
        [
            {
                "version": one.version,
                "alias": ", ".join(one.aliases),
                "valid log loss": float(one.tags.get("valid.log_loss", "nan")),
                "valid AUC": float(one.tags.get("valid.auc", "nan")),
                "run": one.run_key,
            }
            for one in versions(model, settings)
        ],
        form,
        title=f"Versions of {model}",
    )


def score(context: typer.Context, model: Model = "tracing", dry_run: DryRun = False) -> None:
    """Write every student's mastery by the champion, and publish it as predictions.kc_mastery.

    Example: `edpipe score`.
    """
    from edpipe import publish, versions
    from edpipe import score as verb

    settings = settings_of(context)
    if dry_run:
        say(f"Would score all students with the champion of {model!r} and publish their mastery.")
        return
    verb(model, settings)
    chosen = next(one for one in versions(model, settings) if "champion" in one.aliases)
    say(f"Scored with {model} version {chosen.version}.")
    say(f"Published: {publish(settings)}")


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
