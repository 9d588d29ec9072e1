from __future__ import annotations

import csv
import json
from dataclasses import replace

import impression_data as data
import numpy as np
import polars as pl
import pytest
import torch
from recommender_data import faithful_dataset, with_recommender

from edpipe.errors import SettingsError, TrainingError
from edpipe.prediction.diffumin import DIFFUMIN_FILE, load_recommender, predict_split
from edpipe.training.diffumin import train_diffumin
from edpipe.training.diffumin_plan import settings_asked
from edpipe.training.run import read_run
from models.diffumin import config_from_dict


@pytest.fixture
def dataset(tmp_path):
    return faithful_dataset(tmp_path / "datasets")


class _StopError(Exception):
    """What interrupts a training here."""


def stop_after(epoch):
    def stop(figures):
        if figures.epoch == epoch:
            raise _StopError

    return stop


def weights(run):
    return torch.load(run.run_dir / DIFFUMIN_FILE, weights_only=True)["state_dict"]


@pytest.mark.parametrize("long_term", ["diffumin", "mean"])
def test_an_interrupted_run_continued_equals_an_unbroken_one_bit_for_bit(
    settings, dataset, tmp_path, long_term
):
    settings = with_recommender(settings, long_term=long_term, dropout=0.1)
    unbroken = train_diffumin(settings, dataset=dataset)
    elsewhere = settings.model_copy(update={"home": tmp_path / "other"})
    with pytest.raises(_StopError):
        train_diffumin(elsewhere, dataset=dataset, on_epoch=stop_after(0))
    torch.rand(7)  # the caller's random numbers must not matter
    continued = train_diffumin(elsewhere, dataset=dataset)
    assert continued.run_key == unbroken.run_key
    assert continued.curves_path.read_text() == unbroken.curves_path.read_text()
    expected, found = weights(unbroken), weights(continued)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_the_kept_weights_give_the_auc_of_the_best_epoch(settings, dataset):
    run = train_diffumin(with_recommender(settings, max_epochs=6, patience=1), dataset=dataset)
    curve = list(csv.DictReader(run.curves_path.read_text().splitlines()))
    aucs = [float(row["valid_auc"]) for row in curve]
    assert run.best_epoch == int(np.argmax(aucs))
    assert len(aucs) == run.num_epochs <= run.best_epoch + 2  # patience is 1
    assert run.metrics["valid_auc"] == pytest.approx(max(aucs))
    frame = predict_split(load_recommender(run.run_dir), dataset, "valid")
    loss = -np.log(np.where(frame["clicked"], frame["probability"], 1 - frame["probability"])).mean()
    assert run.metrics["valid_loss"] == pytest.approx(loss, abs=1e-5)


def test_it_learns_what_can_be_foretold(settings, dataset):
    run = train_diffumin(with_recommender(settings, max_epochs=12, patience=12), dataset=dataset)
    # A negative is of the student's own category 1 time in 13: the best AUC is near 0.96.
    assert run.metrics["valid_auc"] > 0.85


def test_a_second_identical_call_returns_the_finished_run(settings, dataset):
    settings = with_recommender(settings, max_epochs=1)
    first = train_diffumin(settings, dataset=dataset)
    stamps = {path: path.stat().st_mtime_ns for path in first.run_dir.iterdir()}
    second = train_diffumin(settings, dataset=dataset)
    assert (first.is_new, second.is_new) == (True, False)
    assert replace(second, is_new=True) == first
    assert read_run(first.run_dir).model == "diffumin"
    assert {path: path.stat().st_mtime_ns for path in first.run_dir.iterdir()} == stamps
    assert {path.name for path in stamps} == {DIFFUMIN_FILE, "curves.csv", "run.json"}


def test_a_fresh_run_forgets_the_old_one_and_equals_it(settings, dataset):
    settings = with_recommender(settings, max_epochs=1)
    before = weights(train_diffumin(settings, dataset=dataset))
    again = train_diffumin(settings, dataset=dataset, resume=False)
    assert again.is_new
    assert all(torch.equal(value, before[name]) for name, value in weights(again).items())


def test_a_dry_run_names_the_run_and_writes_nothing(settings, dataset):
    settings = with_recommender(settings, max_epochs=1)
    planned = train_diffumin(settings, dataset=dataset, dry_run=True)
    assert not settings.home.exists()
    assert planned.best_epoch is None
    done = train_diffumin(settings, dataset=dataset)
    assert (planned.run_key, planned.num_parameters) == (done.run_key, done.num_parameters)


@pytest.mark.parametrize(
    "change",
    [{"num_channels": 3}, {"preset": "paper"}, {"long_term": "din"}, {"negatives": 2}, {"max_length": 9}],
)
def test_what_changes_the_weights_changes_the_run_key(settings, dataset, change):
    plain = train_diffumin(with_recommender(settings), dataset=dataset, dry_run=True)
    other = train_diffumin(with_recommender(settings, **change), dataset=dataset, dry_run=True)
    assert other.run_key != plain.run_key


def test_settings_can_be_had_back_from_a_run(settings, dataset):
    asked = with_recommender(settings.model_copy(update={"seed": 3}), long_term="din", negatives=2)
    run = train_diffumin(asked, dataset=dataset, dry_run=True)
    again = settings_asked(with_recommender(settings, mlp_sizes=(8,)), run)
    assert train_diffumin(again, dataset=dataset, dry_run=True).run_key == run.run_key


@pytest.mark.parametrize("preset", ["default", "paper", "released"])
@pytest.mark.parametrize("long_term", ["diffumin", "none", "sim_hard", "sdim"])
def test_every_preset_has_a_network_for_every_block(settings, dataset, preset, long_term):
    settings = with_recommender(settings, preset=preset, long_term=long_term)
    run = train_diffumin(settings, dataset=dataset, dry_run=True)
    assert config_from_dict(run.config).long_term == long_term
    assert run.options["model"] == long_term


def test_the_file_holds_plain_values_and_answers_as_the_run_did(settings, dataset):
    run = train_diffumin(with_recommender(settings, max_epochs=1), dataset=dataset)
    trained = load_recommender(run.run_dir / DIFFUMIN_FILE)
    assert trained.features == dataset.features
    assert trained.catalog["item_id"].to_list() == dataset.catalog["item_id"].to_list()
    assert trained.catalog["popularity"].to_list() == np.asarray(dataset.columns["popularity"]).tolist()
    first, second = (predict_split(trained, dataset, "test") for _ in range(2))
    assert first.equals(second)
    assert first["request"].n_unique() == len(dataset.requests("test"))
    assert first["probability"].is_between(0, 1).all()
    json.dumps(run.data)


def test_sizes_that_do_not_fit_are_refused_by_name(settings, dataset):
    with pytest.raises(SettingsError, match="num_channels"):
        train_diffumin(with_recommender(settings, field_size=2, num_channels=32), dataset=dataset)
    assert not settings.runs_dir.exists()


def test_a_search_by_category_needs_one(settings, tmp_path):
    bare = faithful_dataset(tmp_path / "bare", num_categories=0)
    with pytest.raises(SettingsError, match="num_categories"):
        train_diffumin(with_recommender(settings, long_term="sim_hard"), dataset=bare)


def test_one_class_is_refused_before_anything_is_written(settings, tmp_path):
    rows = data.behaviors(20).with_columns(outcome_key=pl.lit(1))  # every answer is right
    one = data.dataset(tmp_path / "one", rows, target="correct")
    with pytest.raises(TrainingError, match="same label"):
        train_diffumin(with_recommender(settings), dataset=one)
    assert not settings.runs_dir.exists()


def test_a_checkpoint_that_cannot_be_read_is_refused(settings, dataset):
    settings = with_recommender(settings, max_epochs=2)
    with pytest.raises(_StopError):
        train_diffumin(settings, dataset=dataset, on_epoch=stop_after(0))
    (checkpoint,) = settings.runs_dir.glob("*/last.ckpt")
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match="edpipe train diffumin --fresh"):
        train_diffumin(settings, dataset=dataset)


def test_a_folder_without_a_recommender_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="edpipe train diffumin"):
        load_recommender(tmp_path)


def test_a_one_step_student_learns_from_the_same_network_with_a_diffusion(settings, dataset):
    settings = with_recommender(settings, augmentation="distilled", max_epochs=2, start_level=200)
    run = train_diffumin(settings, dataset=dataset)
    taught = with_recommender(settings, augmentation="diffusion", max_epochs=2, start_level=200)
    teacher = train_diffumin(taught, dataset=dataset)
    assert not teacher.is_new  # it was trained for the student
    assert run.config == {**teacher.config, "augmentation": "distilled"}
    expected, found = weights(teacher), weights(run)
    learned = [name for name in found if name not in expected or not torch.equal(found[name], expected[name])]
    assert learned
    assert all(name.startswith("long_term.augmentation.") for name in learned)
    assert run.metrics["valid_auc"] == pytest.approx(teacher.metrics["valid_auc"], abs=0.05)


def test_rules_of_the_network_are_settings(settings, dataset):
    plain = train_diffumin(with_recommender(settings), dataset=dataset, dry_run=True)
    other = train_diffumin(
        with_recommender(settings, pooling="softmax", diffusion_weight=0.0), dataset=dataset, dry_run=True
    )
    assert plain.config["pooling"] == "sim"
    assert other.config == {**plain.config, "pooling": "softmax", "diffusion_weight": 0.0}
    assert plain.run_key != other.run_key
    assert settings_asked(settings, other).diffumin.pooling == "softmax"
