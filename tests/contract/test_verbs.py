from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app

pytestmark = pytest.mark.contract

COMMANDS = get_command(app).commands
NAMED_IN_THE_README = [
    "demo",
    "doctor",
    "ingest",
    "plan",
    "build",
    "show",
    "sql",
    "embed",
    "cluster",
    "train",
    "evaluate",
    "promote",
    "rollback",
    "drift",
    "score",
    "forecast",
    "recommend",
    "refine",
    "synthesize",
    "report",
    "status",
    "runs",
    "publish",
    "forget",
    "export",
    "backup",
    "restore",
]
WRITES = [
    "demo",
    "ingest",
    "build",
    "embed",
    "cluster",
    "train",
    "evaluate",
    "promote",
    "rollback",
    "drift",
    "score",
    "forecast",
    "recommend",
    "refine",
    "synthesize",
    "report",
    "publish",
    "forget",
    "export",
    "backup",
    "restore",
]
GIVES_ROWS = [
    "demo",
    "doctor",
    "ingest",
    "plan",
    "build",
    "show",
    "sql",
    "embed",
    "cluster",
    "train",
    "evaluate",
    "promote",
    "rollback",
    "drift",
    "forecast",
    "recommend",
    "refine",
    "synthesize",
    "status",
    "forget",
    "export",
    "backup",
    "runs",
]
FOR_ALL_FAMILIES = ["train", "evaluate", "promote", "score"]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_command_has_the_promised_verbs():
    assert sorted(COMMANDS) == sorted(NAMED_IN_THE_README)


@pytest.mark.parametrize("name", NAMED_IN_THE_README)
def test_every_help_text_has_an_example(name):
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert f"edpipe {name}" in COMMANDS[name].help or f"edpipe … {name}" in COMMANDS[name].help


@pytest.mark.parametrize("name", NAMED_IN_THE_README)
def test_every_flag_says_what_it_does(name):
    undescribed = [
        parameter.name
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and not parameter.help
    ]
    assert undescribed == []


@pytest.mark.parametrize("name", WRITES)
def test_whatever_writes_has_a_dry_run(name):
    assert "dry_run" in {parameter.name for parameter in COMMANDS[name].params}


@pytest.mark.parametrize("name", GIVES_ROWS)
def test_rows_come_in_the_asked_format(name):
    assert "--format" in {option for parameter in COMMANDS[name].params for option in parameter.opts}


@pytest.mark.parametrize("name", FOR_ALL_FAMILIES)
def test_verbs_of_models_name_all_families_and_show_how_to_ask_for_each(name):
    (model,) = [found for found in COMMANDS[name].params if found.name == "model"]
    assert all(family in model.help for family in edpipe.learning.MODELS)
    assert f"edpipe {name} strategy" in COMMANDS[name].help
    for family in ("tsdiff", "diffumin"):
        assert name == "promote" or f"edpipe {name} {family}" in COMMANDS[name].help


def test_an_unknown_family_is_refused_with_the_closest_name():
    shown = CliRunner().invoke(app, ["train", "strategi"])
    assert "'strategy'" in str(shown.exception)


@pytest.mark.parametrize("module", ["edpipe", "edpipe.cli"])
def test_starting_loads_nothing_heavy(module):
    heavy = [
        "torch",
        "mlflow",
        "duckdb",
        "sqlmesh",
        "polars",
        "pandas",
        "pytorch_lightning",
        "prefect",
        "plotly",
        "sklearn",
    ]
    loaded = run_python(f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])")
    assert loaded == "[]"


def test_every_public_name_is_documented():
    for name in edpipe.__all__:
        value = getattr(edpipe, name)
        assert isinstance(value, str) or (value.__doc__ and len(value.__doc__) > 20), name


def test_the_verbs_are_functions_too():
    verbs = set(COMMANDS)
    assert verbs <= set(edpipe.__all__)
