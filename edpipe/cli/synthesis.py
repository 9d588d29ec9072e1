"""Commands on synthetic series: synthesize."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.forecasting import WRITTEN, DryRun, FormatFlag, write_rows
from edpipe.cli.output import Format, emit, say
from edpipe.errors import SettingsError

JUDGED = (
    "linear_score, downstream_…: error on real test windows of forecasters that learned from the generator "
    "alone, lower is better. discriminative_…: 0.5 where nobody can tell. closer_to_training, membership_…: "
    "0.5 where nothing leaks; near_copies: 0.05; distance_ratio: 1."
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(synthesize)


def synthesize(
    context: typer.Context,
    num: Annotated[int, typer.Option(help="Series to draw.", min=1)] = 1_000,
    length: Annotated[
        int | None,
        typer.Option(help="Steps of each series.", show_default="the model's window", min=1),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="CSV or Parquet file to write.")] = None,
    judge: Annotated[
        bool,
        typer.Option("--judge", help="Say what the series are good for and what a release of them leaks."),
    ] = False,
    run_dir: Annotated[
        Path | None, typer.Option("--run", help="Training run; default the newest unconditional one.")
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Draw synthetic series that look like those a model was trained on.

    Example: `edpipe --set tsdiff.model=unconditional train tsdiff`, then `edpipe synthesize --num 500 --judge
    --output synthetic.csv`. With `--judge` the judgement is printed in place of the series; read its verdict
    before anything leaves the house. Beside an output stands whether it tells who was trained on.
    """
    from edpipe.synthesizing import drawn, judged, open_synthesis, released

    if output is not None and output.suffix not in WRITTEN:
        raise SettingsError(
            "The output has no known form.",
            where="flag `--output`",
            found=str(output),
            expected=f"a name that ends in {' or '.join(WRITTEN)}",
            state="Nothing was written.",
        )
    settings = settings_of(context)
    request = open_synthesis(settings, num=num, length=length, run_dir=run_dir)
    plan = request.plan
    told = f"{plan.num:,} series of {plan.length:,} {plan.frequency} steps, by run {plan.trained_in.name}"
    if dry_run:
        say(f"Would synthesize {told}{', and judge them' if judge else ''}.")
        return
    synthesis = drawn(request, settings)
    rows = synthesis.to_frame(plan.length)
    say(f"Synthesized {told}.")
    if judge:
        judgement = judged(request, synthesis, settings)
        emit(judgement.scores, form, title="Generators of series", caption=JUDGED)
        for one in judgement.verdicts:
            say(one.sentence)
    if output is not None:
        figure = released(request, synthesis, settings)
        beside = output.with_name(f"{output.name}.privacy.json")
        beside.write_text(json.dumps({"run": plan.trained_in.name, **figure.to_dict()}, indent=1) + "\n")
        write_rows(rows, output)
        say(figure.sentence)
        say(f"Written: {output}, {rows.height:,} rows, and {beside.name}, which belongs to it.")
    elif not judge:
        emit(rows, form, title="Synthetic series")
