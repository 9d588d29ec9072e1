"""A planted tutor world for the benchmark of strategies: attempts, vectors, clusters, and the truth."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.samplers import Pool
from edpipe.datasets.strategy import Places
from edpipe.datasets.strategy_splits import StrategySplit, split_strategies
from edpipe.evaluation.strategy.groups import MasteryGroups, mastery_groups
from edpipe.evaluation.strategy.learning_curve import Learner, Lesson
from edpipe.mastery.cluster_dataset import cluster_dataset
from edpipe.mastery.embed import embed_dataset
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import StrategyClusters
from edpipe.prediction.strategy import predict_strategies
from edpipe.settings import Settings, load_settings
from edpipe.training.strategy import train_predictor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from strategy_data import Planted, planted

SECTIONS, PROBLEMS, KCS, PROBLEMS_MET = 6, 40, 24, 10
WORLD_SEED = 7


@dataclass(frozen=True, eq=False)
class World:
    """Planted attempts with one split, and what was learned from its training part."""

    truth: Planted
    split: StrategySplit
    embedding: Embedding
    clusters: StrategyClusters
    groups: MasteryGroups
    seconds_embedding: float
    seconds_clusters: float

    @property
    def pool(self) -> Pool:
        """The training attempts."""
        return Pool(self.truth.dataset, self.split.train, self.embedding, self.clusters)

    def planted_problem(self, problem_id: str) -> int:
        """Return the planted number of a problem."""
        section, name = problem_id.rsplit("/", 1)
        return int(section.rsplit("-", 1)[1]) * self.truth.world.problems_per_section + int(name[2:])

    def expected(self, said: PredictedStrategies) -> NDArray[np.float64]:
        """Return the planted chance that each predicted strategy is followed; 0 where it solves nothing.

        Its mean is the exact match without the noise of the departures drawn for the test.
        """
        dataset, world = self.truth.dataset, self.truth.world
        chance = world.choice_probability
        of_strategy = [
            {world.template_strategy[template]: number for number, template in enumerate(templates)}
            for templates in world.problem_templates
        ]
        found = np.zeros(len(said))
        for place, row in enumerate(said.rows):
            problem = self.planted_problem(dataset.problem_ids[dataset.problem[row]])
            kcs = [dataset.kc_ids[kc] for kc in said.strategy(place)]
            number = of_strategy[problem].get(tuple(world.kc_names.index(kc) for kc in kcs))
            if number is not None:
                group = self.truth.group[dataset.student[row]]
                found[place] = chance[group, problem, number]
        return found

    def truths(self, said: PredictedStrategies) -> dict[str, float]:
        """Return the expected exact match, and its gap between planted and between measured groups."""
        expected = self.expected(said)
        student = self.truth.dataset.student[said.rows]
        fifth = self.groups.group_of(self.truth.dataset, said.rows)
        return {
            "expected_exact_match": float(expected.mean()),
            "expected_gap_planted": _gap(expected, self.truth.group[student]),
            "expected_gap_fifths": _gap(expected, fifth),
        }


def _gap(values: NDArray[np.float64], group: NDArray[Any]) -> float:
    means = [values[group == one].mean() for one in np.unique(group[group >= 0])]
    return float(max(means) - min(means)) if len(means) > 1 else float("nan")


def benchmark_settings(**strategy: Any) -> Settings:
    """Return the settings of a laptop, without progress."""
    return load_settings("small", progress="none", strategy=strategy)


def planted_world(num_students: int, kind: str, settings: Settings, *, seed: int = WORLD_SEED) -> World:
    """Draw students who visit all sections, and learn vectors and clusters from the training part.

    ``seed`` is that of the planted truth, not of what is learned.
    """
    with tempfile.TemporaryDirectory() as folder:
        truth = planted(
            Path(folder),
            num_students=num_students,
            num_sections=SECTIONS,
            problems_per_section=PROBLEMS,
            num_kcs=KCS,
            sections_per_student=SECTIONS,
            problems_per_student=PROBLEMS_MET,
            seed=seed,
        )
    split = split_strategies(truth.dataset, settings, kind=kind)
    return learned_world(truth, split, settings)


def learned_world(
    truth: Planted, split: StrategySplit, settings: Settings, *, embedding: Embedding | None = None
) -> World:
    """Return the world with vectors (new ones unless given) and clusters."""
    begun = time.perf_counter()
    found = embedding or embed_dataset(truth.dataset, split.train, settings)
    embedded = time.perf_counter()
    clusters = cluster_dataset(truth.dataset, found, split.train, settings.clusters, seed=settings.seed)
    ended = time.perf_counter()
    return World(
        truth,
        split,
        found,
        clusters,
        mastery_groups(truth.dataset, split.train),
        embedded - begun,
        ended - embedded,
    )


def network(world: World, settings: Settings) -> Learner:
    """Return what trains the predictor that the settings describe."""
    dataset = world.truth.dataset

    def learn(lesson: Lesson) -> Any:
        seeded = settings.model_copy(update={"seed": lesson.seed})
        batches = -(-len(world.split.train) // settings.strategy.batch_size)
        max_steps = None if lesson.passes == 1 else batches * settings.strategy.max_epochs
        found = train_predictor(
            dataset, world.embedding, lesson.rows, world.split.valid, seeded, max_steps=max_steps
        )
        return lambda rows: predict_strategies(found, dataset, world.embedding, rows)

    return learn


def baseline(world: World, make: Any) -> Learner:
    """Return what fits a baseline to the sampled attempts."""
    dataset = world.truth.dataset

    def learn(lesson: Lesson) -> Any:
        fitted = make().fit(dataset, lesson.rows)
        return lambda rows: fitted.predict(dataset, rows)

    return learn


def random_embedding(embedding: Embedding, seed: int) -> Embedding:
    """Return vectors of the same shapes that know nothing."""
    rng = np.random.default_rng(seed)

    def drawn(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        values = rng.normal(size=vectors.shape)
        values *= vectors.any(axis=1)[:, None]
        length = np.linalg.norm(values, axis=1, keepdims=True)
        found: NDArray[np.float32] = (values / np.where(length > 0, length, 1)).astype(np.float32)
        return found

    names = ("students", "problems", "sections", "kcs")
    return replace(embedding, **{name: drawn(getattr(embedding, name)) for name in names})


def kmeans_clusters(world: World, seed: int) -> StrategyClusters:
    """Return k-means clusters of students and problems, as many as DP-means found."""
    from sklearn.cluster import KMeans

    from edpipe.datasets.samplers.pool import codes_of

    def labels(vectors: NDArray[np.float32], known: NDArray[np.int32]) -> NDArray[np.int32]:
        found = np.full(len(vectors), -1, dtype=np.int32)
        met = known >= 0
        found[met] = KMeans(int(known.max()) + 1, n_init=1, random_state=seed).fit_predict(vectors[met])
        return found

    student = labels(world.embedding.students, world.clusters.student_cluster)
    problem = labels(world.embedding.problems, world.clusters.problem_cluster)
    dataset, rows = world.truth.dataset, world.split.train
    attempt = np.full(dataset.num_attempts, -1, dtype=np.int32)
    pair: Places = codes_of(
        student[dataset.student[rows]].astype(np.int64), problem[dataset.problem[rows]].astype(np.int64)
    )
    attempt[rows] = pair
    return StrategyClusters(student, problem, attempt, world.clusters.rounds)
