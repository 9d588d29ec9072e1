"""Strategy clusters in a folder of their own key, made once and found again."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np

from edpipe.datasets.strategy import StrategyDataset
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.mastery.cluster_dataset import cluster_dataset
from edpipe.mastery.cluster_map import MAP_FILE, cluster_map
from edpipe.mastery.embed import peak_memory_bytes
from edpipe.mastery.embedding import KINDS, Embedding
from edpipe.mastery.refine import Round
from edpipe.mastery.strategy_clusters import MANIFEST_FILE, StrategyClusters, load_clusters
from edpipe.progress import track
from edpipe.settings import Settings

KEY_LENGTH = 16
# Raised whenever equal inputs give other clusters.
VERSION = 1


def cluster(
    settings: Settings, dataset: StrategyDataset, embedding: Embedding, split: StrategySplit
) -> StrategyClusters:
    """Cluster the training attempts, or return what was found for equal inputs before.

    The folder holds labels, rounds, the map of :func:`~edpipe.mastery.cluster_map.cluster_map` and a
    manifest. It is finished when its manifest is there; one
    that was left half-way is written again.

    Parameters
    ----------
    settings
        ``settings.clusters``, the seed, and where clusters are kept: ``<clusters_dir>/<key>/``.
    dataset, embedding
        Attempts, and vectors learned from the training attempts.
    split
        Its training attempts are clustered; nothing else is looked at.

    Returns
    -------
    StrategyClusters
        Its manifest names the key, what it was made from, seconds and peak memory.
    """
    folder = clusters_folder(settings, dataset, embedding, split)
    if (folder / MANIFEST_FILE).exists():
        return load_clusters(folder)
    started = time.perf_counter()
    with track("Clustering strategies", unit="rounds", mode=settings.progress) as progress:

        def tell(kind: str, found: Round) -> None:
            progress.note(f"{kind}: {int(found.labels.max()) + 1:,} clusters, radius {found.radius:.3g}")
            progress.advance()

        found = cluster_dataset(
            dataset, embedding, split.train, settings.clusters, seed=settings.seed, on_round=tell
        )
    manifest = {
        "key": folder.name,
        "source": dataset.source,
        "dataset_fingerprint": dataset.fingerprint,
        "embedding_key": embedding.manifest.get("key"),
        "vectors": _digest_of(embedding),
        "split": split.kind,
        "num_train": len(split.train),
        "num_clusters": found.num_clusters,
        "settings": settings.clusters.model_dump(),
        "seed": settings.seed,
        "seconds": round(time.perf_counter() - started, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    named = StrategyClusters(
        found.student_cluster, found.problem_cluster, found.attempt_cluster, found.rounds, manifest
    )
    points = cluster_map(dataset, embedding, found, split.train)
    folder.mkdir(parents=True, exist_ok=True)
    points.write_parquet(folder / f".{MAP_FILE}")
    (folder / f".{MAP_FILE}").replace(folder / MAP_FILE)
    named.save(folder)
    return named


def clusters_folder(
    settings: Settings, dataset: StrategyDataset, embedding: Embedding, split: StrategySplit
) -> Path:
    """Return where :func:`cluster` stores the clusters, made or not."""
    return settings.clusters_dir / clusters_key(settings, dataset, embedding, split)


def clusters_key(
    settings: Settings, dataset: StrategyDataset, embedding: Embedding, split: StrategySplit
) -> str:
    """Return the digest of all that clusters depend on: equal keys are equal clusters."""
    named = {
        "version": VERSION,
        "dataset": dataset.fingerprint,
        "vectors": _digest_of(embedding),
        "rows": hashlib.sha256(np.ascontiguousarray(split.train).tobytes()).hexdigest(),
        "settings": settings.clusters.model_dump(exclude={"device"}),
        "seed": settings.seed,
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def _digest_of(embedding: Embedding) -> str:
    """Return a digest of the vectors: runs that are not deterministic share a key and differ in vectors."""
    digest = hashlib.sha256()
    for kind in KINDS:
        digest.update(np.ascontiguousarray(getattr(embedding, kind)).tobytes())
    return digest.hexdigest()[:KEY_LENGTH]
