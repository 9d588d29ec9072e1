"""A tracer goes into MLflow with everything about it and comes back predicting the same."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from edpipe.settings import Settings, load_settings
from edpipe.tracking.client import open_client
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.registry import LONGEST_DESCRIPTION
from edpipe.tracking.tracing_run import track_tracing
from models.batches import InteractionBatch
from models.tracing.build import build_tracer
from models.tracing.config import AttentionConfig

pytestmark = [
    pytest.mark.integration,
    # MLflow 3.17 reads its own model files through calls it deprecates.
    pytest.mark.filterwarnings("ignore:::mlflow"),
]
ITEMS = ("q1", "q2", "q3", "q4")


def write_run(folder: Path) -> Path:
    torch.manual_seed(0)
    config = AttentionConfig(num_items=6, num_kcs=5, size=8, num_layers=1, num_heads=2, dropout=0.0)
    checkpoint = {
        "format": 1,
        "config": config.to_dict(),
        "state_dict": build_tracer(config).state_dict(),
        "vocabulary": {
            "item_ids": list(ITEMS),
            "kc_ids": ["1", "2", "3"],
            # The last item has no KC.
            "item_kcs": torch.tensor([[0, 0], [0, 0], [2, 0], [3, 4], [2, 4], [0, 0]]),
            "elapsed": [2.5, 0.8],
            "lag": [3.0, 2.0],
        },
    }
    folder.mkdir()
    torch.save(checkpoint, folder / "tracer.pt")
    (folder / "run.json").write_text(json.dumps({"run_key": folder.name}))
    (folder / "curves.csv").write_text(
        "epoch,train_loss,valid_loss,valid_auc\n0,0.7,0.68,0.6\n1,0.6,0.62,0.7\n"
    )
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "warnings.json").write_text("[]")
    return folder


def facts_of(run_key: str) -> CardFacts:
    values = [("valid", "log_loss", 0.55), ("valid", "auc", 0.78), ("test", "auc", 0.77)]
    metrics = pl.DataFrame(
        [("attention", split, "all", metric, value, 0.7, 0.8, 100, 10) for split, metric, value in values],
        schema=["model", "split", "subset", "metric", "value", "low", "high", "n", "s"],
        orient="row",
    ).rename({"n": "num_interactions", "s": "num_students"})
    calibration = pl.DataFrame(
        {
            "model": ["attention"] * 2,
            "bin": [3, 9],
            "predicted": [0.2, 0.6],
            "observed": [0.25, 0.55],
            "count": [40, 60],
        }
    )
    return CardFacts(
        name="tracing",
        model="attention",
        run_key=run_key,
        source="ednet",
        data={"rows": "1,000"},
        splits={"train": {"students": 8, "interactions": 800}},
        parameters={"size": 8},
        metrics=metrics,
        calibration=calibration,
    )


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("store")
    settings = load_settings("smoke", file=folder / "edpipe.toml", home=folder / "data", progress="none")
    run_dir = write_run(folder / "abc123")
    return settings, run_dir, track(settings, run_dir)


def track(settings: Settings, run_dir: Path):
    return track_tracing(
        settings,
        run_dir,
        facts=facts_of(run_dir.name),
        data_fingerprint="data1",
        source_manifest="{}",
        item_ids=ITEMS,
    )


def history(num_rows: int, student: str = "u1", *, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "student_id": student,
            "item_id": random.choice(ITEMS, num_rows),
            "is_correct": (random.random(num_rows) < 0.5).astype(float),
            "elapsed_seconds": random.gamma(2, 10, num_rows),
            "answered_at": pd.Timestamp("2019-05-01") + pd.to_timedelta(np.arange(num_rows) * 60, unit="s"),
        }
    )


def test_the_run_holds_parameters_inputs_metrics_curves_plots_and_card(tracked):
    settings, _, version = tracked
    client = open_client(settings)
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["size"] == "8"
    assert run.data.metrics["valid/attention/log_loss"] == 0.55
    assert run.data.metrics["valid_auc"] == 0.7
    assert run.inputs.dataset_inputs[0].dataset.digest == "data1"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {
        "model_card.md",
        "curves.csv",
        "run.json",
        "environment",
    }
    assert [file.path for file in client.list_artifacts(run.info.run_id, "plots")] == [
        "plots/calibration.png",
        "plots/learning_curves.png",
    ]


def test_the_version_carries_card_scores_and_data(tracked):
    settings, _, version = tracked
    assert version.tags["valid.log_loss"] == "0.55"
    assert version.data == ("data1", "edpipe:0.1:0.2")
    description = open_client(settings).get_model_version("tracing", "1").description
    assert description.startswith("# Model card: tracing (attention)")
    assert len(description) <= LONGEST_DESCRIPTION


def test_tracking_the_same_run_again_does_nothing(tracked):
    settings, run_dir, version = tracked
    assert track(settings, run_dir).run_id == version.run_id
    client = open_client(settings)
    experiment = client.get_experiment_by_name("tracing").experiment_id
    assert len(client.search_runs([experiment])) == 1


def test_the_model_has_signature_example_pins_and_no_pickle(tracked):
    settings, _, version = tracked
    open_client(settings)
    info = mlflow.models.get_model_info(version.uri)
    assert [column.name for column in info.signature.inputs] == [
        "student_id",
        "item_id",
        "is_correct",
        "elapsed_seconds",
        "answered_at",
        "lag_seconds",
    ]
    assert info.saved_input_example_info is not None
    folder = Path(mlflow.artifacts.download_artifacts(version.uri))
    assert not list(folder.rglob("*.pkl"))
    assert (folder / "code" / "models" / "tracing" / "build.py").exists()
    pins = (folder / "requirements.txt").read_text()
    assert f"torch=={torch.__version__.split('+')[0]}" in pins


def test_the_loaded_model_predicts_what_the_network_says(tracked):
    settings, run_dir, version = tracked
    open_client(settings)
    model = mlflow.pyfunc.load_model(version.uri)
    answers = history(12)
    answers.loc[9, "item_id"] = "never seen"
    assert "q4" in set(answers["item_id"])
    checkpoint = torch.load(run_dir / "tracer.pt", weights_only=True)
    tracer = build_tracer(AttentionConfig(6, 5, 8, 1, 0.0, 0.05, 2)).eval()
    tracer.load_state_dict(checkpoint["state_dict"])
    # 1 is what training has not seen: an item, and the KC of an item without one.
    number = {name: place for place, name in enumerate(ITEMS, 2)}
    items = torch.tensor([[number.get(name, 1) for name in answers["item_id"]]])
    kcs = torch.tensor([[0, 0], [1, 0], [2, 0], [3, 4], [2, 4], [1, 0]])
    elapsed = answers["elapsed_seconds"].to_numpy()
    lag = np.append(0.0, (np.log1p(np.maximum(60 - elapsed[1:], 0)) - 3.0) / 2.0)
    batch = InteractionBatch(
        items=items,
        kcs=kcs[items],
        correct=torch.tensor(answers["is_correct"].to_numpy())[None].float(),
        mask=torch.ones_like(items, dtype=torch.bool),
        elapsed=torch.tensor((np.log1p(elapsed) - 2.5) / 0.8)[None].float(),
        lag=torch.tensor(lag)[None].float(),
    )
    expected = tracer(batch)[0].sigmoid().tolist()
    assert list(model.predict(answers)["probability"]) == pytest.approx(expected, abs=1e-6)


def test_rows_in_any_order_of_several_students_get_their_own_prediction(tracked):
    settings, _, version = tracked
    open_client(settings)
    model = mlflow.pyfunc.load_model(version.uri)
    answers = pd.concat([history(9, "u2", seed=1), history(250, "u1", seed=2)], ignore_index=True)
    shuffled = answers.sample(frac=1, random_state=3)
    expected = model.predict(answers)["probability"]
    assert list(model.predict(shuffled)["probability"]) == pytest.approx(list(expected[shuffled.index]))


def test_the_loaded_model_is_causal_and_takes_a_question_without_answer(tracked):
    settings, _, version = tracked
    open_client(settings)
    model = mlflow.pyfunc.load_model(version.uri)
    answers = history(8)
    asked = answers.copy()
    asked.loc[7, ["is_correct", "elapsed_seconds"]] = np.nan
    asked["lag_seconds"] = np.nan
    asked.loc[7, "lag_seconds"] = max(60 - answers.loc[7, "elapsed_seconds"], 0)
    assert model.predict(asked)["probability"].iloc[-1] == pytest.approx(
        model.predict(answers)["probability"].iloc[-1], abs=1e-6
    )


def test_answers_without_times_are_taken_in_row_order(tracked):
    settings, _, version = tracked
    open_client(settings)
    model = mlflow.pyfunc.load_model(version.uri)
    answers = history(8).assign(answered_at=pd.NaT, elapsed_seconds=np.nan)
    answers["answered_at"] = pd.to_datetime(answers["answered_at"])
    probability = model.predict(answers)["probability"]
    assert ((probability > 0) & (probability < 1)).all()
    assert list(model.predict(answers.head(5))["probability"]) == pytest.approx(
        list(probability[:5]), abs=1e-6
    )
