from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
import tracing_data

from edpipe.datasets.tracing_batches import Encoder
from edpipe.errors import TrainingError
from edpipe.prediction.mastery import choose_probes, mastery
from edpipe.prediction.tracing import LoadedTracer, iter_predictions, predict
from models.tracing import AttentionConfig, build_tracer


def untrained(dataset, context_length=16) -> LoadedTracer:
    torch.manual_seed(0)
    vocabulary = dataset.vocabulary
    config = AttentionConfig(vocabulary.num_items, vocabulary.num_kcs, size=16, num_layers=1, num_heads=2)
    data = {"steps": dataset.steps, "context_length": context_length, "source": "test"}
    return LoadedTracer(build_tracer(config).eval(), vocabulary, data)


@pytest.fixture
def dataset(tmp_path):
    return tracing_data.dataset(tmp_path)


def test_every_answer_of_the_split_is_predicted_once_in_order(dataset):
    frame = predict(untrained(dataset), dataset, "test")
    answers = tracing_data.answers().filter(pl.col("split") == "test")
    names = ["student_key", "interaction_number", "item_key", "is_correct"]
    assert frame.columns == [*names, "probability"]
    assert frame.select(names).equals(answers.select(names))
    assert frame["probability"].dtype == pl.Float64
    assert frame["probability"].is_between(0, 1).all()


def test_rows_carry_whether_they_are_first(tmp_path):
    dataset = tracing_data.dataset(tmp_path, steps="rows")
    frame = predict(untrained(dataset), dataset, "test")
    answers = tracing_data.answers(steps="rows").filter(pl.col("split") == "test")
    assert frame["is_first_row"].equals(answers["is_first_row"])


def test_predictions_do_not_depend_on_the_batch_size(dataset):
    tracer = untrained(dataset)
    small, large = (predict(tracer, dataset, "test", batch_size=size) for size in (1, 50))
    np.testing.assert_allclose(small["probability"], large["probability"], atol=1e-6)


def test_pieces_together_are_the_whole(dataset):
    tracer = untrained(dataset)
    pieces = list(iter_predictions(tracer, dataset, None, batch_size=4))
    assert len(pieces) > 3
    assert pl.concat(pieces)["student_key"].n_unique() == dataset.num_students


def test_a_tracer_of_other_steps_is_refused(dataset):
    tracer = untrained(dataset)
    with pytest.raises(TrainingError, match="trained on other steps"):
        predict(replace(tracer, data={**tracer.data, "steps": "rows"}), dataset, "test")


def test_mastery_covers_every_student_and_kc_with_true_counts(dataset):
    frame = pl.concat(list(mastery(untrained(dataset), dataset)))
    assert frame.columns == ["student_key", "kc_key", "mastery", "num_opportunities"]
    assert len(frame) == dataset.num_students * len(dataset.kc_keys)
    assert frame["mastery"].is_between(0, 1).all()
    kcs = tracing_data.catalog().items.select("item_key", "kc_keys").explode("kc_keys")
    expected = (
        tracing_data.answers()
        .join(kcs.with_columns(pl.col("item_key").cast(pl.Int64)), on="item_key")
        .group_by("student_key", pl.col("kc_keys").cast(pl.Int64).alias("kc_key"))
        .agg(expected=pl.len().cast(pl.Int64))
    )
    joined = frame.join(expected, on=["student_key", "kc_key"], how="left").fill_null(0)
    assert joined["num_opportunities"].equals(joined["expected"].alias("num_opportunities"))


def test_mastery_is_the_mean_probability_of_the_most_practised_items(dataset):
    tracer = untrained(dataset, context_length=100)
    probes = choose_probes(dataset, tracer.vocabulary, 2)
    np.testing.assert_allclose(probes.weights.sum(axis=1), 1.0)
    counts = tracing_data.answers().filter(pl.col("split") == "train")["item_key"].value_counts()
    practised = dict(counts.iter_rows())
    kc = 0
    of_kc = [i for i, kcs in enumerate(dataset.item_kcs) if dataset.kc_ids[kc] in kcs]
    chosen = sorted(of_kc, key=lambda i: (-practised[int(dataset.item_keys[i])], i))[:2]
    numbers = dataset.item_numbers(tracer.vocabulary)[chosen]
    assert set(probes.items[probes.weights[kc] > 0]) == set(numbers)

    student = dataset.students("test")[0]
    start, end = dataset.offsets[student], dataset.offsets[student + 1]
    encoder = Encoder.of(dataset, tracer.vocabulary)
    batch, _ = encoder.encode(np.array([[start, start, end]]))
    kcs = torch.from_numpy(dataset.kc_table(tracer.vocabulary)[chosen])
    with torch.no_grad():
        expected = tracer.model.probe(batch, torch.from_numpy(numbers), kcs).mean()
    frame = pl.concat(list(mastery(tracer, dataset, "test", probes_a_kc=2)))
    found = frame.filter(pl.col("kc_key") == dataset.kc_keys[kc])["mastery"][0]
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_a_kc_that_no_training_student_met_is_asked_as_an_unknown_item(dataset):
    tracer = untrained(dataset)
    fewer = replace(tracer.vocabulary, item_ids=())
    probes = choose_probes(dataset, fewer)
    assert probes.items.tolist() == [1] * len(dataset.kc_ids)
    assert (probes.weights == np.eye(len(dataset.kc_ids))).all()
