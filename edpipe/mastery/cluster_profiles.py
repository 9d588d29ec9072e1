"""Who is in which cluster, and what the attempts of a cluster have in common."""

from __future__ import annotations

import numpy as np
import polars as pl

from edpipe.datasets.strategy import Ints, StrategyDataset
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import NONE, StrategyClusters
from edpipe.mastery.symmetry import Strategies
from edpipe.mastery.symmetry_clusters import cluster_symmetry

NUM_PAIRS = 64
NUM_KCS = 3  # strongest and weakest named, each
MEMBER_SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "student_id": pl.String(),
    "section_id": pl.String(),
    "problem_id": pl.String(),
    "problem_view": pl.Int32(),
    "cluster": pl.Int32(),
    "student_cluster": pl.Int32(),
    "problem_cluster": pl.Int32(),
}
PROFILE_SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "cluster": pl.Int32(),
    "student_cluster": pl.Int32(),
    "problem_cluster": pl.Int32(),
    "num_attempts": pl.Int32(),
    "num_students": pl.Int32(),
    "num_problems": pl.Int32(),
    "num_strategies": pl.Int32(),
    "typical_strategy": pl.List(pl.String()),
    "typical_share": pl.Float64(),
    "entropy": pl.Float64(),
    "mean_mastery": pl.Float64(),
    "strongest_kcs": pl.List(pl.String()),
    "weakest_kcs": pl.List(pl.String()),
    "symmetry": pl.Float64(),
}


def cluster_members(dataset: StrategyDataset, clusters: StrategyClusters) -> pl.DataFrame:
    """Return one row an attempt with its clusters; -1 is what training never met.

    Columns :data:`MEMBER_SCHEMA`, in the order of the dataset's attempts.
    """

    def ids(kind: str, codes: Ints) -> pl.Series:
        names = pl.Series(f"{kind}_id", getattr(dataset, f"{kind}_ids"), dtype=pl.String)
        return names.gather(codes)

    return pl.DataFrame(
        {
            "source": pl.repeat(dataset.source, dataset.num_attempts, eager=True),
            "student_id": ids("student", dataset.student),
            "section_id": ids("section", dataset.section),
            "problem_id": ids("problem", dataset.problem),
            "problem_view": dataset.attempts["problem_view"],
            "cluster": clusters.attempt_cluster,
            "student_cluster": clusters.student_cluster[dataset.student],
            "problem_cluster": clusters.problem_cluster[dataset.problem],
        },
        schema=MEMBER_SCHEMA,
    )


def cluster_profiles(
    dataset: StrategyDataset, embedding: Embedding, clusters: StrategyClusters, *, seed: int = 7
) -> pl.DataFrame:
    """Return one row a cluster of attempts, from its training attempts; columns :data:`PROFILE_SCHEMA`.

    ``student_cluster`` and ``problem_cluster`` are those of most of its attempts. The typical strategy is the
    most frequent one as published KC ids in order, the first met of equals; ``typical_share`` is its share.
    ``entropy`` is that of the strategies in bits, 0 where all are alike. Mastery is that of students in the
    KCs that they used in the cluster: each pair of both counts once. ``strongest_kcs`` and ``weakest_kcs``
    are the KCs of highest and lowest mean mastery, three each at most, a KC in one of both only. ``symmetry``
    is relative to that of a strategy with itself, in [-1, 1]; null below two attempts.
    """
    rows = np.flatnonzero(clusters.attempt_cluster != NONE)
    attempts = pl.DataFrame(
        {
            "row": rows,
            "cluster": clusters.attempt_cluster[rows],
            "student": dataset.student[rows],
            "problem": dataset.problem[rows],
            "strategy": dataset.strategy_code[rows],
            "student_cluster": clusters.student_cluster[dataset.student[rows]],
            "problem_cluster": clusters.problem_cluster[dataset.problem[rows]],
        }
    )
    profiles = (
        attempts.group_by("cluster")
        .agg(
            num_attempts=pl.len(),
            num_students=pl.col("student").n_unique(),
            num_problems=pl.col("problem").n_unique(),
            student_cluster=pl.col("student_cluster").mode().min(),
            problem_cluster=pl.col("problem_cluster").mode().min(),
        )
        .join(_strategies(dataset, attempts), on="cluster", how="left")
        .join(_mastery(dataset, embedding, attempts), on="cluster", how="left")
        .sort("cluster")
    )
    kcs, start = dataset.strategies(rows)
    symmetry = cluster_symmetry(
        Strategies(kcs, start, embedding.kcs),
        clusters.attempt_cluster[rows].astype(np.int64),
        num_pairs=NUM_PAIRS,
        rng=np.random.default_rng([seed, 2]),
    )
    return profiles.with_columns(
        source=pl.lit(dataset.source),
        symmetry=pl.Series(symmetry.scores[profiles["cluster"].to_numpy()]).fill_nan(None),
    ).select(pl.col(name).cast(kind) for name, kind in PROFILE_SCHEMA.items())


def _strategies(dataset: StrategyDataset, attempts: pl.DataFrame) -> pl.DataFrame:
    """Return how many strategies a cluster has, its most frequent one, and their entropy."""
    counts = (
        attempts.group_by("cluster", "strategy")
        .agg(count=pl.len(), row=pl.col("row").min())
        .sort("cluster", "count", "strategy", descending=[False, True, False])
    )
    share = pl.col("count") / pl.col("count").sum()
    found = counts.group_by("cluster", maintain_order=True).agg(
        num_strategies=pl.len(),
        typical_row=pl.col("row").first(),
        typical_share=share.first(),
        # Rounding must not give one strategy an entropy below 0, nor one of minus 0.
        entropy=(share * share.log(2)).sum().clip(upper_bound=0.0).abs(),
    )
    names = np.array(dataset.kc_ids, dtype=object)
    typical = [names[dataset.strategy(row)].tolist() for row in found["typical_row"]]
    return found.with_columns(typical_strategy=pl.Series(typical, dtype=pl.List(pl.String))).drop(
        "typical_row"
    )


def _mastery(dataset: StrategyDataset, embedding: Embedding, attempts: pl.DataFrame) -> pl.DataFrame:
    """Return the mean mastery of a cluster, and its strongest and weakest KCs."""
    kcs, start = dataset.strategies(attempts["row"].to_numpy())
    place = np.repeat(np.arange(attempts.height), np.diff(start))
    used = (
        attempts[place]
        .select("cluster", "student", kc=pl.Series(kcs))
        .unique()
        .join(embedding.mastery.select("student", "kc", "mastery"), on=["student", "kc"])
    )
    names = pl.DataFrame({"kc": np.arange(dataset.num_kcs, dtype=np.int32), "kc_id": dataset.kc_ids})
    # Half of the KCs at most are strong, the others weak.
    num_strong = pl.min_horizontal(pl.lit(NUM_KCS), (pl.len() + 1) // 2)
    num_weak = pl.min_horizontal(pl.lit(NUM_KCS), pl.len() // 2)
    of_kc = (
        used.group_by("cluster", "kc")
        .agg(pl.col("mastery").mean())
        .join(names, on="kc")
        .sort("cluster", "mastery", "kc", descending=[False, True, False])
        .group_by("cluster", maintain_order=True)
        .agg(
            strongest_kcs=pl.col("kc_id").head(num_strong),
            weakest_kcs=pl.col("kc_id").reverse().head(num_weak),
        )
    )
    mean = used.sort("student", "kc").group_by("cluster").agg(mean_mastery=pl.col("mastery").mean())
    return mean.join(of_kc, on="cluster")
