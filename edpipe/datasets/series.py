"""Time series of one frequency: validated from a long table, kept as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.frequency import UNIT, Frequency, Ints, Times, frequency_named, infer_frequency
from edpipe.errors import ContractError

Singles = NDArray[np.float32]
# What stands where the table has no row: nothing happened (counts), or nobody knows (rates).
Holes = Literal["zero", "mask"]
_COLUMNS: Final = ("series_id", "time", "target")


@dataclass(frozen=True, slots=True, eq=False)
class SeriesSet:
    """Several series on one calendar grid, of different lengths.

    Build it with :meth:`from_frame` or :meth:`from_arrays`.

    Attributes
    ----------
    ids
        Names of the series, distinct.
    frequency
        Their grid.
    starts
        Moment of each first step. Shape ``(num_series,)``.
    values
        All series one after the other, NaN where unobserved. Shape ``(num_steps,)``.
    offsets
        Series ``s`` is ``values[offsets[s]:offsets[s + 1]]``. Shape ``(num_series + 1,)``.
    """

    ids: tuple[str, ...]
    frequency: Frequency
    starts: Times
    values: Singles
    offsets: Ints

    @property
    def num_series(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def lengths(self) -> Ints:
        """Steps of each series. Shape ``(num_series,)``."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        """Return the number of series."""
        return self.num_series

    def target(self, series: int) -> Singles:
        """Return one series' values, NaN where unobserved."""
        return self.values[self.offsets[series] : self.offsets[series + 1]]

    def times(self, series: int) -> Times:
        """Return the moments of one series' steps."""
        return self.frequency.times(self.starts[series], np.arange(self.lengths[series]))

    def time_at(self, series: Ints, step: Ints) -> Times:
        """Return the moment of each step of each series named; steps beyond the end are future ones."""
        found = np.empty(len(series), dtype=f"datetime64[{UNIT}]")
        for number in np.unique(series):
            chosen = series == number
            found[chosen] = self.frequency.times(self.starts[number], step[chosen])
        return found

    def cut(self, ends: Ints) -> SeriesSet:
        """Return the same series without the steps from ``ends`` on. Shape of ``ends``: ``(num_series,)``."""
        parts = [self.target(number)[: max(int(end), 0)] for number, end in enumerate(ends)]
        return SeriesSet.from_arrays(self.ids, self.starts, parts, self.frequency)

    def take(self, series: Ints) -> SeriesSet:
        """Return the named series, in this order."""
        return SeriesSet.from_arrays(
            [self.ids[number] for number in series],
            self.starts[series],
            [self.target(int(number)) for number in series],
            self.frequency,
        )

    def to_frame(self) -> pl.DataFrame:
        """Return the long table ``series_id, time, target``; unobserved steps have a null target."""
        return pl.DataFrame(
            {
                "series_id": np.repeat(np.array(self.ids, dtype=object), self.lengths).astype(str),
                "time": np.concatenate([self.times(number) for number in range(self.num_series)]),
                "target": self.values,
            }
        ).with_columns(pl.col("target").fill_nan(None))

    @classmethod
    def from_arrays(
        cls,
        ids: Sequence[str],
        starts: Times | Sequence[np.datetime64],
        targets: Sequence[NDArray[np.floating]],
        frequency: Frequency | str,
    ) -> SeriesSet:
        """Put together series that have no holes in time; NaN is an unobserved step.

        Parameters
        ----------
        ids
            Names, distinct.
        starts
            Moment of each first step.
        targets
            Values of each series; infinite ones are refused.
        frequency
            The grid or its name.

        Raises
        ------
        ContractError
            If names repeat or a value is infinite.
        """
        grid = frequency_named(frequency) if isinstance(frequency, str) else frequency
        repeated = sorted({name for name in ids if list(ids).count(name) > 1}) if _repeats(ids) else []
        if repeated:
            raise _broken("Series have the same name.", "`series_id`", ", ".join(repeated), "distinct names")
        parts = [np.asarray(one, dtype=np.float32) for one in targets]
        values = np.concatenate([*parts, np.empty(0, dtype=np.float32)])
        if np.isinf(values).any():
            found = f"{int(np.isinf(values).sum())} of {len(values)} values"
            raise _broken("Values are not finite.", "`target`", found, "numbers, or null where unobserved")
        return cls(
            tuple(ids),
            grid,
            np.asarray(starts, dtype=f"datetime64[{UNIT}]"),
            values,
            np.concatenate([[0], np.cumsum([len(one) for one in targets], dtype=np.int64)]).astype(np.int64),
        )

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame,
        *,
        frequency: Frequency | str | None = None,
        holes: Holes,
        common_end: bool = False,
    ) -> SeriesSet:
        """Validate a long table and lay it on its grid.

        With ``holes="zero"`` the values of a series add up to those of the table. A row with a null
        target is an unobserved step under both rules.

        Parameters
        ----------
        frame
            Columns ``series_id``, ``time`` (date, or datetime, which is taken in UTC) and ``target``.
        frequency
            The grid; by default the longest one on which the moments of every series lie.
        holes
            What a step without a row holds: ``zero`` for counts, ``mask`` (unobserved) for rates.
        common_end
            Let every series go on to the table's last moment, by the same rule: a count that stays away
            at the end is zero, too.

        Returns
        -------
        SeriesSet
            In rising order of the names.

        Raises
        ------
        ContractError
            If the table is empty, lacks a column or a key, repeats a moment, or leaves the grid.
        """
        rows = _checked_rows(frame)
        names, first = np.unique(rows["series_id"].to_numpy().astype(str), return_index=True)
        ends = np.append(first[1:], rows.height)
        times = rows["time"].to_numpy().astype(f"datetime64[{UNIT}]")
        target = rows["target"].to_numpy().astype(np.float64)
        grid = _grid(frequency, times, first, ends)
        number = _step_numbers(rows, grid, times, first, ends)
        last = int(number.max())
        fill = 0.0 if holes == "zero" else np.nan
        parts = []
        for begin, end in zip(first, ends, strict=True):
            stop = last if common_end else int(number[end - 1])
            values = np.full(stop - int(number[begin]) + 1, fill)
            values[number[begin:end] - number[begin]] = target[begin:end]
            parts.append(values)
        return cls.from_arrays([str(name) for name in names], times[first], parts, grid)


def _repeats(ids: Sequence[str]) -> bool:
    return len(set(ids)) < len(ids)


def _checked_rows(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise _broken(
            "The table of series lacks columns.", "long table", ", ".join(frame.columns), ", ".join(_COLUMNS)
        )
    if not frame.height:
        raise _broken("The table of series is empty.", "long table", "0 rows", "one row a step")
    time = frame["time"]
    if isinstance(time.dtype, pl.Datetime) and time.dtype.time_zone:
        time = time.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if not time.dtype.is_temporal() or not frame["target"].dtype.is_numeric():
        found = f"time {time.dtype}, target {frame['target'].dtype}"
        raise _broken("Columns have the wrong type.", "long table", found, "a date or datetime, a number")
    rows = frame.select(
        pl.col("series_id").cast(pl.String), time.cast(pl.Datetime("us")).alias("time"), pl.col("target")
    ).sort("series_id", "time")
    without_key = rows.filter(pl.col("series_id").is_null() | pl.col("time").is_null()).height
    if without_key:
        raise _broken("Rows have no key.", "`series_id`, `time`", f"{without_key} rows", "both in every row")
    repeated = rows.filter(pl.struct("series_id", "time").is_duplicated())
    if repeated.height:
        raise _broken(
            "Moments repeat.",
            "`series_id`, `time`",
            f"{repeated.height} rows, first {repeated.row(0)[:2]}",
            "one row a series and moment",
        )
    return rows


def _grid(frequency: Frequency | str | None, times: Times, first: Ints, ends: Ints) -> Frequency:
    if isinstance(frequency, str):
        return frequency_named(frequency)
    if frequency is not None:
        return frequency
    found = [infer_frequency(times[begin:end]) for begin, end in zip(first, ends, strict=True)]
    known = {one.name: one for one in found if one is not None}
    if len(known) != 1:
        names = ", ".join(sorted(known)) or "no grid"
        raise _broken("The frequency cannot be told.", "`time`", names, "one frequency; name it")
    return next(iter(known.values()))


def _step_numbers(rows: pl.DataFrame, grid: Frequency, times: Times, first: Ints, ends: Ints) -> Ints:
    """Return each row's step on the grid, after checking that the rows of a series share one grid."""
    number, offset = grid.number(times)
    # Several rows of one series may fall on one step, an hour apart on a daily grid for example.
    of_first = np.repeat(offset[first], ends - first)
    is_off = (offset != of_first) | (offset < 0)
    is_off[1:] |= (np.diff(number) == 0) & ~np.isin(np.arange(1, len(number)), first)
    if is_off.any():
        row = int(np.flatnonzero(is_off)[0])
        raise _broken(
            f"Moments are not on a {grid.name} grid.",
            "`time`",
            f"{int(is_off.sum())} of {len(times)} rows, first {rows.row(row)[:2]}",
            "moments a whole number of steps after the first of their series",
        )
    return number


def _broken(what: str, where: str, found: str, expected: str) -> ContractError:
    return ContractError(
        what,
        where=where,
        found=found,
        expected=expected,
        next_step="Correct the table, or the query that makes it.",
    )
