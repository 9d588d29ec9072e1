import csv
import json
from dataclasses import replace

import pytest
import torch
import tracing_data

from edpipe.errors import TrainingError
from edpipe.prediction.tracing import load_tracer
from edpipe.settings import Settings
from edpipe.training.run import read_run
from edpipe.training.tracing import train_tracing

SMALL = {"size": 16, "num_heads": 2, "batch_size": 4, "context_length": 16, "max_epochs": 4, "patience": 4}


def with_tracing(settings: Settings, **changes) -> Settings:
    """Return the settings with other tracing values."""
    tracing = settings.tracing.model_copy(update={**SMALL, "accelerator": "cpu", **changes})
    return settings.model_copy(update={"tracing": tracing})


@pytest.fixture
def dataset(tmp_path):
    return tracing_data.dataset(tmp_path / "datasets")


class _StopError(Exception):
    """What interrupts a training here."""


def stop_after(epoch):
    def stop(figures):
        if figures.epoch == epoch:
            raise _StopError

    return stop


def weights(run):
    return torch.load(run.tracer_path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("model", ["attention", "dkt"])
def test_an_interrupted_run_continued_equals_an_unbroken_one_bit_for_bit(settings, dataset, tmp_path, model):
    settings = with_tracing(settings, model=model)
    unbroken = train_tracing(settings, dataset=dataset)
    elsewhere = settings.model_copy(update={"home": tmp_path / "other"})
    with pytest.raises(_StopError):
        train_tracing(elsewhere, dataset=dataset, on_epoch=stop_after(0))
    torch.rand(7)  # the caller's random numbers must not matter
    with pytest.raises(_StopError):
        train_tracing(elsewhere, dataset=dataset, on_epoch=stop_after(2))
    continued = train_tracing(elsewhere, dataset=dataset)
    assert continued.run_key == unbroken.run_key
    assert continued.curves_path.read_text() == unbroken.curves_path.read_text()
    expected, found = weights(unbroken), weights(continued)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_run_killed_inside_an_epoch_goes_on_from_the_last_whole_one(
    settings, dataset, tmp_path, monkeypatch
):
    from models.tracing.lightning_module import KnowledgeTracingModule

    settings = with_tracing(settings)
    unbroken = train_tracing(settings, dataset=dataset)
    elsewhere = settings.model_copy(update={"home": tmp_path / "other"})
    step = KnowledgeTracingModule.training_step

    def dies(self, batch, batch_idx):
        if self.current_epoch == 2 and batch_idx == 3:
            raise _StopError
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(KnowledgeTracingModule, "training_step", dies)
        with pytest.raises(_StopError):
            train_tracing(elsewhere, dataset=dataset)
    continued = train_tracing(elsewhere, dataset=dataset)
    assert continued.curves_path.read_text() == unbroken.curves_path.read_text()
    expected, found = weights(unbroken), weights(continued)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_second_identical_call_returns_the_finished_run(settings, dataset):
    settings = with_tracing(settings, max_epochs=1)
    first = train_tracing(settings, dataset=dataset)
    stamps = {path: path.stat().st_mtime_ns for path in first.run_dir.iterdir()}
    second = train_tracing(settings, dataset=dataset)
    assert first.is_new
    assert not second.is_new
    assert replace(second, is_new=True) == first
    assert {path: path.stat().st_mtime_ns for path in first.run_dir.iterdir()} == stamps


def test_a_fresh_run_forgets_the_old_one_and_equals_it(settings, dataset):
    settings = with_tracing(settings, max_epochs=1)
    before = weights(train_tracing(settings, dataset=dataset))
    again = train_tracing(settings, dataset=dataset, resume=False)
    assert again.is_new
    assert all(torch.equal(value, before[name]) for name, value in weights(again).items())


def test_a_dry_run_names_the_run_and_writes_nothing(settings, dataset):
    settings = with_tracing(settings, max_epochs=1)
    planned = train_tracing(settings, dataset=dataset, dry_run=True)
    assert not settings.home.exists()
    assert planned.best_epoch is None
    done = train_tracing(settings, dataset=dataset)
    assert (planned.run_key, planned.num_parameters) == (done.run_key, done.num_parameters)


@pytest.mark.parametrize(
    "change", [{"size": 8}, {"learning_rate": 0.5}, {"model": "dkt"}, {"ema_decay": 0.5}]
)
def test_what_changes_the_weights_changes_the_run_key(settings, dataset, change):
    plain = train_tracing(with_tracing(settings), dataset=dataset, dry_run=True)
    changed = train_tracing(with_tracing(settings, **change), dataset=dataset, dry_run=True)
    assert changed.run_key != plain.run_key


def test_seed_and_data_change_the_run_key(settings, dataset, tmp_path):
    settings = with_tracing(settings)
    other_seed = settings.model_copy(update={"seed": 8})
    other_data = tracing_data.dataset(tmp_path / "others", seed=5)
    keys = {
        train_tracing(settings, dataset=dataset, dry_run=True).run_key,
        train_tracing(other_seed, dataset=dataset, dry_run=True).run_key,
        train_tracing(settings, dataset=other_data, dry_run=True).run_key,
    }
    assert len(keys) == 3


def test_the_run_folder_holds_the_promised_files(settings, dataset):
    run = train_tracing(with_tracing(settings), dataset=dataset)
    assert sorted(path.name for path in run.run_dir.iterdir()) == ["curves.csv", "run.json", "tracer.pt"]
    assert read_run(run.run_dir) == replace(run, is_new=False)
    with run.curves_path.open() as file:
        curves = list(csv.DictReader(file))
    assert list(curves[0]) == ["epoch", "train_loss", "valid_loss", "valid_auc"]
    assert [int(row["epoch"]) for row in curves] == list(range(run.num_epochs))
    best = max(curves, key=lambda row: float(row["valid_auc"]))
    assert int(best["epoch"]) == run.best_epoch
    assert float(best["valid_auc"]) == run.metrics["valid_auc"]
    content = torch.load(run.tracer_path, weights_only=True)
    assert content["format"] == 1
    assert content["vocabulary"]["item_kcs"].dtype == torch.int64
    assert content["config"]["num_items"] == len(content["vocabulary"]["item_ids"]) + 2
    json.dumps(content["options"])


def test_training_stops_when_nothing_gets_better(settings, dataset):
    run = train_tracing(
        with_tracing(settings, max_epochs=30, patience=2, learning_rate=0.05), dataset=dataset
    )
    assert run.num_epochs == run.best_epoch + 3 < 30


def test_a_stop_in_the_last_moment_does_not_train_one_epoch_more(settings, dataset):
    settings = with_tracing(settings, max_epochs=2)
    with pytest.raises(_StopError):
        train_tracing(settings, dataset=dataset, on_epoch=stop_after(1))
    assert train_tracing(settings, dataset=dataset).num_epochs == 2


def test_a_loss_that_is_no_number_stops_with_the_state_left(settings, dataset, monkeypatch):
    from models.tracing.attention import AttentionTracer

    monkeypatch.setattr(AttentionTracer, "loss", lambda self, batch: self(batch).sum() * float("nan"))
    with pytest.raises(TrainingError, match=r"(?s)not finite.*epoch 1, batch 1.*Lower"):
        train_tracing(with_tracing(settings), dataset=dataset)


def test_a_damaged_checkpoint_is_named_and_kept(settings, dataset):
    settings = with_tracing(settings, max_epochs=2)
    with pytest.raises(_StopError):
        train_tracing(settings, dataset=dataset, on_epoch=stop_after(0))
    (checkpoint,) = settings.runs_dir.glob("*/last.ckpt")
    checkpoint.write_bytes(b"broken")
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*last.ckpt.*--fresh"):
        train_tracing(settings, dataset=dataset)
    assert checkpoint.read_bytes() == b"broken"
    assert train_tracing(settings, dataset=dataset, resume=False).num_epochs == 2


def test_training_leaves_the_callers_random_numbers_alone(settings, dataset):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_tracing(with_tracing(settings, max_epochs=1), dataset=dataset)
    assert torch.equal(torch.rand(3), expected)


def test_training_shows_nothing_when_silent(settings, dataset, capfd):
    train_tracing(with_tracing(settings, max_epochs=1), dataset=dataset)
    assert capfd.readouterr() == ("", "")


def test_progress_is_counted_in_lines(settings, dataset, capfd):
    settings = with_tracing(settings, max_epochs=1).model_copy(update={"progress": "log"})
    train_tracing(settings, dataset=dataset)
    out, err = capfd.readouterr()
    assert out == ""
    assert "train tracing: done" in err
    assert "validation AUC" in err


def test_interrupt_by_the_user_is_an_interrupt(settings, dataset):
    def interrupt(figures):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tracing(with_tracing(settings), dataset=dataset, on_epoch=interrupt)


def test_reading_a_run_that_is_not_there_says_so(tmp_path):
    with pytest.raises(TrainingError, match="no finished training run"):
        read_run(tmp_path)
    with pytest.raises(TrainingError, match="no trained tracer"):
        load_tracer(tmp_path)


def test_a_tracer_of_another_format_is_refused(tmp_path):
    torch.save({"format": 99}, tmp_path / "tracer.pt")
    with pytest.raises(TrainingError, match="does not read"):
        load_tracer(tmp_path)
