"""The report on strategies shows what was measured, says what is missing, and where a lookup is enough."""

from __future__ import annotations

import math
import re
from html import unescape

import polars as pl
import pytest
from report_example import example_query
from strategy_report_example import (
    BUDGETS,
    GROUPS,
    MODELS,
    NUM_PROFILES,
    SAMPLERS,
    example_estimators,
    example_map,
    example_strategy_query,
    example_strategy_run,
)

from edpipe.evaluation.report import strategy_clusters as report_clusters
from edpipe.evaluation.report import strategy_equity, strategy_map, strategy_run, write_report
from edpipe.evaluation.strategy import evaluate, groups, learning_curve
from edpipe.mastery import cluster_map, cluster_profiles, strategy_clusters
from edpipe.settings import load_settings

FIGURES = (
    "strategy-scores",
    "strategy-calibration",
    "strategy-training",
    "strategy-budget-curve",
    "strategy-seconds-curve",
    "strategy-gap-curve",
    "strategy-budget-steps-curve",
    "strategy-groups",
    "strategy-map",
)
ENOUGH = "A parameter-free lookup is enough here"


@pytest.fixture(scope="module")
def query():
    return example_strategy_query()


@pytest.fixture
def run(tmp_path):
    return example_strategy_run(tmp_path)


@pytest.fixture
def write(settings, query):
    """Write the report of a strategy run and return its text."""

    def written(run, *, answers=query):
        path = write_report(settings, run_dir=None, strategy_run_dir=run, query=answers)
        return path.read_text("utf-8")

    return written


@pytest.fixture(scope="module")
def whole(tmp_path_factory, query):
    """Write the report with every part once, and return its text, its run and the points of its map."""
    home = tmp_path_factory.mktemp("home")
    settings = load_settings("smoke", file=home / "edpipe.toml", home=home, progress="none")
    points = example_map(settings.clusters_dir)
    example_estimators(settings.embeddings_dir)
    run = example_strategy_run(home / "runs")
    path = write_report(settings, run_dir=None, strategy_run_dir=run, query=query)
    return path.read_text("utf-8"), run, points


@pytest.fixture
def report(whole):
    return whole[0]


def section(text: str, name: str) -> str:
    """Return the HTML of one section or figure."""
    return re.split(r"<section|</figure>", text.split(f'id="{name}"')[1])[0]


def words(text: str) -> str:
    """Return the text without tags."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def change(run, name, change) -> None:
    path = run / "evaluation" / name
    change(pl.read_parquet(path)).write_parquet(path)


def test_every_figure_has_a_reading_aid_two_drawings_and_its_numbers(report):
    for name in FIGURES:
        figure = section(report, name)
        assert len(words(figure.split("<figcaption>")[1].split("</figcaption>")[0]).split()) > 8
        assert figure.count('<svg role="img" aria-label="') == 2
        assert figure.count('class="mark') > 2
        assert "<tbody>" in figure


def test_nothing_is_loaded_and_every_coordinate_is_a_number(report):
    assert "<script" not in report
    assert "url(" not in report
    drawn = re.findall(r' (?:d|cx|cy|r|x|y)="([^"]*)"', report)
    assert not [text for text in drawn if "nan" in text or "inf" in text]


def test_text_from_data_is_escaped(report):
    assert "<expression>" not in report
    assert "<here>" not in report
    assert "Write &lt;expression&gt; 0" in report


def test_the_lookup_is_marked_as_the_one_to_beat(report):
    rows = section(report, "strategies").split("<tr>")[1:]
    marked = [row for row in rows if "the one to beat" in row]
    assert all(">lookup<" in row for row in marked)
    assert len(marked) == 2


def test_a_predictor_ahead_of_the_lookup_gets_no_warning(report):
    assert ENOUGH not in report


@pytest.mark.parametrize("gain", [-0.05, 0.0, 0.015])
def test_a_lookup_within_the_interval_of_the_predictor_is_said_to_be_enough(tmp_path, write, gain):
    text = write(example_strategy_run(tmp_path, gain=gain))
    first = words(text.split('class="warnings"')[1].split("</section>")[0])
    assert f"{ENOUGH}: 'lookup' predicts 56.0 %" in first


def test_a_lookup_that_is_enough_only_where_the_problem_is_known_is_said_so(run, write):
    worse = pl.col("subset") == "seen_problems"
    change(
        run,
        "paired.parquet",
        lambda frame: frame.with_columns(
            pl.when(worse).then(-0.01).otherwise(pl.col(name)).alias(name)
            for name in ("difference", "low", "high")
        ),
    )
    text = write(run)
    assert ENOUGH not in text
    assert "On problems met in training a parameter-free lookup is enough" in text


def test_the_paired_difference_decides_where_intervals_of_scores_overlap(run, write):
    wide = pl.col("value") - 0.2, pl.col("value") + 0.2
    change(
        run,
        "metrics.parquet",
        lambda frame: frame.with_columns(wide[0].alias("low"), wide[1].alias("high")),
    )
    assert "lookup is enough" not in words(write(run).split('class="warnings"')[1].split("</section>")[0])
    (run / "evaluation" / "paired.parquet").unlink()
    assert ENOUGH in write(run)


def test_another_baseline_ahead_of_the_predictor_is_a_warning(run, write):
    ahead = (
        (pl.col("model") == "neighbors") & (pl.col("subset") == "all") & (pl.col("metric") == "exact_match")
    )
    change(
        run,
        "metrics.parquet",
        lambda frame: frame.with_columns(pl.when(ahead).then(0.7).otherwise(pl.col("value")).alias("value")),
    )
    first = words(write(run).split('class="warnings"')[1].split("</section>")[0])
    assert "does not beat the baseline 'neighbors': exact match 60.0 % against 70.0 %" in first


def test_the_colors_of_the_map_span_the_mastery_that_occurs(whole):
    report, _, points = whole
    figure = section(report, "strategy-map")
    legend = words(figure.split('class="legend"')[1].split("</p>")[0])
    assert f"mastery {points['mastery'].min():.2f}" in legend
    assert f" {points['mastery'].max():.2f}" in legend
    assert "point shade0" in figure
    assert "point shade8" in figure


def test_gains_over_the_lookup_have_intervals_and_a_verdict(tmp_path, write):
    text = words(section(write(example_strategy_run(tmp_path, gain=0.0)), "strategies"))
    assert "All attempts 4,000 +0.000 -0.020 to +0.020 +0.000 -0.020 to +0.020" in text
    assert "Departures 1,200 +0.300 +0.280 to +0.320" in text
    assert text.count("the lookup is wrong by definition") == 1
    assert text.count("the lookup is enough") == 3


def test_the_predictor_is_a_key_figure_beside_the_lookup(report):
    shown = words(report.split('<dl class="key">')[1].split("</dl>")[0])
    assert "Strategies predicted exactly 60.0 % transformer, 58.0 % – 62.0 %; lookup 56.0 %" in shown


def test_departures_are_told_in_words(report):
    assert "In 1,200 attempts the student departs" in words(section(report, "strategies"))


def test_the_curve_has_the_mean_and_the_t_interval_of_the_seeds(whole):
    report, run, _ = whole
    frame = pl.read_parquet(run / "evaluation" / "learning_curve.parquet")
    point = {"sampler": "uniform", "budget": 0.1, "equal": "epochs", "model": "transformer"}
    values = frame.filter(**point, metric="exact_match")["value"]
    half = 2.776445 * values.std() / math.sqrt(5)  # 97.5 % point of t with four degrees of freedom
    row = f"uniform 10 % 900 5 {values.mean():.4f} {values.mean() - half:.3f} – {values.mean() + half:.3f}"
    assert row in words(section(report, "strategy-budget-curve").split("<tbody>")[1])


def test_each_sampler_has_a_panel_against_ours(report):
    figure = section(report, "strategy-budget-curve").split("<details>")[0]
    titles = re.findall(r'<text class="panel"[^>]*>([^<]*)', figure)
    assert sorted(set(titles)) == sorted(set(SAMPLERS) - {"clusters"})


def test_the_least_budget_that_is_enough_is_named(whole):
    report, run, _ = whole
    frame = pl.read_parquet(run / "evaluation" / "learning_curve.parquet")
    frame = frame.filter(equal="epochs", model="transformer", metric="exact_match")
    full = frame.filter(pl.col("sampler") == "all")["value"].mean()
    means = frame.filter(pl.col("sampler") == "clusters").group_by("budget").agg(pl.col("value").mean())
    enough = means.filter(pl.col("value") >= 0.95 * full)["budget"].min()
    assert enough in BUDGETS
    assert f"with {100 * enough:.3g} % of them" in words(section(report, "strategy-budget"))


def test_the_interval_of_few_seeds_does_not_leave_the_range_of_a_share(run, write):
    change(run, "learning_curve.parquet", lambda frame: frame.filter(pl.col("seed") < 2))
    rows = section(write(run), "strategy-budget-curve").split("<tbody>")[1]
    ends = [float(number) for pair in re.findall(r"([\d.-]+) – ([\d.-]+)", rows) for number in pair]
    assert ends
    assert all(0 <= end <= 1 for end in ends)


def test_one_seed_has_a_line_without_a_band(run, write):
    change(run, "learning_curve.parquet", lambda frame: frame.filter(pl.col("seed") == 0))
    figure = section(write(run), "strategy-budget-curve")
    assert "mark line1" in figure
    assert "band1" not in figure


def test_a_curve_of_few_odd_budgets_is_drawn_with_these_as_labels(run, write):
    change(
        run,
        "learning_curve.parquet",
        lambda frame: frame.filter(pl.col("budget") == 0.1).with_columns(budget=pl.lit(0.033)),
    )
    assert ">3.3\u00a0%</text>" in section(write(run), "strategy-budget-curve")


def test_a_curve_without_mastery_groups_has_no_gap(run, write):
    change(run, "learning_curve.parquet", lambda frame: frame.filter(pl.col("metric") == "exact_match"))
    text = write(run)
    assert 'id="strategy-budget-curve"' in text
    assert 'id="strategy-gap-curve"' not in text


def test_every_mastery_group_has_bars_of_predictor_and_lookup(report):
    figure = section(report, "strategy-groups")
    for group in GROUPS:
        for model in MODELS[:2]:
            assert f"<title>{model}, {group.replace('_', ' ')}: " in figure
    assert "gap" not in words(figure.split("<tbody>")[1]).split()


def test_gaps_of_all_models_stand_in_a_table(report):
    table = words(section(report, "strategy-equity").split("<figure")[0])
    for model in MODELS:
        assert f"{model} 0.060 0.050 – 0.070 0.040 0.030 – 0.050 0.020 0.010 – 0.030" in table


def test_each_mastery_group_shows_its_calibration_gain_and_rates_of_kcs(report):
    table = words(section(report, "strategy-equity").split("<figure")[0])
    # Rates of three KCs, weighted by attempts without and with the KC; all miss 0.2.
    scores = "0.600 0.570 – 0.630 +0.040 +0.020 to +0.060 0.040 0.010 – 0.070"
    assert f"lowest 60 students 500 {scores} 0.110 0.200" in table
    assert "short history 60 students" in table


def test_files_and_names_are_those_of_the_evaluation():
    assert strategy_run.LOOKUP == evaluate.REFERENCE
    assert strategy_run.PAIRED_FILE == evaluate.PAIRED_FILE
    assert strategy_run.EQUITY_FILE == evaluate.EQUITY_FILE
    assert strategy_run.BUDGETS_FILE == learning_curve.CURVE_FILE
    assert {"exact_match", "mastery_gap"} <= set(learning_curve.MEASURED)
    assert strategy_run.MAP_FILE == cluster_map.MAP_FILE
    assert strategy_run.ROUNDS_FILE == strategy_clusters.ROUNDS_FILE
    assert set(strategy_map.NEEDED) == set(cluster_map.MAP_SCHEMA)
    assert set(report_clusters.COLUMNS) <= set(cluster_profiles.PROFILE_SCHEMA)
    assert {*groups.GROUPS, groups.DECILE, groups.SHORT} == set(strategy_equity.ORDER)


def test_a_crowded_map_is_thinned_alike_each_time_and_keeps_every_cluster(settings, run, write):
    points = example_map(settings.clusters_dir, num_students=5000)
    figures = [section(write(run), "strategy-map") for _ in range(2)]
    assert figures[0] == figures[1]
    drawn = set(re.findall(r"synthetic/student_\d+, cluster (\d+)", figures[0].split('class="narrow"')[0]))
    known = points.filter(pl.col("kind") == "student")["cluster"].unique().to_list()
    assert drawn == {str(cluster) for cluster in known}
    assert figures[0].count("synthetic/student_") < 1000
    assert "of 5,000 students" in words(figures[0])


def test_more_clusters_than_dots_leave_the_map_small(settings, run, write):
    points = example_map(settings.clusters_dir, num_students=4000)
    single = points.with_columns(cluster=pl.int_range(pl.len()).over("kind"))
    single.write_parquet(next(settings.clusters_dir.glob("*/map.parquet")))
    figure = section(write(run), "strategy-map")
    wide = figure.split('class="narrow"')[0]
    assert len(re.findall("<title>synthetic/student_", wide)) == 700
    assert wide.count("mark ring") == 200
    assert "Rings stand for the 100 largest clusters" in figure
    assert figure.split("<tbody>")[1].count("<tr>") == 400


def test_a_map_without_any_cluster_is_missing(settings, run, write):
    points = example_map(settings.clusters_dir)
    nowhere = points.with_columns(cluster=pl.lit(-1))
    nowhere.write_parquet(next(settings.clusters_dir.glob("*/map.parquet")))
    assert "There is no map" in words(section(write(run), "strategy-clusters"))


def test_points_outside_clusters_are_left_out_of_the_map(settings, run, write):
    frame = example_map(settings.clusters_dir)
    lost = frame.with_columns(
        cluster=pl.when(pl.col("id") == "synthetic/student_3").then(-1).otherwise(pl.col("cluster"))
    )
    lost.write_parquet(next(settings.clusters_dir.glob("*/map.parquet")))
    assert "synthetic/student_3," not in write(run)


def test_the_numbers_of_the_map_count_every_member(whole):
    report, _, points = whole
    rows = section(report, "strategy-map").split("<tbody>")[1].split("<tr>")[1:]
    counts = [int(words(row).split()[2].replace(",", "")) for row in rows]
    assert sum(counts) == len(points)


def test_profiles_show_the_typical_strategy_without_its_data_set(report):
    text = words(section(report, "strategy-clusters"))
    assert f"{NUM_PROFILES} clusters hold" in text
    assert "Write <expression> 1 → Write <expression> 2" in text
    assert "synthetic/Write" not in text
    assert "→ … (9 KCs)" in text
    assert "88.0 % of its attempts; strongest: Add; weakest: Divide" in text


def test_the_estimator_of_mastery_that_was_used_is_marked(report):
    text = words(section(report, "strategy-clusters"))
    assert "pfa used for the vectors 0.400 0.390 – 0.410" in text
    assert text.count("used for the vectors") == 1


def test_the_round_of_refinement_that_was_kept_is_marked(report):
    text = words(section(report, "strategy-clusters"))
    assert "1 kept problems 0.680 14 23 240 0.600 0.550 – 0.650 0.70 12.0 0.580" in text


def test_a_home_without_strategies_has_one_section_that_says_so(write):
    text = write(None, answers=example_query())
    assert "edpipe train strategy" in words(section(text, "strategies"))
    assert 'id="strategy-' not in text


@pytest.mark.parametrize(
    ("lost", "name", "said"),
    [
        ("evaluation/summary.json", "strategies", "edpipe evaluate strategy"),
        ("evaluation/learning_curve.parquet", "strategy-budget", "No learning curve was drawn"),
    ],
)
def test_a_missing_part_of_the_run_is_named(run, write, lost, name, said):
    (run / lost).unlink()
    assert said in words(section(write(run), name))


def test_missing_clusters_are_named(run, write):
    text = write(run, answers=example_query())
    assert "There are no clusters of strategies yet" in words(section(text, "strategy-clusters"))


def test_a_missing_map_is_named_beside_the_profiles(run, write):
    assert "There is no map" in words(section(write(run), "strategy-clusters"))


def test_an_evaluation_without_groups_departures_or_calibration_says_so(run, write):
    change(run, "metrics.parquet", lambda frame: frame.filter(pl.col("subset") == "all"))
    change(run, "calibration.parquet", lambda frame: frame.clear())
    (run / "evaluation" / "paired.parquet").unlink()
    text = write(run)
    assert "no mastery groups" in words(section(text, "strategy-equity"))
    assert "Departures, where a student leaves" in words(section(text, "strategies"))
    assert "calibration of the predictor's confidence was not measured" in words(section(text, "strategies"))


def test_scores_without_intervals_are_shown_without(run, write):
    nothing = pl.lit(float("nan"))
    change(
        run, "metrics.parquet", lambda frame: frame.with_columns(nothing.alias("low"), nothing.alias("high"))
    )
    text = write(run)
    assert "nan" not in words(text).lower().split()
    assert ENOUGH not in text
    assert section(text, "strategy-groups").count('class="mark') > 2
