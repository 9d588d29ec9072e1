"""Commands of daily operation: runs, forget, export, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, rows_of, say

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
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
    """Add the commands to the application."""
    for command in (runs, forget, export, backup, restore):
        app.command()(command)


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
    if form is Format.table:
        shown = found.select(SHOWN)
        found = shown.with_columns(shown["started_at"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    emit(found, form, title="Runs, the latest first; UTC")


def forget(
    context: typer.Context,
    students: Annotated[
        list[str] | None,
        typer.Argument(help="Ids as in core.students; of tutors and clicks with the data set."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File with an id a line.")] = None,
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


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.")],
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Must be set: nothing leaves with its students.")
    ] = False,
    relation: Annotated[
        list[str] | None,
        typer.Option(
            help="Relation with students; may stand several times.", show_default="core.interactions"
        ),
    ] = None,
    k: Annotated[int, typer.Option(help="Least number of students behind a value or aggregate.", min=2)] = 5,
    key_file: Annotated[
        Path | None, typer.Option(help="Secret key of the pseudonyms.", show_default="one kept in home")
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Write relations with keyed pseudonyms, and aggregates of at least k students.

    Example: `edpipe export --anonymize OUT`, `edpipe export --anonymize --relation core.sessions --k 10 OUT`.
    """
    from edpipe import export as verb
    from edpipe.exporting import RELATIONS

    done = verb(
        out,
        settings_of(context),
        anonymize=anonymize,
        relations=relation or RELATIONS,
        k=k,
        key_file=key_file,
        dry_run=dry_run,
    )
    title = "Would be exported" if dry_run else f"Exported to {out}"
    emit(rows_of(done, ["file", "rows", "students", "withheld"]), form, title=title)


def backup(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="Folder of backups, outside home.")],
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Copy home to a folder of backups; a second backup copies only what is new.

    Example: `edpipe backup /mnt/backups/edpipe`.
    """
    from edpipe import backup as verb

    report = verb(target, settings_of(context), dry_run=dry_run)
    emit(
        rows_of(report.folders, ["folder", "files", "mib", "new_files", "new_mib"]),
        form,
        title="Would be backed up" if dry_run else f"Backup {report.name}",
    )
    if report.is_tracked_elsewhere:
        say("Runs and models of the tracking server are not in it: back up its database and artifacts too.")


def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Folder of backups.")],
    at: Annotated[str | None, typer.Option(help="Name of the backup.", show_default="the newest")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a home that holds something.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Bring home back from a backup; every file is verified before the first is replaced.

    Example: `edpipe restore /mnt/backups/edpipe`, `edpipe --home elsewhere restore /mnt/backups/edpipe`.
    """
    from edpipe import restore as verb

    settings = settings_of(context)
    report = verb(source, settings, at=at, force=force, dry_run=dry_run)
    told = f"{report.files:,} files, {report.mib:,.1f} MiB, of backup {report.name}"
    say(f"Verified, would be restored: {told}." if dry_run else f"Restored and verified: {told}.")
    if report.made_of != str(settings.home.resolve()):
        say(
            f"It was made of {report.made_of}: MLflow's store names artifacts by that path. Restore there, "
            "or register the models again."
        )
