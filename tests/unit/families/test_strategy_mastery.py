"""A tracer may speak for mastery only where it has not seen what is held out."""

from __future__ import annotations

import json
import os

import numpy as np
import polars as pl
import pytest
from strategy_data import planted

from edpipe.datasets.strategy_splits import split_strategies
from edpipe.families import strategy_mastery
from edpipe.families.strategy_mastery import tracer_answers, tracer_of
from edpipe.families.strategy_parts import Attempts
from edpipe.mastery.steps import MasterySteps


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("tutor"), num_students=20).dataset


def write_tracer(settings, name: str, *, at: int, source: str = "kddcup", steps: str = "questions"):
    folder = settings.runs_dir / name
    folder.mkdir(parents=True)
    facts = {"run_key": name, "config": {}, "options": {}, "fingerprint": "f", "source": source}
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


def test_chances_follow_the_steps_and_unknown_ones_get_the_mean(settings, monkeypatch):
    predicted = pl.DataFrame(
        {"student_key": [1, 1, 2], "interaction_number": [1, 2, 1], "probability": [0.2, 0.4, 0.9]}
    )
    asked = []

    def predict(*_arguments: object) -> pl.DataFrame:
        asked.append(1)
        return predicted

    monkeypatch.setattr(strategy_mastery, "_predicted", predict)
    keys = pl.DataFrame({"student_key": [2, 1, 3], "interaction_number": [1, 2, 1], "item_key": [0, 0, 0]})
    steps = MasterySteps(
        attempt=np.zeros(3, dtype=np.int32),
        student=np.zeros(3, dtype=np.int32),
        is_correct=np.zeros(3, dtype=np.uint8),
        kc_start=np.arange(4),
        kcs=np.zeros(3, dtype=np.int32),
        keys=keys,
        num_kcs=1,
    )
    answers = tracer_answers(settings, "kddcup", settings.runs_dir)
    assert answers(steps).tolist() == pytest.approx([0.9, 0.4, 0.65])
    answers(steps)
    assert len(asked) == 1
