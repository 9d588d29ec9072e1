"""Steps of a planted tutor log with the chances they were drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from strategy_data import KEY, Planted, planted_of

from edpipe.mastery.steps import MasterySteps, mastery_steps_of
from edpipe.sources.synthetic import draw_tutor_world, write_kddcup
from edpipe.sources.synthetic.tutor_world import NO_KC


@dataclass(frozen=True)
class PlantedSteps:
    """``chance`` is the probability that each step of ``steps`` was drawn with."""

    planted: Planted
    step_kcs: pl.DataFrame
    steps: MasterySteps
    chance: np.ndarray


def planted_steps(folder: Path, *, num_students: int = 120, seed: int = 7) -> PlantedSteps:
    world = draw_tutor_world(num_students, 4, 10, 24, seed=seed)
    written = write_kddcup(folder, world, sections_per_student=4, problems_per_student=10)
    planted = planted_of(written)
    attempts = planted.attempts.select(
        *KEY, "attempt_number", "is_held_out", attempt_key=pl.int_range(pl.len())
    )
    place = pl.col("step_name").str.extract_groups(r"S(?<template>\d+)-(?<position>\d+)").struct
    steps = (
        written.steps.join(attempts, on=KEY)
        .filter(~pl.col("is_held_out"))
        .with_columns(
            template=place.field("template").cast(pl.Int64), position=place.field("position").cast(pl.Int64)
        )
        .sort("student_id", "attempt_number", "position")
        .with_columns(
            student_key=pl.col("student_id").rank("dense").cast(pl.Int64),
            interaction_number=pl.int_range(1, pl.len() + 1).over("student_id"),
            item_key=pl.col("template") * 100 + pl.col("position"),
        )
    )
    at = world.template_start[steps["template"].to_numpy()] + steps["position"].to_numpy() - 1
    kcs = world.step_kcs[at][:, :2]
    columns = ["student_key", "interaction_number", "attempt_key", "item_key", "is_correct", "probability"]
    flat = pl.concat(
        steps.select(columns)
        .with_columns(kc=pl.Series(kcs[:, column]))
        .filter(pl.col("kc") != NO_KC)
        .with_columns(kc_id=pl.lit(pl.Series(world.kc_names)).gather(pl.col("kc")))
        for column in range(2)
    )
    found = mastery_steps_of(planted.dataset, flat.drop("kc", "probability"))
    chance = flat.unique(["student_key", "interaction_number"]).sort("student_key", "interaction_number")
    return PlantedSteps(planted, flat.drop("kc", "probability"), found, chance["probability"].to_numpy())
