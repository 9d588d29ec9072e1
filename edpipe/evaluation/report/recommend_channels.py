"""How evenly the channels of a recommender are used, and how alike the interests in them are."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.recommendation.verdicts import channel_alarm
from edpipe.evaluation.report.drawing import Drawing, Panel
from edpipe.evaluation.report.numbers import NOTHING, counted, decimal, percent
from edpipe.evaluation.report.page import Figure, Table
from edpipe.evaluation.report.recommend_run import RecommendRun

ROW = 30
SHARES = [0.0, 0.25, 0.5, 0.75, 1.0]


def alarms(run: RecommendRun) -> list[str]:
    """Return a sentence where one channel takes nearly all behaviors."""
    alarm = None if run.channels is None else channel_alarm(run.channels)
    return [alarm] if alarm else []


def channel_words(run: RecommendRun) -> list[str]:
    """Say how channels are used; why nothing is known where that is so."""
    channels = run.channels
    kind = run.config.get("long_term", "diffumin")
    if channels is None and kind != "diffumin":
        return [f"The network {kind!r} looks back without channels: there are no interests to show."]
    if channels is None:
        return ["How channels are loaded was not measured: `edpipe evaluate diffumin` does it."]
    idle = channels.filter(pl.col("routed_share") == 0)["channel"].to_list()
    students = counted(channels["num_students"][0], "student")
    impressions = counted(channels["num_impressions"][0], "impression")
    words = (
        "Each past behavior goes to the channel of the item at hand that it matches best, and the best of a "
        f"channel are kept as one interest. Measured on {impressions} of {students} of the test; together "
        f"the channels keep {percent(float(channels['kept_share'].sum()))} of the behaviors."
    )
    if idle:
        names = " and ".join(map(str, idle))
        which = f"Channel {names} takes" if len(idle) == 1 else f"Channels {names} take"
        words += f" {which} no behavior at all: fewer channels would do the same."
    pairs = [
        (value, first, second)
        for first, row in zip(channels["channel"], channels["cosines"].to_list(), strict=True)
        for second, value in zip(channels["channel"], row, strict=True)
        if first < second and value is not None
    ]
    if pairs:
        value, first, second = max(pairs)
        words += (
            f" The interests most alike are those of channels {first} and {second}: their mean cosine is "
            f"{decimal(value, 2)}, where 1 is the same interest and 0 has nothing in common."
        )
    return [*alarms(run), words]


def channel_figure(run: RecommendRun) -> Figure | None:
    """Draw the share of behaviors that goes to each channel, and that it keeps; None without channels."""
    channels = run.channels
    if channels is None:
        return None
    rows = channels.to_dicts()

    def draw(width: float) -> str:
        names = 84
        height = ROW * len(rows)
        drawing = Drawing(width, height + 76, "Share of behaviors routed to and kept by each channel")
        panel = Panel(drawing, names, 14, width - names - 20, height, (0, 1), (len(rows), 0))
        panel.x_axis(SHARES, [percent(share, 0) for share in SHARES])
        panel.x_title("share of the behaviors of a student")
        for place, row in enumerate(rows):
            name = f"channel {row['channel']}"
            for bar, (share, style, word) in enumerate(
                ((row["routed_share"], "fill1", "routed"), (row["kept_share"], "fill2", "kept"))
            ):
                top = panel.y(place + 0.16 + 0.34 * bar)
                # A share of nothing is drawn as a hair line, so that it is seen to be there.
                length = max(panel.x(share) - panel.left, 1.5)
                title = f"{name}: {percent(share)} {word}"
                drawing.rect(panel.left, top, length, 0.3 * ROW, f"mark {style}", title=title)
            middle = place + 0.31
            low, high = row["routed_low"], row["routed_high"]
            drawing.line(panel.at(low, middle), panel.at(high, middle), "bar-whisker")
            drawing.text((names - 10, panel.y(place + 0.5) + 4), name, "label", anchor="end")
        return drawing.render()

    table = Table(
        [
            "Channel",
            "Routed",
            "Central 80 % of students",
            "Kept",
            "Empty",
            *(f"cos {r['channel']}" for r in rows),
        ],
        [
            [
                str(row["channel"]),
                percent(row["routed_share"]),
                f"{percent(row['routed_low'])} – {percent(row['routed_high'])}",
                percent(row["kept_share"]),
                percent(row["empty_share"]),
                *(NOTHING if value is None else decimal(value, 2) for value in row["cosines"]),
            ]
            for row in rows
        ],
        numeric=frozenset(range(5 + len(rows))),
    )
    reading = (
        "Blue is the share of a student's behaviors that goes to a channel, the line the central 80 % of the "
        "students; orange what is kept of them. Even bars use all channels; one long bar is one interest, "
        "whatever the number of channels. The numbers tell, too, for how many impressions a channel stays "
        "empty, and the mean cosine of each pair of interests."
    )
    legend = [("fill1", "routed"), ("fill2", "kept")]
    return Figure("recommend-channels", "Load of the channels", reading, draw, table, legend=legend)
