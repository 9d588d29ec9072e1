"""An embedding of the size of Bridge to Algebra 2008-2009, from attempts to vectors: seconds and peak memory.

    python benchmarks/embeddings.py [--share 1.0] [--mean] [--backend gensim]

Attempts are drawn at random with planted groups of students: 6,043 students, 61,848 problems, 933 KCs,
1.7 million attempts, about 20 million steps; `--share` takes that part of the students and problems. Mastery
is that of the estimator best on validation students, compared on all steps; `--mean` takes the running mean
alone. Drawing is not counted. Writes `benchmarks/results/embeddings.csv`.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edpipe.datasets.strategy import ATTEMPT_SCHEMA, OBSERVATION_SCHEMA, StrategyDataset
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.mastery.choose import estimated_mastery
from edpipe.mastery.embed import embed_dataset
from edpipe.mastery.steps import MasterySteps
from edpipe.settings import load_settings

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "embeddings.csv"
NUM_STUDENTS, NUM_PROBLEMS, NUM_KCS, NUM_SECTIONS = 6_043, 61_848, 933, 600
ATTEMPTS_A_STUDENT = 281
KCS_A_PROBLEM = 6
NUM_GROUPS = 5
COLUMNS = [
    "backend", "estimator", "students", "problems", "kcs", "attempts", "steps", "edges", "walks", "cores",
    "mastery_seconds", "walk_seconds", "vector_seconds", "total_seconds", "cpu_seconds", "peak_mib",
    "mib_before", "group_neighbors",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--mean", action="store_true")
    parser.add_argument("--backend", default="gensim")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    dataset, steps, group = draw(given.share)
    settings = load_settings("full", embedding={"backend": given.backend})
    is_valid = dataset.student % 10 == 0
    rows = np.flatnonzero(~is_valid)
    split = StrategySplit("students", rows, np.flatnonzero(is_valid), rows[:0])
    before = peak_mib()
    started, cpu = time.perf_counter(), time.process_time()
    mastery_of = None if given.mean else estimated_mastery(settings, steps, split)
    found = embed_dataset(dataset, rows, settings, mastery_of=mastery_of)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    facts = found.manifest
    row = {
        "backend": facts["backend"],
        "estimator": facts["estimator"],
        "students": dataset.num_students,
        "problems": dataset.num_problems,
        "kcs": dataset.num_kcs,
        "attempts": dataset.num_attempts,
        "steps": steps.num_steps,
        "edges": facts["num_edges"],
        "walks": facts["num_walks"],
        "cores": os.cpu_count(),
        "mastery_seconds": facts["seconds"]["mastery"],
        "walk_seconds": facts["seconds"]["walks"],
        "vector_seconds": facts["seconds"]["vectors"],
        "total_seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mib": peak_mib(),
        "mib_before": before,
        "group_neighbors": round(share_of_group(found.students, group), 3),
    }
    print(row)
    for estimator in facts["estimators"]:
        print(estimator)
    write(given.results, row)


def draw(share: float) -> tuple[StrategyDataset, MasterySteps, np.ndarray]:
    """Draw attempts, their steps, and the planted group of each student."""
    rng = np.random.default_rng(7)
    num_students, num_problems = int(NUM_STUDENTS * share), int(NUM_PROBLEMS * share)
    num_attempts = num_students * ATTEMPTS_A_STUDENT
    group = rng.integers(0, NUM_GROUPS, num_students)
    mastered = rng.beta(1.2, 0.8, (NUM_GROUPS, NUM_KCS))
    section = np.sort(rng.integers(0, NUM_SECTIONS, num_problems)).astype(np.int32)
    # KCs of a section stand side by side; a problem uses a few of them.
    first_kc = (np.arange(NUM_SECTIONS) * NUM_KCS) // NUM_SECTIONS
    problem_kcs = (first_kc[section][:, None] + rng.integers(0, 12, (num_problems, KCS_A_PROBLEM))) % NUM_KCS
    student = np.repeat(np.arange(num_students, dtype=np.int32), ATTEMPTS_A_STUDENT)
    problem = rng.integers(0, num_problems, num_attempts).astype(np.int32)
    # Of the KCs of a problem a group leaves out some: strategies differ by group.
    kc = problem_kcs[problem]
    is_met = rng.random(kc.shape) < np.where(mastered[group[student][:, None], kc] > 0.5, 0.95, 0.4)
    is_met[:, 0] = True
    ordered = np.sort(np.where(is_met, kc, NUM_KCS), axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = NUM_KCS
    attempt, place = np.nonzero(ordered < NUM_KCS)
    kc = ordered[attempt, place].astype(np.int32)
    count = 1 + rng.poisson(2.2, len(kc))
    chance = 0.3 + 0.65 * mastered[group[student[attempt]], kc]
    step_kc, step_attempt = np.repeat(kc, count), np.repeat(attempt, count)
    is_correct = (rng.random(len(step_kc)) < np.repeat(chance, count)).astype(np.uint8)
    right = np.bincount(np.repeat(np.arange(len(kc)), count), weights=is_correct)
    observations = pl.DataFrame(
        {
            "attempt": attempt,
            "kc": kc,
            "num_steps": count,
            "num_scored": count,
            "num_correct": right,
            "prior_scored": np.zeros(len(kc)),
            "prior_correct": np.zeros(len(kc)),
        }
    ).cast(OBSERVATION_SCHEMA)
    attempts = pl.DataFrame(
        {
            "attempt_key": np.arange(num_attempts),
            "student": student,
            "section": section[problem],
            "problem": problem,
            "problem_view": np.ones(num_attempts),
            "attempt_number": np.tile(np.arange(1, ATTEMPTS_A_STUDENT + 1), num_students),
        }
    )
    dataset = StrategyDataset(
        source="synthetic",
        attempts=attempts.with_columns(
            started_at=None, split=pl.lit("train"), published_split=pl.lit("train")
        ).select(pl.col(name).cast(kind) for name, kind in ATTEMPT_SCHEMA.items()),
        step_start=np.searchsorted(step_attempt, np.arange(num_attempts + 1)),
        kc_start=np.arange(len(step_kc) + 1),
        kcs=step_kc,
        observations=observations,
        problem_section=section,
        student_ids=tuple(f"s{code}" for code in range(num_students)),
        section_ids=tuple(f"h{code}" for code in range(NUM_SECTIONS)),
        problem_ids=tuple(f"p{code}" for code in range(num_problems)),
        kc_ids=tuple(f"k{code}" for code in range(NUM_KCS)),
    )
    of_step = student[step_attempt]
    keys = pl.DataFrame(
        schema={"student_key": pl.Int64, "interaction_number": pl.Int64, "item_key": pl.Int64}
    )
    steps = MasterySteps(
        step_attempt.astype(np.int32),
        of_step,
        is_correct,
        np.arange(len(step_kc) + 1),
        step_kc,
        keys.clear(len(step_kc)),
        NUM_KCS,
    )
    return dataset, steps, group


def share_of_group(students: np.ndarray, group: np.ndarray) -> float:
    """Return the share of the ten nearest students that are of the same group, for a thousand students."""
    known = np.flatnonzero(students.any(axis=1))
    asked = known[:1000]
    likeness = students[asked] @ students[known].T
    likeness[np.arange(len(asked)), np.searchsorted(known, asked)] = -np.inf
    nearest = known[np.argpartition(-likeness, 10, axis=1)[:, :10]]
    return float((group[nearest] == group[asked][:, None]).mean())


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def write(path: Path, row: dict[str, Any]) -> None:
    """Write the row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerow(row)


if __name__ == "__main__":
    main()
