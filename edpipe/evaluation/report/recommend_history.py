"""Where a long look back pays: the gain over the best floor by the number of behaviors known before."""

from __future__ import annotations

from edpipe.evaluation.recommendation.stored import HISTORIES, history_name
from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.intervals import Row, ends, interval
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Figure, Table
from edpipe.evaluation.report.recommend_run import RecommendRun

# Label, score of the recommender, score of the floor, difference.
Bucket = tuple[str, Row, Row, Row]
ROW = 34
# Recommender, floor, gain: a floor is hollow as everywhere.
DOTS = {1: "dot1", 2: "dot2", 3: "fill3"}


def history_figure(run: RecommendRun) -> Figure | None:
    """Draw the AUC of recommender and best floor, and the gain, by length of the history; None without."""
    buckets = _buckets(run)
    if not buckets:
        return None
    ours, rival = str(run.recommender), str(run.rival)

    def draw(width: float) -> str:
        wide = width > 500
        names = 96 if wide else 84
        gap = 46
        room = (width - names - 16 - (gap if wide else 0)) / (2 if wide else 1)
        rows = ROW * len(buckets)
        height = rows + 62
        label = "AUC, and gain over the best floor, by number of behaviors known before"
        drawing = Drawing(width, height * (1 if wide else 2), label)
        scores = padded([end for _, *pair, _ in buckets for row in pair for end in ends(row)], 4)
        gains = padded([0.0, *(end for *_, gain in buckets for end in ends(gain))], 4)
        places = ((names, 28.0), (names + room + gap, 28.0) if wide else (names, 28.0 + height))
        for marks, (left, top), title in zip((scores, gains), places, ("AUC", "Gain in AUC"), strict=True):
            panel = Panel(drawing, left, top, room, rows, (marks[0], marks[-1]), (len(buckets), 0))
            panel.title(title)
            panel.x_axis(marks)
            for place, (name, model, floor, gain) in enumerate(buckets):
                panel.drawing.line(panel.at(marks[0], place + 0.5), panel.at(marks[-1], place + 0.5), "grid")
                if marks is scores:
                    _whisker(panel, place + 0.36, model, 1, f"{ours}, {name}")
                    _whisker(panel, place + 0.64, floor, 2, f"{rival}, {name}")
                else:
                    _whisker(panel, place + 0.5, gain, 3, f"gain, {name}")
                if left == names:
                    middle = (panel.left - 10, panel.y(place + 0.5) + 4)
                    panel.drawing.text(middle, name, "label", anchor="end")
            if marks is gains:
                panel.drawing.line(panel.at(0, 0), panel.at(0, len(buckets)), "guide")
        return drawing.render()

    table = Table(
        ["Behaviors before", ours, rival, "Gain", "95 % interval", "Impressions", "Students"],
        [
            [
                name,
                decimal(model["value"], 4),
                decimal(floor["value"], 4),
                f"{gain['value']:+.4f}",
                "" if absent(gain["low"]) else f"{gain['low']:+.4f} – {gain['high']:+.4f}",
                whole(model["num_interactions"]),
                whole(model["num_students"]),
            ]
            for name, model, floor, gain in buckets
        ],
        numeric=frozenset(range(1, 7)),
    )
    reading = (
        f"Impressions by the number of behaviors known before them. The gain is the AUC of {ours!r} less "
        f"that of {rival!r}, the floor that validation would choose, with the 95 % interval from drawing "
        "the same students again for both. Right of the dashed line looking back pays; a bar across it may "
        "be chance."
    )
    legend = [("fill1", ours), ("fill2", rival), ("fill3", "gain")]
    title = "Gain by length of the history"
    return Figure("recommend-history", title, reading, draw, table, legend=legend)


def _buckets(run: RecommendRun) -> list[Bucket]:
    found = []
    for low, high in HISTORIES:
        subset = history_name(low, high)
        ours, floor = run.row(run.recommender, subset=subset), run.row(run.rival, subset=subset)
        gain = run.difference(run.rival, subset=subset)
        if ours is not None and floor is not None and gain is not None:
            found.append((subset.removeprefix("history:").replace("-", " – "), ours, floor, gain))
    return found


def _whisker(panel: Panel, place: float, row: Row, style: int, name: str) -> None:
    low, high = ends(row)
    panel.drawing.line(panel.at(low, place), panel.at(high, place), f"mark whisker{style}")
    title = f"{name}: {decimal(row['value'], 4)} ({interval(row)})"
    panel.drawing.dot(panel.at(row["value"], place), f"mark {DOTS[style]}", radius=4.5, title=title)
