"""The application: global flags, commands, and how errors end it."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from edpipe.cli import (
    data,
    forecasting,
    learning,
    operations,
    recommendation,
    refinement,
    registry,
    representing,
    start,
    synthesis,
)
from edpipe.cli.context import Options
from edpipe.errors import EdpipeError, SettingsError

INTERRUPTED = 130
KEPT = "Stopped. Finished parts are kept; the same command goes on from there."

app = typer.Typer(
    name="edpipe",
    help="Education logs to clean tables, tracked models and predictions that SQL can query.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
start.add_to(app)
data.add_to(app)
representing.add_to(app)
learning.add_to(app)
forecasting.add_to(app)
recommendation.add_to(app)
refinement.add_to(app)
synthesis.add_to(app)
operations.add_to(app)
registry.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from edpipe import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="Folder that holds everything written.", show_default="./data")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="smoke, small or full.", show_default="small")] = None,
    progress: Annotated[str | None, typer.Option(help="bar, log, none or auto.", show_default="auto")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.", show_default="edpipe.toml, if it exists")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, as `tracing.size=64`; may stand several times."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Education logs to clean tables, tracked models and predictions that SQL can query.

    Start: `edpipe demo`. With data: `edpipe ingest ednet EdNet-KT1.zip EdNet-Contents.zip`, `edpipe build`,
    `edpipe train tracing`, `edpipe evaluate`, `edpipe promote`, `edpipe report`. With logs of a tutor:
    `edpipe ingest kddcup FILE`, `edpipe build`, `edpipe train strategy`, `edpipe evaluate strategy`.
    Forecasts: `edpipe train tsdiff`, `edpipe evaluate tsdiff`, `edpipe promote tsdiff`, `edpipe forecast`.
    Recommendations: the same with `diffumin`, then `edpipe recommend --student u1`.
    """
    del version
    context.obj = Options(
        home=home, preset=preset, progress=progress, config=config, values=tuple(values or ()), debug=debug
    )


def main() -> None:
    """Run the command; errors that a person can solve are shown without a traceback."""
    # MLflow and Prefect would write to stdout or ask their servers; set before they are imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("SQLMESH__DISABLE_ANONYMIZED_ANALYTICS", "true")
    try:
        app()
    except EdpipeError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        # Typer turns Ctrl-C into this exit without a word.
        if stop.code == INTERRUPTED:
            print(KEPT, file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print(KEPT, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (PermissionError, FileNotFoundError, NotADirectoryError, FileExistsError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        refused = EdpipeError(
            "The system refused a file or folder.",
            where=str(error.filename or "unknown"),
            found=error.strerror or str(error),
            expected="a folder that can be read and written (`--home`, EDPIPE_HOME)",
            next_step="Check the path and its rights; `edpipe doctor` looks at the home folder.",
        )
        print(f"Error: {refused}", file=sys.stderr)
        sys.exit(SettingsError.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`edpipe sql … | head`): end quietly.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  (kept open until exit)
        sys.exit(0)
