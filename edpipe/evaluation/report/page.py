"""What a report is made of, and how it becomes HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

# Two renderings of each plot: text in a scaled drawing would be too small on a phone.
WIDE = 760
NARROW = 340


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table, with a remark such as an interval, and whether it is the best of its column."""

    text: str
    remark: str = ""
    is_best: bool = False
    state: Literal["", "good", "bad"] = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column names; ``numeric`` names the columns that are set flush right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    numeric: frozenset[int] = frozenset()

    @property
    def cells(self) -> list[list[Cell]]:
        """Rows with plain text wrapped."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot: a title, one sentence that says how to read it, its drawing and its numbers."""

    name: str
    title: str
    reading: str
    draw: Callable[[float], str]
    table: Table
    legend: Sequence[tuple[str, str]] = ()

    @property
    def wide(self) -> Markup:
        """The drawing for screens."""
        return Markup(self.draw(WIDE))  # noqa: S704  (Drawing escapes every text it is given)

    @property
    def narrow(self) -> Markup:
        """The drawing for phones."""
        return Markup(self.draw(NARROW))  # noqa: S704  (Drawing escapes every text it is given)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with words, tables and plots; a missing part has words only."""

    name: str
    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    folded: Sequence[Table] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """The whole report."""

    title: str
    subtitle: str
    made: str
    model: str
    licences: Sequence[str]
    key_figures: Sequence[tuple[str, str, str]]
    warnings: Sequence[str]
    sections: Sequence[Section]
    details: Sequence[tuple[str, str]] = field(default=())

    def render(self) -> str:
        """Return the page as one HTML document that loads nothing."""
        environment = Environment(
            loader=PackageLoader("edpipe.evaluation"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style = resources.files("edpipe.evaluation").joinpath("templates", "report.css").read_text("utf-8")
        values: dict[str, Any] = {"page": self, "style": Markup(style)}  # noqa: S704  (our own file)
        return environment.get_template("report.html.j2").render(values)


def missing(name: str, title: str, reason: str) -> Section:
    """Return a section that says why it is empty."""
    return Section(name, title, words=(reason,))
