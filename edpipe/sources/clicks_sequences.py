"""Logs without times: one line a student with items in order, and a JSON file of the items' attributes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.errors import SourceError
from edpipe.sources.clicks_layouts import TextForm
from edpipe.sources.clicks_rows import ClicksFile, content_of
from edpipe.sources.delimited import decode
from edpipe.sources.landing import ShardContent

_BEHAVIOR = TextForm("behaviors", "sequences, one line a student", {}, 2, " ")
_ATTRIBUTES = TextForm("items", "attributes of items", {}, 2, ",")
_LISTS = pl.Schema(
    {"source_row": pl.Int32(), "item": pl.String(), "category": pl.List(pl.String()), "raw": pl.String()}
)
_REFUSED = pl.Schema({"source_row": pl.Int32, "reason": pl.String, "raw": pl.String})


def read_sequences(data: bytes, file: ClicksFile) -> ShardContent:
    """Read lines ``student item item …``; a row is an entry, numbered through the file from 1.

    A line without an item, and a second line of a student, are refused with all their entries: nothing says
    what came first.
    """
    text = pl.Series("raw", decode(data)[0].splitlines(), dtype=pl.String)
    cells = text.str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    lines = pl.DataFrame({"raw": text, "cells": cells}).filter(pl.col("raw").str.strip_chars() != "")
    entries = lines.select(
        pl.col("raw"),
        pl.col("cells").list.first().alias("student"),
        pl.col("cells").list.first().is_first_distinct().alias("is_first"),
        pl.col("cells").list.slice(1).alias("item"),
    )
    # A line is counted even where it holds nothing.
    rows = entries.explode("item", empty_as_null=True).with_row_index("source_row", offset=1)
    rows = rows.with_columns(pl.col("source_row").cast(pl.Int32), pl.col("raw").str.slice(0, 80))
    reason = (
        pl.when(pl.col("item").is_null())
        .then(pl.lit("no items"))
        .when(~pl.col("is_first"))
        .then(pl.lit("student repeated"))
    )
    rows = rows.with_columns(reason.alias("reason"))
    refused = rows.filter(pl.col("reason").is_not_null()).select(list(_REFUSED))
    kept = rows.filter(pl.col("reason").is_null()).select("source_row", "raw", "student", "item")
    return content_of(kept, refused, file, _BEHAVIOR)


def read_attributes(path: Path, file: ClicksFile) -> ShardContent:
    """Read a JSON object of items with lists of attributes.

    Raises
    ------
    SourceError
        If it is none.
    """
    try:
        found: Any = json.loads(decode(path.read_bytes())[0])
    except ValueError as error:
        raise _no_object(path, str(error)) from error
    if not isinstance(found, dict):
        raise _no_object(path, f"a {type(found).__name__}")
    numbered = [
        (row, str(item), values, json.dumps({item: values}))
        for row, (item, values) in enumerate(found.items(), 1)
    ]
    lists = [
        (row, item, [str(one) for one in v], raw) for row, item, v, raw in numbered if isinstance(v, list)
    ]
    refused = [(row, "attributes are no list", raw) for row, _, v, raw in numbered if not isinstance(v, list)]
    return content_of(
        pl.DataFrame(lists, schema=_LISTS, orient="row"),
        pl.DataFrame(refused, schema=_REFUSED, orient="row"),
        file,
        _ATTRIBUTES,
    )


def _no_object(path: Path, found: str) -> SourceError:
    return SourceError(
        "The attributes of items cannot be read.",
        where=str(path),
        found=found,
        expected='a JSON object such as `{"item": ["attribute", …]}`',
        next_step="Repair the file, or leave it out: items then have no categories.",
        state="The earlier state still counts.",
    )
