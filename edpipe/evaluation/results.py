"""An evaluation as it is kept: metrics, calibration and warnings beside the run, and who opened the test."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.errors import ContractError

METRIC_SCHEMA = {
    "model": pl.String,
    "split": pl.String,
    "subset": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "num_interactions": pl.Int64,
    "num_students": pl.Int64,
}
CALIBRATION_SCHEMA = {
    "model": pl.String,
    "bin": pl.Int64,
    "predicted": pl.Float64,
    "observed": pl.Float64,
    "count": pl.Int64,
}

EVALUATION_FOLDER = "evaluation"
METRICS_FILE = "metrics.parquet"
CALIBRATION_FILE = "calibration.parquet"
WARNINGS_FILE = "warnings.json"
SUMMARY_FILE = "summary.json"
LEDGER_FILE = "opened_test.jsonl"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured, with intervals, and what looks wrong.

    Parameters
    ----------
    metrics
        One row per model, split, subset and metric, with a 95 % interval over students.
    calibration
        One row per model and bin of predicted probability; of the test split when there is one.
    warnings
        Sentences about results that are too good, or worse than a baseline.
    summary
        Facts needed to compare runs: splits, data fingerprint, seed, draws, rule of the groups.
    """

    metrics: pl.DataFrame
    calibration: pl.DataFrame
    warnings: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)

    def value(self, model: str, metric: str, *, split: str = "test", subset: str = "all") -> float:
        """Return one number of the table.

        Raises
        ------
        ContractError
            If nothing of that name was measured.
        """
        row = self.metrics.filter(
            (pl.col("model") == model)
            & (pl.col("metric") == metric)
            & (pl.col("split") == split)
            & (pl.col("subset") == subset)
        )
        if len(row) != 1:
            known = self.metrics.select("model", "split", "subset", "metric").unique().sort(pl.all()).rows()
            raise ContractError(
                f"`{metric}` of {model!r} was not measured.",
                where=f"evaluation, split {split!r}, subset {subset!r}",
                expected="one of " + ", ".join("/".join(names) for names in known[:20]),
            )
        return float(row["value"][0])

    def save(self, run_dir: Path) -> Path:
        """Write the evaluation below ``run_dir``; each file is replaced by rename, the summary last."""
        folder = run_dir / EVALUATION_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.metrics.write_parquet(folder / f".{METRICS_FILE}")
        self.calibration.write_parquet(folder / f".{CALIBRATION_FILE}")
        (folder / f".{WARNINGS_FILE}").write_text(json.dumps(list(self.warnings), indent=2))
        (folder / f".{SUMMARY_FILE}").write_text(json.dumps(self.summary, indent=2, sort_keys=True))
        for name in (METRICS_FILE, CALIBRATION_FILE, WARNINGS_FILE, SUMMARY_FILE):
            (folder / f".{name}").replace(folder / name)
        return folder

    @classmethod
    def load(cls, run_dir: Path) -> Evaluation:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ContractError
            If the run has not been evaluated.
        """
        folder = run_dir / EVALUATION_FOLDER
        if not (folder / SUMMARY_FILE).exists():
            raise ContractError(
                "This run has not been evaluated.",
                where=str(run_dir),
                expected=f"`{EVALUATION_FOLDER}/{SUMMARY_FILE}`",
                next_step="Run `edpipe evaluate tracing`.",
            )
        return cls(
            metrics=pl.read_parquet(folder / METRICS_FILE),
            calibration=pl.read_parquet(folder / CALIBRATION_FILE),
            warnings=tuple(json.loads((folder / WARNINGS_FILE).read_text())),
            summary=json.loads((folder / SUMMARY_FILE).read_text()),
        )


def is_evaluated(run_dir: Path, data_fingerprint: str) -> bool:
    """Tell whether the run has a finished evaluation of exactly this data."""
    path = run_dir / EVALUATION_FOLDER / SUMMARY_FILE
    return path.exists() and json.loads(path.read_text()).get("data_fingerprint") == data_fingerprint


def record_opening(run_dir: Path, data_fingerprint: str) -> int:
    """Note that the test split is about to be opened; return how often it has been, now included.

    The note is on disk before the first test row is read, so a killed evaluation counts too.
    """
    path = run_dir / EVALUATION_FOLDER / LEDGER_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    opening = {
        "run_key": run_dir.name,
        "opened_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_fingerprint": data_fingerprint,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(opening) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return len(openings(run_dir))


def openings(run_dir: Path) -> list[dict[str, str]]:
    """Return when the test split was opened for this run, oldest first."""
    path = run_dir / EVALUATION_FOLDER / LEDGER_FILE
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
