"""Commands on recommendations: recommend."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edpipe.cli.context import settings_of
from edpipe.cli.forecasting import DryRun, FormatFlag
from edpipe.cli.output import Format, emit, say
from edpipe.setting_groups_diffumin import RankBy

if TYPE_CHECKING:
    import polars as pl


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(recommend)


def recommend(
    context: typer.Context,
    student: Annotated[str, typer.Option(help="Published id of the student.")],
    top: Annotated[int, typer.Option(help="Number of items.", min=1)] = 10,
    part: Annotated[int | None, typer.Option(help="Only items of this part.")] = None,
    is_met_too: Annotated[
        bool, typer.Option("--met-too", help="Also items that the student has met before.")
    ] = False,
    hide_mastered: Annotated[
        bool, typer.Option("--hide-mastered", help="No items all of whose KCs the student has mastered.")
    ] = False,
    mastered_from: Annotated[
        float | None,
        typer.Option(help="Chance of knowing a KC from which it is mastered.", show_default="0.95"),
    ] = None,
    by: Annotated[
        RankBy | None,
        typer.Option(
            help="Order: chance of the target, or KCs expected to be learnt.", show_default="probability"
        ),
    ] = None,
    now: Annotated[
        datetime | None,
        typer.Option(help="UTC; items deployed later are left out.", show_default="the last behavior"),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run", help="Folder of a training run; default the champion.")
    ] = None,
    dry_run: DryRun = False,
    form: FormatFlag = Format.table,
) -> None:
    """Recommend items to a student, each with the past behaviors that carry it.

    Example: `edpipe recommend --student u1 --top 10`, `edpipe recommend --student u1 --part 5 --met-too
    --format json`. The champion of `diffumin` answers; train, evaluate and promote one first. Evidence is
    read as: channel, what it adds to the logit, and which behaviors it kept, how many steps back.
    `--by gain` puts the likeliest items in order of what an attempt is expected to teach.
    """
    from edpipe.recommending import answer, open_request

    settings = settings_of(context)
    request = open_request(
        student,
        settings,
        part=part,
        is_new_only=False if is_met_too else None,
        is_unmastered_only=True if hide_mastered else None,
        mastered_from=mastered_from,
        rank_by=by,
        now=now,
        run_dir=run_dir,
    )
    if dry_run:
        say(f"Would choose from {request.words}.")
        return
    rows = answer(request, top=top)
    say(f"Chosen from {request.words}.")
    if request.trained.data["target"] == "next_item":
        say("Probabilities are those beside items drawn by popularity: read the order.")
    if not rows.is_empty():
        say(
            "Evidence: each channel, what it adds to the logit (below 0 it speaks against the item), and the "
            "behaviors it kept; overall_effect is what the mean of all behaviors adds."
        )
    shown = with_words(rows)
    if form is Format.table and shown["part"].null_count() == len(shown):
        shown = shown.drop("part")  # a log of clicks has none
    emit(shown, form, title=f"Items for {student}")


def with_words(rows: pl.DataFrame) -> pl.DataFrame:
    """Return recommendations with their lists as text."""
    import polars as pl

    told = [_in_words(reasons) for reasons in rows["evidence"].to_list()]
    return rows.with_columns(
        pl.col("category_ids").list.join(", "),
        pl.col("^probability|gain$").round(6),
        pl.Series("evidence", told, dtype=pl.String),
        pl.col("overall_effect").round(2),
    )


def _in_words(reasons: list[dict[str, Any]]) -> str:
    """Say of each channel what it adds, once, and which behaviors it kept."""
    channels: dict[int, list[dict[str, Any]]] = {}
    for one in reasons:
        channels.setdefault(one["channel"], []).append(one)
    return "; ".join(
        f"channel {channel} ({kept[0]['channel_effect']:+.2f}): "
        + ", ".join(f"{one['item_id']} ({one['steps_back']} back)" for one in kept)
        for channel, kept in channels.items()
    )
