"""The report on forecasts shows what was measured, says what is missing, and where a plain one is enough."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import polars as pl
import pytest
from forecast_report_example import (
    BEGIN,
    FORECASTER,
    MODELS,
    NUM_SERIES,
    NUM_STEPS,
    example_fan,
    example_forecast_run,
    example_history,
)
from report_example import example_query

import edpipe
from edpipe.errors import ContractError
from edpipe.evaluation.forecast import evaluate
from edpipe.evaluation.report import forecast_run, write_report
from edpipe.evaluation.report.forecast_calibration import RIGHT
from edpipe.evaluation.report.forecast_fan import MOST_SHOWN, MOST_STEPS, fan_charts
from edpipe.families import tsdiff_evaluation
from edpipe.training.run import TrainingRun

FIGURES = (
    "forecast-fans",
    "forecast-scores",
    "forecast-pit",
    "forecast-coverage",
    "forecast-steps",
    "forecast-noise",
    "forecast-training",
)
ENOUGH = "A plain baseline is enough here"


@pytest.fixture(scope="module")
def query():
    return example_query()


@pytest.fixture
def write(settings, query):
    def written(run):
        return write_report(settings, run_dir=None, forecast_run_dir=run, query=query).read_text("utf-8")

    return written


def section(report: str, name: str) -> str:
    """Return what stands below one id."""
    found = re.search(rf'<(section|figure) id="{name}".*?</\1>', report, re.DOTALL)
    assert found, name
    return found[0]


def words(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).replace("\u00a0", " ").split())


def test_files_and_the_band_of_the_gate_are_those_of_the_evaluation():
    for name in ("PAIRED_FILE", "BY_STEP_FILE", "PIT_FILE", "FAN_FILE", "HISTORY_FILE"):
        assert getattr(forecast_run, name) == getattr(evaluate, name)
    assert forecast_run.LOSSES_FILE == tsdiff_evaluation.LOSSES_FILE
    assert RIGHT == evaluate.COVERAGE_BAND


def test_all_parts_are_drawn_twice_once_for_a_screen_and_once_for_a_phone(write, tmp_path):
    report = write(example_forecast_run(tmp_path))
    for name in FIGURES:
        assert section(report, name).count("<svg role") == 2, name
        assert "The numbers" in section(report, name)


def test_models_stand_lowest_crps_first_with_coverage_and_intervals(write, tmp_path):
    table = section(write(example_forecast_run(tmp_path)), "forecasts").split("<figure")[0]
    rows = [words(row) for row in table.split("<tr>")[2:]]
    assert [row.split()[0] for row in rows] == list(MODELS)
    assert rows[0].startswith("flow forecaster 0.070 best 0.066 – 0.074 90.0 % 89.6 – 90.4 %")


def test_ahead_of_the_baseline_it_is_said_by_how_much(write, tmp_path):
    report = write(example_forecast_run(tmp_path))
    told = words(section(report, "forecasts"))
    assert (
        "'flow' is ahead of 'ridge', the baseline that validation would choose: CRPS 0.0700 against" in told
    )
    assert "interval of the difference: -0.0140 to -0.0060" in told
    assert ENOUGH not in report
    assert "flow, 0.066 – 0.074; ridge 0.080" in words(report.split('class="key"')[1].split("</dl>")[0])


@pytest.mark.parametrize("gain", [-0.01, 0.0, 0.003])
def test_where_the_difference_may_be_chance_a_plain_baseline_is_enough_and_it_is_said_first(
    gain, write, tmp_path
):
    report = write(example_forecast_run(tmp_path, gain=gain))
    first = words(report.split('class="warnings"')[1].split("</section>")[0])
    assert ENOUGH in first
    assert "Few <windows>." in first
    assert "it is enough." not in first  # the evaluation's words for the same
    assert "Take the plain one" in words(section(report, "forecasts"))


def test_without_draws_the_scores_alone_decide(write, tmp_path):
    run = example_forecast_run(tmp_path)
    nothing = pl.lit(None, pl.Float64)
    for name in ("paired", "metrics"):
        path = run / "evaluation" / f"{name}.parquet"
        pl.read_parquet(path).with_columns(low=nothing, high=nothing).write_parquet(path)
    report = write(run)
    assert ENOUGH not in report
    assert "None" not in words(section(report, "forecasts"))


@pytest.mark.parametrize(
    ("coverage", "said"), [(0.7, "too narrow"), (0.88, "about right"), (0.99, "too wide")]
)
def test_coverage_is_judged_in_words(coverage, said, write, tmp_path):
    report = write(example_forecast_run(tmp_path, coverage=coverage))
    assert f"{said}: it held {coverage:.1%}"[:-1] in words(section(report, "forecast-calibration"))


def test_fans_show_the_last_windows_of_series_from_the_best_to_the_worst():
    fan = example_fan()
    names = fan["series_id"].unique(maintain_order=True).to_list()
    charts = fan_charts(fan, {name: 0.5 - 0.01 * number for number, name in enumerate(names)})
    assert charts[0].series_id == names[-1]
    assert charts[-1].series_id == names[0]
    assert [chart.error for chart in charts] == sorted(chart.error for chart in charts)
    assert len(charts) < NUM_SERIES
    chart = charts[0]
    assert len(chart.times) == fan["time"].n_unique()  # windows before those shown are history
    assert len(chart.times) <= MOST_SHOWN
    assert chart.times[-1] == fan["time"].max()
    assert [one.begin for one in chart.fans] == [2 * NUM_STEPS, 3 * NUM_STEPS]
    assert len(chart.fans) == MOST_STEPS // NUM_STEPS
    assert chart.actual.count(None) == 1
    truth = dict(fan.filter(pl.col("series_id") == chart.series_id).select("time", "actual").rows())
    assert chart.actual == [truth[time] for time in chart.times]


@pytest.mark.parametrize(
    ("num_windows", "num_steps", "shown"),
    [
        (1, 10, 10),
        (1, 100, MOST_SHOWN - NUM_STEPS),
        (2, 30, 30),
        (4, 1_000, MOST_SHOWN - 2 * NUM_STEPS),
    ],
)
def test_before_the_fans_stands_a_context_at_most_and_no_more_than_leaves_the_fans_their_room(
    num_windows, num_steps, shown
):
    fan = example_fan(num_series=1).filter(pl.col("time") < BEGIN + timedelta(days=num_windows * NUM_STEPS))
    history = example_history(num_series=1, num_steps=num_steps)
    (chart,) = fan_charts(fan, {}, history)
    assert chart.fans[0].begin == shown
    assert chart.times == sorted(chart.times)
    came = pl.concat([history.select("time", "actual"), fan.select("time", "actual")]).unique("time")
    truth = dict(came.rows())
    assert chart.actual == [truth[time] for time in chart.times]
    assert chart.times == sorted(truth)[-len(chart.times) :]


def test_long_fans_keep_half_of_the_room():
    fan = example_fan(num_series=1).with_columns(origin_time=pl.lit(BEGIN), step=pl.col("time").rank("dense"))
    (chart,) = fan_charts(fan, {}, example_history(num_series=1, num_steps=1_000))
    assert len(chart.fans) == 1
    assert chart.fans[0].begin == 4 * NUM_STEPS
    assert len(chart.times) == 2 * 4 * NUM_STEPS


def test_history_is_a_line_and_what_came_in_the_windows_has_dots(write, tmp_path):
    run = example_forecast_run(tmp_path)
    figure = section(write(run), "forecast-fans").split('class="narrow"')[0]
    panels = 6
    (most_steps, unobserved) = (MOST_STEPS // NUM_STEPS * NUM_STEPS, 1)
    assert figure.count("<circle") == panels * (most_steps - unobserved)
    first = re.search(r'<path class="mark came" d="M([^"]*)"', figure)
    dots = [float(x) for x in re.findall(r'<circle class="mark fill-ink" cx="([^"]*)"', figure)]
    assert float(first[1].split()[0]) < min(dots)
    (run / "evaluation" / "fan_history.parquet").unlink()  # an evaluation of an earlier version
    assert "forecast-fans" in write(run)


def test_without_scores_of_series_the_quantiles_order_the_fans():
    charts = fan_charts(example_fan(num_series=4), {})
    assert [chart.score for chart in charts] == [None] * 4
    assert charts[0].series_id < charts[-1].series_id  # the noise grows with the number


def test_bands_are_nested_and_end_before_the_next_window_begins(write, tmp_path):
    figure = section(write(example_forecast_run(tmp_path)), "forecast-fans").split('class="narrow"')[0]
    bands = {
        style: [
            [tuple(map(float, point.split())) for point in found.strip("MZ").split("L")]
            for found in re.findall(rf'<path class="mark {style}" d="([^"]*)"', figure)
        ]
        for style in ("shade1", "shade2", "shade4")
    }
    for wide, middle, narrow in zip(*bands.values(), strict=True):
        heights = [max(y for _, y in one) - min(y for _, y in one) for one in (wide, middle, narrow)]
        assert heights == sorted(heights, reverse=True)
    first, second = bands["shade1"][:2]
    assert max(x for x, _ in first) < min(x for x, _ in second)


@pytest.mark.parametrize(("hours", "label"), [(24, "01 Apr"), (1, "05 Mar 04 h")])
def test_each_origin_is_marked_with_its_moment(hours, label, write, tmp_path):
    run = example_forecast_run(tmp_path)
    example_fan(hours=hours).write_parquet(run / "evaluation" / "fan.parquet")
    example_history(hours=hours).write_parquet(run / "evaluation" / "fan_history.parquet")
    figure = section(write(run), "forecast-fans")
    assert f">{label}<" in figure
    assert figure.split('class="narrow"')[0].count('class="guide"') == 6 * (MOST_STEPS // NUM_STEPS)


@pytest.mark.parametrize(
    ("hours", "labels"), [(24, ("04 Mar", "11 Mar")), (1, ("04 Mar 00 h", "04 Mar 07 h"))]
)
def test_a_single_window_has_the_moments_of_its_begin_and_middle(hours, labels, write, tmp_path):
    run = example_forecast_run(tmp_path)
    fan = example_fan(hours=hours)
    fan.filter(pl.col("origin_time") == fan["origin_time"].min()).write_parquet(
        run / "evaluation" / "fan.parquet"
    )
    (run / "evaluation" / "fan_history.parquet").unlink()
    figure = section(write(run), "forecast-fans")
    assert all(f">{label}<" in figure for label in labels)


def test_a_curve_that_no_epoch_measured_is_not_in_the_legend(write, tmp_path):
    run = example_forecast_run(tmp_path)
    (run / "curves.csv").write_text("epoch,train_loss,valid_loss,valid_crps\n0,0.6,0.5,\n1,0.5,0.4,\n")
    figure = section(write(run), "forecast-training")
    assert "valid loss" in figure.split("<svg role")[0]
    assert "valid crps" not in figure.split("<svg role")[0]


def test_ids_are_escaped_and_whole_in_the_table(write, tmp_path):
    report = write(example_forecast_run(tmp_path))
    assert "of <many>" not in report
    assert "ednet/part 1 of &lt;many&gt;" in section(report, "forecast-fans").split("<details>")[1]


def test_the_errors_say_at_how_many_steps_the_forecaster_is_ahead(write, tmp_path):
    told = words(section(write(example_forecast_run(tmp_path)), "forecast-errors"))
    assert f"Of 14 steps ahead the CRPS of '{FORECASTER}' is below that of 'ridge' at 14" in told


@pytest.mark.parametrize(
    ("time", "said"), [([0.1, 1.0], "what the past leaves open"), ([1.0, 99.0], "Refinement works at")]
)
def test_noise_is_told_by_share_for_flows_and_by_step_otherwise(time, said, write, tmp_path):
    run = example_forecast_run(tmp_path)
    losses = pl.DataFrame({"time": time, "loss": [0.9, 0.2]})
    losses.write_parquet(run / "evaluation" / "diffusion_loss.parquet")
    assert said in words(section(write(run), "forecast-noise"))


def test_parts_that_were_not_kept_are_left_out_and_the_rest_stands(write, tmp_path):
    run = example_forecast_run(tmp_path)
    for name in ("fan", "pit", "by_step", "diffusion_loss", "paired"):
        (run / "evaluation" / f"{name}.parquet").unlink()
    (run / "curves.csv").unlink()
    report = write(run)
    assert "Errors by step were not measured" in words(section(report, "forecast-errors"))
    assert section(report, "forecast-coverage")
    assert 'id="forecast-fans"' not in report


def test_the_verb_shows_the_newest_evaluated_forecaster_and_the_one_that_is_named(
    settings, query, tmp_path, monkeypatch
):
    newest = example_forecast_run(tmp_path / "newest")
    asked = []

    def written(settings, **given):
        asked.append(given["forecast_run_dir"])
        return tmp_path

    monkeypatch.setattr("edpipe.evaluation.report.write_report", written)
    monkeypatch.setattr(
        "edpipe.learning.finished_runs", lambda _, model: [newest] if model == "tsdiff" else []
    )
    monkeypatch.setattr("edpipe.learning.newest_run", lambda *_, evaluated: newest)
    named = TrainingRun(
        tmp_path / "named",
        "named",
        {},
        {},
        fingerprint="f",
        source="file",
        steps="",
        num_parameters=1,
        model="tsdiff",
    )
    monkeypatch.setattr("edpipe.training.run.read_run", lambda _: named)
    edpipe.report(settings)
    edpipe.report(settings, run_dir=tmp_path / "named")
    assert asked == [newest, named.run_dir]


def test_without_a_run_the_report_says_how_to_get_one(write, tmp_path):
    told = words(section(write(None), "forecasts"))
    assert "run edpipe train tsdiff , then edpipe evaluate tsdiff" in told
    run = example_forecast_run(tmp_path)
    for path in (run / "evaluation").iterdir():
        path.unlink()
    assert "edpipe evaluate tsdiff" in words(section(write(run), "forecasts"))


def test_without_a_warehouse_a_forecaster_of_a_file_has_its_report(settings, tmp_path):
    run = example_forecast_run(tmp_path)
    report = write_report(settings, run_dir=None, forecast_run_dir=run).read_text("utf-8")
    assert "<figure" in section(report, "forecasts")
    assert "No warehouse has been built here" in words(section(report, "sources"))
    with pytest.raises(ContractError, match="Nothing has been published"):
        write_report(settings, run_dir=None)
