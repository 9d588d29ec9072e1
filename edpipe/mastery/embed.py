"""Attempts → mastery → graph → walks → vectors: the embedding of students, problems, sections and KCs."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edpipe.datasets.strategy import FINGERPRINT_LENGTH, Ints, Places, StrategyDataset
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.errors import TrainingError
from edpipe.mastery.embedding import MANIFEST_FILE, Embedding, Vectors, load_embedding, normalized
from edpipe.mastery.estimate import Mastery, MasteryOf
from edpipe.mastery.folding import with_fold_map
from edpipe.mastery.graph import MasteryWalkGraph, mastery_edges, mastery_walk_graph
from edpipe.mastery.running_mean import observations_of, running_mean
from edpipe.mastery.walks import random_walks, shuffled_starts
from edpipe.setting_groups import EmbeddingSettings
from edpipe.settings import Settings


def embed(
    settings: Settings,
    dataset: StrategyDataset,
    split: StrategySplit,
    *,
    mastery_of: MasteryOf | None = None,
    tracer_key: str = "",
) -> Embedding:
    """Return the embedding of the training attempts of a split: the stored one, or a new one that is stored.

    Parameters
    ----------
    settings
        ``settings.embedding`` and ``settings.seed``.
    dataset
        Attempts.
    split
        Only ``split.train`` is looked at.
    mastery_of
        What estimates mastery; see :func:`embed_dataset`.
    tracer_key
        Key of the tracer that is among the estimators, if there is one.

    Raises
    ------
    TrainingError
        If there is no training attempt, or the estimator in the settings needs more than the dataset.
    """
    folder = embedding_folder(
        settings, dataset, split, has_estimators=mastery_of is not None, tracer_key=tracer_key
    )
    if (folder / MANIFEST_FILE).exists():
        return load_embedding(folder)
    found = embed_dataset(dataset, split.train, settings, mastery_of=mastery_of)
    manifest = {"key": folder.name, "split": split.kind, **found.manifest}
    whole = replace(found, manifest=manifest)
    whole.save(folder)
    return whole


def embedding_key(
    settings: Settings,
    dataset: StrategyDataset,
    rows: Places,
    *,
    kind: str,
    has_estimators: bool = False,
    tracer_key: str = "",
) -> str:
    """Return the name of the folder of an embedding: a hash of all that decides about it."""
    digest = hashlib.sha256()
    told = [dataset.fingerprint, kind, settings.embedding.model_dump(mode="json"), settings.seed]
    told += [has_estimators, tracer_key]
    digest.update(json.dumps(told, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def embedding_folder(
    settings: Settings,
    dataset: StrategyDataset,
    split: StrategySplit,
    *,
    has_estimators: bool = False,
    tracer_key: str = "",
) -> Path:
    """Return where :func:`embed` stores the embedding, made or not."""
    key = embedding_key(
        settings,
        dataset,
        split.train,
        kind=split.kind,
        has_estimators=has_estimators,
        tracer_key=tracer_key,
    )
    return settings.embeddings_dir / key


def embed_dataset(
    dataset: StrategyDataset, rows: Places, settings: Settings, *, mastery_of: MasteryOf | None = None
) -> Embedding:
    """Learn vectors from the given attempts alone; nothing is written.

    Parameters
    ----------
    dataset
        Attempts.
    rows
        Training attempts. No other attempt changes a bit of the result. Shape ``(n,)``.
    settings
        ``settings.embedding``, ``settings.seed`` and ``settings.progress``.
    mastery_of
        Takes the dataset and the rows and returns mastery after these; by default the shrunken running mean,
        which needs no more than the dataset.

    Raises
    ------
    TrainingError
        If there is no training attempt, or the estimator in the settings needs more than the dataset.
    """
    if not len(rows):
        raise TrainingError(
            "There is no training attempt to learn an embedding from.",
            where=f"source {dataset.source!r}",
            found="0 rows",
            expected="training attempts",
            next_step="Choose another `strategy.split`, or ingest more students.",
            state="Nothing was written.",
        )
    options = settings.embedding
    started = time.perf_counter()
    mastery = _mastery(dataset, rows, options, mastery_of)
    mastered = time.perf_counter()
    edges = mastery_edges(dataset, rows, mastery, mastery_exponent=options.mastery_exponent)
    nodes = mastery_walk_graph(edges)
    walks = random_walks(
        nodes.graph,
        shuffled_starts(nodes.graph, options.walks_per_node, seed=settings.seed),
        length=options.walk_length,
        return_parameter=options.return_parameter,
        in_out_parameter=options.in_out_parameter,
        seed=settings.seed,
        progress=settings.progress,
    )
    walked = time.perf_counter()
    backend = chosen_backend(options)
    learned = normalized(_learn(walks, nodes.graph.num_nodes, settings, backend))
    ended = time.perf_counter()
    students, kcs, problems = _by_code(dataset, nodes, learned)
    students, fold_map = with_fold_map(
        observations_of(dataset, rows),
        dataset.student,
        np.sort(rows),
        students,
        kcs=kcs,
        kc_mean=mastery.kc_mean,
        shrinkage=options.shrinkage,
        mastery_exponent=options.mastery_exponent,
    )
    sections = section_vectors(problems, dataset.problem_section, dataset.num_sections)
    # Problems without a vector of their own lie where their section lies.
    is_new = ~problems.any(axis=1)
    problems[is_new] = sections[dataset.problem_section[is_new]]
    manifest = {
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "num_attempts": len(rows),
        "num_nodes": nodes.graph.num_nodes,
        "num_edges": nodes.graph.num_edges // 2,
        "num_walks": len(walks),
        "settings": options.model_dump(mode="json"),
        "seed": settings.seed,
        "backend": backend,
        "estimator": mastery.estimator,
        "estimators": [] if mastery.comparison is None else mastery.comparison.to_dicts(),
        "seconds": {
            "mastery": round(mastered - started, 3),
            "walks": round(walked - mastered, 3),
            "vectors": round(ended - walked, 3),
            "total": round(time.perf_counter() - started, 3),
        },
        "peak_memory_bytes": peak_memory_bytes(),
    }
    return Embedding(
        students,
        problems,
        sections,
        kcs,
        mastery.values,
        mastery.kc_mean,
        manifest,
        fold_map=fold_map,
        mastery_exponent=options.mastery_exponent,
    )


def chosen_backend(options: EmbeddingSettings) -> str:
    """Return what learns the vectors; ``auto`` is torch where there is a GPU, else gensim."""
    if options.backend != "auto":
        return options.backend
    if options.is_deterministic:
        return "gensim"
    import torch

    return "torch" if torch.cuda.is_available() else "gensim"


def section_vectors(problems: Vectors, problem_section: Ints, num_sections: int) -> Vectors:
    """Return the mean of the vectors of each section's problems, set to length 1; zeros where none has one.

    Shapes: ``problems`` ``(num_problems, dim)``, ``problem_section`` ``(num_problems,)``; returns
    ``(num_sections, dim)``.
    """
    total = np.zeros((num_sections, problems.shape[1]))
    np.add.at(total, problem_section, problems)
    return normalized(total)


def peak_memory_bytes() -> int:
    """Return the most memory this process has held so far."""
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _mastery(
    dataset: StrategyDataset, rows: Places, options: EmbeddingSettings, mastery_of: MasteryOf | None
) -> Mastery:
    if mastery_of is not None:
        return mastery_of(dataset, rows)
    if options.estimator not in {"best", "mean"}:
        raise TrainingError(
            f"The mastery estimator {options.estimator!r} needs the answers to single steps.",
            where="setting `embedding.estimator`",
            found="attempts without their steps",
            expected="`mean` or `best`, or steps beside the attempts",
            next_step="Run `edpipe embed`, which reads the steps, or set `embedding.estimator` to `mean`.",
            state="Nothing was written.",
        )
    return running_mean(dataset, rows, shrinkage=options.shrinkage)


def _learn(walks: Ints, num_nodes: int, settings: Settings, backend: str) -> Vectors:
    options = settings.embedding
    shared: dict[str, Any] = {
        "dim": options.dim,
        "window": options.window,
        "negatives": options.negatives,
        "epochs": options.epochs,
        "seed": settings.seed,
        "progress": settings.progress,
    }
    if backend == "torch":
        from edpipe.mastery.skipgram import skipgram

        return skipgram(walks, num_nodes, **shared)
    from edpipe.mastery.word2vec import word2vec

    return word2vec(walks, num_nodes, is_deterministic=options.is_deterministic, **shared)


def _by_code(
    dataset: StrategyDataset, nodes: MasteryWalkGraph, learned: Vectors
) -> tuple[Vectors, Vectors, Vectors]:
    """Put the vectors of nodes to the codes of students, KCs and problems; zeros elsewhere."""
    found = []
    first = 0
    for codes, size in (
        (nodes.students, dataset.num_students),
        (nodes.kcs, dataset.num_kcs),
        (nodes.problems, dataset.num_problems),
    ):
        vectors = np.zeros((size, learned.shape[1]), dtype=np.float32)
        vectors[codes] = learned[first : first + len(codes)]
        found.append(vectors)
        first += len(codes)
    students, kcs, problems = found
    return students, kcs, problems
