"""Commands on forecasts: forecast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.output import Format, emit, say
from edpipe.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

FormatFlag = Annotated[Format, typer.Option("--format", help="How rows are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
WRITTEN = (".csv", ".parquet")


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(forecast)


def forecast(
    context: typer.Context,
    series: Annotated[
        str | None,
        typer.Option(help="Of the warehouse's series: all, total or part.", show_default="the model's"),
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(help="Steps ahead.", show_default="as many as the model forecasts")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--input", help="CSV or Parquet with series_id, time, target instead of the warehouse."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="CSV or Parquet file to write.")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Give this many sample paths instead of quantiles.", min=1)
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(help="Quantile levels, as `0.1,0.5,0.9`.", show_default="seven, 0.05 to 0.95"),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run", help="Folder of a training run; default the champion.")
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Forecast series from their ends, with quantiles or whole sample paths.

    Example: `edpipe forecast --series part --horizon 7`, `edpipe forecast --input visits.csv --output
    forecasts.csv`, `edpipe forecast --samples 100 --format csv`. The champion of `tsdiff` answers; train,
    evaluate and promote one first.
    """
    from edpipe.forecasting import answer, open_request

    settings = settings_of(context)
    if output is not None and output.suffix not in WRITTEN:
        raise SettingsError(
            "The output has no known form.",
            where="flag `--output`",
            found=str(output),
            expected=f"a name that ends in {' or '.join(WRITTEN)}",
            state="Nothing was written.",
        )
    if file is not None and series is not None:
        raise SettingsError(
            "Series of the warehouse and of a file are asked for at once.",
            where="flags `--series`, `--input`",
            found=f"{series}, {file}",
            expected="one of the two",
            next_step="Leave one out.",
            state="Nothing was written.",
        )
    request = open_request(_read(file), settings, series=series, horizon=horizon, run_dir=run_dir)
    plan = request.plan
    model = f"run {plan.trained_in.name}" if plan.version is None else f"tsdiff version {plan.version}"
    told = f"{plan.num_series:,} series, {plan.horizon} {plan.frequency} steps ahead, by {model}"
    if dry_run:
        say(f"Would forecast {told}.")
        return
    rows = answer(
        request,
        settings,
        output="quantiles" if samples is None else "samples",
        quantile_levels=parsed_levels(levels),
        num_samples=samples,
    )
    say(f"Forecast: {told}.")
    if output is None:
        emit(rows, form, title="Forecasts")
        return
    write_rows(rows, output)
    say(f"Written: {output}, {rows.height:,} rows.")


def _read(file: Path | None) -> pl.DataFrame | None:
    if file is None:
        return None
    from edpipe.sources.series import read_long_series

    return read_long_series(file)


def parsed_levels(text: str | None) -> list[float] | None:
    """Return the numbers of a text such as `0.1,0.5,0.9`; None for None."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise SettingsError(
            "Quantile levels cannot be read.",
            where="flag `--levels`",
            found=repr(text),
            expected="numbers between 0 and 1 with commas between, for example `0.1,0.5,0.9`",
            state="Nothing was written.",
        ) from error


def write_rows(rows: pl.DataFrame, output: Path) -> None:
    """Write beside the file and rename: a reader finds the old rows or the new ones."""
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = output.with_name(f".{output.name}.writing")
    try:
        if output.suffix == ".csv":
            # As they came: days are dates.
            is_days = "time" in rows.columns and bool((rows["time"].dt.truncate("1d") == rows["time"]).all())
            rows.write_csv(scratch, datetime_format="%Y-%m-%d" if is_days else "%Y-%m-%dT%H:%M:%S")
        else:
            rows.write_parquet(scratch)
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)
