"""Columns that the published forms of tutor logs share: amounts of work, times, KC cells."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from edpipe.errors import SettingsError
from edpipe.sources.synthetic.tutor_world import NO_KC, TutorWorld


def check_amounts(num_sections: int, num_problems: int, test_share: float) -> None:
    """Refuse amounts of work that cannot be.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    if min(num_sections, num_problems) < 1 or not 0 <= test_share <= 1:
        raise SettingsError(
            "The work of synthetic tutor students is out of range.",
            where="`sections_per_student`, `problems_per_student`, `test_share`",
            found=f"{num_sections}, {num_problems}, {test_share}",
            expected="1 or more sections and problems, a share in [0, 1]",
            next_step="Choose others.",
        )


def step_times(zero: str = "") -> dict[str, pl.Expr]:
    """Return the columns of times, ``zero`` behind the seconds, and of durations in seconds."""
    duration = pl.col("end_second") - pl.col("start_second")
    is_right = pl.col("first_attempt") == "correct"
    return {
        "Step Start Time": as_time("start_second", zero),
        "First Transaction Time": as_time("first_second", zero),
        "Correct Transaction Time": as_time("correct_second", zero),
        "Step End Time": as_time("end_second", zero),
        "Step Duration (sec)": duration,
        "Correct Step Duration (sec)": pl.when(is_right).then(duration),
        "Error Step Duration (sec)": pl.when(~is_right).then(duration),
    }


def as_time(column: str, zero: str = "") -> pl.Expr:
    """Return seconds since 1970 as text."""
    return pl.from_epoch(column, time_unit="s").dt.strftime("%Y-%m-%d %H:%M:%S" + zero)


def kc_cells(world: TutorWorld, *, is_traced: bool = False) -> tuple[pl.Expr, pl.Expr]:
    """Return cells of KC names and of opportunities, parallel, joined by ``~~``.

    A small share of steps has its two KCs in falling order. Traced names end in ``-1``, and bookkeeping
    is not traced.
    """
    suffix = "-1" if is_traced else ""
    names = pl.Series([name + suffix for name in world.kc_names])
    columns = (0, 1) if is_traced else (0, 1, 2)

    def joined(cells: Mapping[int, pl.Expr]) -> pl.Expr:
        rising = pl.concat_str([cells[c] for c in columns], separator="~~", ignore_nulls=True)
        falling = pl.concat_str([cells[c] for c in (1, 0, *columns[2:])], separator="~~", ignore_nulls=True)
        cell = pl.when("is_written_reversed").then(falling).otherwise(rising)
        return pl.when(cell != "").then(cell)

    has = {c: pl.col(f"kc_{c}") != NO_KC for c in columns}
    kcs = {c: pl.when(has[c]).then(pl.lit(names).gather(pl.col(f"kc_{c}").clip(0))) for c in columns}
    numbers = {c: pl.when(has[c]).then(pl.col(f"opportunity_{c}").cast(pl.String)) for c in columns}
    return joined(kcs), joined(numbers)
