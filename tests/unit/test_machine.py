from __future__ import annotations

import pytest

from edpipe import machine
from edpipe.settings import load_settings


def test_this_machine_runs_edpipe(settings):
    problems = [check for check in machine.examine(settings) if check.state == "problem"]
    assert problems == []


def test_a_server_that_does_not_answer_is_a_problem(settings):
    # Port 9 (discard) is not served on test machines.
    (check,) = [
        check
        for check in machine.examine(settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"}))
        if check.check == "MLflow"
    ]
    assert check.state == "problem"
    assert "127.0.0.1:9" in check.found


def test_little_disk_is_a_warning_with_a_next_step(monkeypatch, settings):
    monkeypatch.setattr(machine, "FREE_DISK_GIB", 10**9)
    (check,) = [check for check in machine.examine(settings) if check.check == "Disk"]
    assert check.state == "warning"
    assert "home" in check.next_step


@pytest.mark.parametrize("name", ["home", "tracing.size", "warehouse.session_idle_minutes"])
def test_every_setting_is_listed_with_its_meaning(name):
    rows = {row["setting"]: row for row in machine.setting_rows(load_settings("smoke"))}
    assert rows[name]["meaning"]
    assert all(row["meaning"] for row in rows.values())
