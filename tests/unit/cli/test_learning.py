"""What commands on models print, with verbs that do nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app
from edpipe.families.family import Made
from edpipe.tracking.registry import ModelVersion
from edpipe.training.run import TrainingRun

MADE = Made(
    "Estimators",
    pl.DataFrame({"estimator": ["mean", "bkt"]}),
    ("Embedded.", "More."),
    Path("folder"),
    is_new=True,
    caption="estimator: how mastery is estimated.",
)
RUN = TrainingRun(
    run_dir=Path("runs/key"),
    run_key="key",
    config={"kind": "transformer"},
    options={},
    fingerprint="f",
    source="kddcup",
    steps="",
    best_epoch=2,
    num_epochs=5,
    metrics={"valid_loss": 0.25},
    num_parameters=1234,
    is_new=True,
    model="strategy",
)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Stand-ins for the verbs; settings and flags that reached them."""
    seen: dict[str, object] = {}

    def train(model, settings, *, resume, dry_run, on_made):
        seen.update(model=model, settings=settings, resume=resume, dry_run=dry_run)
        on_made(MADE)
        return RUN

    def embed(settings, *, dry_run):
        seen.update(settings=settings, dry_run=dry_run)
        return MADE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(edpipe, "train", train)
    monkeypatch.setattr(edpipe, "embed", embed)
    monkeypatch.setattr(edpipe, "cluster", embed)
    return seen


def run(*arguments: str):
    shown = CliRunner().invoke(app, [*arguments])
    assert shown.exit_code == 0, shown.output
    return shown


@pytest.mark.parametrize("command", ["embed", "cluster"])
def test_what_was_made_is_a_table_on_stdout_and_words_on_stderr(command, asked):
    shown = run(command, "--source", "mathia")
    assert "bkt" in shown.stdout
    assert "estimator: how mastery is estimated." in shown.stdout
    assert "Embedded." not in shown.stdout
    assert "Embedded." in shown.stderr
    assert asked["settings"].strategy.source == "mathia"


def test_rows_for_machines_are_one_document(asked):
    assert json.loads(run("embed", "--format", "json").stdout) == [
        {"estimator": "mean"},
        {"estimator": "bkt"},
    ]
    (row,) = json.loads(run("train", "strategy", "--format", "json").stdout)
    assert row["run_key"] == "key"
    assert row["valid_loss"] == 0.25
    assert row["best_epoch"] == 3


def test_training_a_predictor_shows_a_line_for_what_was_made_on_the_way(asked):
    shown = run("train", "strategy", "--source", "datashop", "--fresh")
    assert shown.stdout == ""
    assert shown.stderr.splitlines()[0] == "Embedded; in folder"
    assert "More." not in shown.stderr
    # Kept from 0, shown from 1.
    assert "Best epoch 3 of 5" in shown.stderr
    assert "transformer predictor, 1,234 parameters, run key" in shown.stderr
    assert asked["model"] == "strategy"
    assert asked["settings"].strategy.source == "datashop"
    assert asked["settings"].tracing.source == "ednet"
    assert asked["resume"] is False


def test_a_source_goes_to_the_family_that_is_trained(asked):
    run("train", "tracing", "--source", "assistments")
    assert asked["settings"].tracing.source == "assistments"
    assert asked["settings"].strategy.source == "kddcup"


def test_the_source_of_recommenders_is_one_of_their_data(asked):
    run("train", "diffumin", "--source", "clicks")
    assert asked["settings"].recommendation.source == "clicks"


def test_a_flag_that_was_not_given_does_not_hide_one_of_set(asked):
    run("--set", "recommendation.source=clicks", "train", "diffumin")
    assert asked["settings"].recommendation.source == "clicks"
    run("--set", "tsdiff.source=assistments", "train", "tsdiff")
    assert asked["settings"].tsdiff.source == "assistments"


def test_training_a_recommender_accounts_for_every_behavior(asked, monkeypatch):
    data = {
        "target": "next_item",
        "num_students": 9,
        "impressions": {
            "behaviors": 1_250,
            "train": 1_000,
            "valid": 100,
            "test": 90,
            "no target": 50,
            "short history": 10,
            "before the kept sequence": 0,
        },
    }
    trained = replace(RUN, data=data, options={"model": "din"}, model="diffumin")
    monkeypatch.setattr(edpipe, "train", lambda *_, **__: trained)
    lines = run("train", "diffumin").stderr.splitlines()
    assert lines[0] == (
        "Targets (next_item): train 1,000, valid 100, test 90, of 1,250 behaviors of 9 students."
    )
    assert lines[1] == "Other behaviors: no target 50, short history 10."
    assert "din recommender" in lines[2]


def test_weights_before_training_and_attempts_of_one_step_are_told(asked, monkeypatch):
    found = replace(RUN, best_epoch=-1, data={"single_step_share": 0.75})
    monkeypatch.setattr(edpipe, "train", lambda *_, **__: found)
    told = run("train", "strategy").stderr
    assert "Best epoch 0 (before training) of 5" in told
    assert "75 % of the attempts have a single step" in told


def test_periods_that_were_suppressed_are_told_before_and_after_training(asked, monkeypatch):
    found = replace(
        RUN,
        model="tsdiff",
        config={"kind": "tsdiff_conditional"},
        options={"model": "flow"},
        data={"account": {"num_cells": 1000, "num_suppressed": 25, "num_too_short": 0}},
    )
    monkeypatch.setattr(edpipe, "train", lambda *_, **__: found)
    for flags in ((), ("--dry-run",)):
        told = run("train", "tsdiff", *flags).stderr
        assert "25 of 1,000 periods have too few students and are suppressed." in told
        assert "flow forecaster, 1,234 parameters, run key" in told
        assert "too short" not in told


@pytest.mark.parametrize("is_built", [True, False])
def test_scoring_tells_the_rows_of_each_table_and_where_they_are_found(is_built, monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    if is_built:
        (home / "warehouse.duckdb").touch()
    file = tmp_path / "strategies" / "part-0.parquet"
    file.parent.mkdir()

    def score(*_: object) -> list[Path]:
        pl.DataFrame({"x": range(1234)}).write_parquet(file)
        return [file]

    champion = ModelVersion("strategy", 4, "id", "key", "source", aliases=("champion",))
    monkeypatch.setattr(edpipe, "score", score)
    monkeypatch.setattr(edpipe, "versions", lambda *_: [champion])
    monkeypatch.setattr(edpipe, "publish", lambda *_: Path("published.duckdb"))
    told = run("--home", str(home), "score", "strategy").stderr.splitlines()
    assert told[:-1] == ["Scored with strategy version 4.", "predictions.strategies: 1,234 rows written."]
    # Who learned from a file of their own has no warehouse to publish.
    expected = f"no warehouse has been built here: the rows lie in {file.parent}."
    assert told[-1] == "Published: published.duckdb" if is_built else told[-1].endswith(expected)


def test_a_run_that_has_no_name_yet_is_said_so(asked, monkeypatch):
    monkeypatch.setattr(edpipe, "train", lambda *_, **__: replace(RUN, run_key=""))
    assert "made first and names the run" in run("train", "strategy", "--dry-run").stderr
