"""A million synthetic interactions with a small memory limit: spilled, not killed."""

from __future__ import annotations

import pytest

from edpipe import warehouse
from edpipe.settings import Settings
from edpipe.sources.ednet import ingest_ednet
from edpipe.sources.synthetic import write_ednet

pytestmark = pytest.mark.slow


def test_a_build_spills_instead_of_failing(settings: Settings) -> None:
    folder = settings.home / "source"
    write_ednet(folder, num_students=8_200, num_items=2_000, keep_truth=False)
    small = settings.warehouse.model_copy(update={"memory_limit_mib": 512, "threads": 2})
    limited = settings.model_copy(update={"warehouse": small})
    ingest_ednet(sorted(folder.glob("*.zip")), limited)
    report = warehouse.build(limited)
    rows = {model.name: model.rows for model in report.models}
    assert (rows["core.interactions"] or 0) > 500_000
    restricted = [row for row in report.reconciliation if "_restricts_" in row["check_name"]]
    assert len(restricted) == 2
    assert all(row["is_ok"] for row in restricted)
