"""A map of students, problems and their clusters: the two directions in which vectors differ most."""

from __future__ import annotations

import numpy as np
import polars as pl

from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.mastery.dp_means_kernels import Floats
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import NONE, StrategyClusters

MAP_FILE = "map.parquet"
MAP_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "id": pl.String(),
    "x": pl.Float64(),
    "y": pl.Float64(),
    "cluster": pl.Int32(),
    "mastery": pl.Float64(),
}


def cluster_map(
    dataset: StrategyDataset, embedding: Embedding, clusters: StrategyClusters, rows: Places
) -> pl.DataFrame:
    """Place what has a cluster in a plane.

    The axes are the first two principal components of the vectors of students and problems, both kinds with
    equal weight; the largest coordinate of an axis is positive, so equal vectors give equal maps.

    Parameters
    ----------
    dataset, embedding, clusters
        Ids, vectors and clusters.
    rows
        Training attempts.

    Returns
    -------
    polars.DataFrame
        Columns :data:`MAP_SCHEMA`. ``kind`` is student or problem with the published ``id``, or
        student_cluster or problem_cluster with its number, in the middle of its members. ``mastery``, in
        [0, 1] or null, is the mean over KCs: of the student, or of all students over the KCs used for the
        problem, each as often as it was used.
    """
    kinds = (
        ("student", dataset.student_ids, embedding.students, clusters.student_cluster),
        ("problem", dataset.problem_ids, embedding.problems, clusters.problem_cluster),
    )
    mastery = {
        "student": student_mastery(dataset, embedding),
        "problem": _problem_mastery(dataset, embedding, rows),
    }
    axes, middle = _axes([vectors[cluster != NONE] for _, _, vectors, cluster in kinds])
    frames = []
    for kind, ids, vectors, cluster in kinds:
        has = np.flatnonzero(cluster != NONE)
        places = (vectors[has] - middle) @ axes
        frame = pl.DataFrame(
            {
                "kind": [kind] * len(has),
                "id": [ids[code] for code in has],
                "x": places[:, 0],
                "y": places[:, 1],
                "cluster": cluster[has],
                "mastery": pl.Series(mastery[kind][has]).fill_nan(None),
            },
            schema=MAP_SCHEMA,
        )
        frames += [frame, _middles(frame, kind)]
    return pl.concat(frames)


def student_mastery(dataset: StrategyDataset, embedding: Embedding) -> Floats:
    """Return the mean mastery of each student over the KCs met; NaN without. Shape ``(num_students,)``."""
    student = embedding.mastery["student"].to_numpy()
    total = np.bincount(student, embedding.mastery["mastery"].to_numpy(), dataset.num_students)
    count = np.bincount(student, minlength=dataset.num_students)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _problem_mastery(dataset: StrategyDataset, embedding: Embedding, rows: Places) -> Floats:
    kcs, start = dataset.strategies(rows)
    problem = np.repeat(dataset.problem[rows], np.diff(start))
    total = np.bincount(problem, embedding.kc_mean[kcs], dataset.num_problems)
    count = np.bincount(problem, minlength=dataset.num_problems)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _axes(parts: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]) -> tuple[Floats, Floats]:
    """Return two directions, shape ``(dim, 2)``, and the point they meet in, shape ``(dim,)``."""
    present = [part.astype(np.float64) for part in parts if len(part)]
    middle: Floats = np.mean([part.mean(axis=0) for part in present], axis=0)
    spread = sum((part - middle).T @ (part - middle) / len(part) for part in present)
    directions = np.linalg.svd(np.asarray(spread))[0][:, :2]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    return directions * np.where(largest < 0, -1.0, 1.0), middle


def _middles(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    return (
        frame.group_by("cluster")
        .agg(pl.col("x", "y", "mastery").mean())
        .sort("cluster")
        .select(
            kind=pl.lit(f"{kind}_cluster"),
            id=pl.col("cluster").cast(pl.String),
            x="x",
            y="y",
            cluster="cluster",
            mastery="mastery",
        )
    )
