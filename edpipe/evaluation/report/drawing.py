"""Plots as plain SVG text: no script, colors from the page's style sheet, so light and dark both work."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from edpipe.evaluation.report.numbers import tick_labels, ticks

Point = tuple[float, float]


def number(value: float) -> str:
    """Return a coordinate with at most one decimal: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")


class Drawing:
    """A drawing surface with the origin at the top left; units are CSS pixels at full size.

    Parameters
    ----------
    width, height
        Size of the surface.
    label
        What the picture shows, for people who cannot see it.
    """

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width = width
        self.height = height
        self._label = label
        self._parts: list[str] = []

    def path(self, points: Sequence[Point], style: str, *, closed: bool = False, title: str = "") -> None:
        """Draw a line through ``points``, or the area within when ``closed``."""
        if not points:
            return
        steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        self._add(f'<path class="{style}" d="M{steps}{"Z" if closed else ""}"', "path", title)

    def line(self, start: Point, end: Point, style: str) -> None:
        """Draw a straight line."""
        self.path([start, end], style)

    def rect(self, x: float, y: float, width: float, height: float, style: str, *, title: str = "") -> None:
        """Draw a rectangle as a path, so that everything drawn is found the same way."""
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        self.path(corners, style, closed=True, title=title)

    def dot(self, center: Point, style: str, *, radius: float = 3.5, title: str = "") -> None:
        """Draw a disc."""
        x, y = center
        text = f'<circle class="{style}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
        self._add(text, "circle", title)

    def text(
        self, at: Point, words: str, style: str = "tick", *, anchor: str = "start", turned: bool = False
    ) -> None:
        """Write ``words``; ``anchor`` is ``start``, ``middle`` or ``end``."""
        x, y = number(at[0]), number(at[1])
        turn = f' transform="rotate(-90 {x} {y})"' if turned else ""
        self._parts.append(
            f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'
        )

    def render(self) -> str:
        """Return the SVG element."""
        size = f"0 0 {number(self.width)} {number(self.height)}"
        head = f'<svg role="img" aria-label="{escape(self._label)}" viewBox="{size}">'
        return head + "".join(self._parts) + "</svg>"

    def _add(self, start: str, tag: str, title: str) -> None:
        self._parts.append(f"{start}><title>{escape(title)}</title></{tag}>" if title else f"{start}/>")


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of a drawing with a scale on each side; maps data to pixels.

    ``left, top, width, height`` are in pixels, ``xs`` and ``ys`` the data ranges.
    """

    drawing: Drawing
    left: float
    top: float
    width: float
    height: float
    xs: tuple[float, float]
    ys: tuple[float, float]

    def x(self, value: float) -> float:
        """Return the pixel of a data value on the horizontal axis."""
        low, high = self.xs
        return self.left + self.width * (value - low) / ((high - low) or 1.0)

    def y(self, value: float) -> float:
        """Return the pixel of a data value on the vertical axis; large values stand high."""
        low, high = self.ys
        return self.top + self.height * (1 - (value - low) / ((high - low) or 1.0))

    def at(self, x: float, y: float) -> Point:
        """Return the pixel of a data point."""
        return self.x(x), self.y(y)

    def y_axis(self, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
        """Draw horizontal grid lines with labels on the left."""
        for value, label in zip(values, labels or tick_labels(list(values)), strict=True):
            height = self.y(value)
            self.drawing.line((self.left, height), (self.left + self.width, height), "grid")
            self.drawing.text((self.left - 6, height + 4), label, anchor="end")

    def x_axis(self, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
        """Draw the base line and labels below it."""
        base = self.top + self.height
        self.drawing.line((self.left, base), (self.left + self.width, base), "axis")
        for value, label in zip(values, labels or tick_labels(list(values)), strict=True):
            self.drawing.line((self.x(value), base), (self.x(value), base + 4), "axis")
            self.drawing.text((self.x(value), base + 17), label, anchor="middle")

    def x_title(self, words: str) -> None:
        """Name the horizontal axis."""
        middle = self.left + self.width / 2
        self.drawing.text((middle, self.top + self.height + 34), words, "name", anchor="middle")

    def title(self, words: str) -> None:
        """Name the panel above its upper left corner."""
        self.drawing.text((self.left, self.top - 9), words, "panel")


def grid_of_panels(
    count: int,
    width: float,
    label: str,
    draw: Callable[[Panel, int], None],
    *,
    smallest: float,
    ratio: float,
    xs: tuple[float, float],
    ys: tuple[float, float],
    left: float = 34,
    largest: float = math.inf,
) -> str:
    """Lay ``count`` equal panels out in rows and let ``draw`` fill each.

    Parameters
    ----------
    count
        Number of panels.
    width
        Width of the whole drawing.
    label
        What the picture shows, in words.
    draw
        Called with each panel and its number from 0.
    smallest
        Least width of a panel with its labels; decides the number of columns.
    ratio
        Height of a panel divided by its width.
    xs, ys
        Data ranges, the same for all panels so that they can be compared.
    left
        Room for the labels on the left of each panel.
    largest
        Most width of a panel with its labels.
    """
    most = max(1, min(count, int(width // smallest)))
    # As few rows as fit, filled evenly: nine panels are three by three rather than four, four and one.
    columns = -(-count // -(-count // most))
    cell = min(width / columns, largest)
    inner = cell - left - 12
    height = inner * ratio
    above, below = 28, 34
    rows = -(-count // columns)
    drawing = Drawing(width, rows * (above + height + below), label)
    for index in range(count):
        row, column = divmod(index, columns)
        top = row * (above + height + below) + above
        draw(Panel(drawing, column * cell + left, top, inner, height, xs, ys), index)
    return drawing.render()


def padded(values: Sequence[float], most: int = 5) -> list[float]:
    """Return ticks that cover ``values`` with their round ends as the range."""
    return ticks(min(values), max(values), most)
