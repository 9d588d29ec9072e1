"""Tracers on the ASSISTments 2009 fold: rows as published, and one step a question.

    python benchmarks/tracing.py [--home DIR] [--models attention,dkt] [--steps rows,questions]

Reads `education/assistments/assist2009_pid_{train,valid,test}1.csv` below ``EDPIPE_REAL_DATA`` (default
`../shared/data` beside the repository), ingests and builds them in a home of its own, trains each tracer on
train, keeps the epoch that is best on valid, and scores test once. Writes figures only, to
`benchmarks/results/tracing_assistments.csv`.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from pathlib import Path
from typing import Any

import edpipe
from edpipe.datasets.tracing_source import tracing_dataset
from edpipe.prediction.tracing import load_tracer, predict
from edpipe.training.tracing import train_tracing

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "tracing_assistments.csv"
# Chosen on the validation students alone.
SHARED = {"batch_size": 32, "ema_decay": 0.995, "max_epochs": 10, "patience": 3, "context_length": 200}
OPTIONS: dict[str, dict[str, Any]] = {
    "attention": {
        "size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "dropout": 0.2,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
    },
    "dkt": {"size": 128, "num_layers": 1, "dropout": 0.3, "learning_rate": 3e-3, "weight_decay": 0.01},
}
COLUMNS = [
    "model", "steps", "split", "subset", "auc", "log_loss", "accuracy", "num_answers",
    "valid_auc", "best_epoch", "num_parameters", "train_seconds", "cpu_seconds",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, default=REPOSITORY / "data" / "benchmarks" / "tracing")
    parser.add_argument("--models", default="attention,dkt")
    parser.add_argument("--steps", default="rows,questions")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    prepare(given.home)
    rows: list[dict[str, Any]] = []
    for steps in given.steps.split(","):
        for model in given.models.split(","):
            rows += measure(given.home, model, steps)
            write(given.results, rows)
    for row in rows:
        print(row["model"], row["steps"], row["subset"], f"AUC {row['auc']:.4f}", f"{row['train_seconds']} s")


def prepare(home: Path) -> None:
    """Ingest and build the fold; nothing happens where that was done."""
    folder = Path(os.environ.get("EDPIPE_REAL_DATA", REPOSITORY / ".." / "shared" / "data"))
    files = [
        folder / f"education/assistments/assist2009_pid_{split}1.csv" for split in ("train", "valid", "test")
    ]
    settings = edpipe.load_settings(home=home)
    edpipe.ingest("assistments", files, settings)
    edpipe.build(settings)


def measure(home: Path, model: str, steps: str) -> list[dict[str, Any]]:
    """Train one tracer and score the test students."""
    tracing = {"model": model, "steps": steps, "source": "assistments", **SHARED, **OPTIONS[model]}
    settings = edpipe.load_settings("small", home=home, tracing=tracing)
    dataset = tracing_dataset(settings)
    started = time.process_time()
    run = train_tracing(settings, dataset=dataset)
    cpu_seconds = time.process_time() - started
    shared = {
        "model": model,
        "steps": steps,
        "split": "test",
        "valid_auc": round(run.metrics["valid_auc"], 5),
        "best_epoch": run.best_epoch,
        "num_parameters": run.num_parameters,
        "train_seconds": round(run.seconds),
        "cpu_seconds": round(cpu_seconds) if run.is_new else "",
    }
    frame = predict(load_tracer(run.run_dir), dataset, "test")
    subsets = {"all": frame}
    if steps == "rows":
        subsets["first_rows"] = frame.filter(frame["is_first_row"])
    return [{**shared, "subset": name, **score(part)} for name, part in subsets.items()]


def score(frame: Any) -> dict[str, Any]:
    """Return the figures of one set of predictions."""
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    correct, probability = frame["is_correct"].to_numpy(), frame["probability"].to_numpy()
    return {
        "auc": round(float(roc_auc_score(correct, probability)), 5),
        "log_loss": round(float(log_loss(correct, probability)), 5),
        "accuracy": round(float(accuracy_score(correct, probability > 0.5)), 5),
        "num_answers": len(frame),
    }


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
