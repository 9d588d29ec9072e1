"""What a finished training is: a folder and a few plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edpipe.errors import TrainingError

RUN_FILE = "run.json"
TRACER_FILE = "tracer.pt"
CURVES_FILE = "curves.csv"
FORMAT = 1


@dataclass(frozen=True)
class TrainingRun:
    """A trained model and how it came about.

    Attributes
    ----------
    run_dir
        Folder with `tracer.pt`, `curves.csv` and `run.json`.
    run_key
        Hash of data, configuration and seed: equal keys give equal weights on the same machine.
    config
        Hyper-parameters of the network, with its kind.
    options
        How it was trained.
    fingerprint
        Fingerprint of the dataset.
    source, steps
        Which examples the dataset holds.
    best_epoch
        Epoch of the weights kept, from 0; -1 for those before training, None for a dry run.
    num_epochs
        Epochs trained.
    metrics
        Validation metrics of the best epoch: ``valid_auc``, ``valid_loss``.
    num_parameters
        Trainable numbers.
    seconds
        Wall time of this call's training.
    is_new
        False if the run was finished before, or only planned.
    model
        Family of the model: ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``; runs written before there
        were two are of tracing.
    data
        More about the data: split, keys of the embedding and of the clusters, numbers of attempts; for
        forecasters what was asked for, and an account of what was left out.
    """

    run_dir: Path
    run_key: str
    config: Mapping[str, Any]
    options: Mapping[str, Any]
    fingerprint: str
    source: str
    steps: str
    best_epoch: int | None = None
    num_epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    num_parameters: int = 0
    seconds: float = 0.0
    is_new: bool = False
    model: str = "tracing"
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tracer_path(self) -> Path:
        """File of the trained weights."""
        return self.run_dir / TRACER_FILE

    @property
    def curves_path(self) -> Path:
        """File of losses and AUC by epoch."""
        return self.run_dir / CURVES_FILE

    def save(self) -> None:
        """Write `run.json` by rename: where it stands, the run is finished."""
        values = {key: value for key, value in asdict(self).items() if key not in {"run_dir", "is_new"}}
        scratch = self.run_dir / f".{RUN_FILE}"
        scratch.write_text(json.dumps({"format": FORMAT, **values}, indent=2) + "\n", encoding="utf-8")
        scratch.replace(self.run_dir / RUN_FILE)


def read_run(run_dir: Path) -> TrainingRun:
    """Return the finished run in ``run_dir``.

    Raises
    ------
    TrainingError
        If no finished run is there.
    """
    path = run_dir / RUN_FILE
    if not path.exists():
        raise TrainingError(
            "There is no finished training run here.",
            where=str(path),
            found="no such file",
            expected="the folder of a run that `edpipe train` finished",
            next_step="Run `edpipe train tracing`; an interrupted run goes on where it was.",
        )
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("format")
    return TrainingRun(run_dir=run_dir, **values)
