"""Train, evaluate, track, promote and serve: the parts fit together on simulated students."""

from __future__ import annotations

import mlflow
import numpy as np
import polars as pl
import pytest
from unit.evaluation.simulated_answers import simulate

from edpipe.datasets.tracing_writer import Catalog, write_tracing_dataset
from edpipe.evaluation.evaluate import evaluate_tracing
from edpipe.prediction.tracing import load_tracer, predict
from edpipe.settings import load_settings
from edpipe.tracking.client import open_client
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import card_code
from edpipe.tracking.promotion import promote
from edpipe.tracking.registry import champion
from edpipe.tracking.tracing_run import track_tracing
from edpipe.training.tracing import train_tracing

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:::mlflow")]


def test_a_run_becomes_a_champion_that_predicts_what_was_evaluated(tmp_path):
    settings = load_settings(
        "smoke",
        file=tmp_path / "edpipe.toml",
        home=tmp_path / "data",
        progress="none",
        tracing={"size": 16, "num_heads": 2, "max_epochs": 1, "bootstrap": 20, "accelerator": "cpu"},
    )
    answers, item_kcs = simulate(60, mean_answers=70)
    random = np.random.default_rng(0)
    answers = answers.with_columns(
        elapsed_seconds=pl.Series(random.gamma(2, 10, len(answers))),
        lag_seconds=pl.Series(random.gamma(1, 300, len(answers))),
    )
    items = item_kcs.group_by("item_key").agg(kc_keys=pl.col("kc_key").sort()).sort("item_key")
    catalog = Catalog(
        items.with_columns(item_id=pl.format("q{}", "item_key")),
        item_kcs.select("kc_key").unique().with_columns(kc_id=pl.col("kc_key").cast(pl.String)),
    )
    dataset = write_tracing_dataset(
        tmp_path / "datasets",
        [answers.sort("student_key", "interaction_number")],
        catalog,
        source="synthetic",
        steps="questions",
    )
    run = train_tracing(settings, dataset=dataset)
    tracer = load_tracer(run.run_dir)
    predicted = {split: predict(tracer, dataset, split) for split in ("valid", "test")}
    evaluation = evaluate_tracing(
        settings,
        run.run_dir,
        examples=lambda: answers,
        item_kcs=item_kcs,
        predict=lambda _: {"attention": pl.concat(predicted.values())},
        data_fingerprint=run.fingerprint,
    )
    models = ["BKT", "attention", "item difficulty", "logistic regression", "majority"]
    assert evaluation.metrics["model"].unique().sort().to_list() == models
    # Lightning measured the same thing on the way.
    assert evaluation.value("attention", "log_loss", split="valid") == pytest.approx(
        run.metrics["valid_loss"], abs=2e-3
    )
    facts = CardFacts(
        name="tracing",
        model="attention",
        run_key=run.run_key,
        source=run.source,
        data={"Fingerprint": run.fingerprint},
        splits={"train": {"students": 36, "interactions": 2500}},
        parameters={**run.config, **run.options},
        metrics=evaluation.metrics,
        calibration=evaluation.calibration,
        warnings=evaluation.warnings,
        code=card_code(),
    )
    version = track_tracing(
        settings,
        run.run_dir,
        facts=facts,
        data_fingerprint=run.fingerprint,
        item_ids=tracer.vocabulary.item_ids[:3],
    )
    assert promote(settings, "tracing").is_promoted
    assert champion(settings, "tracing").run_key == run.run_key

    open_client(settings)
    served = mlflow.pyfunc.load_model("models:/tracing@champion")
    asked = answers.filter(pl.col("split") == "test").sort("student_key", "interaction_number")
    table = asked.select(
        pl.col("student_key").cast(pl.String).alias("student_id"),
        pl.format("q{}", "item_key").alias("item_id"),
        pl.col("is_correct").cast(pl.Float64),
        "elapsed_seconds",
        "lag_seconds",
        answered_at=pl.from_epoch(pl.col("interaction_number").cast(pl.Int64) * 60, time_unit="s"),
    ).to_pandas()
    expected = asked.select("student_key", "interaction_number").join(
        predicted["test"].select(pl.col("student_key", "interaction_number").cast(pl.Int32), "probability"),
        on=["student_key", "interaction_number"],
        how="left",
        maintain_order="left",
    )
    np.testing.assert_allclose(
        served.predict(table)["probability"], expected["probability"].to_numpy(), atol=1e-5
    )
    assert version.source.startswith("models:/")
