"""One student as an example: what is recommended, what each channel adds, and which behaviors it kept."""

from __future__ import annotations

from typing import Any

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.names import short_names, without_middle
from edpipe.evaluation.report.numbers import counted, decimal, whole
from edpipe.evaluation.report.page import Figure, Table
from edpipe.evaluation.report.recommend_run import RecommendRun

# Channels of an item that are drawn, those of the largest effect, and behaviors named in each.
MOST_CHANNELS = 4
MOST_NAMED = 3
ROW, HEAD, FOOT = 40, 34, 30
LETTER = 6.4

Row = dict[str, Any]


def example_words(run: RecommendRun) -> list[str]:
    """Say whose recommendations are drawn; why none are where that is so."""
    example = run.example
    if run.config.get("long_term", "diffumin") != "diffumin":
        return []  # said of the channels already
    if run.config.get("inference_noise") == "drawn":
        return [
            "The network draws new noise for each score and would answer differently each time, so there is "
            "no example of its recommendations."
        ]
    if example is None:
        return ["No example student was kept: `edpipe evaluate diffumin` chooses one."]
    if example.is_empty():
        return ["The example student has met all items that could be recommended."]
    return [
        f"An example: student {example['student_id'][0]}, who of all in the test has the median number "
        f"of behaviors, {whole(example['num_behaviors'][0])} (of equal ones the first by id). `edpipe "
        f"recommend --student {example['student_id'][0]}` answers with the champion and the latest data."
    ]


def example_figure(run: RecommendRun) -> Figure | None:
    """Draw the channels of each recommended item with the behaviors that they kept; None without any."""
    example = run.example
    if example is None or example["channel"].null_count() == len(example):
        return None
    items = [part.to_dicts() for _, part in example.group_by("rank", maintain_order=True)]
    carried = [_channels(rows) for rows in items]
    effects = [rows[0]["channel_effect"] for item in carried for rows in item]
    effects += [rows[0]["overall_effect"] or 0.0 for rows in items]
    marks = padded([0.0, *effects], 4)
    ids = list(dict.fromkeys([*example["item_id"], *example["behavior_id"].drop_nulls()]))
    names = dict(zip(ids, short_names(ids, longest=16), strict=True))
    known = list(
        dict.fromkeys([*example["category"].drop_nulls(), *example["behavior_category"].drop_nulls()])
    )
    kinds = dict(zip(known, short_names(known, longest=16), strict=True))

    def draw(width: float) -> str:
        left = 78
        bars = [
            len(item) + (rows[0]["overall_effect"] is not None)
            for rows, item in zip(items, carried, strict=True)
        ]
        heights = [HEAD + ROW * number for number in bars]
        drawing = Drawing(width, sum(heights) + FOOT, "What each channel adds to the score of each item")
        top = 0.0
        for rows, item, height in zip(items, carried, heights, strict=True):
            panel = Panel(
                drawing, left, top + HEAD, width - left - 22, height - HEAD, (marks[0], marks[-1]), (1, 0)
            )
            title = f"{rows[0]['rank']}. {names[rows[0]['item_id']]}{_kind(rows[0]['category'], kinds)}"
            drawing.text((0, top + HEAD - 12), without_middle(title, int(width / 7)), "panel")
            for place, channel in enumerate(item):
                behind = _behind(channel, names, kinds, panel.width)
                told = f"from {counted(len(channel), 'behavior')}"
                _bar(
                    panel,
                    place,
                    f"channel {channel[0]['channel']}",
                    channel[0]["channel_effect"],
                    behind,
                    told,
                )
            if rows[0]["overall_effect"] is not None:
                told = f"the mean of all {counted(rows[0]['num_behaviors'], 'behavior')}"
                _bar(panel, len(item), "all", rows[0]["overall_effect"], told, told)
            if rows is items[-1]:
                panel.x_axis(marks, [f"{mark:+g}" if mark else "0" for mark in marks])
            top += height
        return drawing.render()

    table = Table(
        ["Item", "Chance", "Channel", "Effect", "Behavior", "Category", "Steps back", "Weight"],
        [
            [
                f"{row['rank']}. {row['item_id']}",
                decimal(row["probability"]),
                str(row["channel"]),
                f"{row['channel_effect']:+.3f}",
                row["behavior_id"],
                row["behavior_category"] or "",
                whole(row["steps_back"]),
                decimal(row["weight"], 4),
            ]
            for item in carried
            for rows in item
            for row in rows
        ],
        numeric=frozenset({1, 2, 3, 6, 7}),
    )
    reading = (
        "For each recommended item a bar a channel: what the score (logit) would lose if the channel had "
        "kept nothing. To the right it speaks for the item, to the left against it. Below each bar stand the "
        "past behaviors of the largest weight, with how many steps ago each was"
        f"{_by_category(bool(known))}{_of_all(example)}. "
        "It is what the network read, not why the student acts."
    )
    title = f"Interests of {without_middle(str(example['student_id'][0]), 40)}"
    return Figure("recommend-example", title, reading, draw, table)


def _by_category(is_known: bool) -> str:
    return ", and before them the commonest category of all that the channel kept" if is_known else ""


def _of_all(example: pl.DataFrame) -> str:
    is_read = example["overall_effect"].null_count() < len(example)
    return "; the last bar is the mean of all behaviors, kept or not" if is_read else ""


def _channels(rows: list[Row]) -> list[list[Row]]:
    """Return the behaviors of each channel that kept some, the largest effect first."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["channel"] is not None:
            found.setdefault(row["channel"], []).append(row)
    ordered = sorted(found.values(), key=lambda kept: (-abs(kept[0]["channel_effect"]), kept[0]["channel"]))
    return ordered[:MOST_CHANNELS]


def _kind(category: str | None, kinds: dict[str, str]) -> str:
    return f" ({kinds[category]})" if category is not None else ""


def _bar(panel: Panel, place: int, name: str, effect: float, behind: str, told: str) -> None:
    top = panel.top + ROW * place
    start, end = sorted((panel.x(0), panel.x(effect)))
    title = f"{name}: {effect:+.3f}, {told}"
    style = "mark fill1" if effect >= 0 else "mark fill2"
    # Beside the bar alone: the words below it cross 0.
    panel.drawing.line((panel.x(0), top), (panel.x(0), top + 18), "guide")
    panel.drawing.rect(start, top + 2, max(end - start, 1.5), 14, style, title=title)
    panel.drawing.text((panel.left - 10, top + 13), name, "label", anchor="end")
    panel.drawing.text((panel.left + 5, top + 30), behind, "tick")


def _behind(rows: list[Row], names: dict[str, str], kinds: dict[str, str], width: float) -> str:
    """Name the commonest category and the heaviest behaviors of a channel, as many as fit."""
    categories = pl.Series("category", [row["behavior_category"] for row in rows], dtype=pl.String)
    told = ""
    if categories.null_count() < len(rows):
        counts = categories.drop_nulls().value_counts().sort("count", "category", descending=[True, False])
        told = f"{counts['count'][0]} of {len(rows)} in {kinds[counts['category'][0]]}"
    for row in rows[:MOST_NAMED]:
        one = f"{names[row['behavior_id']]} ({row['steps_back']} back)"
        longer = f"{told}; {one}" if told else one
        if told and len(longer) * LETTER > width:
            break
        told = longer
    return told
