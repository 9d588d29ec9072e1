"""Strategies from a synthetic tutor log to published tables: once, twice, interrupted, and on new data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest

import edpipe
from edpipe.errors import EdpipeError, SettingsError, TrainingError
from edpipe.families.family import Made
from edpipe.families.strategy_parts import attempts_of, parts_of
from edpipe.families.strategy_scoring import rows_of_interest
from edpipe.learning import comparison, newest_run, trained_lines
from edpipe.prediction.strategy import predict_strategies
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import draw_tutor_world, write_kddcup
from edpipe.tracking.client import open_client, open_mlflow
from edpipe.training.run import TrainingRun, read_run

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:::mlflow")]

TABLES = ("strategies", "strategy_clusters", "cluster_profiles")


def write_log(folder: Path, *, seed: int = 7, students: int = 40) -> Path:
    world = draw_tutor_world(students, 2, 6, 12, strategies_per_problem=3, seed=seed)
    write_kddcup(folder, world, sections_per_student=2, problems_per_student=6, with_master=True)
    return folder


def small(home: Path, **strategy: object) -> Settings:
    return load_settings(
        "smoke",
        file=home.parent / "edpipe.toml",
        home=home,
        progress="none",
        embedding={"dim": 16, "walks_per_node": 5},
        strategy={"max_epochs": 2, "bootstrap": 20, "curve_budgets": (), **strategy},
    )


@dataclass(frozen=True)
class Whole:
    """A home in which the whole pipeline has run once, and what its steps returned."""

    settings: Settings
    embedding: Made
    clusters: Made
    run: TrainingRun
    evaluated: edpipe.learning.Evaluated
    scored: list[Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a published tutor log and nothing learned; copied by the tests that learn anew."""
    folder = tmp_path_factory.mktemp("built")
    settings = small(folder / "data")
    edpipe.ingest("kddcup", [write_log(folder / "log")], settings)
    edpipe.build(settings)
    return settings


@pytest.fixture(scope="module")
def done(built: Settings, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    home = tmp_path_factory.mktemp("done") / "data"
    shutil.copytree(built.home, home)
    settings = small(home)
    embedding, clusters = edpipe.embed(settings), edpipe.cluster(settings)
    run = edpipe.train("strategy", settings)
    evaluated = edpipe.evaluate("strategy", settings)
    edpipe.promote("strategy", settings)
    scored = edpipe.score("strategy", settings)
    edpipe.publish(settings)
    return Whole(settings, embedding, clusters, run, evaluated, scored)


@pytest.fixture
def copy(built: Settings, tmp_path: Path) -> Settings:
    home = tmp_path / "data"
    shutil.copytree(built.home, home)
    return small(home)


def learn(settings: Settings) -> None:
    edpipe.train("strategy", settings)
    edpipe.evaluate("strategy", settings)
    edpipe.promote("strategy", settings)


def test_each_step_says_what_it_made(done: Whole) -> None:
    assert {"estimator", "log_loss"} <= set(done.embedding.rows.columns)
    assert {"radius", "symmetry"} <= set(done.clusters.rows.columns)
    assert done.embedding.is_new
    assert done.clusters.is_new
    table = comparison(done.run.run_dir)
    assert {"transformer", "lookup", "lookup_sampled"} <= set(table["model"])
    assert table.columns[:2] == ["model", "exact match"]
    assert any("lookup" in sentence for sentence in done.evaluated.statements)


def test_the_run_says_what_it_learned_from(done: Whole) -> None:
    run = read_run(done.run.run_dir)
    assert run.model == "strategy"
    assert run.data["embedding_key"] == done.embedding.folder.name
    assert run.data["clusters_key"] == done.clusters.folder.name
    assert run.data["num_sampled"] == round(run.data["num_train"] * done.settings.strategy.budget)


def test_strategies_are_published_for_the_test_and_the_latest_section(done: Whole) -> None:
    attempts = attempts_of(done.run, done.settings)
    expected = rows_of_interest(attempts)
    assert set(attempts.split.test.tolist()) <= set(expected.tolist())
    table = edpipe.sql("select * from predictions.strategies", done.settings)
    assert table.height == len(expected)
    assert (
        table.n_unique(["source", "student_id", "section_id", "problem_id", "problem_view"]) == table.height
    )
    assert table["confidence"].is_between(0, 1).all()
    assert table.filter(pl.col("split") == "test").height == len(attempts.split.test)
    # The split is by student and of first views: others are in no part, and said to be.
    assert set(table["split"]) <= {"train", "valid", "test", "outside"}
    assert table.filter((pl.col("split") == "outside") != (pl.col("problem_view") > 1)).is_empty()
    assert table.filter(pl.col("problem_view") > 1).height > 0
    assert table["model_version"].unique().to_list() == [1]
    known = set(edpipe.sql("select kc_id from core.kcs", done.settings)["kc_id"])
    assert set(table["kc_ids"].explode().drop_nulls()) <= known
    assert table["strategy"].str.split(" ~~ ").list.len().to_list() == table["num_kcs"].to_list()


def test_scoring_shows_how_far_it_is(done: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(done.settings.home, tmp_path / "data")
    settings = small(tmp_path / "data").model_copy(update={"progress": "log"})
    shutil.rmtree(settings.predictions_dir)
    edpipe.score("strategy", settings)
    rows = pl.read_parquet(done.scored[0]).height
    assert f"Score strategies: done: {rows} of {rows} attempts" in capsys.readouterr().err


def test_published_strategies_join_the_attempts_they_foretell(done: Whole) -> None:
    joined = edpipe.sql(
        "select count(*) as n from predictions.strategies as p join core.problem_attempts as a "
        "using (source, student_id, section_id, problem_id, problem_view)",
        done.settings,
    )
    asked = edpipe.sql("select count(*) as n from predictions.strategies", done.settings)
    assert joined["n"].item() == asked["n"].item()


def test_clusters_and_their_profiles_are_published(done: Whole) -> None:
    counts = edpipe.sql(
        "select cluster, count(*) as n from predictions.strategy_clusters "
        "where cluster >= 0 group by cluster",
        done.settings,
    )
    profiles = edpipe.sql("select * from predictions.cluster_profiles", done.settings)
    assert dict(counts.rows()) == dict(profiles.select("cluster", "num_attempts").rows())


@pytest.mark.parametrize("table", TABLES)
def test_every_published_column_says_what_it_means(table: str, done: Whole) -> None:
    info = edpipe.show(f"predictions.{table}", done.settings)
    assert [column.name for column in info.columns if not column.description] == []
    assert info.grain
    assert info.upstream


def test_status_tells_what_was_learned(done: Whole) -> None:
    told = "\n".join(trained_lines(done.settings))
    assert "Embeddings: 1" in told
    assert "Training runs of strategy: 1, of them 1 evaluated" in told


def test_a_second_run_of_every_step_changes_nothing(done: Whole) -> None:
    settings = done.settings
    folders = (settings.embeddings_dir, settings.clusters_dir, settings.runs_dir, settings.predictions_dir)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert not edpipe.embed(settings).is_new
    assert not edpipe.cluster(settings).is_new
    assert not edpipe.train("strategy", settings).is_new
    assert edpipe.evaluate("strategy", settings).version.version == 1
    assert not edpipe.promote("strategy", settings).is_promoted
    assert edpipe.score("strategy", settings) == done.scored
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert len(edpipe.versions("strategy", settings)) == 1


def test_the_served_model_predicts_what_was_evaluated(done: Whole) -> None:
    settings = done.settings
    open_mlflow(settings)
    served = mlflow.pyfunc.load_model("models:/strategy@champion")
    attempts = attempts_of(done.run, settings)
    dataset = attempts.dataset
    embedding, _ = parts_of(done.run, settings)
    # The served model asks after all answers; so does the dataset for a student's last attempt if that
    # has no known answer of its own.
    scored = set(dataset.observations.filter(pl.col("num_scored") > 0)["attempt"].to_list())
    last = np.flatnonzero(np.append(np.diff(dataset.student) != 0, True))
    rows = np.array([row for row in last if row not in scored] or last[:5])
    asked = pd.DataFrame(
        {
            "student_id": [dataset.student_ids[code] for code in dataset.student[rows]],
            "problem_id": [dataset.problem_ids[code] for code in dataset.problem[rows]],
        }
    )
    found = served.predict(asked.iloc[::-1])[::-1]
    expected = predict_strategies(done.run.run_dir, dataset, embedding, rows)
    assert len(found) == len(rows)
    if not scored & set(rows.tolist()):
        names = [" ~~ ".join(dataset.kc_ids[kc] for kc in expected.strategy(at)) for at in range(len(rows))]
        assert found["strategy"].to_list() == names
        np.testing.assert_allclose(found["confidence"], expected.confidence, atol=1e-5)
    nobody = served.predict(pd.DataFrame({"student_id": ["nobody"], "problem_id": ["nothing"]}))
    assert 0 <= nobody["confidence"].item() <= 1


def test_mlflow_holds_the_run_with_card_metrics_and_no_pickle(done: Whole) -> None:
    client = open_client(done.settings)
    run = client.get_run(done.evaluated.version.run_id)
    assert run.info.status == "FINISHED"
    assert "test/transformer/exact_match" in run.data.metrics
    assert "valid_loss" in run.data.metrics
    # Epochs are kept from 0 and shown from 1, by training and evaluation alike.
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "valid_loss")]
    assert set(steps) == set(range(1, done.run.num_epochs + 1))
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"model_card.md", "run.json", "curves.csv", "evaluation"} <= names
    folder = Path(mlflow.artifacts.download_artifacts(done.evaluated.version.uri))
    assert not list(folder.rglob("*.pkl"))
    card = client.get_model_version("strategy", "1").description
    assert card.startswith("# Model card: strategy (transformer)")
    assert "lookup" in card


class StopError(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


def stop(*_arguments: object, **_named: object) -> None:
    raise StopError


STOPS: dict[str, tuple[Callable[[Settings], object], str]] = {
    "embed": (edpipe.embed, "edpipe.mastery.embedding.json.dumps"),
    "cluster": (edpipe.cluster, "edpipe.mastery.strategy_clusters.json.dumps"),
    "sample": (
        lambda settings: edpipe.train("strategy", settings),
        "edpipe.families.strategy_training.sample",
    ),
    "epoch": (lambda settings: edpipe.train("strategy", settings), "edpipe.tracking.runs.Run.log_metrics"),
    "facts": (lambda settings: edpipe.train("strategy", settings), "edpipe.families.strategy_training._keep"),
}


@pytest.mark.parametrize("stage", STOPS)
def test_a_learning_that_was_interrupted_goes_on_to_the_same_weights(
    stage: str, copy: Settings, done: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb, place = STOPS[stage]
    with monkeypatch.context() as patch:
        patch.setattr(place, stop)
        with pytest.raises(KeyboardInterrupt):
            verb(copy)
    run = edpipe.train("strategy", copy)
    assert run.run_key == done.run.run_key
    assert run.metrics == done.run.metrics
    assert read_run(run.run_dir).data == read_run(done.run.run_dir).data


def test_an_evaluation_that_was_interrupted_opens_the_test_no_second_time(
    copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    edpipe.train("strategy", copy)
    with monkeypatch.context() as patch:
        patch.setattr("edpipe.families.strategy_registration.track_strategy", stop)
        with pytest.raises(KeyboardInterrupt):
            edpipe.evaluate("strategy", copy)
    done = edpipe.evaluate("strategy", copy)
    assert done.evaluation.summary["num_openings"] == 1
    assert done.version.version == 1
    edpipe.promote("strategy", copy)
    calls: list[str] = []
    from edpipe.families import strategy_scoring

    keep = strategy_scoring.replace_table

    def second_stops(settings: Settings, table: str, *others: object) -> Path:
        calls.append(table)
        return keep(settings, table, *others) if len(calls) == 1 else stop()  # type: ignore[arg-type, return-value]

    with monkeypatch.context() as patch:
        patch.setattr(strategy_scoring, "replace_table", second_stops)
        with pytest.raises(KeyboardInterrupt):
            edpipe.score("strategy", copy)
    assert {path.parent.name for path in edpipe.score("strategy", copy)} == set(TABLES)


def test_new_data_refuse_an_old_run_and_the_old_champion_is_measured_on_them(
    copy: Settings, tmp_path: Path
) -> None:
    learn(copy)
    old = newest_run(copy, "strategy")
    edpipe.score("strategy", copy)
    edpipe.ingest("kddcup", [write_log(tmp_path / "more", seed=7, students=60)], copy)
    edpipe.build(copy)
    with pytest.raises(TrainingError, match="changed since"):
        edpipe.evaluate("strategy", copy, run_dir=old)
    # The old champion still scores the new data, by ids.
    edpipe.score("strategy", copy)
    edpipe.publish(copy)
    students = edpipe.sql("select count(distinct student_id) n from predictions.strategies", copy)["n"].item()
    assert students == 60
    edpipe.train("strategy", copy)
    edpipe.evaluate("strategy", copy)
    decided = edpipe.promote("strategy", copy)
    assert decided.previous == 1
    assert decided.scores["champion.log_loss"] > 0
    assert 0 <= decided.scores["champion.exact_match"] <= 1


def test_a_source_without_strategies_and_one_that_is_not_there_are_refused(copy: Settings) -> None:
    wrong = copy.model_copy(update={"strategy": copy.strategy.model_copy(update={"source": "mathia"})})
    for verb in (edpipe.embed, edpipe.cluster, lambda settings: edpipe.train("strategy", settings)):
        with pytest.raises(SettingsError, match="--source kddcup"):
            verb(wrong)
    assert not copy.embeddings_dir.exists()


def test_a_dry_run_writes_nothing(copy: Settings) -> None:
    before = sorted(copy.home.rglob("*"))
    told: list[Made] = []
    assert edpipe.embed(copy, dry_run=True).is_new
    assert edpipe.cluster(copy, dry_run=True).is_new
    run = edpipe.train("strategy", copy, dry_run=True, on_made=told.append)
    assert run.run_key == ""
    assert [made.is_new for made in told] == [True, True]
    assert sorted(copy.home.rglob("*")) == before


def test_a_dry_run_names_the_run_where_its_parts_are_there(done: Whole) -> None:
    assert edpipe.train("strategy", done.settings, dry_run=True).run_key == done.run.run_key


def test_a_sampler_without_clusters_needs_none(copy: Settings) -> None:
    settings = small(copy.home, sampler="uniform", max_epochs=1)
    told: list[str] = []
    run = edpipe.train("strategy", settings, on_made=lambda made: told.append(made.folder.parent.name))
    assert told == ["embeddings"]
    assert run.data["clusters_key"] == ""
    evaluated = edpipe.evaluate("strategy", settings)
    assert evaluated.version.version == 1


def test_a_learning_curve_is_drawn_where_budgets_are_named(copy: Settings) -> None:
    settings = small(copy.home, max_epochs=1, curve_budgets=(0.1,), curve_seeds=1, sampler="uniform")
    run = edpipe.train("strategy", settings)
    edpipe.evaluate("strategy", settings)
    curve = pl.read_parquet(run.run_dir / "evaluation" / "learning_curve.parquet")
    assert curve["sampler"].unique().to_list() == ["uniform"]
    assert "exact_match" in curve["metric"].to_list()


def test_evaluating_before_training_names_the_command(copy: Settings) -> None:
    with pytest.raises(EdpipeError, match="edpipe train strategy"):
        edpipe.evaluate("strategy", copy)
    with pytest.raises(EdpipeError, match="edpipe train strategy"):
        edpipe.score("strategy", copy)
