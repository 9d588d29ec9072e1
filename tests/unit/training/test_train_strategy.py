import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from strategy_data import planted, planted_embedding

from edpipe.errors import TrainingError
from edpipe.prediction.strategy import load_predictor, predict_strategies
from edpipe.settings import Settings
from edpipe.training.run import read_run
from edpipe.training.strategy import plan_predictor, train_predictor
from models.strategy import EXAMPLE_FEATURES

SMALL = {
    "size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "num_examples": 6,
    "batch_size": 32,
    "max_epochs": 3,
    "patience": 3,
    "max_length": 12,
    "beam_size": 2,
    "accelerator": "cpu",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("tutor"), num_students=20, num_sections=2, sections_per_student=2)


@pytest.fixture(scope="module")
def embedding(world):
    return planted_embedding(world)


@pytest.fixture
def data(world, embedding):
    part = world.dataset.attempts["split"].to_numpy()
    return world.dataset, embedding, *(np.flatnonzero(part == name) for name in ("train", "valid"))


def with_strategy(settings: Settings, **changes) -> Settings:
    """Return the settings with other strategy values."""
    strategy = settings.strategy.model_copy(update={**SMALL, **changes})
    return settings.model_copy(update={"strategy": strategy})


class _StopError(Exception):
    """What interrupts a training here."""


def stop_after(epoch):
    def stop(figures):
        if figures.epoch == epoch:
            raise _StopError

    return stop


def weights(predictor):
    return predictor.model.state_dict()


def equal(first, second):
    return all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_an_interrupted_run_continued_equals_an_unbroken_one_bit_for_bit(settings, data, tmp_path, model):
    settings = with_strategy(settings, model=model)
    unbroken = train_predictor(*data, settings, tmp_path / "one")
    with pytest.raises(_StopError):
        train_predictor(*data, settings, tmp_path / "two", on_epoch=stop_after(0))
    torch.rand(7)  # the caller's random numbers must not matter
    with pytest.raises(_StopError):
        train_predictor(*data, settings, tmp_path / "two", on_epoch=stop_after(1))
    continued = train_predictor(*data, settings, tmp_path / "two")
    assert equal(unbroken, continued)
    curves = [(tmp_path / name / "curves.csv").read_text() for name in ("one", "two")]
    assert curves[0] == curves[1]


def test_a_run_of_equal_steps_continued_equals_an_unbroken_one(settings, data, tmp_path):
    settings = with_strategy(settings)
    unbroken = train_predictor(*data, settings, tmp_path / "one", max_steps=7)
    with pytest.raises(_StopError):
        train_predictor(*data, settings, tmp_path / "two", max_steps=7, on_epoch=stop_after(1))
    assert equal(unbroken, train_predictor(*data, settings, tmp_path / "two", max_steps=7))


@pytest.mark.parametrize("share", [1, 4])
def test_equal_steps_are_equal_whatever_the_number_of_attempts(settings, data, monkeypatch, share):
    from models.strategy.lightning_module import StrategyModule

    steps = []
    step = StrategyModule.training_step

    def counted(self, batch, batch_idx):
        steps.append(len(batch))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(StrategyModule, "training_step", counted)
    dataset, embedding, train, valid = data
    settings = with_strategy(settings, patience=1, learning_rate=0.5)
    train_predictor(dataset, embedding, train[::share], valid, settings, max_steps=12)
    assert len(steps) == 12


def test_a_finished_run_is_found_and_another_is_refused(settings, data, tmp_path):
    settings = with_strategy(settings, max_epochs=1)
    first = train_predictor(*data, settings, tmp_path / "run")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    assert equal(first, train_predictor(*data, settings, tmp_path / "run"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == stamps
    other = with_strategy(settings, max_epochs=2)
    with pytest.raises(TrainingError, match=r"(?s)another run.*--fresh"):
        train_predictor(*data, other, tmp_path / "run")
    fresh = train_predictor(*data, other, tmp_path / "run", resume=False)
    assert fresh.metrics["num_epochs"] == 2


def test_the_run_folder_holds_the_promised_files(settings, data, tmp_path):
    settings = with_strategy(settings)
    predictor = train_predictor(*data, settings, tmp_path / "run")
    folder = tmp_path / "run"
    assert sorted(path.name for path in folder.iterdir()) == ["curves.csv", "run.json", "strategy.pt"]
    run = read_run(folder)
    planned = plan_predictor(*data, settings)
    assert planned.run_dir == settings.runs_dir / planned.run_key
    assert (run.model, run.run_key, run.num_parameters) == (
        "strategy",
        planned.run_key,
        planned.num_parameters,
    )
    assert json.loads((folder / "run.json").read_text())["model"] == "strategy"
    with (folder / "curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    assert list(curves[0]) == ["epoch", "train_loss", "valid_loss", "valid_next_accuracy"]
    best = min(curves, key=lambda row: float(row["valid_loss"]))
    assert int(best["epoch"]) == run.best_epoch == predictor.metrics["best_epoch"]
    assert float(best["valid_loss"]) == run.metrics["valid_loss"]
    content = torch.load(folder / "strategy.pt", weights_only=True)
    assert content["format"] == 2
    assert content["config"]["num_tokens"] == len(content["memory"]["kc_ids"]) + 4
    assert content["data"]["num_attempts"] == len(data[2])
    json.dumps([content["options"], content["data"], content["metrics"]])


def test_what_changes_the_predictor_changes_the_run_key(settings, data):
    dataset, embedding, train, valid = data
    plain = with_strategy(settings)
    keys = {
        plan_predictor(*data, plain).run_key,
        plan_predictor(*data, plain, max_steps=10).run_key,
        plan_predictor(*data, with_strategy(settings, model="lstm")).run_key,
        plan_predictor(*data, with_strategy(settings, num_examples=5)).run_key,
        plan_predictor(*data, plain.model_copy(update={"seed": 8})).run_key,
        plan_predictor(dataset, embedding, train[1:], valid, plain).run_key,
        plan_predictor(dataset, embedding, train, valid[1:], plain).run_key,
        plan_predictor(dataset, replace(embedding, kcs=-embedding.kcs), train, valid, plain).run_key,
    }
    assert len(keys) == 8
    assert plan_predictor(dataset, embedding, train[::-1], valid, plain).run_key in keys


def test_the_order_of_the_training_rows_does_not_matter(settings, data):
    dataset, embedding, train, valid = data
    settings = with_strategy(settings, max_epochs=1)
    first = train_predictor(*data, settings)
    assert equal(first, train_predictor(dataset, embedding, train[::-1].copy(), valid, settings))


def test_what_is_not_among_the_training_rows_changes_nothing(settings, data):
    """Test attempts may say anything: weights and memory stay the same."""
    dataset, embedding, train, valid = data
    kcs = dataset.kcs.copy()
    for row in np.flatnonzero((dataset.attempts["split"] == "test").to_numpy()):
        begin, end = dataset.strategy_start[row], dataset.strategy_start[row + 1]
        kcs[begin:end] = kcs[begin:end][::-1]
    settings = with_strategy(settings, max_epochs=2)
    first = train_predictor(*data, settings)
    second = train_predictor(replace(dataset, kcs=kcs), embedding, train, valid, settings)
    assert equal(first, second)
    assert first.memory.kcs.tolist() == second.memory.kcs.tolist()


def test_training_leaves_the_callers_random_numbers_alone_and_shows_nothing(settings, data, capfd):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_predictor(*data, with_strategy(settings, max_epochs=1))
    assert torch.equal(torch.rand(3), expected)
    assert capfd.readouterr() == ("", "")


def test_progress_is_counted_in_lines(settings, data, capfd):
    settings = with_strategy(settings, max_epochs=1).model_copy(update={"progress": "log"})
    train_predictor(*data, settings)
    err = capfd.readouterr().err
    assert "train strategy: done" in err
    assert "validation loss" in err


def test_without_attempts_nothing_is_trained(settings, data):
    none = np.array([], dtype=np.int64)
    with pytest.raises(TrainingError, match=r"(?s)no attempt to train and valid.*Nothing was trained"):
        train_predictor(*data[:2], none, none, with_strategy(settings))


def test_a_loss_that_is_no_number_names_the_setting(settings, data, monkeypatch):
    from models.strategy.transformer import TransformerStrategyModel

    monkeypatch.setattr(
        TransformerStrategyModel, "training_loss", lambda self, batch: self(batch).exp().sum() * float("nan")
    )
    with pytest.raises(TrainingError, match=r"(?s)not finite.*Lower `strategy.learning_rate`"):
        train_predictor(*data, with_strategy(settings))


@pytest.mark.parametrize("interrupted", [False, True])
def test_where_training_makes_nothing_better_the_lookup_that_it_began_with_is_kept(
    settings, data, tmp_path, interrupted
):
    spoiled = with_strategy(settings, learning_rate=0.9, ema_decay=0.0, max_epochs=2)
    if interrupted:
        with pytest.raises(_StopError):
            train_predictor(*data, spoiled, tmp_path / "run", on_epoch=stop_after(0))
    predictor = train_predictor(*data, spoiled, tmp_path / "run")
    assert predictor.metrics["best_epoch"] == read_run(tmp_path / "run").best_epoch == -1
    with (tmp_path / "run" / "curves.csv").open() as file:
        losses = [float(row["valid_loss"]) for row in csv.DictReader(file)]
    assert predictor.metrics["valid_loss"] <= min(losses)
    # Nothing moved: the scorer reads the share by names among students alike alone.
    direct = predictor.model.scorer.direct.weight.flatten()
    share = EXAMPLE_FEATURES.index("named_share_alike")
    assert direct.nonzero().flatten().tolist() == [share]


def test_a_damaged_checkpoint_is_named_and_kept(settings, data, tmp_path):
    settings = with_strategy(settings)
    with pytest.raises(_StopError):
        train_predictor(*data, settings, tmp_path / "run", on_epoch=stop_after(0))
    (tmp_path / "run" / "last.ckpt").write_bytes(b"broken")
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*train strategy --fresh"):
        train_predictor(*data, settings, tmp_path / "run")
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == b"broken"


def test_one_training_attempt_is_enough_to_train_and_predict(settings, data):
    dataset, embedding, train, valid = data
    predictor = train_predictor(dataset, embedding, train[:1], valid, with_strategy(settings, max_epochs=1))
    predicted = predict_strategies(predictor, dataset, embedding, valid[:5])
    assert len(predicted) == 5
    assert np.isfinite(predicted.log_likelihood).all()


def test_loading_what_is_not_there_or_of_another_format_says_so(tmp_path):
    with pytest.raises(TrainingError, match="no trained strategy predictor"):
        load_predictor(tmp_path)
    torch.save({"format": 99}, tmp_path / "strategy.pt")
    with pytest.raises(TrainingError, match="does not read"):
        load_predictor(tmp_path)
