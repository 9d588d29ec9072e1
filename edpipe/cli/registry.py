"""Commands on registered models: rollback, drift."""

from __future__ import annotations

from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, say

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
SHOWN = ["model", "kind", "name", "num_rows", "value", "chance", "low", "high", "verdict"]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (rollback, drift):
        app.command()(command)


def rollback(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="tracing, strategy, tsdiff or diffumin.")],
    to: Annotated[
        int | None, typer.Option(help="Version to go back to; default the champion before.", min=1)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Make the version champion again that was it before, and keep the present one from coming back.

    Example: `edpipe rollback tracing`, `edpipe rollback strategy --to 3 --reason "wrong for part 7"`. Every
    promotion and rollback: `edpipe sql "select * from ops.promotions"`.
    """
    from edpipe import rollback as verb
    from edpipe.learning import stale_tables

    settings = settings_of(context)
    done = verb(model, settings, to=to, reason=reason, dry_run=dry_run)
    would = "Would make" if dry_run else "Made"
    say(f"{would} version {done.champion} of {model} champion again, in place of {done.previous}.")
    if not dry_run:
        say(f"Reason: {done.reason}")
        for line in stale_tables(model, settings, champion=done.champion):
            say(line)
    row = {"model": model, "champion": done.champion, "previous": done.previous, "reason": done.reason}
    emit([row], form, title=f"Champion of {model}")


def drift(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="tracing, strategy, tsdiff or diffumin; default each that has a champion."),
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Compare what came after the champion's training with what it was trained on.

    Example: `edpipe drift`, `edpipe drift tracing --format csv`. Inputs and scores by the population
    stability index, calibration by week, unseen items and KCs, rows a day. All checks: `edpipe sql "select *
    from ops.drift"`; a plot: `edpipe report`.
    """
    import polars as pl

    from edpipe import drift as verb
    from edpipe.champions import champions

    settings = settings_of(context)
    chosen = [model] if model else [one.name for one in champions(settings)]
    if dry_run:
        say(f"Would look for drift of {', '.join(chosen) or 'nothing: no family has a champion'}.")
        return
    if not chosen:
        say("No family has a champion: run `edpipe promote`.")
    parts = []
    for one in chosen:
        found = verb(one, settings)
        parts.append(found.rows.select(pl.lit(one).alias("model"), pl.all()))
        for line in found.words:
            say(line)
    rows = pl.concat(parts) if parts else pl.DataFrame()
    if rows.height:
        shown = rows.filter(pl.col("verdict").is_not_null()).select(SHOWN) if form is Format.table else rows
        emit(shown, form, title="Drift since training")
