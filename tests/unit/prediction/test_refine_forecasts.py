"""Refinement of somebody else's forecast: what is read, what comes back, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from series_data import sourced, tiny, weekly_frame
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app
from edpipe.errors import ContractError, RegistryError, SettingsError, SourceError, TrainingError
from edpipe.prediction.refine import Refining
from edpipe.settings import load_settings
from edpipe.training.tsdiff import train_tsdiff

LENGTH, STEPS = 40, 7
FEW = Refining(num_samples=6, num_iterations=3)
HELD = Refining(num_samples=6, num_iterations=3, regularization=1e9)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def base(home):
    return load_settings("smoke", file=home / "edpipe.toml", home=home, progress="none")


@pytest.fixture(scope="module")
def run_dir(base):
    chosen = tiny(
        base, model="unconditional", max_epochs=1, num_members=2, guidance_scale=1.0, calibration="none"
    )
    return train_tsdiff(chosen, sourced=sourced(chosen)).run_dir


@pytest.fixture
def history():
    return weekly_frame(num_series=3, length=LENGTH)


def plan(history: pl.DataFrame, *, begin: int = LENGTH, steps: int = STEPS, num_samples: int = 0):
    """Repeat what was a week before, from one step of the history on; with noise where samples are asked."""
    rows = []
    random = np.random.default_rng(1)
    for (name,), part in history.group_by("series_id", maintain_order=True):
        start = part["time"][0]
        values = part["target"].to_numpy()
        for sample in range(max(num_samples, 1)):
            for step in range(begin, begin + steps):
                value = values[begin - 7 + (step - begin) % 7] * (
                    1 + 0.1 * random.random() * (num_samples > 0)
                )
                rows.append((name, start, step, float(value), sample))
    frame = pl.DataFrame(rows, schema=["series_id", "time", "step", "value", "sample"], orient="row")
    frame = frame.with_columns(pl.col("time") + pl.duration(days=pl.col("step"))).drop("step")
    return frame if num_samples else frame.drop("sample")


def test_points_become_paths_from_the_end_of_the_history(history, base, run_dir):
    found = edpipe.refine(plan(history), history, base, output="samples", how=FEW, run_dir=run_dir)
    assert found.columns == ["series_id", "time", "step", "sample", "target"]
    assert found.height == 3 * FEW.num_samples * STEPS
    assert found["time"].min() > history["time"].max()
    assert (found["target"] >= 0).all()
    assert found.group_by("series_id", "step").agg(pl.col("target").std())["target"].min() > 0


def test_quantiles_are_the_usual_ones_and_rise(history, base, run_dir):
    found = edpipe.refine(plan(history), history, base, how=FEW, run_dir=run_dir, quantile_levels=[0.1, 0.9])
    assert found.columns == ["series_id", "time", "step", "mean", "quantile_10", "quantile_90"]
    assert (found["quantile_10"] <= found["quantile_90"]).all()


@pytest.mark.parametrize("num_samples", [0, 5])
@pytest.mark.parametrize("steps", [STEPS, 3, 1])
def test_what_is_held_to_the_base_stays_the_base_whatever_its_length(
    steps, num_samples, history, base, run_dir
):
    given = plan(history, steps=steps, num_samples=num_samples)
    found = edpipe.refine(given, history, base, output="samples", how=HELD, run_dir=run_dir)
    paths = num_samples or HELD.num_samples
    assert found.height == 3 * paths * steps
    if not num_samples:
        expected = found.join(given, on=["series_id", "time"])["value"]
        assert np.allclose(found["target"], expected, rtol=1e-4)
    else:
        expected = given.sort("series_id", "time", "value")["value"]
        assert np.allclose(found.sort("series_id", "time", "target")["target"], expected, rtol=1e-4)


def test_equal_calls_give_equal_answers_whatever_the_order_of_the_rows(history, base, run_dir):
    given = plan(history, num_samples=4)
    first = edpipe.refine(given, history, base, how=FEW, run_dir=run_dir)
    second = edpipe.refine(
        given.sample(fraction=1, shuffle=True, seed=2), history, base, how=FEW, run_dir=run_dir
    )
    assert first.equals(second)
    assert not first.equals(edpipe.refine(given, history, base, how=HELD, run_dir=run_dir))


def test_nothing_from_the_first_step_of_the_base_on_is_read(history, base, run_dir):
    begin = LENGTH - 10
    given = plan(history, begin=begin)
    moments = history["time"].unique().sort()
    changed = history.with_columns(
        target=pl.when(pl.col("time") >= moments[begin]).then(999.0).otherwise("target")
    )
    first, second = (edpipe.refine(given, one, base, how=FEW, run_dir=run_dir) for one in (history, changed))
    assert first.equals(second)
    assert first["time"].min() == moments[begin]
    earlier = history.with_columns(
        target=pl.when(pl.col("time") == moments[begin - 1]).then(999.0).otherwise("target")
    )
    assert not first.equals(edpipe.refine(given, earlier, base, how=FEW, run_dir=run_dir))


def test_sample_paths_of_a_forecast_can_be_refined(history, base, run_dir):
    paths = edpipe.forecast(history, base, run_dir=run_dir, output="samples", num_samples=4)
    found = edpipe.refine(paths, history, base, output="samples", how=FEW, run_dir=run_dir)
    assert found.height == paths.height


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: given.drop("value"), "lacks columns"),
        (lambda given: given.head(0), "is empty"),
        (lambda given: given.with_columns(value=pl.lit(None, pl.Float64)), "has gaps"),
        (lambda given: given.with_columns(series_id=pl.lit("nobody")), "unknown series"),
        (lambda given: pl.concat([given, given]), "repeat"),
        (lambda given: given.filter(pl.int_range(pl.len()) != 2), "are missing"),
        (lambda given: given.with_columns(pl.col("time") + pl.duration(days=1)), "does not follow"),
        (lambda given: given.with_columns(pl.col("time") - pl.duration(days=LENGTH)), "does not follow"),
        (lambda given: given.with_columns(pl.col("time") + pl.duration(hours=1)), "does not follow"),
    ],
)
def test_a_base_forecast_that_cannot_be_is_refused(change, said, history, base, run_dir):
    with pytest.raises(ContractError, match=said):
        edpipe.refine(change(plan(history)), history, base, run_dir=run_dir)


def test_a_base_forecast_that_looks_further_than_the_model_is_refused(history, base, run_dir):
    with pytest.raises(ContractError, match="at most 7"):
        edpipe.refine(plan(history, steps=STEPS + 1), history, base, run_dir=run_dir)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Refining(method="langevine"), "Did you mean 'langevin'"),
        (Refining(regularizer="pinball"), "mean_square, quantile"),
        (Refining(step_size=0.0), "above 0"),
        (Refining(num_samples=0), "at least 1"),
    ],
)
def test_ways_that_cannot_be_are_refused(how, said, history, base, run_dir):
    with pytest.raises(SettingsError, match=said):
        edpipe.refine(plan(history), history, base, how=how, run_dir=run_dir)


def test_a_model_that_is_told_the_past_is_refused_with_what_to_train(history, base):
    chosen = tiny(base, model="flow", max_epochs=1)
    flow = train_tsdiff(chosen, sourced=sourced(chosen)).run_dir
    with pytest.raises(SettingsError, match="unconditional train tsdiff"):
        edpipe.refine(plan(history), history, base, run_dir=flow)


def test_without_a_champion_the_newest_unconditional_run_answers_and_without_one_it_is_said(
    history, base, run_dir, settings, monkeypatch
):
    def nobody(*_):
        raise RegistryError("There is no champion.")

    monkeypatch.setattr("edpipe.tracking.registry.champion", nobody)
    given = plan(history)
    named = edpipe.refine(given, history, base, how=FEW, run_dir=run_dir)
    assert edpipe.refine(given, history, base, how=FEW).equals(named)
    with pytest.raises(TrainingError, match="unconditional train tsdiff"):
        edpipe.refine(given, history, settings)


def ask(run_dir, *arguments: str):
    home = ["--progress", "none", "--home", str(run_dir.parents[1])]
    return CliRunner().invoke(app, [*home, "refine", "--run", str(run_dir), *arguments])


@pytest.fixture
def files(tmp_path, history):
    history.write_csv(tmp_path / "visits.csv")
    plan(history).write_csv(tmp_path / "plan.csv")
    plan(history, num_samples=4).write_parquet(tmp_path / "paths.parquet")
    return tmp_path


def test_the_command_prints_quantiles_and_tells_what_it_refined(run_dir, files):
    given = ["--base", str(files / "plan.csv"), "--input", str(files / "visits.csv"), "--iterations", "2"]
    shown = ask(run_dir, *given, "--levels", "0.5", "--format", "json")
    assert shown.exit_code == 0, shown.output
    assert len(json.loads(shown.stdout)) == 3 * STEPS
    assert f"points of 3 series, 7 daily steps, by run {run_dir.name}" in shown.stderr
    dry = ask(run_dir, *given, "--output", str(files / "no.csv"), "--dry-run")
    assert "Would refine points" in dry.stderr
    assert not (files / "no.csv").exists()


def test_the_command_refines_paths_into_a_file(run_dir, files):
    given = ["--base", str(files / "paths.parquet"), "--input", str(files / "visits.csv")]
    target = files / "refined.csv"
    shown = ask(run_dir, *given, "--iterations", "1", "--samples", "4", "--output", str(target))
    assert shown.exit_code == 0, shown.output
    assert "4 paths of 3 series" in shown.stderr
    assert pl.read_csv(target).height == 3 * 4 * STEPS


def test_the_command_refuses_files_that_are_not_there_and_forms_that_it_does_not_know(run_dir, files):
    assert isinstance(ask(run_dir, "--base", str(files / "nothing.csv")).exception, SourceError)
    assert "no known form" in str(ask(run_dir, "--base", "plan.csv", "--output", "out.xlsx").exception)
