"""Commands of daily operation: forget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, rows_of, say

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(forget)


def forget(
    context: typer.Context,
    students: Annotated[
        list[str] | None,
        typer.Argument(help="Ids as in core.students; of tutors and clicks with the data set."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File with an id a line.", exists=True)] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Remove students from everything below home, for good, and prove it by a search.

    Example: `edpipe forget u123 algebra_2005_2006:stu_7`, `edpipe forget --file ids.txt --dry-run`. A killed
    call goes on with `edpipe forget`.
    """
    from edpipe import forget as verb

    named = [*(students or ())]
    if file is not None:
        named += [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    settings = settings_of(context)
    report = verb(named, settings, dry_run=dry_run)
    title = f"Raw rows of {report.num_students} students"
    raw = rows_of(report.raw, ["source", "relation", "rows"])
    if dry_run:
        emit(raw, form, title=f"{title}: would be removed")
    for model in report.models:
        registered = f", version {', '.join(model.versions)}" if model.versions else ""
        say(
            f"Trained on data with them: {model.model} run {model.run_key}{registered}. "
            f"Next: {model.next_step}."
        )
    if report.search is None:
        return
    if form is Format.table:
        emit(raw, form, title=f"{title}: removed")
        emit(rows_of(report.scrubbed, ["path", "what", "count"]), form, title="Made from them: changed")
    columns = ["folder", "kind", "files", "mib", "read_as", "found_in"]
    emit(rows_of(report.search.searched, columns), form, title="Searched afterwards: found in no file")
