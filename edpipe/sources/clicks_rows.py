"""Turn lines of a log of what students took up into raw rows and rejects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from edpipe.sources.clicks_layouts import FLAGGED_GENRES, NO_GENRE, Content, TextForm
from edpipe.sources.delimited import decode, split_cells
from edpipe.sources.landing import ShardContent, polars_schema, reject_frame
from edpipe.sources.tutor_times import to_milliseconds

# A whole count of seconds since 1970, up to the year 5138; not read as a float, which would round it.
_SECONDS: Final = r"^\d{1,11}$"
RAW_TEXT_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class ClicksFile:
    """What every row of a file shares."""

    name: str
    dataset: str
    content: Content


def read_lines(
    data: bytes, file: ClicksFile, form: TextForm, *, newline: str, first_row: int
) -> ShardContent:
    """Read whole lines of a text file, header excluded.

    Parameters
    ----------
    data
        Bytes between two ends of lines.
    file
        Names of file and data set.
    form
        Where in a line what stands.
    newline
        What ends a line.
    first_row
        Number of the first line, from 1 after the header; empty lines count.
    """
    cells, refused = split_cells(
        decode(data)[0],
        width=form.width,
        separator=form.separator,
        newline=newline,
        is_quoted=form.is_quoted,
        first_row=first_row,
    )
    named = {name: pl.col(f"c{place}").str.strip_chars() for name, place in form.cells.items()}
    if form.width > len(FLAGGED_GENRES):
        named["category"] = _flagged(form.width - len(FLAGGED_GENRES))
    frame = cells.select("source_row", "raw", **named)
    return content_of(frame, refused, file, form)


def content_of(frame: pl.DataFrame, refused: pl.DataFrame, file: ClicksFile, form: TextForm) -> ShardContent:
    """Type the named cells of rows and refuse those that cannot be used.

    Parameters
    ----------
    frame
        ``source_row``, ``raw`` and, as text, some of ``student, item, time, category, outcome, title``; a
        category may be a list.
    refused
        ``source_row, reason, raw`` of lines that have no cells to name.
    file, form
        Names, and how times and outcomes are written.
    """
    judged = frame.with_columns(
        pl.col("source_row").cast(pl.Int32), _milliseconds(frame, form).alias("milliseconds")
    ).with_columns(_reason(frame, form).alias("reason"))
    is_bad = judged["reason"].is_not_null()
    rows = judged.filter(~is_bad).select(
        pl.lit(file.name).alias("source_file"),
        pl.lit(file.dataset).alias("dataset"),
        "source_row",
        *_ids(set(frame.columns), file),
        _categories(frame, file).alias("category_ids"),
    )
    bad = pl.concat([refused, judged.filter(is_bad).select("source_row", "reason", "raw")]).sort("source_row")
    rejects = reject_frame(
        "clicks",
        file.content,
        [(file.name, row, reason, raw[:RAW_TEXT_CHARACTERS]) for row, reason, raw in bad.rows()],
    )
    return ShardContent(rows.select(list(polars_schema("clicks", file.content))), rejects)


def _reason(frame: pl.DataFrame, form: TextForm) -> pl.Expr:
    """Return why a row cannot be used, the first reason it has; null where it can."""
    names = [name for name in ("student", "item") if name in frame.columns]
    nobody = pl.any_horizontal(pl.col(name).fill_null("") == "" for name in names)
    reasons = [pl.when(nobody).then(pl.lit(f"empty {' or '.join(names)}"))]
    if form.is_rated:
        rating = pl.col("outcome").cast(pl.Float64, strict=False)
        is_number = (rating.is_finite() & (rating >= 0)).fill_null(value=False)
        reasons.append(pl.when(~is_number).then(pl.format("bad rating: {}", "outcome")))
    if form.time != "none":
        is_time = (pl.col("milliseconds") >= 0).fill_null(value=False)
        written = pl.col("time").fill_null("")
        reasons.append(pl.when(~is_time).then(pl.format("bad time: {}", written)))
    return pl.coalesce(reasons)


def _ids(columns: set[str], file: ClicksFile) -> list[pl.Expr]:
    before = pl.lit(f"{file.dataset}:")
    item = (before + pl.col("item")).alias("item_id")
    if file.content == "items":
        title = pl.col("title") if "title" in columns else pl.lit(None, dtype=pl.String)
        return [item, pl.when(title != "").then(title).alias("title")]
    outcome = pl.col("outcome") if "outcome" in columns else pl.lit(None, dtype=pl.String)
    return [
        (before + pl.col("student")).alias("student_id"),
        item,
        pl.when(outcome != "").then(outcome).alias("outcome"),
        pl.col("milliseconds"),
    ]


def _categories(frame: pl.DataFrame, file: ClicksFile) -> pl.Expr:
    """Return the categories as a sorted set behind their data set; null where rows name none."""
    kind = pl.List(pl.String)
    if "category" not in frame.columns:
        return pl.lit(None, dtype=kind)
    if frame.schema["category"] == pl.String:
        text = pl.col("category").str.replace_all(NO_GENRE, "", literal=True)
        parts = text.str.replace_all(";", "|", literal=True).str.split("|")
    else:
        parts = pl.col("category").cast(kind)
    trimmed = parts.list.eval(pl.element().str.strip_chars())
    known = trimmed.list.eval(pl.element().filter(pl.element() != "")).list.unique().list.sort()
    return known.list.eval(pl.lit(f"{file.dataset}:") + pl.element()).fill_null([])


def _flagged(first: int) -> pl.Expr:
    names = [
        pl.when(pl.col(f"c{first + place}") == "1").then(pl.lit(name))
        for place, name in enumerate(FLAGGED_GENRES)
    ]
    return pl.concat_list(names).list.drop_nulls()


def _milliseconds(frame: pl.DataFrame, form: TextForm) -> pl.Series:
    if form.time == "none":
        return pl.repeat(None, frame.height, dtype=pl.Int64, eager=True)
    if form.time == "any":
        return to_milliseconds(frame["time"])
    is_count = pl.col("time").str.contains(_SECONDS)
    seconds = pl.when(is_count).then(pl.col("time")).cast(pl.Int64, strict=False)
    return frame.select(seconds * 1000).to_series()
