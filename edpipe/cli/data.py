"""Commands on data: ingest, plan, build, publish, show, sql, status."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, rows_of, say
from edpipe.errors import ContractError

# After an interrupt that DuckDB has not heard, before the process ends itself.
GRACE_SECONDS = 5.0

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (ingest, plan, build, publish, show, sql, status):
        app.command()(command)


def ingest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="ednet, assistments, kddcup, datashop, mathia, clicks.")],
    paths: Annotated[list[Path], typer.Argument(help="Archives, folders or files, as downloaded.")],
    students: Annotated[
        int | None,
        typer.Option(min=1, help="This many of EdNet's 784,309 students, chosen by a hash of their id."),
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(min=0, max=1, help="This share of the students, chosen likewise.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Of clicks: movielens, taobao, sequences or columns.")
    ] = None,
    student_column: Annotated[
        str | None, typer.Option(help="Column of a table with the students' ids; default student_id.")
    ] = None,
    item_column: Annotated[
        str | None, typer.Option(help="Column of a table with the items' ids; default item_id.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Column of a table with when; without it rows stand in order.")
    ] = None,
    category_column: Annotated[
        str | None, typer.Option(help="Column of a table with an item's categories, joined by | or ;.")
    ] = None,
    outcome_column: Annotated[
        str | None,
        typer.Option(help="Column of a table with what came of it, a word or number of few different."),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Put the files to those read before, not in their place.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Data set of the files; default by their names or folder.")
    ] = None,
    max_rejects: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of unusable rows that is still accepted.")
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Read foreign files into raw Parquet; a second run does nothing, a killed one goes on.

    Example: `edpipe ingest ednet EdNet-KT1.zip EdNet-Contents.zip --fraction 0.1`,
    `edpipe ingest assistments assist2009_pid_train1.csv assist2009_pid_test1.csv`,
    `edpipe ingest kddcup algebra_2005_2006_train.txt`,
    `edpipe ingest clicks ml-latest-small --layout movielens`,
    `edpipe ingest ednet deliveries --add`.
    """
    from edpipe import ingest as verb

    named = {
        "student": student_column,
        "item": item_column,
        "time": time_column,
        "category": category_column,
        "outcome": outcome_column,
    }
    report = verb(
        source,
        paths,
        settings_of(context),
        students=students,
        fraction=fraction,
        layout=layout,
        columns={what: name for what, name in named.items() if name},
        add=add,
        dataset=dataset,
        max_rejects=max_rejects,
        dry_run=dry_run,
    )
    if dry_run:
        columns = ["relation", "source_bytes", "shards_written", "shards_reused", "selection"]
    else:
        columns = [
            "relation",
            "rows",
            "rejected_rows",
            "shards_written",
            "shards_reused",
            "seconds",
            "selection",
        ]
    emit(rows_of(report.relations, columns), form, title="Would be done" if dry_run else "Raw relations")
    for note in dict.fromkeys(note for relation in report.relations for note in relation.notes):
        say(note)


def plan(context: typer.Context, form: FormatFlag = Format.table) -> None:
    """Say what `build` would do and why, with row estimates.

    Example: `edpipe plan`.
    """
    from edpipe import plan as verb

    planned = verb(settings_of(context))
    emit(planned.rows(), form, title="To build")
    if not planned.rows():
        say("Nothing changed: `edpipe build` would do nothing.")


def build(
    context: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(help="SQL models, such as core.interactions; default all.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Build everything again.")] = False,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Build the SQL models that changed, audit them, publish them.

    Example: `edpipe build`, `edpipe build core.sessions --dry-run`.
    """
    from edpipe import build as verb

    report = verb(settings_of(context), models=models or (), full=full, dry_run=dry_run)
    if dry_run:
        emit(report.rows(), form, title="Would be built, with estimated rows")
        return
    if not report.models:
        say("Nothing changed.")
    emit(report.rows(), form, title=f"Built in {report.seconds:.1f} s")
    compared = sum(row["severity"] != "info" for row in report.reconciliation)
    errors = sum(finding["severity"] == "error" for finding in report.findings)
    for found in report.findings:
        say(
            f"Reconciliation, {found['severity']}: {found['check_name']} of {found['relation']} is "
            f"{found['observed']:,}, not {found['expected']:,}: {found['detail']}."
        )
    say(
        f"Reconciliation: {compared} checks, {errors} errors, {len(report.findings) - errors} warnings; "
        f'{len(report.reconciliation) - compared} counts (`edpipe sql "from core.reconciliation"`).'
    )
    say(f"Published: {report.published}")


def publish(context: typer.Context, dry_run: DryRun = False) -> None:
    """Replace `published.duckdb` by rename, predictions included.

    Example: `edpipe publish`.
    """
    from edpipe import publish as verb

    settings = settings_of(context)
    if dry_run:
        say(f"Would replace {settings.published_path}.")
        return
    say(f"Published: {verb(settings)}")


def show(
    context: typer.Context,
    relation: Annotated[str, typer.Argument(help="For example core.interactions.")],
    form: FormatFlag = Format.table,
) -> None:
    """Show a relation: meaning of every column, audits, rows, a sample, lineage.

    Example: `edpipe show core.interactions`.
    """
    from edpipe import show as verb

    info = verb(relation, settings_of(context))
    emit(info.column_rows(), form, title=info.name)
    for line in info.lines():
        say(line)
    if form is Format.table and info.sample.height:
        emit(info.sample, form, title="Sample")


def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="One SELECT; `-` reads it from standard input.")],
    form: FormatFlag = Format.table,
) -> None:
    """Ask the published tables, read-only, without reach for anything else.

    Example: `edpipe sql "select part, count(*) from core.items group by part"`.
    """
    from edpipe import sql as verb

    text = sys.stdin.read() if query == "-" else query
    settings = settings_of(context)
    # DuckDB cannot be interrupted while it folds constants; this process has nothing else to do.
    last_resort = threading.Timer(settings.query.timeout_seconds + GRACE_SECONDS, _give_up)
    last_resort.daemon = True
    last_resort.start()
    answer = verb(text, settings)
    last_resort.cancel()
    emit(answer, form)


def _give_up() -> None:
    say(
        "Error: The query took too long and does not let itself be interrupted.\n"
        "  Where: setting `query.timeout_seconds`\n"
        "  Next step: Ask for less, or allow more: `edpipe --set query.timeout_seconds=600 sql …`.\n"
        "  State: Nothing was changed."
    )
    os._exit(ContractError.exit_code)


def status(context: typer.Context, form: FormatFlag = Format.table) -> None:
    """Say what exists, how old it is, what is stale, and who is writing.

    Example: `edpipe status`.
    """
    from edpipe import status as verb
    from edpipe.learning import champion_lines, trained_lines
    from edpipe.operations.run_table import last_lines, run_table

    settings = settings_of(context)
    found = verb(settings)
    emit(found.rows(), form, title="Published relations")
    for line in [
        *found.lines(),
        *trained_lines(settings),
        *champion_lines(settings),
        *last_lines(run_table(settings)),
    ]:
        say(line)
