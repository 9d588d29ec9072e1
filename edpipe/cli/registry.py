"""Commands on registered models: rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, say

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(rollback)


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
