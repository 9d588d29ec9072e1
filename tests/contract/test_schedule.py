"""`prefect.yaml`: every flow is deployed, its schedule can be understood, and its parameters are taken."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from zoneinfo import available_timezones

import pytest
import yaml

from edpipe.learning import MODELS

pytestmark = pytest.mark.contract

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOYMENTS = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text("utf-8"))["deployments"]
BY_HAND = {"backfill", "pipeline"}
# What a person says who starts a flow by hand.
GIVEN_BY_HAND = {
    "backfill": {"source": "ednet", "folders": ["a", "b"]},
    "pipeline": {"sources": {"ednet": ["a"]}},
}


def flow_of(deployment):
    path, name = deployment["entrypoint"].split(":")
    assert (REPOSITORY / path).is_file()
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


def is_flow(node: ast.AST) -> bool:
    calls = [one for one in getattr(node, "decorator_list", []) if isinstance(one, ast.Call)]
    return any(getattr(one.func, "id", "") == "flow" for one in calls)


def flows_defined() -> set[str]:
    """Name the functions below `@flow(…)` in the sources, with their file."""
    return {
        f"flows/{path.name}:{node.name}"
        for path in (REPOSITORY / "flows").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if is_flow(node)
    }


def test_every_flow_is_deployed_and_training_once_a_family():
    assert {one["entrypoint"] for one in DEPLOYMENTS} == flows_defined()
    names = [one["name"] for one in DEPLOYMENTS]
    assert sorted(names) == sorted(
        ["nightly", "scoring", "check", *BY_HAND, *(f"weekly-{model}" for model in MODELS)]
    )
    assert {
        one["parameters"]["model"]
        for one in DEPLOYMENTS
        if "weekly:" not in one["name"] and one["entrypoint"] == "flows/weekly.py:weekly"
    } == set(MODELS)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_deployment_says_what_when_where_and_that_only_one_runs(deployment):
    from prefect.client.schemas.schedules import CronSchedule

    assert len(deployment["description"]) > 20
    assert "edpipe" in deployment["tags"]
    assert deployment["work_pool"] == {"name": "edpipe"}
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    schedules = deployment.get("schedules", [])
    assert bool(schedules) == (deployment["name"] not in BY_HAND)
    for schedule in schedules:
        assert schedule["timezone"] in available_timezones()
        assert CronSchedule(**schedule).cron == schedule["cron"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_the_flow_takes_its_parameters_and_no_others(deployment):
    flow = flow_of(deployment)
    given = {**deployment["parameters"], **GIVEN_BY_HAND.get(deployment["name"], {})}
    assert flow.validate_parameters(given) == given
    with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
        flow.fn(**given, unknown=1)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_an_unknown_setting_fails_before_anything_is_done(deployment, tmp_path, monkeypatch):
    """Whatever a flow calls first is the check: a step would need Prefect, which is not running here."""
    from edpipe.errors import SettingsError

    monkeypatch.chdir(tmp_path)
    given = {**deployment["parameters"], **GIVEN_BY_HAND.get(deployment["name"], {})}
    for wrong in ({"tracingg": {}}, {"tracing": {"sise": 1}}, {"home": str(tmp_path / "data"), "seed": -1}):
        with pytest.raises(SettingsError):
            flow_of(deployment).fn(**{**given, "settings": wrong})
    assert list(tmp_path.iterdir()) == []
