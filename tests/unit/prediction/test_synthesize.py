"""Synthetic series with levels: how they are drawn, what they say of time, and the verb and its command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from series_data import TINY, sourced, tiny, weekly_frame
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app
from edpipe.datasets.series_scaling import Scaling
from edpipe.errors import SettingsError, TrainingError
from edpipe.prediction.forecast import Sampling, TrainedForecaster
from edpipe.prediction.synthesize import synthesize
from edpipe.settings import load_settings
from edpipe.synthesizing import drawn, judged, open_synthesis
from edpipe.training.tsdiff import train_tsdiff
from edpipe.training.tsdiff_plan import data_facts, network_config
from models.tsdiff import build_tsdiff


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def base(home):
    path = home / "visits.csv"
    weekly_frame(length=120).write_csv(path)
    chosen = load_settings("smoke", file=home / "edpipe.toml", home=home, progress="none")
    given = {"file": str(path), "num_windows": 3, "bootstrap": 10, "max_epochs": 1, "num_members": 2}
    return tiny(chosen, model="unconditional", guidance_scale=1.0, calibration="none", **given)


@pytest.fixture(scope="module")
def run_dir(base):
    return train_tsdiff(base).run_dir


def untrained(base, *, scaling="context_mean", num_members=1, **changes) -> TrainedForecaster:
    data = sourced(base)
    torch.manual_seed(0)
    members = tuple(build_tsdiff(network_config(base.tsdiff, data)).eval() for _ in range(num_members))
    facts = {**data_facts(data), **changes}
    return TrainedForecaster(members, data.task.shape, scaling, Sampling(10, 2), None, facts)


def quiet(trained, base, number=20, **given):
    return synthesize(trained, sourced(base).task, num_windows=number, progress="none", **given)


def test_location_and_scale_come_together_from_one_training_window(base):
    task = sourced(base).task
    found = quiet(untrained(base, scaling="standard"), base, 50)
    scaling = Scaling.fit(task.series, task.train_ends, "standard")
    pairs = set()
    for one in range(task.series.num_series):
        values = task.series.target(one)
        for origin in range(task.context_length, int(task.train_ends[one]) - task.prediction_length + 1):
            context = values[origin - task.context_length : origin][None]
            loc, scale = scaling.of_context(context, np.array([one]))
            pairs.add((round(float(loc[0]), 3), round(float(scale[0]), 3)))
    assert {(round(a, 3), round(b, 3)) for a, b in zip(found.loc, found.scale, strict=True)} <= pairs
    assert len(set(found.loc)) > 10


def test_nothing_beyond_training_is_read(base):
    task = sourced(base).task
    values = task.series.values.copy()
    for begin, end in zip(task.series.offsets[:-1] + task.train_ends, task.series.offsets[1:], strict=True):
        values[begin:end] = 1e9
    changed = replace(task, series=replace(task.series, values=values))
    trained = untrained(base)
    first, second = (synthesize(trained, one, num_windows=10, progress="none") for one in (task, changed))
    np.testing.assert_array_equal(first.values(), second.values())


def test_equal_seeds_give_equal_windows_and_members_share_the_work(base):
    trained = untrained(base, num_members=3)
    first, second, other = (quiet(trained, base, 10, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.values(), second.values())
    assert not np.array_equal(first.values(), other.values())
    assert first.scaled.shape == (10, TINY["context_length"] + TINY["prediction_length"])
    assert quiet(trained, base, 2).scaled.shape[0] == 2


def test_values_stay_within_their_bounds(base):
    found = quiet(untrained(base, minimum=0.0, maximum=12.0), base)
    assert 0 <= found.values().min() < found.values().max() <= 12


def test_unit_windows_of_any_rule_are_divided_by_the_size_of_their_context(base):
    found = quiet(untrained(base, scaling="standard"), base)
    sizes = np.abs(found.unit_windows()[:, : TINY["context_length"]]).mean(axis=1)
    assert np.median(sizes) == pytest.approx(1)
    published = quiet(untrained(base, minimum=None), base)
    np.testing.assert_allclose(published.unit_windows(), published.scaled, rtol=1e-5, atol=1e-6)


def test_the_long_table_has_one_series_a_window_and_no_date(base):
    frame = quiet(untrained(base), base, 3).to_frame(5)
    assert frame.columns == ["series_id", "time", "target"]
    assert frame["series_id"].unique(maintain_order=True).to_list() == [
        "synthetic_0001",
        "synthetic_0002",
        "synthetic_0003",
    ]
    times = frame.filter(pl.col("series_id") == "synthetic_0002")["time"]
    assert times.dt.date().to_list()[0].isoformat() == "1970-01-01"
    assert times.diff().drop_nulls().dt.total_days().to_list() == [1] * 4


@pytest.mark.parametrize("length", [0, 22])
def test_lengths_that_no_window_has_are_refused(base, length):
    with pytest.raises(SettingsError, match="length"):
        quiet(untrained(base), base, 2).to_frame(length)


def test_a_model_that_is_told_the_past_is_refused(base):
    told = base.model_copy(update={"tsdiff": base.tsdiff.model_copy(update={"model": "flow"})})
    with pytest.raises(SettingsError, match="whole series"):
        quiet(untrained(told), base)


def test_the_verb_draws_from_the_newest_unconditional_run(base, run_dir):
    frame = edpipe.synthesize(base, num=4, length=10)
    assert frame.height == 40
    assert frame.equals(edpipe.synthesize(base, num=4, length=10, run_dir=run_dir))


def test_without_an_unconditional_run_the_next_step_is_told(base, tmp_path):
    empty = base.model_copy(update={"home": tmp_path})
    with pytest.raises(TrainingError, match=r"tsdiff\.model=unconditional"):
        edpipe.synthesize(empty)


def test_the_model_itself_is_asked_who_was_trained_on(base, run_dir):
    request = open_synthesis(base, num=20, run_dir=run_dir)
    judgement = judged(request, drawn(request, base), base, num_trees=0)
    own = judgement.scores.filter(pl.col("generator") == "tsdiff", pl.col("metric") == "membership_loss")
    assert 0 <= own["low"].item() <= own["value"].item() <= own["high"].item() <= 1
    assert judgement.verdicts[0].sentence.startswith("tsdiff ")


def ask(base, *arguments: str):
    return CliRunner().invoke(app, ["--progress", "none", "--home", str(base.home), "synthesize", *arguments])


def test_the_command_says_what_it_would_do_and_writes_a_file(base, run_dir, tmp_path):
    planned = ask(base, "--num", "3", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert f"Would synthesize 3 series of 21 daily steps, by run {run_dir.name}" in planned.stderr
    output = tmp_path / "synthetic.csv"
    done = ask(base, "--num", "3", "--length", "7", "--output", str(output))
    assert done.exit_code == 0, done.output
    assert pl.read_csv(output).height == 21
    beside = json.loads((tmp_path / "synthetic.csv.privacy.json").read_text())
    assert beside["run"] == run_dir.name
    assert beside["low"] <= beside["auc"] <= beside["high"]
    assert beside["finding"] in done.stderr
    shown = ask(base, "--num", "2", "--length", "2", "--format", "json")
    assert [row["series_id"] for row in json.loads(shown.stdout)] == ["synthetic_0001"] * 2 + [
        "synthetic_0002"
    ] * 2


def test_an_output_of_unknown_form_is_refused_before_anything_is_drawn(base, tmp_path):
    done = ask(base, "--output", str(tmp_path / "rows.txt"))
    assert isinstance(done.exception, SettingsError)
