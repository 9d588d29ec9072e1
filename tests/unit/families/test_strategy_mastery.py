"""A tracer may speak for mastery only where it has not seen what is held out."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from strategy_data import planted

from edpipe.datasets.strategy_splits import split_strategies
from edpipe.families import strategy_mastery
from edpipe.families.strategy_mastery import tracer_of
from edpipe.families.strategy_parts import Attempts


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("tutor"), num_students=20).dataset


@pytest.fixture(autouse=True)
def present_answers(monkeypatch):
    """The answers in the warehouse have the fingerprint ``f``."""
    monkeypatch.setattr(strategy_mastery, "answers_of", lambda *_: SimpleNamespace(fingerprint="f"))


def write_tracer(
    settings,
    name: str,
    *,
    at: int,
    source: str = "kddcup",
    steps: str = "questions",
    fingerprint: str = "f",
):
    folder = settings.runs_dir / name
    folder.mkdir(parents=True)
    facts = {"run_key": name, "config": {}, "options": {}, "fingerprint": fingerprint, "source": source}
    (folder / "run.json").write_text(json.dumps({"format": 1, **facts, "steps": steps}))
    os.utime(folder / "run.json", (at, at))
    return folder


def test_the_newest_tracer_of_the_same_source_speaks_where_students_are_held_out(settings, dataset):
    attempts = Attempts(dataset, split_strategies(dataset, settings, kind="students"))
    assert tracer_of(settings, attempts) is None
    write_tracer(settings, "old", at=1)
    newest = write_tracer(settings, "new", at=2)
    write_tracer(settings, "other", at=3, source="ednet")
    write_tracer(settings, "rows", at=4, steps="rows")
    write_tracer(settings, "past answers", at=5, fingerprint="g")
    assert tracer_of(settings, attempts) == newest


@pytest.mark.parametrize("kind", ["published", "problems", "time"])
def test_none_speaks_where_it_may_have_seen_what_is_held_out(kind, settings, dataset):
    write_tracer(settings, "tracer", at=1)
    attempts = Attempts(dataset, split_strategies(dataset, settings, kind=kind))
    assert tracer_of(settings, attempts) is None


def test_none_is_looked_for_where_another_estimator_is_asked_for(settings, dataset):
    write_tracer(settings, "tracer", at=1)
    chosen = settings.embedding.model_copy(update={"estimator": "bkt"})
    asked = settings.model_copy(update={"embedding": chosen})
    attempts = Attempts(dataset, split_strategies(dataset, settings, kind="students"))
    assert tracer_of(asked, attempts) is None
