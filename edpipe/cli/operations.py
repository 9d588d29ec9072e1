"""The command on what ran: runs."""

from __future__ import annotations

from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
# What fits beside each other; the formats for machines give all of `ops.runs`.
SHOWN = [
    "started_at",
    "step",
    "family",
    "source",
    "outcome",
    "rows_in",
    "rows_out",
    "seconds",
    "peak_memory_mib",
    "error_message",
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(runs)


def runs(
    context: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed or were killed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most runs, the latest first.")] = 20,
    form: FormatFlag = Format.table,
) -> None:
    """List the runs of steps, the latest first: by hand, by a flow, failed and killed ones too.

    Example: `edpipe runs`, `edpipe runs --failed --limit 5`. All columns: `--format csv`, or
    `edpipe sql "select * from ops.runs"`.
    """
    from edpipe import runs as verb

    found = verb(settings_of(context), failed=failed, limit=limit)
    emit(found.select(SHOWN) if form is Format.table else found, form, title="Runs, the latest first")
