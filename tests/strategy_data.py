"""Planted strategies as a dataset, without a warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.datasets.strategy import StrategyDataset, strategy_dataset_of
from edpipe.mastery.embedding import Embedding, normalized
from edpipe.sources.synthetic import SyntheticTutor, TutorWorld, draw_tutor_world, write_kddcup

KEY = ["student_id", "problem_hierarchy", "problem_name", "problem_view"]


@dataclass(frozen=True)
class Planted:
    """A dataset and the truth behind it.

    ``group`` is the planted group of each student code, ``attempts`` the truth of each row of the dataset.
    """

    dataset: StrategyDataset
    world: TutorWorld
    group: np.ndarray
    attempts: pl.DataFrame


def planted(
    folder: Path,
    *,
    num_students: int = 60,
    num_sections: int = 4,
    problems_per_section: int = 8,
    num_kcs: int = 24,
    strategies_per_problem: int = 5,
    num_groups: int = 3,
    departure_rate: float = 0.3,
    sections_per_student: int = 4,
    problems_per_student: int = 8,
    seed: int = 7,
) -> Planted:
    """Draw students with planted groups, strategies and departures, and return what the warehouse would."""
    world = draw_tutor_world(
        num_students,
        num_sections,
        problems_per_section,
        num_kcs,
        strategies_per_problem=strategies_per_problem,
        num_groups=num_groups,
        departure_rate=departure_rate,
        seed=seed,
    )
    written = write_kddcup(
        folder,
        world,
        name="synthetic",
        sections_per_student=sections_per_student,
        problems_per_student=problems_per_student,
    )
    return planted_of(written)


def planted_of(written: SyntheticTutor) -> Planted:
    """Return the dataset of a written log: an independent, slow way to what SQL makes of the files."""
    truth = written.attempts.sort("student_id", "attempt_number")
    students = sorted(set(truth["student_id"]))
    share = {name: place / len(students) for place, name in enumerate(students)}
    kc_code = {name: code for code, name in enumerate(written.world.kc_names)}
    sections = {name: code for code, name in enumerate(sorted(set(truth["problem_hierarchy"])))}
    problems = {
        name: code
        for code, name in enumerate(sorted(set(truth.select("problem_hierarchy", "problem_name").rows())))
    }
    steps = written.steps.group_by(KEY, maintain_order=True)
    right = {key: frame["first_attempt"].to_list() for key, frame in steps}
    examples, edges = [], []
    counts: dict[tuple[str, int], tuple[int, int]] = {}
    for row in truth.iter_rows(named=True):
        key = tuple(row[name] for name in KEY)
        kcs = [kc_code[name] for name in row["strategy"]]
        if not kcs:
            continue
        number = len(examples)
        examples.append(
            {
                "attempt_key": number,
                "student_key": students.index(row["student_id"]),
                "student_id": row["student_id"],
                "section_key": sections[row["problem_hierarchy"]],
                "section_id": row["problem_hierarchy"],
                "problem_key": problems[row["problem_hierarchy"], row["problem_name"]],
                "problem_id": f"{row['problem_hierarchy']}/{row['problem_name']}",
                "problem_view": row["problem_view"],
                "attempt_number": row["attempt_number"],
                "started_at": None,
                "split": "test"
                if share[row["student_id"]] < 0.2
                else "valid"
                if share[row["student_id"]] < 0.35
                else "train",
                "published_split": "test" if row["is_held_out"] else "train",
                "kc_keys": kcs,
                "step_sizes": [1] * len(kcs),
            }
        )
        known = [answer for answer in right[key] if answer is not None]
        quality = known.count("correct") / len(known) if known else 0.0
        for kc in sorted(set(kcs)):
            used = kcs.count(kc)
            num_correct = 0 if row["is_held_out"] else round(quality * used)
            num_scored = 0 if row["is_held_out"] else used
            scored, correct = counts.get((row["student_id"], kc), (0, 0))
            edges.append((number, kc, used, num_scored, num_correct, scored, correct))
            counts[row["student_id"], kc] = (scored + num_scored, correct + num_correct)
    names = (
        "attempt_key",
        "kc_key",
        "num_steps",
        "num_scored",
        "num_correct",
        "prior_scored",
        "prior_correct",
    )
    dataset = strategy_dataset_of(
        "kddcup",
        pl.DataFrame(examples, schema_overrides={"started_at": pl.Datetime("us", "UTC")}),
        pl.DataFrame(edges, schema=list(names), orient="row"),
        kc_names=dict(enumerate(written.world.kc_names)),
    )
    group = dict(written.students.select("student_id", "group").rows())
    kept = truth.filter(pl.col("strategy").list.len() > 0)
    return Planted(dataset, written.world, np.array([group[one] for one in dataset.student_ids]), kept)


def planted_embedding(planted: Planted, *, dim: int = 16, seed: int = 7) -> Embedding:
    """Return vectors that know the planted groups only: noise around group centers."""
    rng = np.random.default_rng(seed)
    dataset = planted.dataset
    centers = rng.normal(size=(planted.group.max() + 1, dim))
    noise = 0.15 * rng.normal(size=(dataset.num_students, dim))
    is_seen = (
        dataset.attempts.group_by("student").agg(pl.col("split").first()).sort("student")["split"] == "train"
    )
    of_attempt = dataset.student[dataset.observations["attempt"].to_numpy()]
    counts = dataset.observations.with_columns(student=pl.Series(of_attempt))
    mastery = (
        counts.group_by("student", "kc")
        .agg(pl.col("num_scored").sum(), pl.col("num_correct").sum())
        .sort("student", "kc")
        .select(
            "student",
            "kc",
            mastery=(pl.col("num_correct") + 2.5) / (pl.col("num_scored") + 5.0),
            num_scored="num_scored",
        )
    )
    return Embedding(
        students=normalized(centers[planted.group] + noise) * is_seen.to_numpy()[:, None],
        problems=normalized(rng.normal(size=(dataset.num_problems, dim))),
        sections=normalized(rng.normal(size=(dataset.num_sections, dim))),
        kcs=normalized(rng.normal(size=(dataset.num_kcs, dim))),
        mastery=mastery.filter(pl.col("student").is_in(np.flatnonzero(is_seen.to_numpy()).tolist())),
        kc_mean=np.full(dataset.num_kcs, 0.5),
        manifest={"key": "planted", "source": dataset.source},
    )
