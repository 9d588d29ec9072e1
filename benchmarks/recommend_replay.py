"""Recommendations replayed on synthetic students whose true learning is known.

    python benchmarks/recommend_replay.py [--seeds 1,2,3,4,5] [--students 16] [--steps 30] [--home DIR]

A seed is a world: items, and students whose masteries are learnt and forgotten by one law. A recommender, a
tracer and BKT are trained on the logs of 600 of them. New students with a past of 10 to 200 answers then
answer 30 more items, one at a time, each chosen by a policy among the items that they have not met; the
simulator answers and moves their true state by the law of the logs. The same draws decide for all policies.

What counts is the rise of the true mastery, mean of all KCs, in points of a hundred; beside it that of the
true chance of a right answer, mean of all items. Differences are by student; intervals are 95 %, over all
students. Choices were made on seed 101. Two pools: all items, and those of part 5, which have one
KC or none, so that nobody gains by taking items of many KCs. Writes `recommend_replay.csv` and, on what BKT
calls mastered, `recommend_replay_mastered.csv` below `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recommend_replay_policies import Asked, Policies, Policy
from recommend_replay_world import World

from edpipe.sources.synthetic import StudentSimulator

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
POOLS = {"all items": None, "part 5": 5}
BASES = ("random", "mastery threshold")
THRESHOLDS = (0.8, 0.9, 0.95, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--students", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--home", type=Path, default=REPOSITORY / "data" / "benchmarks" / "recommend_replay")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    played: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    called: list[tuple[np.ndarray, np.ndarray]] = []
    for seed in map(int, given.seeds.split(",")):
        world = World.draw(seed, given.home)
        policies = Policies(world)
        policies.prepare()
        called.append(known_and_true(policies, world.new_students(given.students)))
        for pool, part in POOLS.items():
            items = np.flatnonzero(world.simulator.contents.part == part) if part else None
            # Of one KC, the tracer's two gains differ little, and cost most of the time.
            slow = {} if part else policies.by_tracer()
            for name, policy in {**policies.plain(), **slow, **policies.oracle()}.items():
                students = world.new_students(given.students)
                found = replay(students, policy, given.steps, seed=seed, pool=items)
                played[pool, name].append(found)
                print(f"seed {seed}  {pool:10s} {name:24s} {100 * found['mastery'].mean():6.2f}", flush=True)
        write(given.results / "recommend_replay.csv", table(played))
        write(given.results / "recommend_replay_mastered.csv", mastered(called))


def replay(
    students: StudentSimulator, policy: Policy, steps: int, *, seed: int, pool: np.ndarray | None = None
) -> dict[str, Any]:
    """Let a policy choose items for each student, and return what they learnt.

    Returns
    -------
    dict
        ``mastery`` and ``success``: rise of the mean true mastery and chance of each student. ``kcs``: mean
        number of KCs of the items chosen. ``seconds``: of a choice.
    """
    number = len(students.students)
    draws = np.random.default_rng([seed, 72]).random((steps, number))
    items = [frame["item"].to_numpy() for frame in students.log.partition_by("student")]
    correct = [frame["is_correct"].to_numpy() for frame in students.log.partition_by("student")]
    every = np.arange(len(students.members)) if pool is None else pool
    mastery, success = students.true_mastery().mean(axis=1), students.true_chances().mean(axis=1)
    taken, spent = [], 0.0
    for step in range(steps):
        truth = students.true_gains()
        started = time.perf_counter()
        chosen = np.array(
            [
                policy(Asked(one, items[one], correct[one], np.setdiff1d(every, items[one]), truth[one]))
                for one in range(number)
            ]
        )
        spent += time.perf_counter() - started
        right = students.answer(chosen, draws[step])
        items = [np.append(past, item) for past, item in zip(items, chosen, strict=True)]
        correct = [np.append(past, one) for past, one in zip(correct, right, strict=True)]
        taken.append(students.members[chosen].sum(axis=1))
    return {
        "mastery": students.true_mastery().mean(axis=1) - mastery,
        "success": students.true_chances().mean(axis=1) - success,
        "kcs": float(np.mean(taken)),
        "seconds": spent / (steps * number),
    }


def table(played: dict[tuple[str, str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row a pool and policy."""
    rows = []
    for (pool, policy), worlds in played.items():
        gain = np.concatenate([one["mastery"] for one in worlds])
        oracle = played.get((pool, "oracle"))
        row = {
            "pool": pool,
            "policy": policy,
            "seeds": len(worlds),
            "students": len(gain),
            "mastery_gain": interval(gain),
            "success_gain": interval(np.concatenate([one["success"] for one in worlds])),
        }
        for base in BASES:
            others = played[pool, base]
            differences = [
                one["mastery"] - other["mastery"] for one, other in zip(worlds, others, strict=False)
            ]
            row[f"minus_{base.replace(' ', '_')}"] = interval(np.concatenate(differences))
            row[f"seeds_ahead_of_{base.replace(' ', '_')}"] = sum(one.mean() > 0 for one in differences)
        best = np.concatenate([one["mastery"] for one in oracle]).mean() if oracle else np.nan
        row["share_of_oracle"] = f"{gain.mean() / best:.3f}"
        row["kcs_an_item"] = f"{np.mean([one['kcs'] for one in worlds]):.2f}"
        row["milliseconds_a_choice"] = f"{1e3 * np.mean([one['seconds'] for one in worlds]):.1f}"
        rows.append(row)
    return rows


def interval(values: np.ndarray) -> str:
    """Return mean and 95 % interval over students, in points of a hundred."""
    mean, half = 100 * values.mean(), 196 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean:.2f} [{mean - half:.2f} {mean + half:.2f}]"


def known_and_true(policies: Policies, students: StudentSimulator) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance, by BKT, that each student knows each KC, and the true mastery; KCs met alone."""
    nothing = np.zeros(0, dtype=np.int64)
    known = np.array(
        [
            policies.known(
                Asked(0, log["item"].to_numpy(), log["is_correct"].to_numpy(), nothing, np.zeros(0))
            )
            for log in students.log.partition_by("student")
        ]
    )
    is_met = students.last_met > 0
    return known[is_met], students.true_mastery()[is_met]


def mastered(called: list[tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """Return, for some thresholds, what is true of KCs that BKT calls mastered, and of the others."""
    known, true = (np.concatenate(values) for values in zip(*called, strict=True))
    return [
        {
            "mastered_from": threshold,
            "pairs": len(known),
            "share_mastered": f"{(known >= threshold).mean():.3f}",
            "true_mastery_of_mastered": f"{true[known >= threshold].mean():.3f}",
            "true_mastery_of_others": f"{true[known < threshold].mean():.3f}",
        }
        for threshold in THRESHOLDS
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
