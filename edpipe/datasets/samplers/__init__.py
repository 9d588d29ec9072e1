"""Which training attempts to keep when a budget allows only some."""

from __future__ import annotations

from edpipe.datasets.samplers.adaptive import AdaptiveSampler, Probe
from edpipe.datasets.samplers.clusters import ClusterSampler
from edpipe.datasets.samplers.coreset import CoresetSampler
from edpipe.datasets.samplers.pool import Pool, Sampler, budget_of
from edpipe.datasets.samplers.simple import AllSampler, GroupSampler, SectionSampler, UniformSampler
from edpipe.datasets.samplers.spread import FacilitySampler, KCenterSampler, KMeansSampler
from edpipe.errors import SettingsError
from edpipe.settings import Settings

__all__ = ["NEEDS_CLUSTERS", "NEEDS_EMBEDDING", "SAMPLERS", "Pool", "Sampler", "budget_of", "make_sampler"]

SAMPLERS = (
    "clusters", "uniform", "sections", "kmeans", "kcenter", "adaptive", "coreset", "group", "facility", "all",
)  # fmt: skip
# What must be in the pool, so that its cost counts with the sampler's.
NEEDS_EMBEDDING = frozenset({"clusters", "kmeans", "kcenter", "adaptive", "coreset", "facility"})
NEEDS_CLUSTERS = frozenset({"clusters", "adaptive", "coreset"})


def make_sampler(name: str, settings: Settings, *, probe: Probe | None = None) -> Sampler:
    """Return the sampler of a name.

    Parameters
    ----------
    name
        One of :data:`SAMPLERS`.
    settings
        ``settings.strategy.cluster_exponent`` and ``learners``, ``settings.embedding.shrinkage``.
    probe
        What ``adaptive`` trains and scores in each round; by default a lookup.

    Raises
    ------
    SettingsError
        If there is no such sampler.
    """
    samplers: dict[str, Sampler] = {
        "clusters": ClusterSampler(
            exponent=settings.strategy.cluster_exponent,
            learners=settings.strategy.learners,
            mastery_shrinkage=settings.embedding.shrinkage,
        ),
        "uniform": UniformSampler(),
        "sections": SectionSampler(),
        "kmeans": KMeansSampler(),
        "kcenter": KCenterSampler(),
        "adaptive": AdaptiveSampler(probe=probe),
        "coreset": CoresetSampler(),
        "group": GroupSampler(),
        "facility": FacilitySampler(),
        "all": AllSampler(),
    }
    if name not in samplers:
        raise SettingsError(
            f"There is no sampler {name!r}.",
            where="setting `strategy.sampler`",
            found=repr(name),
            expected=f"one of {', '.join(SAMPLERS)}",
            next_step="Choose one of these.",
        )
    return samplers[name]
