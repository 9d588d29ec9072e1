"""A tracer's predictions as an estimator of mastery: found by student and step, refused where one lacks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tracing_data

from edpipe.datasets.tracing_frames import examples
from edpipe.errors import TrainingError
from edpipe.mastery.given import GivenMastery
from edpipe.mastery.steps import MasterySteps
from edpipe.prediction.tracer_mastery import tracer_answers
from edpipe.prediction.tracing import LoadedTracer, predict
from models.tracing import DKTConfig, build_tracer


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory):
    return tracing_data.dataset(tmp_path_factory.mktemp("tracing"))


@pytest.fixture(scope="module")
def tracer(dataset) -> LoadedTracer:
    vocabulary = dataset.vocabulary
    config = DKTConfig(num_items=vocabulary.num_items, num_kcs=vocabulary.num_kcs, size=8)
    data = {"steps": "questions", "context_length": 50}
    return LoadedTracer(build_tracer(config).eval(), vocabulary, data)


def steps_of(frame: pl.DataFrame) -> MasterySteps:
    student = frame["student_key"].rank("dense").to_numpy().astype(np.int32) - 1
    keys = frame.select(pl.col("student_key", "interaction_number", "item_key").cast(pl.Int64))
    correct = frame["is_correct"].cast(pl.UInt8).to_numpy()
    kcs = (frame["item_key"].to_numpy() % 4).astype(np.int32)
    return MasterySteps(student, student, correct, np.arange(frame.height + 1), kcs, keys, 4)


def test_steps_get_the_tracers_predictions_whichever_are_asked(dataset, tracer):
    frame = examples(dataset)
    expected = predict(tracer, dataset, None)["probability"].to_numpy()
    answers = tracer_answers(tracer, dataset)
    np.testing.assert_array_equal(answers(steps_of(frame)), expected)
    chosen = np.arange(frame.height) % 3 == 1
    np.testing.assert_array_equal(answers(steps_of(frame.filter(pl.Series(chosen)))), expected[chosen])


def test_mastery_is_the_shrunken_mean_of_what_was_foretold(dataset, tracer):
    steps = steps_of(examples(dataset))
    estimator = GivenMastery("tracer", tracer_answers(tracer, dataset), shrinkage=2.0).fit(steps)
    mastery, chance = estimator.mastery(steps), estimator.predict(steps)
    row = steps.practice.row(5, named=True)
    mine = chance[(steps.student == row["student"]) & (steps.kcs == row["kc"])]
    right = steps.is_correct[steps.kcs == row["kc"]]
    kc_mean = (right.sum() + 2 * steps.is_correct.mean()) / (len(right) + 2)
    assert mastery[5] == pytest.approx((mine.sum() + 2 * kc_mean) / (len(mine) + 2))


def test_a_step_that_the_data_lacks_is_refused(dataset, tracer):
    frame = examples(dataset).with_columns(student_key=pl.col("student_key") + 10_000)
    with pytest.raises(TrainingError, match="lacks steps"):
        tracer_answers(tracer, dataset)(steps_of(frame))
