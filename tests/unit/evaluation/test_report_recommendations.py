"""The report on recommendations says first what the scores mean, shows what is measured, and what is not."""

from __future__ import annotations

import re
from html import unescape

import polars as pl
import pytest
from recommend_report_example import MODELS, RECOMMENDER, STUDENT, example_recommend_run
from report_example import example_query

import edpipe
from edpipe.evaluation.report import write_report

FIGURES = (
    "recommend-history",
    "recommend-scores",
    "recommend-chances",
    "recommend-training",
    "recommend-channels",
    "recommend-example",
)


@pytest.fixture(scope="module")
def query():
    return example_query()


@pytest.fixture
def write(settings, query):
    def written(run):
        return write_report(settings, run_dir=None, recommend_run_dir=run, query=query).read_text("utf-8")

    return written


def section(report: str, name: str) -> str:
    """Return what stands below one id."""
    found = re.search(rf'<(section|figure) id="{name}".*?</\1>', report, re.DOTALL)
    assert found, name
    return found[0]


def words(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).replace("\u00a0", " ").split())


def first_words(report: str) -> str:
    """Return what is to be read first."""
    return words(report.split('class="warnings"')[1].split("</section>", maxsplit=1)[0])


def test_all_parts_are_drawn_twice_once_for_a_screen_and_once_for_a_phone(write, tmp_path):
    report = write(example_recommend_run(tmp_path))
    for name in FIGURES:
        assert section(report, name).count("<svg role") == 2, name
        assert "The numbers" in section(report, name)
    assert "<script" not in report


def test_the_verdict_stands_first_and_models_by_auc_with_their_difference(write, tmp_path):
    report = write(example_recommend_run(tmp_path))
    head = section(report, "recommendations").split("<figure")[0]
    assert words(head).startswith("Recommendations On the test 'diffumin' is ahead of 'mean pooling'")
    rows = [words(row) for row in head.split("<tr>")[2:]]
    assert [row.startswith(model) for row, model in zip(rows, MODELS, strict=True)] == [True] * len(MODELS)
    assert rows[0].startswith("diffumin recommender 0.800 best 0.790 – 0.810")
    assert rows[1].endswith("+0.030 +0.025 – +0.035")
    key = words(report.split('class="key"')[1].split("</dl>")[0])
    assert "AUC of recommendations 0.800 diffumin, 0.790 – 0.810; mean pooling 0.770" in key
    assert "cannot be told apart" not in report


@pytest.mark.parametrize(
    ("gain", "said"), [(0.0, "cannot be told apart"), (-0.02, "'mean pooling' is what to use here")]
)
def test_where_a_floor_is_enough_it_is_said_first(gain, said, write, tmp_path):
    report = write(example_recommend_run(tmp_path, gain=gain))
    assert said in first_words(report)
    assert "Few <students>." in first_words(report)


def test_the_gain_by_history_has_the_paired_interval_of_each_length(write, tmp_path):
    figure = section(write(example_recommend_run(tmp_path)), "recommend-history")
    table = words(figure.split("<details>")[1])
    # Three of the four lengths are longer than the first: each gains 0.01 more.
    for row in ("1 – 20 0.8000 0.7600 +0.0400 +0.0350 – +0.0450", "1,001+ 0.8000 0.7300 +0.0700"):
        assert row in table
    assert figure.count('class="guide"') == 2  # no gain, wide and narrow


def test_without_paired_lengths_the_gain_is_left_out_and_the_rest_stands(write, tmp_path):
    run = example_recommend_run(tmp_path)
    path = run / "evaluation" / "paired.parquet"
    pl.read_parquet(path).filter(pl.col("subset") == "all").write_parquet(path)
    report = write(run)
    assert 'id="recommend-history"' not in report
    assert section(report, "recommend-scores")


def test_files_of_an_earlier_evaluation_are_left_out_until_it_is_made_anew(write, tmp_path):
    run = example_recommend_run(tmp_path)
    for name, column in (("paired", "subset"), ("example", "overall_effect")):
        file = run / "evaluation" / f"{name}.parquet"
        pl.read_parquet(file).drop(column).write_parquet(file)
    report = write(run)
    assert "No example student was kept: edpipe evaluate diffumin chooses one." in words(report).replace(
        "`", ""
    )
    assert 'id="recommend-example"' not in report
    assert 'id="recommend-scores"' in report


def test_the_last_bar_of_an_item_is_the_mean_of_all_behaviors(write, tmp_path):
    shown = section(write(example_recommend_run(tmp_path)), "recommend-example")
    assert "all: +0.200, the mean of all 59 behaviors" in unescape(shown)
    assert "the last bar is the mean of all behaviors" in words(shown)


def test_idle_channels_are_named_and_a_full_one_is_an_alarm(write, tmp_path):
    told = words(section(write(example_recommend_run(tmp_path / "even")), "interests"))
    assert "Channel 4 takes no behavior at all" in told
    assert "those of channels 2 and 3: their mean cosine is 0.30" in told
    assert "the interests are one" not in told
    report = write(example_recommend_run(tmp_path / "full", routed=(0.04, 0.91, 0.05)))
    assert "Channel 2 of 3 takes 91.0 % of the behaviors" in first_words(report)
    assert "the interests are one" in words(section(report, "interests"))
    alone = write(example_recommend_run(tmp_path / "alone", routed=(1.0,)))
    assert "the interests are one" not in alone  # one channel cannot collapse


def test_the_example_shows_effects_and_the_behaviors_behind_them_by_published_id(write, tmp_path):
    report = write(example_recommend_run(tmp_path))
    told = words(section(report, "interests"))
    assert f"student {STUDENT}, who of all in the test has the median number of behaviors, 59" in told
    figure = section(report, "recommend-example")
    wide = figure.split('class="wide"')[1].split('class="narrow"')[0]
    titles = re.findall(r"<title>(channel .*?)</title>", wide)
    assert titles[:3] == [
        "channel 3: +1.100, from 4 behaviors",
        "channel 2: -0.700, from 4 behaviors",
        "channel 1: +0.200, from 4 behaviors",
    ]
    assert "4 of 4 in topic 3; 302 (2 back)" in words(wide)
    assert "UserBehavior:302" in figure.split("<details>")[1]


@pytest.mark.parametrize("kind", ["mean", "din"])
def test_a_network_without_channels_says_so(kind, write, tmp_path):
    report = write(example_recommend_run(tmp_path, long_term=kind))
    told = words(section(report, "interests"))
    assert f"The network '{kind}' looks back without channels" in told
    assert 'id="recommend-channels"' not in report
    assert 'id="recommend-example"' not in report


def test_without_a_run_the_report_says_how_to_get_one(write, tmp_path):
    told = words(section(write(None), "recommendations"))
    assert "run edpipe train diffumin , then edpipe evaluate diffumin" in told
    run = example_recommend_run(tmp_path)
    for path in (run / "evaluation").iterdir():
        path.unlink()
    assert "edpipe evaluate diffumin" in words(section(write(run), "recommendations"))


def test_the_details_name_the_run_and_the_verb_shows_the_newest(
    settings, query, write, tmp_path, monkeypatch
):
    run = example_recommend_run(tmp_path)
    details = words(section(write(run), "details"))
    assert "run diffumin-1" in details
    assert f"model {RECOMMENDER}" in details
    assert "secret" not in details  # what was asked for is told by the rest
    asked = []

    def written(settings, **given):
        asked.append(given["recommend_run_dir"])
        return tmp_path

    monkeypatch.setattr("edpipe.evaluation.report.write_report", written)
    monkeypatch.setattr(
        "edpipe.learning.finished_runs", lambda _, model: [run] if model == "diffumin" else []
    )
    monkeypatch.setattr("edpipe.learning.newest_run", lambda *_, evaluated: run)
    edpipe.report(settings)
    assert asked == [run]
