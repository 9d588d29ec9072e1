"""What could be foretold at best in the planted world, by who knows its chances: a bound, never a learner."""

from __future__ import annotations

from typing import Any

import numpy as np
from mvec_world import World
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places
from edpipe.evaluation.strategy.learning_curve import MEASURED
from edpipe.evaluation.strategy.score import score_strategies


def best_predictions(world: World, *, knows_group: bool) -> PredictedStrategies:
    """Return the likeliest strategy of each test attempt by the planted chances.

    Parameters
    ----------
    world
        The planted world.
    knows_group
        Whether the student's group is known. Otherwise it is inferred, by the planted chances, from the
        strategies of the student's earlier training attempts: no learner can expect to do better with these.
    """
    chance = world.truth.world.choice_probability
    problem, group = _problem_and_group(world)
    rows = world.split.test
    belief = np.eye(len(chance))[group[rows]] if knows_group else _beliefs(world, problem)[rows]
    best = np.einsum("ng,gns->ns", belief, chance[:, problem[rows]]).argmax(axis=1)
    return _said(world, rows, problem[rows], best)


def best_values(world: World, *, knows_group: bool, seed: int) -> dict[str, float]:
    """Return the metrics of a learning curve for the best predictions."""
    said = best_predictions(world, knows_group=knows_group)
    frame = score_strategies(
        world.truth.dataset, {"best": said}, world.split.train, groups=world.groups, num_draws=2, seed=seed
    ).metrics
    found = {row[:2]: row[2] for row in frame.select("subset", "metric", "value").rows()}
    values = {name: found[place] for name, place in MEASURED.items() if place in found}
    return {**values, **world.truths(said)}


def _problem_and_group(world: World) -> tuple[Places, Places]:
    """Return the planted problem and the student's group of every attempt."""
    dataset = world.truth.dataset
    of_problem = np.array([world.planted_problem(name) for name in dataset.problem_ids], dtype=np.int64)
    return of_problem[dataset.problem], world.truth.group[dataset.student]


def _beliefs(world: World, problem: Places) -> NDArray[np.float64]:
    """Return the chance of each group before each attempt. Shape ``(num_attempts, num_groups)``."""
    dataset, planted = world.truth.dataset, world.truth.world
    code = {name: place for place, name in enumerate(planted.kc_names)}
    said = np.zeros((dataset.num_attempts, len(planted.group_mastery)))
    for row in world.split.train:
        kcs = tuple(code[dataset.kc_ids[kc]] for kc in dataset.strategy(int(row)))
        solutions = [planted.template_strategy[one] for one in planted.problem_templates[problem[row]]]
        if kcs in solutions:
            said[row] = np.log(planted.choice_probability[:, problem[row], solutions.index(kcs)])
    before = np.cumsum(said, axis=0) - said
    before -= before[np.searchsorted(dataset.student, dataset.student)]
    share = np.bincount(planted.student_group, minlength=said.shape[1]) / len(planted.student_group)
    score = before + np.log(share)
    belief: NDArray[np.float64] = np.exp(score - score.max(axis=1, keepdims=True))
    return belief / belief.sum(axis=1, keepdims=True)


def _said(world: World, rows: Places, problem: Places, number: Places) -> PredictedStrategies:
    dataset, planted = world.truth.dataset, world.truth.world
    code = {name: place for place, name in enumerate(dataset.kc_ids)}
    chosen = [
        [code[planted.kc_names[kc]] for kc in planted.template_strategy[planted.problem_templates[one, kind]]]
        for one, kind in zip(problem, number, strict=True)
    ]
    nothing: Any = np.full(len(rows), np.nan)
    asked = np.zeros(len(rows), dtype=np.int32)
    start = np.concatenate([[0], np.cumsum([len(kcs) for kcs in chosen])]).astype(np.int64)
    flat = np.array([kc for kcs in chosen for kc in kcs], dtype=np.int32)
    return PredictedStrategies(rows, flat, start, nothing, nothing, asked, asked)
