"""Read the times of tutor logs: thirteen written forms, counts since 1970, spreadsheet day numbers.

All give milliseconds since 1970 of the clock as written; zones are not applied.
"""

from __future__ import annotations

from typing import Final

import polars as pl

# Month first where slashes stand: DataShop is American. A colon may stand before the milliseconds
# (Carnegie Learning writes `HH:mm:ss:SSS`).
_CLOCK: Final = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.:,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_YEAR_FIRST: Final = (
    r"^(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})(?:[ T]+" + _CLOCK + r")?(?:\s*Z)?$"
)
_MONTH_FIRST: Final = (
    r"^(?P<month>\d{1,2})[-/](?P<day>\d{1,2})[-/](?P<year>\d{4}|\d{2})(?:[ T]+" + _CLOCK + r")?$"
)
_MONTH_NAMED: Final = (
    r"^(?P<name>[A-Za-z]{3})[a-z]* (?P<day>\d{1,2}),? (?P<year>\d{4})(?: +" + _CLOCK + r")?$"
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER: Final = r"^\d+(?:\.\d+)?$"
# Two-digit years up to this one are of this century.
_LAST_SHORT_YEAR: Final = 69
# A count of days since 1899-12-30 up to the year 2119, then of seconds, then of milliseconds: seconds
# below the bound reach 1970-01-01 only, milliseconds above it begin in 1973. Those of the year 2286 and
# later are no time.
_MOST_DAYS: Final = 80_000.0
_MOST_SECONDS: Final = 1e11
_MOST_MILLISECONDS: Final = 1e13
_DAYS_TO_1970: Final = 25_569
_DAY_MILLISECONDS: Final = 86_400_000
_USUAL: Final = "%Y-%m-%d %H:%M:%S%.f"


def to_milliseconds(written: pl.Series) -> pl.Series:
    """Read times of any known form.

    Parameters
    ----------
    written
        Text, or null where there is no time.

    Returns
    -------
    polars.Series
        Milliseconds since 1970 as Int64, each of the clock as written; null where there is no time or
        no known form. A form without a date (``mm:ss.0``, left by spreadsheets) is not known: the date
        is lost.
    """
    text = written.str.strip_chars()
    found = text.str.to_datetime(_USUAL, strict=False, time_unit="ms").dt.epoch("ms")
    left = (found.is_null() & text.is_not_null()).arg_true()
    if not len(left):
        return found
    rest = _slow(text.gather(left))
    return found.scatter(left, rest)


def _slow(text: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"text": text})
    forms = [
        _written(pattern, pattern is _MONTH_NAMED) for pattern in (_YEAR_FIRST, _MONTH_FIRST, _MONTH_NAMED)
    ]
    return frame.select(pl.coalesce(*forms, _counted()))["text"]


def _written(pattern: str, is_named: bool) -> pl.Expr:
    groups = pl.col("text").str.extract_groups(pattern).struct

    def number(name: str) -> pl.Expr:
        return groups.field(name).cast(pl.Int32, strict=False)

    year = number("year")
    century = pl.when(year <= _LAST_SHORT_YEAR).then(2000).when(year < 100).then(1900).otherwise(0)
    half = groups.field("half").str.to_lowercase()
    # 12 AM is 0 and 12 PM is 12.
    hour = (
        pl.when(half.is_null())
        .then(number("hour"))
        .otherwise(number("hour") % 12 + pl.when(half == "p").then(12).otherwise(0))
    )
    month = (
        groups.field("name")
        .str.to_lowercase()
        .replace_strict(list(_MONTHS), list(range(1, 13)), default=None, return_dtype=pl.Int32)
        if is_named
        else number("month")
    )
    date = pl.format(
        "{}-{}-{}",
        (year + century).cast(pl.String).str.zfill(4),
        month.cast(pl.String).str.zfill(2),
        number("day").cast(pl.String).str.zfill(2),
    ).str.to_date("%Y-%m-%d", strict=False)
    minute, second = number("minute").fill_null(0), number("second").fill_null(0)
    hour = hour.fill_null(0)
    fraction = groups.field("fraction").fill_null("").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    clock = ((hour.cast(pl.Int64) * 60 + minute) * 60 + second) * 1000 + fraction
    is_clock = (hour < 24) & (minute < 60) & (second < 61)
    return pl.when(is_clock).then(date.cast(pl.Int64) * _DAY_MILLISECONDS + clock).alias("text")


def _counted() -> pl.Expr:
    """Read plain numbers: days of a spreadsheet, seconds or milliseconds since 1970, by their size."""
    number = pl.when(pl.col("text").str.contains(_NUMBER)).then(pl.col("text").cast(pl.Float64, strict=False))
    days = ((number - _DAYS_TO_1970) * _DAY_MILLISECONDS).round(0)
    seconds = (number * 1000).round(0)
    return (
        pl.when(number <= _MOST_DAYS)
        .then(days)
        .when(number < _MOST_SECONDS)
        .then(seconds)
        .when(number < _MOST_MILLISECONDS)
        .then(number)
        .cast(pl.Int64)
        .alias("text")
    )
