"""Who and what is interchangeable: clusters of students, problems and attempts, as a value and a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edpipe.datasets.strategy import Ints
from edpipe.errors import TrainingError

FORMAT = 1
NONE = -1
LABELS_FILE = "labels.npz"
ROUNDS_FILE = "rounds.parquet"
MANIFEST_FILE = "clusters.json"
ROUNDS_SCHEMA: dict[str, pl.DataType] = {
    "round": pl.Int32(),
    "refined": pl.String(),
    "radius": pl.Float64(),
    "num_student_clusters": pl.Int32(),
    "num_problem_clusters": pl.Int32(),
    "num_clusters": pl.Int32(),
    "objective": pl.Float64(),
    "symmetry": pl.Float64(),
    "symmetry_low": pl.Float64(),
    "symmetry_high": pl.Float64(),
    "rand_index": pl.Float64(),
    "median_size": pl.Float64(),
    "validation": pl.Float64(),
    "is_best": pl.Boolean(),
}


@dataclass(frozen=True, eq=False)
class StrategyClusters:
    """Clusters of the best round. Codes count from 0 without gaps; -1 is what training never met.

    Attributes
    ----------
    student_cluster, problem_cluster
        Shape ``(num_students,)`` and ``(num_problems,)``. With ``level = instances`` the cluster in which
        most training attempts of the student or problem lie.
    attempt_cluster
        Cluster of each attempt: the pair of student and problem cluster, or the cluster of the attempt
        itself; -1 outside training. Shape ``(num_attempts,)``.
    rounds
        One row a round, columns :data:`ROUNDS_SCHEMA`: what is ``refined`` (students, then problems, or
        instances), its ``radius`` and ``objective``; numbers of clusters; ``symmetry`` of its clusters in
        [-1, 1] with a 95 % interval; ``rand_index``, adjusted, against the round before; attempts in the
        median cluster of attempts; ``validation``, the log-likelihood of held-out training strategies in nats
        an attempt, comparable among rounds of one kind. One row, of the last kind, ``is_best``: these
        clusters.
    manifest
        What it was made from and how: key, keys of dataset and embedding, settings, seed, seconds.
    """

    student_cluster: Ints
    problem_cluster: Ints
    attempt_cluster: Ints
    rounds: pl.DataFrame
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_clusters(self) -> int:
        """Number of clusters of attempts."""
        return int(self.attempt_cluster.max(initial=NONE)) + 1

    def save(self, folder: Path) -> Path:
        """Write the folder; the manifest is renamed into place last, so what has one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f".{LABELS_FILE}"
        with scratch.open("wb") as file:
            np.savez(
                file,
                student_cluster=self.student_cluster,
                problem_cluster=self.problem_cluster,
                attempt_cluster=self.attempt_cluster,
            )
        scratch.replace(folder / LABELS_FILE)
        self.rounds.write_parquet(folder / f".{ROUNDS_FILE}")
        (folder / f".{ROUNDS_FILE}").replace(folder / ROUNDS_FILE)
        text = json.dumps({"format": FORMAT, **self.manifest}, indent=1)
        (folder / f".{MANIFEST_FILE}").write_text(text, encoding="utf-8")
        (folder / f".{MANIFEST_FILE}").replace(folder / MANIFEST_FILE)
        return folder


def load_clusters(folder: Path) -> StrategyClusters:
    """Read what :meth:`StrategyClusters.save` wrote.

    Raises
    ------
    TrainingError
        If no finished clusters are there.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise TrainingError(
            "There are no finished clusters here.",
            where=str(path),
            found="no such file",
            expected="a folder that `edpipe cluster` finished",
            next_step="Run `edpipe cluster`.",
        )
    with np.load(folder / LABELS_FILE) as stored:
        labels = {name: stored[name].astype(np.int32) for name in stored.files}
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return StrategyClusters(rounds=pl.read_parquet(folder / ROUNDS_FILE), manifest=manifest, **labels)
