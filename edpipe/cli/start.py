"""Commands to begin with: demo, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, rows_of, say

if TYPE_CHECKING:
    import polars as pl

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(demo)
    app.command()(doctor)


def demo(
    context: typer.Context,
    students: Annotated[int | None, typer.Option(help="Synthetic students.", min=20)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    form: FormatFlag = Format.table,
) -> None:
    """Run the whole pipeline on synthetic data, in minutes; needs no server, GPU or network.

    Example: `edpipe demo`. Writes below `<home>/demo`; your own data are not touched.
    """
    from edpipe import demo as verb
    from edpipe.walkthrough import demo_home

    settings = settings_of(context, default_preset="smoke", synthetic={"students": students})
    if dry_run:
        say(
            f"Would run everything on {settings.synthetic.students} synthetic students and "
            f"{settings.synthetic.tutor_students} of a tutor, below {demo_home(settings)}."
        )
        return
    result = verb(settings)
    _show_metrics(result.metrics, form)
    say(f"HTML report: {result.report}")
    say(f'Ask: edpipe --home {result.home} sql "select * from core.students limit 5"')


def _show_metrics(metrics: dict[str, pl.DataFrame], form: Format) -> None:
    """Print a table a family; the formats for machines get one with all columns."""
    import polars as pl

    from edpipe.learning import family_of

    if form is Format.table:
        for family, frame in metrics.items():
            subject = family_of(family).subject
            emit(
                frame, form, title=f"{family.capitalize()}: test part, intervals by {subject}-level bootstrap"
            )
        return
    named = [frame.select(pl.lit(family).alias("family"), pl.all()) for family, frame in metrics.items()]
    emit(pl.concat(named, how="diagonal"), form)


def doctor(
    context: typer.Context,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="List every setting, its value and meaning.")
    ] = False,
    form: FormatFlag = Format.table,
) -> None:
    """Check this machine: Python, packages, device, memory, disk, servers.

    Example: `edpipe doctor`, `edpipe doctor --settings`.
    """
    from edpipe.machine import examine, setting_rows

    settings = settings_of(context)
    if show_settings:
        emit(setting_rows(settings), form)
        return
    checks = examine(settings)
    emit(rows_of(checks, ("check", "state", "found", "next_step")), form)
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(1)
