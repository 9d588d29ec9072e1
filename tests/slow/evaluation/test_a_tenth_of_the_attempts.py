"""A tenth of the planted attempts, chosen by clusters that were learned, is worth all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from strategy_data import planted

from edpipe.datasets.samplers import Pool, budget_of, make_sampler
from edpipe.datasets.strategy_splits import split_strategies
from edpipe.evaluation.strategy.baselines import cluster_lookup
from edpipe.evaluation.strategy.metrics import attempt_scores, ratio
from edpipe.mastery.cluster_dataset import cluster_dataset
from edpipe.mastery.embed import embed_dataset
from edpipe.settings import load_settings

OTHERS = ("uniform", "sections", "kmeans", "kcenter", "coreset", "adaptive", "group", "facility")


@pytest.mark.slow
def test_a_tenth_reaches_95_percent_of_all_ahead_of_every_other_sampler(tmp_path: Path) -> None:
    settings = load_settings("small", progress="none", embedding={"is_deterministic": True})
    dataset = planted(
        tmp_path,
        num_students=300,
        num_sections=6,
        problems_per_section=30,
        num_kcs=24,
        sections_per_student=6,
        problems_per_student=10,
    ).dataset
    split = split_strategies(dataset, settings, kind="published")
    embedding = embed_dataset(dataset, split.train, settings)
    clusters = cluster_dataset(dataset, embedding, split.train, settings.clusters, seed=settings.seed)
    pool = Pool(dataset, split.train, embedding, clusters)

    def exact(name: str) -> float:
        rows = make_sampler(name, settings).sample(pool, budget_of(0.1, len(pool)))
        learned = cluster_lookup(embedding, clusters).fit(dataset, rows)
        return ratio(attempt_scores(dataset, learned.predict(dataset, split.test)), "exact_match")

    ours = exact("clusters")
    assert ours >= 0.95 * exact("all")
    assert ours > max(exact(name) for name in OTHERS) + 0.03
