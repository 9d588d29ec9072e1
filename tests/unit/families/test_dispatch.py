"""The verbs ask the family that was named, and refuse runs of another."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlflow.exceptions import MlflowException

import edpipe
from edpipe import learning
from edpipe.errors import SettingsError, TrainingError
from edpipe.learning import FAMILIES, MODELS, models_on
from edpipe.tracking.registry import ModelVersion


class AskedError(Exception):
    """The family was asked."""


class FakeFamily:
    name = "strategy"

    def source(self, settings):
        return "kddcup"

    def train(self, settings, **given):
        raise AskedError("train", given)

    def evaluate(self, settings, run):
        raise AskedError("evaluate", run.run_key)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setitem(FAMILIES, "strategy", FakeFamily())


def write_run(settings, model):
    folder = settings.runs_dir / "key"
    folder.mkdir(parents=True)
    facts = {"run_key": "key", "config": {}, "options": {}, "fingerprint": "f", "source": "s", "steps": "x"}
    (folder / "run.json").write_text(json.dumps({"format": 1, **facts, "model": model}))
    return folder


def test_all_families_are_there():
    assert MODELS == ("tracing", "strategy", "tsdiff", "diffumin")
    assert all(family.name == name for name, family in FAMILIES.items())


def test_training_asks_the_family_that_was_named(settings, fake):
    with pytest.raises(AskedError) as asked:
        edpipe.train("strategy", settings, resume=False, dry_run=True)
    assert asked.value.args == ("train", {"resume": False, "dry_run": True, "on_made": None})


def test_evaluation_takes_the_newest_run_of_the_family(settings, fake):
    write_run(settings, "strategy")
    with pytest.raises(AskedError) as asked:
        edpipe.evaluate("strategy", settings)
    assert asked.value.args == ("evaluate", "key")


def test_a_run_of_another_family_is_refused(settings, fake):
    folder = write_run(settings, "tracing")
    with pytest.raises(TrainingError, match="edpipe evaluate tracing"):
        edpipe.evaluate("strategy", settings, run_dir=folder)


@pytest.mark.parametrize(
    "verb", [edpipe.train, edpipe.evaluate, edpipe.promote, edpipe.score, edpipe.versions]
)
def test_an_unknown_family_is_refused_with_the_closest_one(verb, settings):
    with pytest.raises(SettingsError, match="Did you mean 'strategy'"):
        verb("strategies", settings)


def test_families_are_those_whose_source_is_there(settings):
    assert models_on(settings, ["ednet"]) == ["tracing", "tsdiff", "diffumin"]
    assert models_on(settings, ["kddcup", "ednet"]) == ["tracing", "strategy", "tsdiff", "diffumin"]
    assert models_on(settings, ["mathia"]) == []


def test_every_family_names_the_group_of_settings_that_has_its_source(settings):
    for family in FAMILIES.values():
        assert getattr(settings, family.group).source == family.source(settings)


def test_status_names_the_champion_and_its_first_validation_metric(settings, monkeypatch):
    folder = write_run(settings, "strategy")
    assert learning.champion_lines(settings) == []
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "summary.json").write_text("{}")
    known = ModelVersion("strategy", 3, "id", "key", "source", {"valid.log_loss": "0.51239"})
    monkeypatch.setattr(learning, "versions", lambda *_: [known])
    assert learning.champion_lines(settings) == [
        "Champion of strategy: none yet, run `edpipe promote strategy`."
    ]
    monkeypatch.setattr(learning, "versions", lambda *_: [replace(known, aliases=("champion",))])
    assert learning.champion_lines(settings) == [
        "Champion of strategy: version 3, valid log loss a token 0.5124."
    ]


def test_status_goes_on_where_the_registry_does_not_answer(settings, monkeypatch):
    folder = write_run(settings, "tracing")
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "summary.json").write_text("{}")

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no answer")

    monkeypatch.setattr("edpipe.tracking.registry._search", refuse)
    assert learning.champion_lines(settings) == ["Champion of tracing: The registry does not answer."]


def test_status_tells_embeddings_clusters_and_runs_of_both_families(settings):
    for folder, file in (
        (settings.embeddings_dir, "embedding.json"),
        (settings.clusters_dir, "clusters.json"),
    ):
        (folder / "key").mkdir(parents=True)
        (folder / "key" / file).write_text("{}")
    write_run(settings, "strategy")
    told = "\n".join(learning.trained_lines(settings))
    assert "Embeddings: 1" in told
    assert "Clusterings: 1" in told
    assert "Training runs of strategy: 1" in told
