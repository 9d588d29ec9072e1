import numpy as np
import polars as pl
import pytest
from strategy_data import planted, planted_embedding

from edpipe.prediction.strategy import predict_strategies
from edpipe.training.strategy import train_predictor

CHANGES = {"num_examples": 12, "max_epochs": 12, "patience": 4, "max_length": 30, "accelerator": "cpu"}


def exact_match(dataset, predicted):
    found = [
        np.array_equal(predicted.strategy(place), dataset.strategy(int(row)))
        for place, row in enumerate(predicted.rows)
    ]
    return float(np.mean(found))


def usual_strategies(dataset, train, rows):
    """Exact match of the strategy most frequent among training attempts at the problem."""
    codes = pl.DataFrame({"problem": dataset.problem, "code": dataset.strategy_code})
    usual = codes[train].group_by("problem").agg(pl.col("code").mode().min().alias("usual"))
    found = codes[rows].join(usual, on="problem", how="left", maintain_order="left")
    return float((found["code"] == found["usual"]).fill_null(value=False).mean())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_a_predictor_that_knows_its_students_beats_the_usual_strategy(settings, tmp_path, model):
    world = planted(tmp_path, num_students=200, num_sections=6)
    dataset, embedding = world.dataset, planted_embedding(world)
    part = dataset.attempts["split"].to_numpy()
    is_first = dataset.attempts["problem_view"].to_numpy() == 1
    train, valid, test = (np.flatnonzero((part == name) & is_first) for name in ("train", "valid", "test"))
    strategy = settings.strategy.model_copy(update={**CHANGES, "model": model})
    settings = settings.model_copy(update={"strategy": strategy})
    predictor = train_predictor(dataset, embedding, train, valid, settings)
    found = exact_match(dataset, predict_strategies(predictor, dataset, embedding, test))
    usual = usual_strategies(dataset, train, test)
    # The parity model has no answers, only vectors: new students tell it little.
    assert found > (usual + 0.1 if model == "transformer" else usual - 0.1)
