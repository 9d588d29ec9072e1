"""Commands on forecasts of others: refine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.forecasting import WRITTEN, DryRun, FormatFlag, parsed_levels, write_rows
from edpipe.cli.output import Format, emit, say
from edpipe.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

    from edpipe.prediction.refine import Method, Regularizer


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(refine)


def refine(
    context: typer.Context,
    base: Annotated[
        Path, typer.Option(help="Forecast to refine: CSV or Parquet with series_id, time, value[, sample].")
    ],
    file: Annotated[
        Path | None,
        typer.Option("--input", help="History with series_id, time, target instead of the warehouse."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="CSV or Parquet file to write.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Give this many sample paths instead of quantiles; of paths, all.", min=1),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(help="Quantile levels, as `0.1,0.5,0.9`.", show_default="seven, 0.05 to 0.95"),
    ] = None,
    method: Annotated[
        str, typer.Option(help="langevin gives points a spread; maximum_likelihood adds no noise.")
    ] = "langevin",
    regularizer: Annotated[
        str, typer.Option(help="What keeps it near the base: mean_square or quantile.")
    ] = "quantile",
    iterations: Annotated[int, typer.Option(help="Steps of the refinement.", min=0)] = 20,
    step_size: Annotated[float, typer.Option(help="Size of each step.")] = 0.3,
    temperature: Annotated[
        float, typer.Option(help="Noise of langevin: more gives points more spread.")
    ] = 0.1,
    strength: Annotated[float, typer.Option(help="Weight of what keeps it near the base.", min=0)] = 1.0,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run", help="Unconditional training run; default the champion's or the newest."),
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Refine a forecast that is there already: points or paths in, quantiles or paths out.

    Example: `edpipe --set tsdiff.model=unconditional train tsdiff`, then `edpipe refine --base plan.csv
    --output refined.csv`. The plan begins one step after the history ends; a plan that begins earlier, of
    past weeks, is refined from what was known before it.
    """
    from edpipe.prediction.refine import Refining
    from edpipe.refining import open_refinement, refined

    if output is not None and output.suffix not in WRITTEN:
        raise SettingsError(
            "The output has no known form.",
            where="flag `--output`",
            found=str(output),
            expected=f"a name that ends in {' or '.join(WRITTEN)}",
            state="Nothing was written.",
        )
    settings = settings_of(context)
    how = Refining(
        num_samples=samples or Refining().num_samples,
        # Names are checked where the request is opened.
        method=cast("Method", method),
        regularizer=cast("Regularizer", regularizer),
        num_iterations=iterations,
        step_size=step_size,
        temperature=temperature,
        regularization=strength,
    )
    request = open_refinement(_read_base(base), _read(file), settings, how=how, run_dir=run_dir)
    plan = request.plan
    kind = "points" if plan.num_paths == 1 else f"{plan.num_paths:,} paths"
    told = (
        f"{kind} of {plan.num_series:,} series, {plan.horizon} {plan.frequency} steps, "
        f"by run {plan.trained_in.name}"
    )
    if dry_run:
        say(f"Would refine {told}.")
        return
    rows = refined(
        request,
        settings,
        output="quantiles" if samples is None else "samples",
        quantile_levels=parsed_levels(levels),
    )
    say(f"Refined {told}.")
    if output is None:
        emit(rows, form, title="Refined forecasts")
        return
    write_rows(rows, output)
    say(f"Written: {output}, {rows.height:,} rows.")


def _read(file: Path | None) -> pl.DataFrame | None:
    from edpipe.sources.series import read_long_series

    return None if file is None else read_long_series(file)


def _read_base(path: Path) -> pl.DataFrame:
    """Read the base forecast; paths of `edpipe forecast --samples` call their value ``target``."""
    import polars as pl

    from edpipe.sources.series import read_long_series

    if not path.exists():
        return read_long_series(path, target_column="value")
    lazy = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path)
    columns = lazy.collect_schema().names()
    value = "target" if "target" in columns and "value" not in columns else "value"
    frame = read_long_series(path, target_column=value).rename({"target": "value"})
    return frame.with_columns(lazy.select("sample").collect()) if "sample" in columns else frame
