"""From logs to batches of impressions: planted interests, levels of EdNet, tutors, the lent real logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

import edpipe
from edpipe import warehouse
from edpipe.datasets.impressions import ImpressionDataset
from edpipe.datasets.impressions_batches import ImpressionDataModule, ImpressionEncoder, impression_batches
from edpipe.datasets.impressions_source import impression_dataset
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import draw_tutor_world, write_ednet, write_interests, write_kddcup

pytestmark = pytest.mark.integration


def asking(settings: Settings, **options: Any) -> Settings:
    """Return the settings with other options of recommendation."""
    return load_settings(
        "smoke", file=settings.home / "none.toml", home=settings.home, progress="none", recommendation=options
    )


def built(home: Path, source: str, paths: list[Path], **arguments: Any) -> Settings:
    settings = load_settings("smoke", file=home / "none.toml", home=home / "data", progress="none")
    edpipe.ingest(source, paths, settings, **arguments)
    warehouse.build(settings)
    return settings


def account(settings: Settings) -> dict[tuple[str, str, str], int]:
    """Return what was counted, after looking that nothing is missing."""
    rows = warehouse.query(settings, "SELECT * FROM core.reconciliation")
    assert rows.filter((pl.col("severity") == "error") & ~pl.col("is_ok")).is_empty()
    return {row[:3]: row[3] for row in rows.select("check_name", "source", "relation", "observed").rows()}


def scored(dataset: ImpressionDataset, negatives: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return student, item and label of every row of the test."""
    encoder = ImpressionEncoder.of(dataset, dataset.features, max_length=50, negatives=negatives)
    parts = []
    for rows, batch in impression_batches(encoder, "test", 64):
        student = batch.students.numpy()[rows.requests]
        parts.append((student, rows.items, rows.clicked))
    student, item, clicked = (np.concatenate(column) for column in zip(*parts, strict=True))
    return student, item, clicked


def test_who_knows_the_planted_interests_reaches_the_best_auc(tmp_path: Path) -> None:
    made = write_interests(tmp_path, num_students=400, num_interests=3, age=3, noise=0.1)
    settings = built(tmp_path, "clicks", [made.path], layout="taobao")
    assert account(settings)["behaviors_accounted", "clicks", "clicks"] == made.behaviors.height
    dataset = impression_dataset(asking(settings, source="clicks"))
    # The common items come at one time, with nothing before them, and then again: only new items are left.
    assert dataset.account["short history"] == 5 * 400
    assert dataset.account["no target"] == 400 * 20 * 3
    student, item, clicked = scored(dataset)
    keys = np.asarray(dataset.columns["student_key"])[student]
    ids = dict(warehouse.query(settings, "SELECT student_key, student_id FROM core.students").rows())
    number = np.array([int(ids[key].split(":")[1]) for key in keys])
    names = dataset.catalog["item_id"].str.split(":").list.last().cast(pl.Int64).to_numpy()
    topic = dict(made.items.select("item", "topic").rows())
    planted = set(made.interests.rows())
    known = np.array([(who, topic[one]) in planted for who, one in zip(number, names[item], strict=True)])
    assert len(clicked) == 2 * dataset.account["test"]
    assert roc_auc_score(clicked, known) == pytest.approx(made.bayes_auc, abs=0.03)
    # Popularity alone tells nothing of the next item: the negatives were drawn by it.
    popularity = np.asarray(dataset.columns["popularity"])[item]
    assert roc_auc_score(clicked, popularity) < 0.55


@pytest.fixture(scope="module")
def ednet(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("ednet")
    (home / "in").mkdir()
    write_ednet(home / "in", num_students=150, num_items=120, levels=("kt1", "kt4"), unanswered_share=0.02)
    return built(home, "ednet", [home / "in"])


@pytest.mark.parametrize(
    ("target", "log"),
    [("correct", "answers"), ("next_item", "answers"), ("next_item", "visits"), ("engagement", "visits")],
)
def test_every_target_of_ednet_becomes_batches(ednet: Settings, target: str, log: str) -> None:
    settings = asking(ednet, source="ednet", target=target, log=log, batch_size=16, valid=0.2, test=0.2)
    dataset = impression_dataset(settings)
    counted = account(ednet)["behaviors_accounted", "ednet", log]
    assert sum(dataset.account.values()) == 2 * counted
    data = ImpressionDataModule(dataset, max_length=30, negatives=2, batch_size=16, seed=1)
    batch = next(iter(data.train_dataloader()))
    assert batch.target_items.shape[1] == len(dataset.features.field_sizes)
    assert (batch.target_items.max(dim=0).values.numpy() < dataset.features.field_sizes).all()
    assert (batch.behavior_offsets.diff() <= 30).all()
    assert set(batch.clicked.tolist()) <= {0.0, 1.0}
    assert dataset.features.outcomes == (
        ("correct", "incorrect", "unanswered") if log == "answers" else dataset.features.outcomes
    )


def test_only_lectures_tell_who_engages(ednet: Settings) -> None:
    found = warehouse.query(
        ednet,
        "SELECT item_type, COUNT(is_engaged) AS known, SUM(is_engaged::INT)::INT AS engaged, COUNT(*) "
        "FROM training.recommendation_examples JOIN core.catalog USING (catalog_key) "
        "WHERE recommendation_examples.log_name = 'visits' GROUP BY item_type",
    )
    of_type = {name: rest for name, *rest in found.rows()}
    assert (
        of_type["bundle"][0] == of_type["bundle"][1] == of_type["bundle"][2]
    )  # published logs hide the others
    assert of_type["explanation"][0] == 0
    known, engaged, rows = of_type["lecture"]
    assert 0 < engaged < known <= rows
    assert account(ednet)["bundles_left_unfinished", "ednet", "visits"] == 0
    assert account(ednet)["lectures_measured", "ednet", "visits"] == known


def test_answers_of_one_bundle_do_not_know_each_other(ednet: Settings) -> None:
    rows = warehouse.query(
        ednet,
        "SELECT COUNT(*) AS visits, SUM((histories > 1)::INT)::INT AS split, MAX(size)::INT AS most FROM ("
        "SELECT student_key, bundle_visit, COUNT(DISTINCT history_length) AS histories, COUNT(*) AS size "
        "FROM training.recommendation_examples JOIN core.interactions USING (student_key) "
        "WHERE log_name = 'answers' AND behavior_number = interaction_number GROUP BY ALL)",
    ).row(0, named=True)
    assert rows["most"] > 1
    # A bundle that is submitted again after another one is asked for anew.
    assert rows["split"] <= 0.02 * rows["visits"]


def test_attempts_at_problems_of_tutors_are_behaviors(tmp_path: Path) -> None:
    made = write_kddcup(tmp_path / "in", draw_tutor_world(30, 3, 6, 8))
    settings = built(tmp_path, "kddcup", made.paths)
    assert account(settings)["behaviors_accounted", "kddcup", "problems"] == made.attempts.height
    for target in ("next_item", "correct"):
        dataset = impression_dataset(asking(settings, source="kddcup", target=target, num_categories=2))
        assert dataset.account["behaviors"] == made.attempts.height
        assert dataset.features.field_names == ("item", "category", "category")


def interactions(real_data: Path) -> Path:
    folder = real_data / "interactions"
    if not folder.is_dir():
        pytest.skip(f"real interaction logs not present: looked in {folder}")
    return folder


def test_every_rating_of_movielens_is_accounted_for(real_data: Path, tmp_path: Path) -> None:
    folder = interactions(real_data) / "movielens_latest_small"
    settings = built(tmp_path, "clicks", [folder], layout="movielens", max_rejects=0)
    counts = account(settings)
    assert counts["source_rows_accounted", "clicks", "behaviors"] == 100_004
    assert counts["source_rows_accounted", "clicks", "items"] == 9_125
    assert counts["behaviors_accounted", "clicks", "clicks"] == 100_004
    assert counts["behaviors_repeated", "clicks", "clicks"] == 0
    sequences = warehouse.query(
        settings,
        "SELECT COUNT(*), MAX(num_behaviors), SUM((num_behaviors > 1000)::INT)::INT "
        "FROM features.behavior_sequences",
    ).row(0)
    assert sequences == (671, 2_391, 10)
    dataset = impression_dataset(asking(settings, source="clicks"))
    counted = dict(dataset.account)
    assert counted.pop("behaviors") == 100_004 == sum(counted.values())
    # As counted with nothing but the file: what shares its time with the first of a student has no history.
    ratings = pl.read_csv(folder / "ratings.csv")
    first = ratings.filter(pl.col("timestamp") == pl.col("timestamp").min().over("userId"))
    assert counted["short history"] == first.height
    assert dataset.num_requests == ratings.select("userId", "timestamp").unique().height - 671
    student, item, clicked = scored(dataset)
    assert clicked.sum() == counted["test"] == len(clicked) / 2
    met = {
        (int(one), int(two))
        for one, two in zip(
            np.repeat(np.arange(671), np.diff(dataset.columns["seen_offsets"])),
            dataset.columns["seen"],
            strict=True,
        )
    }
    pairs = list(zip(student.tolist(), item.tolist(), strict=True))
    assert all((pair in met) == bool(label) for pair, label in zip(pairs, clicked, strict=True))
    # The protocol's floor: what is popular is below chance, because the popular was met before.
    popularity = np.asarray(dataset.columns["popularity"])[item]
    assert 0.35 < roc_auc_score(clicked, popularity) < 0.5


def test_every_entry_of_the_sequences_is_accounted_for(real_data: Path, tmp_path: Path) -> None:
    folder = interactions(real_data) / "amazon_beauty_sequences"
    settings = built(tmp_path, "clicks", [folder], layout="sequences", max_rejects=0)
    counts = account(settings)
    assert counts["behaviors_accounted", "clicks", "clicks"] == 198_502
    assert counts["behaviors_without_time", "clicks", "clicks"] == 198_502
    found = warehouse.query(
        settings, "SELECT COUNT(*), MAX(num_behaviors) FROM features.behavior_sequences"
    ).row(0)
    assert found == (22_363, 204)
    dataset = impression_dataset(asking(settings, source="clicks"))
    counted = dict(dataset.account)
    assert counted.pop("behaviors") == 198_502 == sum(counted.values())
    assert counted["short history"] == 22_363  # the first of each student
    assert counted["no target"] == counts["behaviors_repeated", "clicks", "clicks"]


def test_a_published_table_is_read_by_the_names_of_its_columns(real_data: Path, tmp_path: Path) -> None:
    folder = interactions(real_data) / "alibaba_ad_schema"
    names = {
        "student": "userid",
        "item": "adgroup_id",
        "time": "time_stamp",
        "category": "cate_id",
        "outcome": "clk",
    }
    settings = load_settings("smoke", file=tmp_path / "none.toml", home=tmp_path, progress="none")
    report = edpipe.ingest("clicks", [folder], settings, layout="columns", columns=names, max_rejects=0)
    assert (report.rows, report.rejected_rows) == (300, 0)
