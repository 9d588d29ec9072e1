"""The report shows what the tables hold, says what is missing, and loads nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from report_example import MODELS, NUM_STUDENTS, example_query, example_run

from edpipe.errors import ContractError
from edpipe.evaluation.report import write_report
from edpipe.raw import Manifest, write_manifest
from edpipe.settings import Settings

Query = Callable[[str], pl.DataFrame]
FIGURES = (
    "over-time",
    "rhythm",
    "per-student",
    "forest",
    "calibration",
    "learning-curves",
    "mastery",
    "groups",
    "training-curve",
)


@pytest.fixture(scope="module")
def query() -> Query:
    return example_query()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def report(settings: Settings, run: Path, query: Query) -> str:
    return write_report(settings, run_dir=run, query=query).read_text("utf-8")


def section(text: str, name: str) -> str:
    """Return the HTML of one section or figure."""
    return re.split(r"<section|</figure>", text.split(f'id="{name}"')[1])[0]


def words(text: str) -> str:
    """Return the text without tags."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def without(query: Query, *relations: str) -> Query:
    """Hide relations from the report."""

    def answer(sql: str) -> pl.DataFrame:
        rows = query(sql)
        return rows.filter(~pl.col("relation").is_in(relations)) if "relation" in rows.columns else rows

    return answer


def test_report_lies_in_the_home_folder_by_default(settings, query):
    assert write_report(settings, run_dir=None, query=query) == settings.reports_dir / "report.html"


def test_report_is_replaced_whole(settings, query, tmp_path):
    output = tmp_path / "deep" / "page.html"
    write_report(settings, run_dir=None, output=output, query=query)
    first = output.read_text("utf-8")
    write_report(settings, run_dir=None, output=output, query=query)
    assert len(output.read_text("utf-8")) == len(first)
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_report_holds_no_script_and_loads_nothing(report):
    loading = re.findall(r'(?:src|href|action|data)\s*=\s*"([^"]*)"', report)
    assert "<script" not in report
    assert "@import" not in report
    assert "url(" not in report
    assert not re.findall(r'\son[a-z]+="', report)
    assert all(target.startswith("#") or target == "data:," for target in loading)


def test_every_figure_has_a_reading_aid_two_drawings_and_its_numbers(report):
    for name in FIGURES:
        figure = section(report, name)
        assert len(words(figure.split("<figcaption>")[1].split("</figcaption>")[0]).split()) > 8
        assert figure.count('<svg role="img" aria-label="') == 2
        assert figure.count('class="mark') > 2
        assert "<tbody>" in figure


def test_html_is_balanced(report):
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "link", "br"}:
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(report)
    assert parser.open == []


def test_coordinates_are_numbers(report):
    drawn = re.findall(r' (?:d|cx|cy|r|x|y)="([^"]*)"', report)
    assert drawn
    assert not [text for text in drawn if "nan" in text or "inf" in text]


def test_key_figures_equal_the_tables(report, query):
    interactions, unanswered, right = query(
        "select count(*), count(*) filter (where not is_answered), count(*) filter (where is_correct) "
        "from core.interactions"
    ).row(0)
    shown = words(report.split('<dl class="key">')[1].split("</dl>")[0])
    assert f"Students {NUM_STUDENTS} " in shown
    assert f"Interactions {interactions:,} " in shown
    assert f"Unanswered {unanswered:,} " in shown
    assert f"Right answers {100 * right / (interactions - unanswered):.1f} % " in shown


def test_activity_counts_every_interaction_once(report, query):
    rows = section(report, "over-time").split("<tbody>")[1]
    shown = sum(
        int(count.replace(",", ""))
        for count in re.findall(r'<th scope=row>[^<]*</th><td class="number">([\d,]+)', rows)
    )
    assert shown == query("select count(*) from core.interactions").item()


def test_learning_curve_equals_a_count_by_hand(report, query):
    answers = query(
        "select kc_key, opportunity, is_correct from core.opportunities where is_correct is not null"
    )
    top = answers["kc_key"].value_counts(sort=True)["kc_key"][0]
    first = answers.filter((pl.col("kc_key") == top) & (pl.col("opportunity") == 1))
    wrong = 100 * (~first["is_correct"]).sum() / len(first)
    row = f"{top} 1 {len(first)} {wrong:.1f} %"
    assert row in words(section(report, "learning-curves").split("<tbody>")[1])


def test_failed_checks_stand_first_and_are_a_warning(report):
    checks = section(report, "reconciliation")
    assert words(checks).index("enter equals submit") < words(checks).index("rows accounted")
    assert "1 of 2 checks does not hold" in words(checks)
    assert "1 of 2 reconciliation checks found something odd" in words(report.split('class="warnings"')[1])


def test_lost_rows_are_a_stronger_warning_than_oddities(settings, query):
    def failing(sql: str) -> pl.DataFrame:
        rows = query(sql)
        return rows.with_columns(pl.lit(False).alias("is_ok")) if "is_ok" in rows.columns else rows

    text = write_report(settings, run_dir=None, query=failing).read_text("utf-8")
    warnings = words(text.split('class="warnings"')[1].split("</section>")[0])
    assert "1 of 2 reconciliation checks failed: rows were lost" in warnings
    assert "1 of 2 reconciliation checks found something odd" in warnings


def test_text_from_data_is_escaped(report):
    assert "<left>" not in report
    assert "<odd>" not in report
    assert "Each bundle is &lt;left&gt;." in report


def test_best_score_of_each_metric_is_marked(report):
    models = section(report, "models").split("<figure")[0]
    rows = {re.search("<th scope=row>([^<]*)", row)[1]: row for row in models.split("<tr>")[2:]}
    assert list(rows) == list(MODELS)
    assert {name: row.count('class="best"') for name, row in rows.items() if 'class="best"' in row} == {
        "attention": 3,
        "logistic regression": 1,
    }


def test_every_score_has_its_interval(report):
    models = words(section(report, "models").split("<figure")[0])
    assert "0.790 best 0.779 – 0.802" in models


def test_a_tracer_that_a_baseline_beats_is_a_warning(settings, query, tmp_path):
    run = example_run(tmp_path)
    path = run / "evaluation" / "metrics.parquet"
    worse = pl.col("model").is_in(["attention", "dkt"]) & (pl.col("metric") == "auc")
    frame = pl.read_parquet(path)
    frame.with_columns(pl.when(worse).then(0.6).otherwise(pl.col("value")).alias("value")).write_parquet(path)
    text = write_report(settings, run_dir=run, query=query).read_text("utf-8")
    assert "'attention' does not beat the baseline 'logistic regression': AUC 0.600 against 0.720" in words(
        text
    )


def test_a_tracer_that_beats_the_baselines_is_no_warning(report):
    assert "does not beat" not in report


def test_first_rows_have_a_table_of_their_own(settings, query, tmp_path):
    run = example_run(tmp_path)
    path = run / "evaluation" / "metrics.parquet"
    metrics = pl.read_parquet(path)
    first = metrics.filter(pl.col("subset") == "all").with_columns(pl.lit("first_rows").alias("subset"))
    pl.concat([metrics, first]).write_parquet(path)
    text = write_report(settings, run_dir=run, query=query).read_text("utf-8")
    assert "First row of each repeated problem only" in section(text, "models")


def test_scores_without_intervals_are_shown_without(settings, query, tmp_path):
    run = example_run(tmp_path)
    path = run / "evaluation" / "metrics.parquet"
    nothing = pl.lit(float("nan"))
    pl.read_parquet(path).with_columns(nothing.alias("low"), nothing.alias("high")).write_parquet(path)
    text = write_report(settings, run_dir=run, query=query).read_text("utf-8")
    assert "nan" not in words(section(text, "models")).lower().split()
    assert section(text, "forest").count('class="mark') > 2


def test_a_home_without_training_says_so(settings, query):
    text = write_report(settings, run_dir=None, query=query).read_text("utf-8")
    for name in ("models", "equity", "training"):
        assert "edpipe train tracing" in words(section(text, name))
    assert "<svg" in section(text, "over-time")


def test_the_command_that_is_advised_names_the_source_that_is_there(settings, query):
    write_manifest(settings.raw_dir, Manifest("kddcup", "steps", "f", inputs=[], shards=[]))
    text = write_report(settings, run_dir=None, query=query).read_text("utf-8")
    for name in ("models", "equity", "training"):
        assert "edpipe train tracing --source kddcup" in words(section(text, name))


def test_a_run_without_evaluation_shows_its_curve(settings, query, tmp_path):
    run = tmp_path / "run-2"
    run.mkdir()
    (run / "curves.csv").write_text("epoch,train_loss,valid_loss,valid_auc\n0,0.6,,\n1,0.5,0.55,0.7\n")
    text = write_report(settings, run_dir=run, query=query).read_text("utf-8")
    assert "<svg" in section(text, "training-curve")
    assert "edpipe evaluate" in words(section(text, "models"))
    # The file counts epochs from 0, readers from 1.
    table = section(text, "training-curve").split("<details>")[1]
    assert re.findall(r'<th scope=row class="number">(\d+)<', table) == ["1", "2"]


@pytest.mark.parametrize(
    ("relation", "name", "said"),
    [
        ("core.reconciliation", "reconciliation", "no reconciliation table"),
        ("features.activity_hourly", "activity", "no table of hourly activity"),
        ("core.opportunities", "learning", "no learning curves"),
        ("features.kc_mastery", "learning", "no mastery table yet"),
    ],
)
def test_a_missing_table_is_named_in_words(settings, query, relation, name, said):
    text = write_report(
        settings, run_dir=None, query=without(query, relation, "predictions.kc_mastery")
    ).read_text("utf-8")
    assert said in words(section(text, name))


def test_predicted_mastery_is_preferred_to_the_observed_and_names_its_model(settings):
    text = write_report(settings, run_dir=None, query=example_query(predicted=True)).read_text("utf-8")
    assert "predictions.kc_mastery" in words(section(text, "mastery"))
    assert "Model tracing version 3" in words(text.split("</header>")[0])


def test_long_ids_are_cut_in_plots_and_whole_in_tables(settings, query):
    def prefixed(sql: str) -> pl.DataFrame:
        rows = query(sql)
        return rows.with_columns(
            ("a_long_file_name:" + pl.col(name)).alias(name)
            for name in rows.columns
            if name in {"student_id", "kc_id"}
        )

    text = write_report(settings, run_dir=None, query=prefixed).read_text("utf-8")
    for name in ("learning-curves", "mastery"):
        plot, table = section(text, name).split("<details>")
        assert ">a_long" not in plot
        assert ">a_long_file_name:" in table


def test_the_licence_of_each_source_is_shown(settings, query):
    manifest = Manifest("ednet", "kt1", "f", inputs=[], shards=[], licence="CC BY-NC 4.0")
    write_manifest(settings.raw_dir, manifest)
    text = write_report(settings, run_dir=None, query=query).read_text("utf-8")
    assert "· Data of ednet: CC BY-NC 4.0<" in text


def test_synthetic_data_are_said_to_be_so_once(settings, query):
    for source, relation in (("ednet", "kt1"), ("ednet", "kt2"), ("kddcup", "steps")):
        manifest = Manifest(source, relation, "f", inputs=[], shards=[], licence="none: synthetic students")
        write_manifest(settings.raw_dir, manifest)
    text = write_report(settings, run_dir=None, query=query).read_text("utf-8")
    assert "· Data of ednet and kddcup: synthetic students, bound by no licence<" in text


def test_nothing_published_is_an_error_that_names_it(settings):
    def nothing(sql: str) -> pl.DataFrame:
        raise ContractError("Nothing has been published yet.")

    with pytest.raises(ContractError, match="Nothing has been published"):
        write_report(settings, run_dir=None, query=nothing)
    assert not settings.reports_dir.exists()
