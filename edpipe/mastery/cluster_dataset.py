"""Strategy clusters of a dataset: students and problems apart, or attempts as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.mastery.cluster_judge import ClusterJudge, pair_codes
from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_instances import instance_points
from edpipe.mastery.dp_means_points import DensePoints, PointSet
from edpipe.mastery.dp_means_radius import first_radius
from edpipe.mastery.embedding import Embedding, Vectors
from edpipe.mastery.refine import DivisiblePoints, Judgment, Round, best_round, refine
from edpipe.mastery.strategy_clusters import NONE, ROUNDS_SCHEMA, StrategyClusters
from edpipe.setting_groups import ClusterSettings

CLUSTERS_PER_ROOT = 0.25  # the first radius gives about sqrt(N) / 4 clusters

OnRound = Callable[[str, Round], None]


def cluster_dataset(
    dataset: StrategyDataset,
    embedding: Embedding,
    rows: Places,
    settings: ClusterSettings,
    *,
    seed: int = 7,
    on_round: OnRound | None = None,
) -> StrategyClusters:
    """Find who and what is interchangeable.

    With ``level = entities`` students are clustered first, judged by pairs of strategies for one problem;
    then problems, judged by pairs of the best student clusters. A cluster of attempts is a pair of both. With
    ``level = instances`` attempts are clustered by the vectors of their student, section and problem.

    Parameters
    ----------
    dataset, embedding
        Attempts, and vectors learned from ``rows``.
    rows
        Training attempts; nothing else is looked at.
    settings
        Radius, bounds, device.
    seed
        Seed of everything random.
    on_round
        Called after each round with what is clustered: students, problems or instances.
    """
    if not len(rows):
        raise ValueError("rows must hold at least one training attempt.")
    judge = ClusterJudge(dataset, embedding, rows, settings, seed=seed)
    work = _Work(settings, seed, on_round)
    if settings.level == "instances":
        return _of_instances(dataset, embedding, rows, judge, work)
    return _of_entities(dataset, embedding, rows, judge, work)


class _Work:
    """Refine one kind of thing after another, and keep the rounds."""

    def __init__(self, settings: ClusterSettings, seed: int, on_round: OnRound | None) -> None:
        self._settings = settings
        self._seed = seed
        self._on_round = on_round
        self._rows: list[dict[str, object]] = []

    def refined(
        self,
        kind: str,
        points: DivisiblePoints,
        judge: Callable[[Ints], Judgment],
        *,
        num_students: Callable[[Ints], int],
        num_problems: Callable[[Ints], int],
    ) -> Ints:
        """Return the labels of the best round."""

        def tell(found: Round) -> None:
            if self._on_round:
                self._on_round(kind, found)

        rounds = refine(
            points, judge, self._settings, radius=self._radius(points), seed=self._seed, on_round=tell
        )
        best = best_round(rounds)
        for found in rounds:
            symmetry = found.judgment.symmetry
            self._rows.append(
                {
                    "round": len(self._rows),
                    "refined": kind,
                    "radius": found.radius,
                    "num_student_clusters": num_students(found.labels),
                    "num_problem_clusters": num_problems(found.labels),
                    "num_clusters": found.judgment.num_attempt_clusters,
                    "objective": found.objective,
                    "symmetry": symmetry.mean,
                    "symmetry_low": symmetry.low,
                    "symmetry_high": symmetry.high,
                    "rand_index": found.rand_index,
                    "median_size": found.judgment.median_size,
                    "validation": found.judgment.validation,
                    "is_best": found is best,
                }
            )
        return best.labels

    def start(self, points: PointSet) -> Ints:
        """Return the labels of DP-means with the first radius, not refined."""
        return dp_means(points, radius=self._radius(points), seed=self._seed).labels

    def points(self, vectors: Vectors) -> DivisiblePoints:
        """Return vectors as points on the device."""
        if self._settings.device == "cpu":
            return DensePoints(vectors)
        from edpipe.mastery.dp_means_torch import TorchPoints

        return TorchPoints(vectors, device=self._settings.device)

    def rounds(self) -> pl.DataFrame:
        """Return all rounds; only the last kind's best is the best."""
        frame = pl.DataFrame(self._rows, schema=ROUNDS_SCHEMA)
        last = frame["refined"][-1]
        return frame.with_columns(
            pl.col("is_best") & (pl.col("refined") == last),
            pl.col("symmetry", "symmetry_low", "symmetry_high", "rand_index").fill_nan(None),
        )

    def _radius(self, points: PointSet) -> float:
        if self._settings.first_radius > 0:
            return self._settings.first_radius
        wanted = max(1, round(CLUSTERS_PER_ROOT * np.sqrt(len(points.weights))))
        return first_radius(points, num_clusters=wanted, seed=self._seed)


def _of_entities(
    dataset: StrategyDataset, embedding: Embedding, rows: Places, judge: ClusterJudge, work: _Work
) -> StrategyClusters:
    students, student = np.unique(dataset.student[rows], return_inverse=True)
    problems, problem = np.unique(dataset.problem[rows], return_inverse=True)
    student_points = work.points(embedding.students[students])
    problem_points = work.points(embedding.problems[problems])
    coarse = work.start(problem_points)
    of_student = work.refined(
        "students",
        student_points,
        lambda labels: judge.of_students(labels[student], coarse[problem]),
        num_students=_number,
        num_problems=lambda _: _number(coarse),
    )
    of_problem = work.refined(
        "problems",
        problem_points,
        lambda labels: judge.of_problems(of_student[student], labels[problem]),
        num_students=lambda _: _number(of_student),
        num_problems=_number,
    )
    return StrategyClusters(
        student_cluster=_placed(of_student, students, dataset.num_students),
        problem_cluster=_placed(of_problem, problems, dataset.num_problems),
        attempt_cluster=_placed(
            pair_codes(of_student[student], of_problem[problem]), rows, dataset.num_attempts
        ),
        rounds=work.rounds(),
        manifest={"level": "entities"},
    )


def _of_instances(
    dataset: StrategyDataset, embedding: Embedding, rows: Places, judge: ClusterJudge, work: _Work
) -> StrategyClusters:
    student, problem = dataset.student[rows], dataset.problem[rows]
    keys = np.stack([student, dataset.section[rows], problem], axis=1)
    points, place = instance_points(keys, embedding.students, embedding.sections, embedding.problems)
    labels = work.refined(
        "instances",
        points,
        lambda found: judge.of_attempts(found[place]),
        num_students=lambda found: _number(_usual(student, found[place], dataset.num_students)),
        num_problems=lambda found: _number(_usual(problem, found[place], dataset.num_problems)),
    )[place]
    return StrategyClusters(
        student_cluster=_usual(student, labels, dataset.num_students),
        problem_cluster=_usual(problem, labels, dataset.num_problems),
        attempt_cluster=_placed(labels, rows, dataset.num_attempts),
        rounds=work.rounds(),
        manifest={"level": "instances"},
    )


def _placed(labels: Ints | Places, places: Ints | Places, size: int) -> Ints:
    """Return the labels at their places, -1 elsewhere. Shape ``(size,)``."""
    found = np.full(size, NONE, dtype=np.int32)
    found[places] = labels
    return found


def _usual(entity: Ints, labels: Ints, size: int) -> Ints:
    """Return the most frequent label of each entity, the lowest of equals; -1 without. Shape ``(size,)``."""
    pairs, count = np.unique(np.stack([entity, labels], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -count, pairs[:, 0]))
    entities, first = np.unique(pairs[order, 0], return_index=True)
    return _placed(pairs[order[first], 1], entities, size)


def _number(labels: Ints) -> int:
    """Return how many clusters there are."""
    found = np.unique(labels)
    return int((found != NONE).sum())
