"""The flow on synthetic archives: everything once, nothing twice, and on after a kill."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import edpipe
from edpipe import champions
from edpipe.evaluation.drift.snapshot import SNAPSHOT_FILE, Snapshot
from edpipe.settings import Settings, load_settings
from edpipe.walkthrough import demo_home

pytestmark = pytest.mark.integration

EDPIPE = Path(sys.executable).with_name("edpipe")
SETTINGS = [
    "tracing.max_epochs=2",
    "tracing.bootstrap=20",
    "synthetic.tutor_students=60",
    "synthetic.tutor_sections=2",
    "strategy.max_epochs=2",
    "strategy.bootstrap=20",
    "strategy.curve_budgets=[]",
    "tsdiff.max_epochs=1",
    "tsdiff.bootstrap=20",
    "diffumin.max_epochs=1",
    "diffumin.bootstrap=20",
]
FLAGS = ["--preset", "smoke", *(word for value in SETTINGS for word in ("--set", value))]
STUDENTS = "80"


def command(home: Path, *arguments: str) -> list[str]:
    return [str(EDPIPE), "--home", str(home), "--progress", "log", *FLAGS, *arguments]


def demo(home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("EDPIPE_", "PREFECT_"))
    }
    return subprocess.run(
        command(home, "demo", "--students", STUDENTS, "--format", "csv"),
        capture_output=True,
        text=True,
        check=True,
        cwd=home.parent,
        env=environment,
    )


def settings_of(home: Path) -> Settings:
    settings = load_settings("smoke", home=home)
    return settings.model_copy(update={"home": demo_home(settings), "progress": "none"})


def facts(home: Path) -> dict[str, pl.DataFrame]:
    """Read what must be the same in two runs: rows, reconciliation and all predictions."""
    settings = settings_of(home)
    return {
        "interactions": edpipe.sql("select * from core.interactions order by all", settings),
        "reconciliation": edpipe.sql("select * from core.reconciliation order by all", settings),
        "mastery": edpipe.sql(
            "select source, student_id, kc_id, mastery, num_opportunities from predictions.kc_mastery "
            "order by all",
            settings,
        ),
        "strategies": edpipe.sql(
            "select student_id, problem_id, problem_view, strategy, confidence from predictions.strategies "
            "order by all",
            settings,
        ),
        "clusters": edpipe.sql(
            "select student_id, problem_id, problem_view, cluster from predictions.strategy_clusters "
            "order by all",
            settings,
        ),
        "forecasts": edpipe.sql(
            "select series_id, started_at, mean, quantile_05, quantile_95 "
            "from predictions.activity_forecasts order by all",
            settings,
        ),
        "recommendations": edpipe.sql(
            "select student_id, rank, item_id, probability from predictions.recommendations order by all",
            settings,
        ),
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    home = tmp_path_factory.mktemp("unbroken") / "data"
    return home, demo(home)


def test_the_demo_prints_the_comparison_and_names_the_report(unbroken):
    home, done = unbroken
    shown = pl.read_csv(io.StringIO(done.stdout))
    models = {family: set(part["model"]) for (family,), part in shown.group_by("family")}
    assert models["tracing"] == {"attention", "majority", "item difficulty", "BKT", "logistic regression"}
    assert models["strategy"] >= {"transformer", "lookup", "lookup_sampled", "problem_mode"}
    assert models["tsdiff"] == {"flow", "last_value", "seasonal_naive", "ridge"}
    assert models["diffumin"] == {
        "diffumin",
        "no behaviors",
        "mean pooling",
        "item CTR",
        "logistic regression",
    }
    assert shown.columns[:2] == ["family", "model"]
    (report,) = [line for line in done.stderr.splitlines() if line.startswith("HTML report: ")]
    report = report.removeprefix("HTML report: ")
    assert Path(home.parent, report).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_every_source_row_is_accounted_for(unbroken):
    checks = facts(unbroken[0])["reconciliation"]
    assert checks.filter(pl.col("severity") == "error").height > 5
    assert checks.filter(~pl.col("is_ok"))["check_name"].unique().to_list() == ["exact_duplicates"]


def test_every_student_has_a_mastery_of_every_kc_by_the_champion(unbroken):
    settings = settings_of(unbroken[0])
    found = edpipe.sql(
        "select count(*) n, count(distinct student_id) students, count(distinct kc_id) kcs, "
        "min(mastery) low, max(mastery) high, count(distinct model_version) versions "
        "from predictions.kc_mastery",
        settings,
    ).row(0, named=True)
    assert found["students"] == int(STUDENTS)
    assert found["n"] == found["students"] * found["kcs"]
    assert 0 <= found["low"] < found["high"] <= 1
    assert found["versions"] == 1


def test_forecasts_begin_where_the_series_end(unbroken):
    settings = settings_of(unbroken[0])
    found = edpipe.sql(
        "select count(*) as n, count(distinct f.series_id) as series, min(step) as low, max(step) as high, "
        "min(date_diff('day', last_known_at, started_at) - step) as off, min(quantile_05) >= 0 as is_count "
        "from predictions.activity_forecasts as f",
        settings,
    ).row(0, named=True)
    assert found["n"] == found["series"] * 7
    assert (found["low"], found["high"], found["off"], found["is_count"]) == (1, 7, 0, True)
    last = edpipe.sql(
        "select max(started_at) as t from features.activity_series where grain = 'day'", settings
    )["t"].item()
    first = edpipe.sql("select min(started_at) as t from predictions.activity_forecasts", settings)[
        "t"
    ].item()
    # The last day of the log is left out: it may not be whole.
    assert first == last


def test_every_step_of_the_flow_left_one_line_under_the_name_of_its_flow_run(unbroken):
    steps = edpipe.runs(settings_of(unbroken[0])).reverse()
    # The fixture is shared with tests that run the demo again.
    steps = steps.filter(pl.col("flow_run_id") == steps["flow_run_id"][0])
    assert steps["outcome"].unique().to_list() == ["succeeded"]
    counted = dict(steps.group_by("step").len().rows())
    once = ("build", "embed", "cluster", "publish", "report")
    each = ("train", "evaluate", "promote", "score")
    families = len(edpipe.learning.MODELS)
    assert counted == {"ingest": 2, **dict.fromkeys(once, 1), **dict.fromkeys(each, families)}
    scored = steps.filter(step="score")
    assert scored["rows_out"].min() > 0
    assert scored["inputs"].list.first().to_list() == [f"models:/{model}/1" for model in scored["family"]]


def test_the_weekly_check_shows_each_mastery_group_of_each_champion(unbroken):
    settings = settings_of(unbroken[0])
    assert [one.name for one in champions.champions(settings)] == list(edpipe.learning.MODELS)
    rows = champions.equity(settings)
    groups = rows.group_by("family").agg(pl.col("subset").unique())
    found = {family: set(subsets) for family, subsets in groups.rows()}
    # Series and behaviors have no mastery groups.
    assert set(found) == {"tracing", "strategy"}
    assert found["tracing"] == {"mastery:low", "mastery:middle", "mastery:high", "mastery:gap"}
    gap = rows.filter(
        pl.col("family") == "tracing", pl.col("metric") == "auc", pl.col("model") == "attention"
    )
    value = dict(gap.select("subset", "value").rows())
    served = [value[f"mastery:{group}"] for group in ("low", "middle", "high")]
    assert value["mastery:gap"] == pytest.approx(max(served) - min(served))


def test_a_second_run_changes_nothing(unbroken):
    home, _ = unbroken
    settings = settings_of(home)
    kept = [
        *settings.raw_dir.rglob("*.parquet"),
        *settings.runs_dir.rglob("*.pt"),
        *settings.embeddings_dir.rglob("*.npz"),
        *settings.clusters_dir.rglob("*.npz"),
        *settings.predictions_dir.rglob("*.parquet"),
    ]
    before = {path: path.stat().st_mtime_ns for path in kept}
    versions = [edpipe.versions(model, settings) for model in edpipe.learning.MODELS]
    assert [len(one) for one in versions] == [1, 1, 1, 1]
    again = demo(home)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert [edpipe.versions(model, settings) for model in edpipe.learning.MODELS] == versions
    assert again.stdout == unbroken[1].stdout


def test_drift_is_measured_of_what_came_after_the_training(unbroken):
    settings = settings_of(unbroken[0])
    quiet = edpipe.drift("tracing", settings)
    assert quiet.rows.is_empty()
    assert "nothing came after its training" in quiet.words[0]
    run_dir = settings.runs_dir / edpipe.versions("tracing", settings)[0].run_key
    path = run_dir / SNAPSHOT_FILE
    kept = path.read_text("utf-8")
    snapshot = Snapshot.load(run_dir)
    try:
        # As if the last three weeks had come later.
        replace(snapshot, until=snapshot.until - timedelta(weeks=3)).save(run_dir)
        found = edpipe.drift("tracing", settings)
    finally:
        path.write_text(kept, "utf-8")
    kinds = set(found.rows["kind"])
    assert kinds == {"input", "score", "unseen", "calibration", "volume"}
    assert found.rows.filter(kind="unseen")["value"].to_list() == [0, 0]
    rows = edpipe.sql("select * from ops.drift where kind = 'calibration' order by begins_at", settings)
    assert rows["observed"].to_list() == found.rows.filter(kind="calibration")["observed"].to_list()
    assert 3 <= rows.height <= 4
    report = edpipe.report(settings, output=unbroken[0].parent / "drift.html").read_text("utf-8")
    assert "Drift since training" in report
    assert "Stability index by feature" in report
    assert "Calibration by week" in report


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [12, 20, 28, 36, 44, 52, 60, 68])
def test_a_killed_demo_goes_on_to_the_same_result(seconds, unbroken, tmp_path):
    home = tmp_path / "data"
    process = subprocess.Popen(
        command(home, "demo", "--students", STUDENTS), cwd=tmp_path, start_new_session=True
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    demo(home)
    for name, frame in facts(unbroken[0]).items():
        assert facts(home)[name].equals(frame), name
