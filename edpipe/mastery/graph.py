"""The graph of students, KCs and problems that walks run on, from training attempts only."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.mastery.estimate import Mastery
from edpipe.mastery.running_mean import observations_of
from edpipe.mastery.walk_graph import WalkGraph, walk_graph
from edpipe.setting_groups import EmbeddingSettings

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

# A mastery of 0 would cut a student off from what he practiced.
LEAST_MASTERY = 1e-3

Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MasteryEdges:
    """Weighted edges of a dataset's codes.

    Attributes
    ----------
    student, student_kc, student_weight
        Students, KCs they practiced, and weights. Shape ``(num_student_edges,)``.
    problem, problem_kc, problem_weight
        Problems, KCs used in them, and weights. Shape ``(num_problem_edges,)``.
    """

    student: Ints
    student_kc: Ints
    student_weight: Weights
    problem: Ints
    problem_kc: Ints
    problem_weight: Weights


@dataclass(frozen=True, eq=False)
class MasteryWalkGraph:
    """The graph in one range of nodes: students first, then KCs, then problems, only those met in training.

    Attributes
    ----------
    graph
        Rows of KCs have two sides, students and problems.
    students, kcs, problems
        Code of each node of the kind, rising. Shape ``(number of nodes of the kind,)``.
    """

    graph: WalkGraph
    students: Ints
    kcs: Ints
    problems: Ints


def mastery_edges(
    dataset: StrategyDataset, rows: Places, mastery: Mastery, *, mastery_exponent: float = 1.0
) -> MasteryEdges:
    r"""Count co-occurrences in the given attempts and weight those of students by mastery.

    A student and a KC are joined by :math:`n(s, k)\, m(s, k)^\alpha`, a KC and a problem by :math:`n(k, p)`;
    :math:`n` counts steps.

    Parameters
    ----------
    dataset
        Attempts.
    rows
        Training attempts. Shape ``(n,)``.
    mastery
        Mastery after these attempts; where it lacks a pair the mean of the KC stands in.
    mastery_exponent
        :math:`\alpha`; 0 leaves mastery out.
    """
    observations = observations_of(dataset, rows)
    of_student = (
        observations.group_by("student", "kc")
        .agg(pl.col("num_steps").cast(pl.Int64).sum())
        .join(mastery.values.select("student", "kc", "mastery"), on=["student", "kc"], how="left")
        .sort("student", "kc")
    )
    of_problem = (
        observations.group_by("problem", "kc")
        .agg(pl.col("num_steps").cast(pl.Int64).sum())
        .sort("problem", "kc")
    )
    kc = of_student["kc"].to_numpy()
    known = of_student["mastery"].to_numpy()
    mastered = np.maximum(np.where(np.isnan(known), mastery.kc_mean[kc], known), LEAST_MASTERY)
    return MasteryEdges(
        student=of_student["student"].to_numpy(),
        student_kc=kc,
        student_weight=of_student["num_steps"].to_numpy() * mastered**mastery_exponent,
        problem=of_problem["problem"].to_numpy(),
        problem_kc=of_problem["kc"].to_numpy(),
        problem_weight=of_problem["num_steps"].to_numpy().astype(np.float64),
    )


def mastery_graph(
    dataset: StrategyDataset, rows: Places, mastery: Mastery, settings: EmbeddingSettings
) -> HeteroData:
    """Return the graph as PyTorch Geometric's ``HeteroData``.

    Node kinds are ``student``, ``kc`` and ``problem`` with the dataset's codes; edge kinds
    ``(student, practices, kc)``, ``(kc, used_in, problem)`` and their reverses carry ``edge_weight``.
    """
    import torch

    with warnings.catch_warnings():
        # PyTorch Geometric 2.8 compiles functions with torch.jit, which torch 2.13 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch_geometric.data import HeteroData

    edges = mastery_edges(dataset, rows, mastery, mastery_exponent=settings.mastery_exponent)
    data = HeteroData()
    data["student"].num_nodes = dataset.num_students
    data["kc"].num_nodes = dataset.num_kcs
    data["problem"].num_nodes = dataset.num_problems
    practice = torch.from_numpy(np.stack([edges.student, edges.student_kc]).astype(np.int64))
    use = torch.from_numpy(np.stack([edges.problem_kc, edges.problem]).astype(np.int64))
    for kind, index, weight in (
        (("student", "practices", "kc"), practice, edges.student_weight),
        (("kc", "practiced_by", "student"), practice.flip(0), edges.student_weight),
        (("kc", "used_in", "problem"), use, edges.problem_weight),
        (("problem", "uses", "kc"), use.flip(0), edges.problem_weight),
    ):
        data[kind].edge_index = index.contiguous()
        data[kind].edge_weight = torch.from_numpy(weight.astype(np.float32))
    return data


def mastery_walk_graph(edges: MasteryEdges) -> MasteryWalkGraph:
    """Lay edges out for walks, with numbers for the nodes that have one.

    Nodes without an edge have no number, so attempts outside training do not move the numbers of others.
    """
    students, student = np.unique(edges.student, return_inverse=True)
    problems, problem = np.unique(edges.problem, return_inverse=True)
    both = np.concatenate([edges.student_kc, edges.problem_kc])
    kcs, kc = np.unique(both, return_inverse=True)
    kc = kc + len(students)
    problem = problem + len(students) + len(kcs)
    student_kc, problem_kc = kc[: len(student)], kc[len(student) :]
    graph = walk_graph(
        np.concatenate([student, student_kc, problem, problem_kc]),
        np.concatenate([student_kc, student, problem_kc, problem]),
        np.concatenate([np.tile(edges.student_weight, 2), np.tile(edges.problem_weight, 2)]),
        len(students) + len(kcs) + len(problems),
        second_side=len(students) + len(kcs),
        is_bipartite=True,
    )
    return MasteryWalkGraph(graph, students, kcs, problems)
