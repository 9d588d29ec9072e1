"""The verb and the command of forecasts, on a user's table and a small run."""

from __future__ import annotations

import itertools
import json

import polars as pl
import pytest
from series_data import sourced, tiny, weekly_frame
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app
from edpipe.cli.forecasting import write_rows
from edpipe.errors import ContractError, RegistryError, SettingsError
from edpipe.settings import load_settings
from edpipe.training.tsdiff import train_tsdiff


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def base(home):
    return load_settings("smoke", file=home / "edpipe.toml", home=home, progress="none")


@pytest.fixture(scope="module")
def run_dir(base):
    chosen = tiny(base, max_epochs=1)
    return train_tsdiff(chosen, sourced=sourced(chosen)).run_dir


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "visits.csv"
    weekly_frame(num_series=2, length=30).write_csv(path)
    return path


def ask(run_dir, *arguments: str):
    return CliRunner().invoke(
        app,
        [
            "--progress",
            "none",
            "--home",
            str(run_dir.parents[1]),
            "forecast",
            "--run",
            str(run_dir),
            *arguments,
        ],
    )


def test_a_long_table_goes_in_and_a_long_table_comes_out(base, run_dir):
    found = edpipe.forecast(weekly_frame(num_series=3, length=40), base, run_dir=run_dir, horizon=2)
    assert found.columns[:4] == ["series_id", "time", "step", "mean"]
    assert found.height == 3 * 2
    levels = [name for name in found.columns if name.startswith("quantile_")]
    assert levels[0] == "quantile_05"
    for lower, higher in itertools.pairwise(levels):
        assert (found[lower] <= found[higher]).all()


def test_paths_come_where_they_are_asked_for(base, run_dir):
    found = edpipe.forecast(weekly_frame(), base, run_dir=run_dir, output="samples", num_samples=6)
    assert found.columns == ["series_id", "time", "step", "sample", "target"]
    assert found.height == 4 * 6 * 7
    assert (found["target"] >= 0).all()


def test_equal_questions_get_equal_answers_whatever_the_order_of_the_rows(base, run_dir):
    frame = weekly_frame(num_series=2, length=40)
    first = edpipe.forecast(frame, base, run_dir=run_dir)
    second = edpipe.forecast(frame.sample(fraction=1, shuffle=True, seed=3), base, run_dir=run_dir)
    assert first.equals(second)


def test_unobserved_steps_may_be_null_and_a_short_past_is_enough(base, run_dir):
    frame = weekly_frame(num_series=1, length=5).with_columns(
        target=pl.when(pl.col("time").dt.day() == 3).then(None).otherwise("target")
    )
    assert edpipe.forecast(frame, base, run_dir=run_dir)["mean"].is_finite().all()
    assert edpipe.forecast(frame.head(1), base, run_dir=run_dir).height == 7


@pytest.mark.parametrize("horizon", [0, 8])
def test_a_horizon_that_the_model_does_not_reach_is_refused_with_what_to_train(horizon, base, run_dir):
    with pytest.raises(SettingsError, match="1 to 7, the steps that the model forecasts"):
        edpipe.forecast(weekly_frame(), base, run_dir=run_dir, horizon=horizon)


def test_series_of_another_frequency_are_refused(base, run_dir):
    hourly = weekly_frame().with_columns(
        time=pl.datetime(2024, 1, 1) + pl.duration(hours=pl.int_range(pl.len()).over("series_id"))
    )
    with pytest.raises(SettingsError, match="another frequency"):
        edpipe.forecast(hourly, base, run_dir=run_dir)


def test_levels_outside_of_0_to_1_and_tables_without_a_column_are_refused(base, run_dir):
    with pytest.raises(SettingsError, match="between 0 and 1"):
        edpipe.forecast(weekly_frame(), base, run_dir=run_dir, quantile_levels=[0.5, 1.0])
    with pytest.raises(ContractError, match="lacks columns"):
        edpipe.forecast(weekly_frame().drop("target"), base, run_dir=run_dir)


def test_without_a_champion_it_is_said_how_to_get_one(settings, monkeypatch):
    monkeypatch.setattr("edpipe.tracking.registry.versions", lambda *_: [])
    with pytest.raises(RegistryError, match="edpipe train tsdiff"):
        edpipe.forecast(weekly_frame(), settings)


def test_the_command_prints_rows_and_tells_what_they_are(run_dir, table):
    shown = ask(run_dir, "--input", str(table), "--horizon", "3", "--levels", "0.5", "--format", "json")
    assert shown.exit_code == 0, shown.output
    rows = json.loads(shown.stdout)
    assert len(rows) == 6
    assert set(rows[0]) == {"series_id", "time", "step", "mean", "quantile_50"}
    assert f"2 series, 3 daily steps ahead, by run {run_dir.name}" in shown.stderr


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_the_command_writes_a_file(name, run_dir, table, tmp_path):
    target = tmp_path / "new" / name
    shown = ask(run_dir, "--input", str(table), "--samples", "4", "--output", str(target))
    assert shown.exit_code == 0, shown.output
    assert "56 rows" in shown.stderr
    rows = pl.read_csv(target) if target.suffix == ".csv" else pl.read_parquet(target)
    assert rows.height == 56
    assert [path.name for path in target.parent.iterdir()] == [name]


def test_a_dry_run_writes_nothing(run_dir, table, tmp_path):
    shown = ask(run_dir, "--input", str(table), "--output", str(tmp_path / "no.csv"), "--dry-run")
    assert "Would forecast 2 series" in shown.stderr
    assert not (tmp_path / "no.csv").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--output", "out.xlsx"], "no known form"),
        (["--levels", "a,b"], "cannot be read"),
        (["--series", "part", "--input", "x.csv"], "at once"),
        (["--series", "parts"], "Did you mean 'part'"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags, words, run_dir, table):
    given = flags if "--input" in flags or "--series" in flags else [*flags, "--input", str(table)]
    assert words in str(ask(run_dir, *given).exception)


@pytest.mark.parametrize(
    ("moment", "written"),
    [("2026-01-05 00:00:00", "2026-01-05"), ("2026-01-05 07:30:00", "2026-01-05T07:30:00")],
)
def test_times_of_a_written_table_are_as_people_write_them(moment, written, tmp_path):
    time = pl.Series([moment]).str.to_datetime()
    rows = pl.DataFrame({"series_id": ["a"], "time": time, "quantile_50": [1.5]})
    write_rows(rows, tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text("utf-8") == f"series_id,time,quantile_50\na,{written},1.5\n"
