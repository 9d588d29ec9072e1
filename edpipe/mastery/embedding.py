"""Vectors of students, problems, sections and KCs, as one value and as a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.errors import TrainingError
from edpipe.mastery.folding import apply_fold_map, fold_in, unit_length

Vectors = NDArray[np.float32]
KINDS = ("students", "problems", "sections", "kcs")
FORMAT = 1
VECTORS_FILE = "vectors.npz"
MASTERY_FILE = "mastery.parquet"
MANIFEST_FILE = "embedding.json"


@dataclass(frozen=True, eq=False)
class Embedding:
    """Vectors learned from training attempts only; each of length 1, zeros for what training never met.

    Attributes
    ----------
    students, problems, sections, kcs
        Shape ``(number of codes in the dataset, dim)`` each.
    mastery
        Mastery of each KC by each student after the training attempts, where met: ``student, kc, mastery``
        in [0, 1], ``num_scored``.
    kc_mean
        Mean mastery of each KC over training answers, in [0, 1]. Shape ``(num_kcs,)``.
    manifest
        What it was made from and how: key, source, fingerprint of the dataset, settings, seed, seconds,
        peak memory, and the comparison of mastery estimators.
    fold_map
        Takes the summed KC vectors of a new student to where training would put him; see
        :func:`~edpipe.mastery.folding.fit_fold_map`. Shape ``(dim + 1, dim)``; None takes them as they are.
    mastery_exponent
        Power of the share right in the weights of KCs; 0 leaves it out.
    """

    students: Vectors
    problems: Vectors
    sections: Vectors
    kcs: Vectors
    mastery: pl.DataFrame
    kc_mean: NDArray[np.float64]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    fold_map: NDArray[np.float64] | None = None
    mastery_exponent: float = 1.0

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.kcs.shape[1])

    def student_vectors(self, dataset: StrategyDataset, rows: Places, *, shrinkage: float = 5.0) -> Vectors:
        """Return the vector of the student of each attempt, as known before the attempt begins.

        A student of the training attempts has the learned vector. Another's is made of the KCs of earlier
        attempts: their vectors weighted by the number of scored steps and the shrunken share right, summed,
        mapped by ``fold_map`` and set to length 1; zeros where there is no earlier answer.

        Parameters
        ----------
        dataset
            The dataset that the embedding was made from.
        rows
            Attempts. Shape ``(n,)``.
        shrinkage
            Answers that the mean of a KC weighs as.

        Returns
        -------
        ndarray
            Shape ``(n, dim)``.
        """
        found: Vectors = self.students[dataset.student[rows]]
        new = np.flatnonzero(~found.any(axis=1))
        if not len(new):
            return found
        stop = np.asarray(rows, dtype=np.int64)[new]
        folded = fold_in(
            dataset.observations,
            np.searchsorted(dataset.student, dataset.student[stop]),
            stop,
            kcs=self.kcs,
            kc_mean=self.kc_mean,
            shrinkage=shrinkage,
            mastery_exponent=self.mastery_exponent,
        )
        found[new] = folded if self.fold_map is None else apply_fold_map(folded, self.fold_map)
        return found

    def save(self, folder: Path) -> Path:
        """Write the folder; the manifest is renamed into place last, so what has one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f".{VECTORS_FILE}"
        with scratch.open("wb") as file:
            names = (*KINDS, "kc_mean", "fold_map", "mastery_exponent")
            arrays = {name: getattr(self, name) for name in names}
            np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
        scratch.replace(folder / VECTORS_FILE)
        self.mastery.write_parquet(folder / f".{MASTERY_FILE}")
        (folder / f".{MASTERY_FILE}").replace(folder / MASTERY_FILE)
        (folder / f".{MANIFEST_FILE}").write_text(
            json.dumps({"format": FORMAT, **self.manifest}, indent=1), encoding="utf-8"
        )
        (folder / f".{MANIFEST_FILE}").replace(folder / MANIFEST_FILE)
        return folder


def load_embedding(folder: Path) -> Embedding:
    """Read what :meth:`Embedding.save` wrote.

    Raises
    ------
    TrainingError
        If no finished embedding is there.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise TrainingError(
            "There is no finished embedding here.",
            where=str(path),
            found="no such file",
            expected="a folder that `edpipe embed` finished",
            next_step="Run `edpipe embed`.",
        )
    with np.load(folder / VECTORS_FILE) as stored:
        values = {name: stored[name] for name in stored.files}
    exponent = float(values.pop("mastery_exponent", 1.0))
    manifest = json.loads(path.read_text(encoding="utf-8"))
    mastery = pl.read_parquet(folder / MASTERY_FILE)
    return Embedding(mastery=mastery, manifest=manifest, mastery_exponent=exponent, **values)


def normalized(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Return the vectors set to length 1; zeros stay zeros. Shape ``(n, dim)``."""
    return unit_length(vectors)
