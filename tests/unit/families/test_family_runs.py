"""Which runs exist, of which family, and how their models compare."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from edpipe.errors import TrainingError
from edpipe.evaluation.results import CALIBRATION_SCHEMA, METRIC_SCHEMA, Evaluation
from edpipe.families.runs import comparison_of, finished_runs, model_of, newest_run, run_lines
from edpipe.settings import Settings

NAN = float("nan")


def write_run(
    settings: Settings, name: str, *, at: int, model: str | None = None, scored: bool = False
) -> Path:
    folder = settings.runs_dir / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({} if model is None else {"model": model}))
    os.utime(folder / "run.json", (at, at))
    if scored:
        (folder / "evaluation").mkdir()
        (folder / "evaluation" / "summary.json").write_text("{}")
    return folder


def test_a_run_that_names_no_family_is_one_of_tracing(settings):
    assert model_of(write_run(settings, "old", at=1)) == "tracing"


def test_the_newest_run_is_looked_for_in_its_family(settings):
    write_run(settings, "tracer", at=1, model="tracing")
    write_run(settings, "predictor", at=2, model="strategy")
    assert newest_run(settings, "tracing").name == "tracer"
    assert newest_run(settings).name == "predictor"
    assert [run.name for run in finished_runs(settings, "strategy")] == ["predictor"]


def test_an_evaluated_run_is_preferred_within_its_family_only(settings):
    write_run(settings, "scored", at=1, model="strategy", scored=True)
    write_run(settings, "newer", at=2, model="strategy")
    write_run(settings, "tracer", at=3, model="tracing", scored=True)
    assert newest_run(settings, "strategy", evaluated=True).name == "scored"


def test_no_run_of_a_family_names_the_command_that_makes_one(settings):
    write_run(settings, "tracer", at=1, model="tracing")
    with pytest.raises(TrainingError, match="edpipe train strategy"):
        newest_run(settings, "strategy")


def test_lines_about_a_family_say_what_is_left_to_do(settings):
    assert run_lines(settings, "strategy") == []
    write_run(settings, "predictor", at=2, model="strategy")
    counted, left = run_lines(settings, "strategy")
    assert "1, of them 0 evaluated" in counted
    assert "edpipe evaluate strategy" in left


def test_models_are_compared_by_the_first_metric_and_what_does_not_apply_is_blank(tmp_path):
    rows = [
        ("lookup", "test", "all", "exact_match", 0.5, 0.4, 0.6, 10, 5),
        ("lookup", "test", "all", "log_likelihood", NAN, NAN, NAN, 10, 5),
        ("lstm", "test", "all", "exact_match", 0.6, NAN, NAN, 10, 5),
        ("lstm", "test", "all", "log_likelihood", -1.25, -1.5, -1.0, 10, 5),
        ("lstm", "valid", "all", "exact_match", 0.1, 0.1, 0.1, 10, 5),
    ]
    Evaluation(
        pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row"), pl.DataFrame(schema=CALIBRATION_SCHEMA)
    ).save(tmp_path)
    titles = {"exact_match": "exact", "jaccard": "Jaccard", "log_likelihood": "likelihood"}
    assert comparison_of(tmp_path, titles).to_dicts() == [
        {"model": "lstm", "exact": "0.6", "likelihood": "-1.25 [-1.5, -1.0]"},
        {"model": "lookup", "exact": "0.5 [0.4, 0.6]", "likelihood": None},
    ]
