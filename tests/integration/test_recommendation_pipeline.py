"""Recommendations from clicks to a champion that is asked: once, twice, by a better model, on new data."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from recommender_data import DATA, NETWORK
from typer.testing import CliRunner

import edpipe
from edpipe import warehouse
from edpipe.cli import app
from edpipe.datasets.impressions_source import impression_dataset
from edpipe.errors import SettingsError, TrainingError
from edpipe.families.diffumin_example import example_table
from edpipe.families.tables import table_lines
from edpipe.learning import comparison, newest_run
from edpipe.prediction.candidates import CandidateRules
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import SyntheticInterests, save_truth, write_interests
from edpipe.tracking.client import open_client, open_mlflow
from edpipe.training.run import TrainingRun

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:::mlflow")]
FLOORS = {"no behaviors", "mean pooling", "item CTR", "logistic regression", "planted truth"}


def small(home: Path, **given: object) -> Settings:
    return load_settings(
        "smoke",
        file=home.parent / "edpipe.toml",
        home=home,
        progress="none",
        recommendation={**DATA, "source": "clicks"},
        diffumin={**NETWORK, "max_epochs": 10, "patience": 10, "num_recommended": 5, **given},
    )


@dataclass(frozen=True)
class Whole:
    """A home in which everything has run once, and what its steps returned."""

    settings: Settings
    made: SyntheticInterests
    run: TrainingRun
    evaluated: edpipe.learning.Evaluated
    scored: list[Path]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("done")
    made = write_interests(
        folder / "log",
        num_students=60,
        num_interests=2,
        age=2,
        num_topics=6,
        items_per_topic=20,
        num_rounds=15,
    )
    save_truth(folder / "truth", made, noise=0.1)
    settings = small(folder / "data", planted=str(folder / "truth"))
    edpipe.ingest("clicks", [made.path], settings, layout="taobao")
    warehouse.build(settings)
    edpipe.publish(settings)
    run = edpipe.train("diffumin", settings)
    evaluated = edpipe.evaluate("diffumin", settings)
    edpipe.promote("diffumin", settings)
    scored = edpipe.score("diffumin", settings)
    edpipe.publish(settings)
    return Whole(settings, made, run, evaluated, scored)


def command(done: Whole, *words: str) -> list[dict[str, object]]:
    home = ["--preset", "smoke", "--progress", "none", "--home", str(done.settings.home)]
    shown = CliRunner().invoke(app, [*home, *words, "--format", "json"])
    assert shown.exit_code == 0, shown.exception
    return list(json.loads(shown.stdout))


def test_the_recommender_stands_beside_its_floors(done: Whole) -> None:
    table = comparison(done.run.run_dir)
    assert set(table["model"]) == {"diffumin", *FLOORS}
    found = done.evaluated.evaluation
    assert found.value("planted truth", "auc") > found.value("diffumin", "auc")
    assert found.value("diffumin", "auc") > found.value("no behaviors", "auc")
    assert any("best floor on validation" in line for line in done.evaluated.statements)
    assert found.warnings == ()
    # Floors are no runs to choose from.
    assert len(list((done.run.run_dir / "floors").iterdir())) == 2
    assert newest_run(done.settings, "diffumin", evaluated=True).parent == done.settings.runs_dir


def test_the_planted_truth_is_as_good_as_can_be(done: Whole) -> None:
    found = done.evaluated.evaluation
    # Of items drawn by popularity rather than evenly: near the best of even ones, by few rows.
    assert found.value("planted truth", "auc") == pytest.approx(done.made.bayes_auc, abs=0.06)
    assert found.value("planted truth", "predicted_over_clicked") == pytest.approx(1, abs=0.1)


def test_the_channels_take_all_behaviors_of_the_students_of_the_test(done: Whole) -> None:
    channels = pl.read_parquet(done.run.run_dir / "evaluation" / "channels.parquet")
    assert channels["channel"].to_list() == [1, 2]
    assert channels["num_students"].to_list() == [60, 60]
    assert channels["routed_share"].sum() == pytest.approx(1)
    assert (channels["kept_share"] <= channels["routed_share"]).all()
    assert (channels["routed_low"] <= channels["routed_high"]).all()


def test_the_example_is_the_median_student_and_what_recommend_answers(done: Whole) -> None:
    example = pl.read_parquet(done.run.run_dir / "evaluation" / "example.parquet")
    counts = done.made.behaviors.group_by("student").len()
    middle = counts["len"].sort()[(len(counts) - 1) // 2]
    equal = counts.filter(pl.col("len") == middle)["student"]
    first = min(f"synthetic_UserBehavior:{number}" for number in equal)
    assert example["student_id"].unique().to_list() == [first]
    assert example["num_behaviors"].unique().to_list() == [middle]
    asked = edpipe.recommend(first, done.settings, top=3)
    items = example.unique("rank", maintain_order=True)
    assert items["item_id"].to_list() == asked["item_id"].to_list()
    assert items["probability"].to_list() == asked["probability"].to_list()
    for rank, reasons in zip((1, 2, 3), asked["evidence"].to_list(), strict=True):
        mine = example.filter(rank=rank)
        told = mine.head(len(reasons)).select(
            pl.col("behavior_id").alias("item_id"), "steps_back", "channel", "weight", "channel_effect"
        )
        assert told.to_dicts() == reasons
        # All that a channel kept is there, each behavior once.
        assert mine.n_unique("steps_back") == len(mine) >= len(reasons)
    topics = dict(done.made.items.select("item", "category").rows())
    for name, category in example.select("behavior_id", "behavior_category").rows():
        assert category.endswith(f":{topics[int(name.split(':')[1])]}")


def test_the_example_leaves_out_what_recommend_leaves_out(done: Whole, monkeypatch: Any) -> None:
    every = CandidateRules.of

    def second(self: CandidateRules, history: Any, **given: Any) -> Any:
        left = every(self, history, **given)
        return replace(left, rows=left.rows[1::2])

    usual = example_table(done.settings, done.run, impression_dataset(done.settings))
    monkeypatch.setattr(CandidateRules, "of", second)
    example = example_table(done.settings, done.run, impression_dataset(done.settings))
    student = str(example["student_id"][0])
    asked = edpipe.recommend(student, done.settings, top=3, run_dir=done.run.run_dir)
    assert example.unique("rank", maintain_order=True)["item_id"].to_list() == asked["item_id"].to_list()
    assert not example.equals(usual)


def test_the_report_shows_the_recommender_and_its_version(done: Whole) -> None:
    # Other tests train other runs here.
    report = edpipe.report(done.settings, run_dir=done.run.run_dir).read_text("utf-8")
    assert "Model diffumin version 1" in report
    for figure in ("recommend-history", "recommend-channels", "recommend-example"):
        assert f'id="{figure}"' in report


def test_the_card_tells_the_target_and_the_floors(done: Whole) -> None:
    client = open_client(done.settings)
    path = client.download_artifacts(done.evaluated.version.run_id, "model_card.md", None)
    card = Path(path).read_text()
    assert "- target: next_item" in card
    assert all(name in card for name in FLOORS)
    assert "no claim is made of what a recommendation would cause" in card


def test_a_second_run_of_every_step_changes_nothing(done: Whole) -> None:
    settings = done.settings
    folders = (settings.runs_dir, settings.predictions_dir)
    files = {path: path.stat().st_mtime_ns for one in folders for path in one.rglob("*") if path.is_file()}
    assert not edpipe.train("diffumin", settings).is_new
    known = edpipe.versions("diffumin", settings)
    again = edpipe.evaluate("diffumin", settings, run_dir=done.run.run_dir)
    assert again.version.run_key == done.run.run_key
    assert edpipe.score("diffumin", settings) == done.scored
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert edpipe.versions("diffumin", settings) == known


def test_the_table_holds_new_items_by_rank(done: Whole) -> None:
    table = pl.read_parquet(done.scored[0])
    assert table.height == 60 * 5
    assert table.n_unique(["source", "log_name", "target", "student_id", "rank"]) == table.height
    ordered = table.sort("student_id", "rank")
    falls = ordered.with_columns(pl.col("probability").diff().over("student_id")).drop_nulls("probability")
    assert (falls["probability"] <= 0).all()
    met = done.made.behaviors.select(
        pl.format("synthetic_UserBehavior:{}", "student").alias("student_id"),
        pl.format("synthetic_UserBehavior:{}", "item").alias("item_id"),
    )
    assert table.join(met, on=["student_id", "item_id"], how="semi").is_empty()
    described = warehouse.query(
        done.settings, "select count(*) from predictions.recommendations where model_name = 'diffumin'"
    )
    assert described.item() == table.height
    assert table["gain"].null_count() == table.height  # in order of probability
    # This log does not say since when things are there.
    (line,) = table_lines(done.scored, since=0.0)
    assert "met before, 0 not deployed yet" in line
    assert "of unknown deployment kept" in line


def test_the_command_and_the_table_say_the_same_and_the_evidence_is_of_the_past(done: Whole) -> None:
    table = pl.read_parquet(done.scored[0])
    student = table["student_id"][0]
    rows = command(done, "recommend", "--student", student, "--top", "5")
    mine = table.filter(student_id=student)
    assert [row["item_id"] for row in rows] == mine["item_id"].to_list()
    assert [row["probability"] for row in rows] == mine["probability"].round(6).to_list()
    found = edpipe.recommend(student, done.settings, top=5)
    assert found["probability"].to_list() == mine["probability"].to_list()  # to the last bit
    assert found.equals(edpipe.recommend(student, done.settings, top=5))
    number = int(student.split(":")[1])
    past = done.made.behaviors.filter(student=number)["item"].to_list()
    for reasons in found["evidence"].to_list():
        assert reasons
        for one in reasons:
            assert one["item_id"] == f"synthetic_UserBehavior:{past[-one['steps_back']]}"


def test_items_already_met_are_shown_where_asked_for(done: Whole) -> None:
    student = "synthetic_UserBehavior:1"
    new = edpipe.recommend(student, done.settings, top=1_000)
    every = edpipe.recommend(student, done.settings, top=1_000, is_new_only=False)
    met = done.made.behaviors.filter(student=1)["item"].unique().to_list()
    more = set(every["item_id"]) - set(new["item_id"])
    assert more <= {f"synthetic_UserBehavior:{item}" for item in met}
    assert more


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"student": "synthetic_UserBehavior:100"}, "Did you mean"),
        ({"student": "?"}, "For example"),
        ({"student": "synthetic_UserBehavior:1", "part": 3}, "whose items have parts"),
        ({"student": "synthetic_UserBehavior:1", "top": 0}, "at least 1"),
        ({"student": "synthetic_UserBehavior:1", "rank_by": "gain"}, "items with knowledge components"),
        ({"student": "synthetic_UserBehavior:1", "is_unmastered_only": True}, "--hide-mastered"),
        ({"student": "synthetic_UserBehavior:1", "mastered_from": 1.5}, "at most 1"),
        ({"student": "synthetic_UserBehavior:1", "rank_by": "luck"}, "'probability' or 'gain'"),
    ],
)
def test_questions_that_cannot_be_answered_say_why(done: Whole, given: dict[str, object], hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        edpipe.recommend(settings=done.settings, **given)


def test_the_logged_model_answers_as_the_recommender_does(done: Whole) -> None:
    open_mlflow(done.settings)
    model = mlflow.pyfunc.load_model(done.evaluated.version.uri)
    found = edpipe.recommend("synthetic_UserBehavior:1", done.settings, top=3)
    past = done.made.behaviors.filter(student=1)["item"].to_list()
    ids = [f"synthetic_UserBehavior:{item}" for item in past] + found["item_id"].to_list()
    rows = pd.DataFrame(
        {
            "student_id": "s",
            "item_id": ids,
            "outcome": "pv",
            "is_asked": [place >= len(past) for place in range(len(ids))],
        }
    )
    answers = model.predict(rows)
    # The past has no answer; the labels of the others are those of their rows.
    assert answers.index.to_list() == list(range(len(past), len(ids)))
    assert answers["item_id"].to_list() == found["item_id"].to_list()
    assert answers["student_id"].unique().tolist() == ["s"]
    # Clicks of this log have no outcome, so none is known to the model; times since the last are not told.
    np.testing.assert_allclose(answers["probability"], found["probability"].to_numpy(), atol=1e-6)


def test_a_plainer_network_is_a_challenger(done: Whole) -> None:
    plain = small(done.settings.home, long_term="mean", max_epochs=1, floors=())
    edpipe.train("diffumin", plain)
    table = comparison(edpipe.evaluate("diffumin", plain).run.run_dir)
    assert table["model"].to_list() == ["mean"]
    decided = edpipe.promote("diffumin", plain)
    assert not decided.is_promoted
    assert "validation AUC" in decided.reason


def test_a_candidate_of_another_seed_meets_the_champion_on_its_own_rows(done: Whole) -> None:
    other = small(done.settings.home, max_epochs=1, floors=()).model_copy(update={"seed": 8})
    run = edpipe.train("diffumin", other)
    edpipe.evaluate("diffumin", other, run_dir=run.run_dir)
    decided = edpipe.promote("diffumin", other, run_dir=run.run_dir, dry_run=True)
    recorded = float(edpipe.versions("diffumin", other)[0].tags["valid.auc"])
    # Another seed draws other negatives: the champion was measured anew, on like rows.
    assert decided.scores["champion.auc"] != recorded
    assert decided.scores["champion.auc"] == pytest.approx(recorded, abs=0.15)


def test_a_source_that_was_not_ingested_is_refused(done: Whole) -> None:
    asked = done.settings.model_copy(
        update={"recommendation": done.settings.recommendation.model_copy(update={"source": "ednet"})}
    )
    with pytest.raises(SettingsError, match=r"recommendation\.source"):
        edpipe.train("diffumin", asked)


def test_changed_data_are_refused(done: Whole, tmp_path: Path) -> None:
    shutil.copytree(done.settings.home, tmp_path / "data")
    settings = small(tmp_path / "data")
    more = write_interests(tmp_path, num_students=5, num_rounds=5, seed=9)
    path = tmp_path / "more_UserBehavior.csv"
    more.path.rename(path)
    edpipe.ingest("clicks", [path], settings, layout="taobao")
    warehouse.build(settings)
    with pytest.raises(TrainingError, match="have changed since this run was trained"):
        edpipe.evaluate("diffumin", settings, run_dir=settings.runs_dir / done.run.run_key)


def test_a_truth_that_is_not_there_is_refused_before_the_test_is_opened(done: Whole, tmp_path: Path) -> None:
    settings = small(done.settings.home, planted=str(tmp_path), floors=(), max_epochs=1, long_term="none")
    run = edpipe.train("diffumin", settings)
    with pytest.raises(SettingsError, match="planted"):
        edpipe.evaluate("diffumin", settings, run_dir=run.run_dir)
    assert not (run.run_dir / "evaluation").exists()
