"""A small simulator of students, for tests that must know the truth."""

from __future__ import annotations

import numpy as np
import polars as pl


def simulate_bkt(
    num_students: int,
    num_answers: int,
    parameters: dict[int, tuple[float, float, float, float]],
    *,
    seed: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return answers and item KCs of students who follow the model of BKT; one item a KC."""
    random = np.random.default_rng(seed)
    frames = []
    for kc, (prior, learn, guess, slip) in parameters.items():
        known = random.random(num_students) < prior
        for step in range(num_answers):
            chance = np.where(known, 1 - slip, guess)
            frames.append(
                pl.DataFrame(
                    {
                        "student_key": np.arange(1, num_students + 1, dtype=np.int32),
                        "interaction_number": np.full(num_students, step * len(parameters) + kc, np.int32),
                        "item_key": np.full(num_students, kc, np.int32),
                        "is_correct": random.random(num_students) < chance,
                        "truth": chance,
                    }
                )
            )
            known |= random.random(num_students) < learn
    answers = pl.concat(frames).sort("student_key", "interaction_number").with_columns(split=split_of())
    return answers, pl.DataFrame({"item_key": list(parameters), "kc_key": list(parameters)})


def simulate(
    num_students: int = 60, *, num_items: int = 30, num_kcs: int = 6, mean_answers: int = 40, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return answers and item KCs (one to three an item) of students who differ and who learn."""
    random = np.random.default_rng(seed)
    kcs_of = [random.choice(num_kcs, random.integers(1, 4), replace=False) + 1 for _ in range(num_items)]
    difficulty = random.normal(size=num_items)
    rows = []
    for student in range(1, num_students + 1):
        skill = random.normal() + random.normal(scale=0.5, size=num_kcs + 1)
        for number in range(1, 2 + random.poisson(mean_answers)):
            item = int(random.integers(num_items))
            logit = skill[kcs_of[item]].mean() - difficulty[item] + 0.3
            chance = 1 / (1 + np.exp(-1.5 * logit))
            rows.append((student, number, item + 1, bool(random.random() < chance), chance))
            skill[kcs_of[item]] += 0.08
    schema = {
        "student_key": pl.Int32,
        "interaction_number": pl.Int32,
        "item_key": pl.Int32,
        "is_correct": pl.Boolean,
        "truth": pl.Float64,
    }
    answers = pl.DataFrame(rows, schema=schema, orient="row").with_columns(split=split_of())
    pairs = [(item + 1, int(kc)) for item in range(num_items) for kc in kcs_of[item]]
    return answers, pl.DataFrame(pairs, schema={"item_key": pl.Int32, "kc_key": pl.Int32}, orient="row")


def split_of() -> pl.Expr:
    """Put every fifth student into the test and the one before into validation."""
    place = pl.col("student_key") % 5
    return (
        pl.when(place == 0)
        .then(pl.lit("test"))
        .when(place == 4)
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train"))
    )


def predictions_of(answers: pl.DataFrame, probability: np.ndarray) -> pl.DataFrame:
    """Return a prediction frame with these probabilities."""
    return answers.select("student_key", "interaction_number", "item_key", "is_correct").with_columns(
        probability=pl.Series(probability, dtype=pl.Float64)
    )
