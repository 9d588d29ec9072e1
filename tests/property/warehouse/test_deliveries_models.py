"""A log that comes in deliveries, in any order, gives the tables that the whole log gives, row for row."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from deliveries import PLATFORMS, STUDENTS, Platform, Row
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from sql_in_memory import Models

from edpipe.raw import relation_dir
from edpipe.settings import Settings, load_settings

TABLES = (
    "core.students",
    "core.interactions",
    "core.interaction_kcs",
    "core.opportunities",
    "features.kc_mastery",
    "features.behavior_sequences",
    "training.tracing_examples",
    "training.recommendation_examples",
    "training.strategy_examples",
)
# Where a row stood in its file; of EdNet this is where it stands among the rows of its student.
OF_FILES = {"source_row"}
LAST_SECOND = 30


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Row], list[tuple[int, int]]]:
    """Draw a log in order of time, and windows of seconds that cover it, in the order in which they come."""
    row = st.tuples(
        st.sampled_from(STUDENTS), st.integers(0, LAST_SECOND), st.integers(1, 6), st.integers(0, 1)
    )
    log = sorted(draw(st.lists(row, min_size=5, max_size=40)), key=lambda one: one[1])
    cuts = sorted(draw(st.sets(st.integers(1, LAST_SECOND), max_size=3)) | {0, LAST_SECOND + 1})
    windows = list(pairwise(cuts))
    bounds = st.integers(0, LAST_SECOND)
    more = draw(st.lists(st.tuples(bounds, bounds), max_size=3))
    windows += [(min(pair), max(pair) + 1) for pair in more]
    return log, draw(st.permutations(windows))


def raw_rows(settings: Settings, platform: Platform) -> dict[str, list[dict[str, object]]]:
    given = {f"{platform.source}_{platform.relation}": platform.rows(settings).to_dicts()}
    if platform.source == "ednet":
        folder = relation_dir(settings.raw_dir, "ednet", "questions")
        questions = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("shard-*.parquet"))])
        given["ednet_questions"] = questions.to_dicts()
    return given


def tables(models: Models, settings: Settings, platform: Platform) -> dict[str, pl.DataFrame]:
    connection = models.run(raw_rows(settings, platform), TABLES)
    left_out = set() if platform.source == "ednet" else OF_FILES
    found = {}
    for name in TABLES:
        frame = connection.sql(f"SELECT * FROM {name} ORDER BY ALL").pl()
        found[name] = frame.select(column for column in frame.columns if column not in left_out)
    connection.close()
    return found


def opened(home: Path) -> Settings:
    return load_settings("smoke", file=home / "none.toml", home=home, progress="none")


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
@options(max_examples=2, deadline=None)
@given(arrivals())
def test_deliveries_in_any_order_give_the_tables_of_the_whole_log(
    models: Models, platform: Platform, drawn: tuple[list[Row], list[tuple[int, int]]]
) -> None:
    compare_with_whole(models, platform, *drawn)


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
@options(max_examples=40, deadline=None)
@given(arrivals())
def test_forty_deliveries_in_any_order_give_the_tables_of_the_whole_log(
    models: Models, platform: Platform, drawn: tuple[list[Row], list[tuple[int, int]]]
) -> None:
    compare_with_whole(models, platform, *drawn)


def compare_with_whole(
    models: Models, platform: Platform, log: list[Row], windows: list[tuple[int, int]]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        piecewise, whole = opened(folder / "piecewise"), opened(folder / "whole")
        for number, (first, end) in enumerate(windows):
            rows = [row for row in log if first <= row[1] < end]
            if rows:
                platform.add(piecewise, [platform.write(folder, f"day{number}", rows)])
        platform.add(whole, [platform.write(folder, "log", log)], add=False)
        one, other = (tables(models, each, platform) for each in (piecewise, whole))
    for table in TABLES:
        assert one[table].equals(other[table]), table
    assert one["core.students"].height == len({row[0] for row in log})
