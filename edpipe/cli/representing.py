"""Commands that learn who is alike: embed, cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, say

if TYPE_CHECKING:
    from edpipe.families.family import Made

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Source = Annotated[str | None, typer.Option(help="Source of the tutor logs: kddcup, datashop, mathia.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (embed, cluster):
        app.command()(command)


def embed(
    context: typer.Context,
    source: Source = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Learn vectors of students, problems and KCs from logs of a tutor, weighted by mastery.

    Example: `edpipe embed`, `edpipe embed --source datashop --dry-run`. Prints how well each estimator of
    mastery foretells held-out steps. A second run finds everything done.
    """
    from edpipe import embed as verb

    settings = settings_of(context, strategy={"source": source})
    _show(verb(settings, dry_run=dry_run), form)


def cluster(
    context: typer.Context,
    source: Source = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Group students and problems that are interchangeable, from coarse to fine.

    Example: `edpipe cluster`, `edpipe --set clusters.level=instances cluster`. Prints the rounds of
    refinement. An embedding is made on the way where it is not there.
    """
    from edpipe import cluster as verb

    settings = settings_of(context, strategy={"source": source})
    _show(verb(settings, dry_run=dry_run), form)


def _show(made: Made, form: Format) -> None:
    """Print the table of what was made on stdout, and the rest on stderr."""
    if made.rows.height:
        emit(made.rows, form, title=made.title, caption=made.caption)
    for line in made.words:
        say(line)
