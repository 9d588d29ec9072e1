import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from edpipe.datasets.tracing_writer import Catalog, write_tracing_dataset
from edpipe.prediction.mastery import mastery
from edpipe.prediction.tracing import predict
from edpipe.training.tracing import train_tracing

NUM_STUDENTS, NUM_ITEMS, NUM_KCS = 600, 60, 6


def learners(seed=0):
    """Students whose mastery of each KC grows with practice; returns answers and final abilities."""
    random = np.random.default_rng(seed)
    difficulty = random.normal(size=NUM_ITEMS)
    rows, final = [], []
    for student in range(1, NUM_STUDENTS + 1):
        ability = random.normal(size=NUM_KCS) + random.normal()
        split = "train" if student % 5 else "valid" if student % 2 else "test"
        for number in range(1, 61):
            item = int(random.integers(NUM_ITEMS))
            kc = item % NUM_KCS
            chance = 1 / (1 + np.exp(-1.5 * (ability[kc] - difficulty[item])))
            rows.append((student, split, number, item + 1, bool(random.random() < chance), chance))
            ability[kc] += 0.1
        final.append(ability)
    names = ["student_key", "split", "interaction_number", "item_key", "is_correct", "chance"]
    return pl.DataFrame(rows, schema=names, orient="row"), np.array(final)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["attention", "dkt"])
def test_a_tracer_beats_item_difficulty_and_nears_the_truth(settings, tmp_path, model):
    frame, final = learners()
    items = pl.DataFrame(
        {
            "item_key": range(1, NUM_ITEMS + 1),
            "item_id": [f"q{i}" for i in range(NUM_ITEMS)],
            "kc_keys": [[i % NUM_KCS + 1] for i in range(NUM_ITEMS)],
        }
    )
    kcs = pl.DataFrame({"kc_key": range(1, NUM_KCS + 1), "kc_id": [f"k{i}" for i in range(NUM_KCS)]})
    dataset = write_tracing_dataset(
        tmp_path, [frame.drop("chance")], Catalog(items, kcs), source="test", steps="questions"
    )
    changes = {
        "model": model, "size": 32, "num_heads": 4, "num_layers": 1, "max_epochs": 30, "patience": 5,
        "batch_size": 16, "learning_rate": 5e-3, "context_length": 100, "ema_decay": 0.98,
    }  # fmt: skip
    settings = settings.model_copy(update={"tracing": settings.tracing.model_copy(update=changes)})
    run = train_tracing(settings, dataset=dataset)
    scored = predict(run.run_dir, dataset, "test").join(
        frame.select("student_key", "interaction_number", "chance"), on=["student_key", "interaction_number"]
    )
    shares = frame.filter(pl.col("split") == "train").group_by("item_key").agg(pl.col("is_correct").mean())
    baseline = scored.join(shares.rename({"is_correct": "share"}), on="item_key", maintain_order="left")
    truth = roc_auc_score(scored["is_correct"], scored["chance"])
    found = roc_auc_score(scored["is_correct"], scored["probability"])
    difficulty = roc_auc_score(scored["is_correct"], baseline["share"])
    assert found > difficulty + 0.5 * (truth - difficulty)

    frame = pl.concat(list(mastery(run.run_dir, dataset, "test"))).sort("student_key", "kc_key")
    students = frame["student_key"].unique(maintain_order=True).to_numpy()
    estimated = frame["mastery"].to_numpy().reshape(len(students), NUM_KCS)
    assert np.corrcoef(estimated.ravel(), final[students - 1].ravel())[0, 1] > 0.6
