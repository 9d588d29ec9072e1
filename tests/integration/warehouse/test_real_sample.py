"""The lent EdNet sample: every row of it accounted for, its known oddities found."""

from __future__ import annotations

from pathlib import Path

import pytest

from edpipe import warehouse
from edpipe.settings import Settings
from edpipe.sources.ednet import ingest_ednet

pytestmark = pytest.mark.integration


def test_every_row_of_the_sample_is_accounted_for(real_data: Path, settings: Settings) -> None:
    ingest_ednet([real_data / "education" / "ednet"], settings)
    report = warehouse.build(settings)
    checks = {(row["check_name"], row["relation"]): row for row in report.reconciliation}
    assert [row for row in report.reconciliation if row["severity"] == "error" and not row["is_ok"]] == []
    assert checks["interactions_accounted", "kt1"]["observed"] == 32_784
    assert checks["actions_accounted", "kt4"]["observed"] == 5_134
    assert checks["exact_duplicates", "kt4"]["observed"] == 1
    assert checks["enters_are_submits", "kt4"]["observed"] == checks["enters_are_submits", "kt4"]["expected"]
    assert checks["contexts_not_closed", "kt4"]["observed"] == 0
    assert checks["students_on_kt1_and_kt4", "kt1"]["observed"] == 6
    assert checks["items_without_kc", "items"]["observed"] == 797
    assert checks["unanswered", "interactions"]["observed"] == 45
    kcs = warehouse.query(settings, "SELECT COUNT(*), COUNT(*) FILTER (num_items > 0) FROM core.kcs").row(0)
    assert kcs == (293, 188)
