"""Forecasts from series to a served champion: once, twice, on new data, and by a better model."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
import polars as pl
import pytest
from click.testing import Result
from report_example import example_query
from series_data import TINY, weekly_frame
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app
from edpipe.errors import RegistryError, SettingsError, TrainingError
from edpipe.evaluation.forecast.baselines.gluonts import KINDS, GluontsForecaster
from edpipe.evaluation.forecast.baselines.named import MADE
from edpipe.evaluation.report import write_report
from edpipe.learning import comparison
from edpipe.settings import Settings, load_settings
from edpipe.tracking.client import open_client, open_mlflow
from edpipe.training.run import TrainingRun

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:::mlflow")]

needs_peers = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("gluonts", "statsforecast")),
    reason="needs gluonts and statsforecast: pip install -e '.[peers]'",
)


def small(home: Path, **given: object) -> Settings:
    tsdiff = {**TINY, "file": str(home.parent / "series.csv"), "max_epochs": 1, "bootstrap": 20, **given}
    return load_settings("smoke", file=home.parent / "edpipe.toml", home=home, progress="none", tsdiff=tsdiff)


def command(settings: Settings, *words: str, progress: str = "none", **given: object) -> Result:
    """Run the command on a home; the double underscore of a setting's group is written as one."""
    same = {"tsdiff_" + name: value for name, value in settings.tsdiff.model_dump().items()}
    flags = [
        part
        for name, value in {**same, **given}.items()
        for part in ("--set", f"{name.replace('_', '.', 1)}={_text(value)}")
    ]
    home = ["--preset", "smoke", "--progress", progress, "--home", str(settings.home)]
    return CliRunner().invoke(app, [*home, *flags, *words])


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Whole:
    """A home in which everything has run once, and what its steps returned."""

    settings: Settings
    run: TrainingRun
    evaluated: edpipe.learning.Evaluated
    scored: list[Path]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("done")
    weekly_frame(length=150).write_csv(folder / "series.csv")
    settings = small(folder / "data")
    run = edpipe.train("tsdiff", settings)
    evaluated = edpipe.evaluate("tsdiff", settings)
    edpipe.promote("tsdiff", settings)
    return Whole(settings, run, evaluated, edpipe.score("tsdiff", settings))


@pytest.fixture
def copy(done: Whole, tmp_path: Path) -> Settings:
    """The same home on series that can be changed; the store of MLflow knows its files by their old path."""
    shutil.copytree(done.settings.home, tmp_path / "data")
    shutil.copy(done.settings.home.parent / "series.csv", tmp_path)
    return small(tmp_path / "data")


def test_the_forecaster_stands_beside_the_baselines_best_first(done: Whole) -> None:
    table = comparison(done.run.run_dir)
    assert set(table["model"]) == {"flow", "last_value", "seasonal_naive", "ridge"}
    values = [float(text.split()[0]) for text in table["CRPS"]]
    assert values == sorted(values)
    assert done.evaluated.statements[-1].startswith("The 90 % interval of 'flow' holds")


def test_forecasts_are_a_table_from_the_end_of_each_series(done: Whole) -> None:
    table = pl.read_parquet(done.scored[0])
    assert done.scored[0].parent.name == "activity_forecasts"
    assert table.height == 4 * 7
    assert table.n_unique(["source", "frequency", "measure", "series_id", "started_at"]) == table.height
    assert table["source"].unique().to_list() == ["file"]
    assert (table["started_at"] > table["last_known_at"]).all()
    assert (table["quantile_05"] <= table["quantile_95"]).all()
    assert table["model_version"].unique().to_list() == [1]


def test_the_command_and_the_table_say_the_same(done: Whole) -> None:
    table = pl.read_parquet(done.scored[0])
    found = edpipe.forecast(None, done.settings)
    assert found["quantile_50"].to_list() == table["quantile_50"].to_list()


def test_a_second_run_of_every_step_changes_nothing(done: Whole) -> None:
    settings = done.settings
    files = [
        path
        for folder in (settings.runs_dir, settings.predictions_dir)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert not edpipe.train("tsdiff", settings).is_new
    assert edpipe.evaluate("tsdiff", settings).version.version == 1
    assert not edpipe.promote("tsdiff", settings).is_promoted
    assert edpipe.score("tsdiff", settings) == done.scored
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_a_forecaster_asked_for_after_the_test_was_opened_is_said_to_be_missing(done: Whole) -> None:
    settings = small(done.settings.home, baselines=("ridge", "boosted"))
    found = edpipe.evaluate("tsdiff", settings)
    assert "Not in the table: 'boosted_trees'" in found.statements[-1]
    assert found.evaluation.metrics.equals(done.evaluated.evaluation.metrics)


@pytest.mark.parametrize(("peer", "package"), [("auto_ets", "statsforecast"), ("tft", "gluonts")])
def test_without_the_extra_the_command_says_what_to_install(
    peer: str, package: str, done: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    found = command(done.settings, "evaluate", "tsdiff", tsdiff_peers=peer)
    assert isinstance(found.exception, SettingsError)
    assert f"no package `{package}`" in str(found.exception)
    assert "pip install -e '.[peers]'" in str(found.exception)


@needs_peers
@pytest.mark.filterwarnings("ignore")
def test_peers_stand_in_table_and_report_with_progress_and_without_chatter(
    copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in KINDS:
        quick = partial(GluontsForecaster, kind, num_epochs=1, batches_per_epoch=2)
        monkeypatch.setitem(MADE, kind, lambda seed, quick=quick: quick(seed=seed))
    edpipe.train("tsdiff", copy.model_copy(update={"seed": 5}))
    names = ("auto_ets", "auto_arima", *KINDS)
    found = command(copy, "evaluate", "tsdiff", seed=5, tsdiff_peers=",".join(names), progress="log")
    assert found.exit_code == 0, found.output
    assert all(name in found.stdout for name in names)
    told = [line for line in found.stderr.splitlines() if line.startswith("Backtest of file")]
    assert told[-1].startswith("Backtest of file: done: 8 of 8 models")
    for noise in ("Warning:", "GPU", "Epoch", "Tip"):
        assert noise not in found.stderr.replace("\nWarning: ", "\n")
    run_dir = edpipe.learning.newest_run(copy, "tsdiff", evaluated=True)
    report = write_report(copy, run_dir=None, forecast_run_dir=run_dir, query=example_query())
    assert all(name in report.read_text("utf-8") for name in names)


def test_the_served_model_forecasts_as_the_command_does(done: Whole) -> None:
    open_mlflow(done.settings)
    served = mlflow.pyfunc.load_model("models:/tsdiff@champion")
    frame = weekly_frame(num_series=2, length=60)
    asked = pd.DataFrame(frame.to_dict(as_series=False))
    found = served.predict(asked)
    expected = edpipe.forecast(frame, done.settings)
    assert found["series_id"].to_list() == expected["series_id"].to_list()
    assert found["quantile_50"].to_list() == pytest.approx(expected["quantile_50"].to_list())


def test_mlflow_holds_the_run_with_card_and_curves_and_no_pickle(done: Whole) -> None:
    client = open_client(done.settings)
    run = client.get_run(done.evaluated.version.run_id)
    assert run.info.status == "FINISHED"
    assert "test/flow/crps" in run.data.metrics
    assert "valid_crps" in run.data.metrics
    folder = Path(mlflow.artifacts.download_artifacts(done.evaluated.version.uri))
    assert not list(folder.rglob("*.pkl"))
    card = client.get_model_version("tsdiff", "1").description
    assert card.startswith("# Model card: tsdiff (flow)")
    assert "| split | series | windows |" in card
    assert "never of one" in card


def test_scores_follow_the_data_and_an_old_run_is_not_evaluated_on_new_series(copy: Settings) -> None:
    weekly_frame(length=157).write_csv(copy.home.parent / "series.csv")
    (path,) = edpipe.score("tsdiff", copy)
    assert str(pl.read_parquet(path)["last_known_at"].max()) == "2024-06-05 00:00:00+00:00"
    with pytest.raises(TrainingError, match="have changed"):
        edpipe.evaluate("tsdiff", copy)


def test_a_challenger_is_compared_on_the_same_windows_even_if_the_data_have_grown(copy: Settings) -> None:
    weekly_frame(length=164).write_csv(copy.home.parent / "series.csv")
    better = small(copy.home, max_epochs=3, batches_per_epoch=40, learning_rate=8e-3, hidden_size=12)
    edpipe.train("tsdiff", better)
    edpipe.evaluate("tsdiff", better)
    decided = edpipe.promote("tsdiff", better, dry_run=True)
    assert decided.version == 2
    assert {"candidate.crps", "champion.crps", "champion.coverage_90"} <= set(decided.scores)
    assert decided.scores["candidate.crps"] < decided.scores["champion.crps"]


def test_a_champion_of_fewer_steps_cannot_be_compared(copy: Settings) -> None:
    longer = small(copy.home, prediction_length=10)
    edpipe.train("tsdiff", longer)
    edpipe.evaluate("tsdiff", longer)
    with pytest.raises(RegistryError, match="forecasts other series"):
        edpipe.promote("tsdiff", longer)
