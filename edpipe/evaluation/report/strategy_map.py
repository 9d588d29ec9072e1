"""Who is alike: students and problems as a map, with their clusters."""

from __future__ import annotations

import hashlib
from typing import Any

import polars as pl

from edpipe.evaluation.report.activity import shade
from edpipe.evaluation.report.drawing import Panel, grid_of_panels
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Figure, Table

KINDS = (("student", "Students"), ("problem", "Problems"))
NEEDED = {"kind", "id", "x", "y", "cluster", "mastery"}
# Points of a panel on a wide and on a narrow page.
MOST_POINTS = {True: 700, False: 260}
# Largest clusters with a ring, in the table, and with their number in the picture.
NUM_RINGS = 100
NUM_ROWS = 200
NUM_NAMED = 8

Row = dict[str, Any]


def map_figure(points: pl.DataFrame) -> Figure:
    """Draw students and problems as dots colored by mastery, tied to the centers of their clusters.

    Parameters
    ----------
    points
        One row a student or problem: ``kind``, ``id``, ``x``, ``y``, ``cluster`` (-1 is none), ``mastery`` in
        [0, 1] or null. Where there are more than fit, those are drawn whose id has the lowest hash: of
        each cluster its share and at least one, of the largest where clusters are more than dots.
    """
    parts = [
        (title, rows, _centers(rows))
        for kind, title in KINDS
        if (rows := points.filter((pl.col("kind") == kind) & (pl.col("cluster") >= 0)).to_dicts())
    ]
    everything = [row for _, rows, _ in parts for row in rows]
    known = [row["mastery"] for row in everything if not absent(row["mastery"])]
    # The range that occurs is colored: means over KCs lie close together.
    span = (min(known, default=0.0), max(known, default=1.0))
    xs, ys = (_span([row[axis] for row in everything]) for axis in ("x", "y"))
    drawn = {wide: [_thinned(rows, most) for _, rows, _ in parts] for wide, most in MOST_POINTS.items()}

    def draw(width: float) -> str:
        wide = width > 500

        def fill(panel: Panel, index: int) -> None:
            title, rows, centers = parts[index]
            panel.title(title)
            panel.drawing.rect(panel.left, panel.top, panel.width, panel.height, "frame")
            _dots(panel, drawn[wide][index], centers, span)
            _rings(panel, centers, len(rows))

        return grid_of_panels(
            len(parts),
            width,
            "Map of students and problems with their clusters",
            fill,
            smallest=300,
            ratio=0.9,
            xs=xs,
            ys=ys,
            left=8,
        )

    counts = " and ".join(
        f"{whole(len(chosen))} of {whole(len(rows))} {title.lower()}"
        for (title, rows, _), chosen in zip(parts, drawn[True], strict=True)
    )
    reading = (
        f"A dot is a student or problem ({counts}, chosen by a hash of the id), its color the mean mastery "
        "of the student, or of all students in the KCs of the problem; near means alike in what was used and "
        "mastered. A ring is a cluster, larger with more members; lines lead from its members to it, and "
        "numbers name the largest. Two dimensions keep only a part of the distances, so trust the clusters "
        "more than the picture."
    )
    if any(len(centers) > NUM_RINGS for _, _, centers in parts):
        reading += (
            f" Rings stand for the {NUM_RINGS} largest clusters, rows of numbers for the {NUM_ROWS} largest."
        )
    cells = [
        [
            title.lower().removesuffix("s"),
            str(center["cluster"]),
            whole(center["size"]),
            decimal(center["x"], 2),
            decimal(center["y"], 2),
            decimal(center["mastery"]),
        ]
        for title, _, centers in parts
        for center in centers[:NUM_ROWS]
    ]
    columns = ["Kind", "Cluster", "Members", "x", "y", "Mean mastery"]
    names = [f"mastery {decimal(span[0], 2)}", "", decimal(sum(span) / 2, 2), "", decimal(span[1], 2)]
    legend = [(f"shade{2 * index}", text) for index, text in enumerate(names)]
    table = Table(columns, cells, numeric=frozenset(range(1, 6)))
    return Figure("strategy-map", "Map of clusters", reading, draw, table, legend=legend)


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _centers(rows: list[Row]) -> list[Row]:
    """Return the mean place and mastery of each cluster, the largest first."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    centers = frame.group_by("cluster").agg(
        pl.len().alias("size"), pl.col("x", "y").mean(), pl.col("mastery").cast(pl.Float64).mean()
    )
    return centers.sort("size", "cluster", descending=[True, False]).to_dicts()


def _thinned(rows: list[Row], most: int) -> list[Row]:
    """Keep at most ``most`` rows: of each cluster its share, at least one, by a hash of the id."""
    if len(rows) <= most:
        return rows
    share = most / len(rows)
    by_cluster: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: hashlib.md5(row["id"].encode()).digest()):  # noqa: S324  (an order, no secret)
        by_cluster.setdefault(row["cluster"], []).append(row)
    largest = sorted(by_cluster.values(), key=len, reverse=True)
    kept = [members[: max(1, int(share * len(members)))] for members in largest]
    return [row for members in kept for row in members][:most]


def _dots(panel: Panel, rows: list[Row], centers: list[Row], span: tuple[float, float]) -> None:
    places = {center["cluster"]: panel.at(center["x"], center["y"]) for center in centers}
    for row in rows:
        panel.drawing.line(places[row["cluster"]], panel.at(row["x"], row["y"]), "spoke")
    for row in rows:
        style = "absent"
        if not absent(row["mastery"]):
            style = f"point {shade((row['mastery'] - span[0]) / ((span[1] - span[0]) or 1.0))}"
        title = f"{row['id']}, cluster {row['cluster']}, mastery {decimal(row['mastery'], 2)}"
        panel.drawing.dot(panel.at(row["x"], row["y"]), f"mark {style}", radius=2.6, title=title)


def _rings(panel: Panel, centers: list[Row], count: int) -> None:
    for center in centers[:NUM_RINGS]:
        radius = 4.0 + 24.0 * (center["size"] / count) ** 0.5
        title = f"cluster {center['cluster']}: {whole(center['size'])} members"
        panel.drawing.dot(panel.at(center["x"], center["y"]), "mark ring", radius=radius, title=title)
    for center in centers[:NUM_NAMED]:
        x, y = panel.at(center["x"], center["y"])
        panel.drawing.text((x, y + 4), str(center["cluster"]), "named", anchor="middle")
