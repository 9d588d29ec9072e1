"""The layouts of logs of what students took up, and which file of a folder is what.

``movielens``: ratings and films as GroupLens publishes them. ``taobao``: UserBehavior, without a header.
``sequences``: one line a student, items in order, and perhaps a JSON file of the items' attributes.
``columns``: any CSV or Parquet table whose columns are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal, get_args

from edpipe.errors import SettingsError
from edpipe.setting_groups import closest

ClicksName = Literal["movielens", "taobao", "sequences", "columns"]
LAYOUTS: Final[tuple[ClicksName, ...]] = get_args(ClicksName)
Content = Literal["behaviors", "items"]
# Which of them the 19 flags at the end of a line of `u.item` stand for: order of `u.genre`.
FLAGGED_GENRES: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
NO_GENRE: Final = "(no genres listed)"


@dataclass(frozen=True, slots=True)
class ClickColumns:
    """Names of the columns of a table of the layout ``columns``; empty where there is none."""

    student: str = "student_id"
    item: str = "item_id"
    time: str = ""
    category: str = ""
    outcome: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> ClickColumns:
        """Return the columns with the given names, the others as by default.

        Raises
        ------
        SettingsError
            If there is no such column to name.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise SettingsError(
                    f"There is no column {name!r} to name.",
                    where="argument `columns`",
                    found=repr(name),
                    expected=f"some of {', '.join(known)}",
                    next_step=closest(name, known),
                    state="Nothing was written.",
                )
        return replace(cls(), **given)

    def named(self) -> dict[str, str]:
        """Return the names that are given, by what they hold."""
        return {field.name: name for field in fields(self) if (name := getattr(self, field.name))}


@dataclass(frozen=True, slots=True)
class TextForm:
    """How the lines of a text file are read.

    Parameters
    ----------
    content
        What a line is: a behavior or an item.
    name
        How notes call it.
    cells
        Place of each thing in a line.
    width
        Cells of a line.
    separator
        Between two cells.
    has_header, is_quoted
        Whether a header comes first, and whether cells are read as CSV.
    time
        How times are written: seconds since 1970, any form known of tutor logs, or none.
    is_rated
        Whether the outcome is a number.
    """

    content: Content
    name: str
    cells: Mapping[str, int]
    width: int
    separator: str
    has_header: bool = False
    is_quoted: bool = False
    time: Literal["seconds", "any", "none"] = "none"
    is_rated: bool = False


_RATING: Final = {"student": 0, "item": 1, "outcome": 2, "time": 3}
_FILM: Final = {"item": 0, "title": 1, "category": 2}
MOVIELENS: Final[dict[str, TextForm]] = {
    "ratings.csv": TextForm(
        "behaviors", "ratings", _RATING, 4, ",", has_header=True, time="seconds", is_rated=True
    ),
    "ratings.dat": TextForm("behaviors", "ratings", _RATING, 4, "::", time="seconds", is_rated=True),
    "u.data": TextForm("behaviors", "ratings", _RATING, 4, "\t", time="seconds", is_rated=True),
    "movies.csv": TextForm("items", "films", _FILM, 3, ",", has_header=True, is_quoted=True),
    "movies.dat": TextForm("items", "films", _FILM, 3, "::"),
    "u.item": TextForm("items", "films", {"item": 0, "title": 1}, 5 + len(FLAGGED_GENRES), "|"),
}
MOVIELENS_HEADERS: Final = {
    "ratings.csv": ["userId", "movieId", "rating", "timestamp"],
    "movies.csv": ["movieId", "title", "genres"],
}
TAOBAO: Final = TextForm(
    "behaviors",
    "clicks, carts, favorites, purchases",
    {"student": 0, "item": 1, "category": 2, "outcome": 3, "time": 4},
    5,
    ",",
    time="seconds",
)
SUFFIXES: Final[dict[ClicksName, tuple[str, ...]]] = {
    "movielens": (".csv", ".dat", ".data", ".item"),
    "taobao": (".csv",),
    "sequences": (".txt", ".json"),
    "columns": (".csv", ".tsv", ".parquet"),
}


def layout_of(layout: str | None) -> ClicksName:
    """Return the layout of this name.

    Raises
    ------
    SettingsError
        If none is given, or there is no such layout.
    """
    for known in LAYOUTS:
        if layout == known:
            return known
    raise SettingsError(
        "The layout of the log has to be named." if layout is None else f"There is no layout {layout!r}.",
        where="flag `--layout`",
        found="" if layout is None else repr(layout),
        expected=f"one of {', '.join(LAYOUTS)}",
        next_step="See docs/data/clicks.md." if layout is None else closest(layout, list(LAYOUTS)),
        state="Nothing was written.",
    )


def dataset_name(path: Path, given: Path, layout: ClicksName) -> str:
    """Return the name that stands before the ids of a file.

    That of the folder that was given or, for films and their ratings, lies around the file; else the file's.
    """
    if layout == "movielens":
        return path.resolve().parent.name
    if given.is_dir():
        return given.resolve().name
    return path.stem
