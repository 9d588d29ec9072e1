"""A build after deliveries: the plan says what they touched, the tables are those of one command."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deliveries import PLATFORMS

import edpipe
from edpipe import warehouse
from edpipe.settings import Settings, load_settings

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EDNET, CLICKS, STEPS = PLATFORMS
FIRST = [
    (f"u{student}", second, 1 + second % 6, second % 2) for student in range(1, 9) for second in range(6)
]
LATER = [("u1", second, 1 + second % 6, 1) for second in range(4, 9)] + [("u2", 30, 2, 0), ("u9", 2, 3, 1)]
# These tell how rows came, which is not the same.
OF_ARRIVAL = ("core.reconciliation", "ops.runs")


def opened(home: Path) -> Settings:
    return load_settings("smoke", file=home / "none.toml", home=home, progress="none")


def published(settings: Settings) -> dict[str, pl.DataFrame]:
    names = sorted(set(warehouse.status(settings).relations) - set(OF_ARRIVAL))
    return {name: warehouse.query(settings, f"SELECT * FROM {name} ORDER BY ALL") for name in names}


def test_the_plan_names_touched_buckets_and_the_build_equals_one_from_nothing(tmp_path: Path) -> None:
    nightly, whole = opened(tmp_path / "nightly"), opened(tmp_path / "whole")
    paths = {
        one: [one.write(tmp_path, f"{one}{day}", rows) for day, rows in enumerate((FIRST, LATER))]
        for one in PLATFORMS
    }
    for platform in PLATFORMS:
        platform.add(nightly, paths[platform][1:])
    edpipe.build(nightly)
    for platform in PLATFORMS:
        platform.add(nightly, paths[platform])
        platform.add(whole, paths[platform])
    planned = {model.name: model.reason for model in edpipe.plan(nightly).models}
    for name in ("raw.ednet_kt1", "raw.clicks_behaviors", "raw.kddcup_steps"):
        assert planned[name].startswith("input changed: 4")
        assert " rows added for " in planned[name]
    edpipe.build(nightly)
    edpipe.build(whole)
    one, other = published(nightly), published(whole)
    assert one.keys() == other.keys()
    for name, frame in one.items():
        assert frame.equals(other[name]), name
    late = (
        "SELECT observed FROM core.reconciliation "
        "WHERE check_name = 'rows_delivered_late' AND source = 'ednet'"
    )
    # Of u1 the first five seconds and of u2 all six are older than what came first.
    assert (warehouse.query(nightly, late).item(), warehouse.query(whole, late).item()) == (11, 0)
