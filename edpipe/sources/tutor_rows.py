"""Turn the bytes of a tutor log into raw rows and rejects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from edpipe.raw import RAW_SCHEMAS
from edpipe.sources.delimited import decode, split_cells
from edpipe.sources.landing import polars_schema, reject_frame
from edpipe.sources.tutor_header import TutorLayout
from edpipe.sources.tutor_times import to_milliseconds

# Spellings of "nothing"; in names of students, problems and steps only an empty cell is nothing.
NULLS: Final = ("", ".", "NA", "na", "N/A", "n/a", "null", "NULL", "None", "nan", "NaN")
_TEXT_KEPT: Final = ("student_id", "problem_hierarchy", "problem_name", "step_name")
_FIRST_ATTEMPT: Final = {
    "0": "incorrect",
    "1": "correct",
    "correct": "correct",
    "incorrect": "incorrect",
    "hint": "hint",
}
_TRUE, _FALSE = ("true", "1", "yes", "t"), ("false", "0", "no", "f")
JOINER: Final = "~~"
_COUNTS: Final = ("incorrects", "hints", "corrects", "problem_view")
_NUMBERS: Final = {"INTEGER": pl.Int32, "DOUBLE": pl.Float64}


@dataclass(frozen=True, slots=True)
class TutorFile:
    """What every row of a file shares.

    DataShop repeats a row in each of the samples that are exported together, so a file has one sample.
    """

    name: str
    source: str
    dataset: str
    split: str | None
    layout: TutorLayout
    sample: str = ""


def sample_of(text: str, layout: TutorLayout, newline: str) -> str | None:
    """Return the sample of the first whole row; empty where none stands in it, None without such a row."""
    cells, _ = _split(text, layout, newline, 1)
    if not cells.height:
        return None
    return _text(cells.head(1), layout.columns["sample"])[0] or ""


def read_rows(
    data: bytes, file: TutorFile, *, newline: str, first_row: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read whole lines of a file, header excluded.

    Parameters
    ----------
    data
        Bytes between two ends of lines.
    file
        Names and layout.
    newline
        What ends a line: line feed (a carriage return before it is dropped) or carriage return.
    first_row
        Number of the first line, counted from 1 after the header; empty lines count.

    Returns
    -------
    tuple[polars.DataFrame, polars.DataFrame]
        Rows in the raw schema of the relation, and rejects with their reason.
    """
    text, _ = decode(data)
    cells, refused = _split(text, file.layout, newline, first_row)
    frame, unreadable = _typed(cells, file)
    bad = pl.concat([refused, unreadable]).sort("source_row")
    rejects = reject_frame(
        file.source,
        file.layout.relation,
        [(file.name, row, reason, raw) for row, reason, raw in bad.rows()],
    )
    return frame, rejects


def _split(text: str, layout: TutorLayout, newline: str, first_row: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    return split_cells(
        text,
        width=len(layout.header),
        separator=layout.separator,
        newline=newline,
        is_quoted=layout.is_quoted,
        first_row=first_row,
    )


def _typed(cells: pl.DataFrame, file: TutorFile) -> tuple[pl.DataFrame, pl.DataFrame]:
    layout = file.layout
    schema = RAW_SCHEMAS[file.source, layout.relation]
    columns: dict[str, pl.Series] = {}
    unreadable = pl.repeat(None, cells.height, dtype=pl.String, eager=True)
    for name, kind in schema.items():
        if name not in layout.columns:
            continue
        written = _text(cells, layout.columns[name], keeps_nulls=name in _TEXT_KEPT)
        series = _convert(name, kind, written)
        if kind in ("INTEGER", "BIGINT", "DOUBLE") or name == "first_attempt":
            what = "time" if name.endswith("milliseconds") else name
            lost = series.is_null() & written.is_not_null()
            unreadable = _told(unreadable, lost, f"unreadable {what}", written)
        columns[name] = series.alias(name)
    nobody = columns["student_id"].is_null() | (
        columns["problem_name"].is_null() & _or_null(columns, "step_name", cells.height).is_null()
    )
    unreadable = _told(unreadable, nobody, "no student or no problem and step")
    if "sample" in layout.columns:
        sample = _text(cells, layout.columns["sample"]).fill_null("")
        unreadable = _told(unreadable, sample != file.sample, "row of another sample", sample)
    frame = cells.select("source_row", *_lists(layout)).with_columns(list(columns.values()))
    frame = frame.with_columns(
        pl.lit(file.name).alias("source_file"),
        pl.lit(file.dataset).alias("dataset"),
        pl.lit(file.split, dtype=pl.String).alias("split"),
    )
    if "problem_hierarchy" not in columns:
        frame = frame.with_columns(_hierarchy(cells, layout).alias("problem_hierarchy"))
    absent = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in polars_schema(file.source, layout.relation).items()
        if name not in frame.columns
    ]
    frame = frame.with_columns(absent).select(list(schema))
    is_bad = unreadable.is_not_null()
    refused = cells.select("source_row", unreadable.alias("reason"), "raw").filter(is_bad)
    return frame.filter(~is_bad), refused


def _told(reasons: pl.Series, is_bad: pl.Series, reason: str, written: pl.Series | None = None) -> pl.Series:
    """Add a reason, with what is written, where a row is bad and has none yet."""
    if not is_bad.any():
        return reasons
    told = pl.lit(reason) if written is None else pl.format("{}: {}", pl.lit(reason), written)
    return pl.select(pl.when(reasons.is_null() & is_bad).then(told).otherwise(reasons)).to_series()


def _or_null(columns: dict[str, pl.Series], name: str, height: int) -> pl.Series:
    return columns[name] if name in columns else pl.repeat(None, height, dtype=pl.String, eager=True)


def _text(cells: pl.DataFrame, places: Sequence[int], *, keeps_nulls: bool = False) -> pl.Series:
    """Return the text of a column, its repetitions joined; null where nothing stands."""
    parts = [_cell(place, keeps_nulls=keeps_nulls) for place in places]
    return cells.select(parts[0] if len(parts) == 1 else _joined(parts)).to_series()


def _cell(place: int, *, keeps_nulls: bool = False) -> pl.Expr:
    text = pl.col(f"c{place}").str.strip_chars()
    is_null = text == "" if keeps_nulls else text.is_in(NULLS)
    return pl.when(~is_null).then(text).alias(f"c{place}")


def _joined(parts: Sequence[pl.Expr]) -> pl.Expr:
    if len(parts) == 1:
        return parts[0]
    found = pl.concat_list(parts).list.drop_nulls()
    return pl.when(found.list.len() > 0).then(found.list.join(JOINER))


def _convert(name: str, kind: str, written: pl.Series) -> pl.Series:
    if name.endswith("milliseconds"):
        return to_milliseconds(written)
    if kind in _NUMBERS:
        # Spreadsheets write whole numbers as 3.0.
        number = written.cast(pl.Float64, strict=False)
        number = number.set(number.is_infinite().fill_null(value=False), None)
        if kind == "INTEGER":
            number = number.set((number != number.round(0)).fill_null(value=False), None)
        if name in _COUNTS:
            number = number.set((number < 0).fill_null(value=False), None)
        return number.cast(_NUMBERS[kind], strict=False)
    if kind == "BOOLEAN":
        lower = written.str.to_lowercase()
        return pl.select(
            pl.when(lower.is_in(_TRUE)).then(statement=True).when(lower.is_in(_FALSE)).then(statement=False)
        ).to_series()
    if name == "first_attempt":
        return written.str.to_lowercase().replace_strict(_FIRST_ATTEMPT, default=None, return_dtype=pl.String)
    return written


def _lists(layout: TutorLayout) -> list[pl.Expr]:
    """Return the parallel lists of KC models, of cells, of opportunities, and of other fields."""
    models = layout.kc_models
    lists = [
        _list([pl.lit(one.model) for one in models]).alias("kc_models"),
        _list([_joined([_cell(place) for place in one.kcs]) for one in models]).alias("kc_cells"),
    ]
    if layout.relation == "steps":
        opportunities = [
            _joined([_cell(place) for place in one.opportunities])
            if one.opportunities
            else pl.lit(None, dtype=pl.String)
            for one in models
        ]
        return [*lists, _list(opportunities).alias("opportunity_cells")]
    other = [*layout.fields, *((f"Level ({name})", place) for name, place in layout.levels)]
    names = [pl.when(_cell(place).is_not_null()).then(pl.lit(name)) for name, place in other]
    values = [_cell(place) for _, place in other]
    lists += [
        _list(names).list.drop_nulls().alias("field_names"),
        _list(values).list.drop_nulls().alias("field_values"),
    ]
    if "condition_name" in layout.columns:
        kinds = layout.columns.get("condition_type", ())
        pairs = [
            pl.when(_cell(place).is_not_null()).then(
                pl.concat_str(
                    _cell(place),
                    pl.format(" ({})", _cell(kinds[number])) if number < len(kinds) else pl.lit(""),
                    ignore_nulls=True,
                )
            )
            for number, place in enumerate(layout.columns["condition_name"])
        ]
        lists.append(_joined(pairs).alias("condition"))
    return lists


def _list(parts: Sequence[pl.Expr]) -> pl.Expr:
    return pl.concat_list(parts) if parts else pl.lit(pl.Series([[]], dtype=pl.List(pl.String))).first()


def _hierarchy(cells: pl.DataFrame, layout: TutorLayout) -> pl.Series:
    """Render curriculum levels as DataShop does: ``Unit A, Section B``."""
    if not layout.levels:
        return pl.repeat(None, cells.height, dtype=pl.String, eager=True)
    parts = [
        pl.when(_cell(place).is_not_null()).then(pl.format("{} {}", pl.lit(name), _cell(place)))
        for name, place in layout.levels
    ]
    found = pl.concat_list(parts).list.drop_nulls()
    rendered = pl.when(found.list.len() > 0).then(found.list.join(", "))
    return cells.select(rendered.alias("problem_hierarchy")).to_series()
