"""The truth of synthetic tutor logs, in frames that ingestion and SQL can be held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.sources.synthetic.tutor_world import NO_KC, TutorWorld


@dataclass(frozen=True, slots=True)
class SyntheticTutor:
    """What was written, and the truth of it.

    Parameters
    ----------
    paths
        Files written.
    rows
        Data rows in all student-step files together or, where there is none, in the transaction file.
    world
        Groups, masteries, strategies and their chances.
    students
        ``student_id, group, mastery``; mastery before practice, in the order of the KC codes.
    attempts
        One row a problem attempt: ``student_id, group, problem_hierarchy, problem_name, problem_view,
        attempt_number, template, strategy, usual_strategy, is_departure, is_random, is_held_out``. Strategies
        are lists of KC names, bookkeeping left out; that of a later view holds only the steps done.
        ``is_departure`` compares the whole strategy chosen with the one most likely for the problem over all
        students; ``is_random`` with the one the group prefers. Empty without truth.
    steps
        One row a step, duplicates left out: the attempt's key, ``step_name, probability, is_correct,
        first_attempt, incorrects, hints, corrects, opportunity_0, opportunity_1``. Empty without truth.
    transactions
        One row a transaction in file order: the attempt's key, ``step_name, kind, attempt_at_step,
        second``. ``kind`` is correct, incorrect or hint for what counts, and view_page, save, done or
        autofilled for what does not; a hint after another is a change of hint level. Empty for step files.
    """

    paths: list[Path]
    rows: int
    world: TutorWorld
    students: pl.DataFrame
    attempts: pl.DataFrame
    steps: pl.DataFrame
    transactions: pl.DataFrame = field(default_factory=pl.DataFrame)


def with_names(log: pl.DataFrame, world: TutorWorld) -> pl.DataFrame:
    """Add the names under which students, sections, problems and steps are published."""
    section = pl.col("problem") // world.problems_per_section
    number = section.cast(pl.String).str.zfill(3)
    unit = (section // 3).cast(pl.String).str.zfill(2)
    return log.with_columns(
        student_id=student_ids(),
        unit=pl.concat_str(pl.lit("TUTOR-"), unit),
        section=pl.concat_str(pl.lit("TUTOR-"), unit, pl.lit("-"), number),
        problem_name=pl.concat_str(
            pl.lit("P-"), (pl.col("problem") % world.problems_per_section).cast(pl.String).str.zfill(4)
        ),
        problem_view="view",
        step_name=pl.concat_str(
            pl.lit("S"), pl.col("template").cast(pl.String), pl.lit("-"), pl.col("position").cast(pl.String)
        ),
    ).with_columns(problem_hierarchy=pl.concat_str(pl.lit("Unit "), "unit", pl.lit(", Section "), "section"))


def student_ids() -> pl.Expr:
    """Return an expression that writes the number in ``student`` as a student's name."""
    return pl.concat_str(pl.lit("stu_5e"), pl.col("student").cast(pl.String).str.zfill(8))


def gather_truth(
    paths: list[Path],
    rows: int,
    world: TutorWorld,
    named: Sequence[pl.DataFrame],
    transactions: Sequence[pl.DataFrame] = (),
) -> SyntheticTutor:
    """Turn named logs into frames of attempts and steps."""
    students = pl.DataFrame(
        {
            "student": np.arange(world.student_group.size),
            "group": world.student_group,
            "mastery": world.mastery,
        }
    ).select("group", pl.col("mastery").arr.to_list(), student_id=student_ids())
    if not named:
        return SyntheticTutor(paths, rows, world, students, pl.DataFrame(), pl.DataFrame())
    key = ["student_id", "problem_hierarchy", "problem_name", "problem_view"]
    log = pl.concat(named).unique([*key, "step_name"], maintain_order=True)
    steps = log.select(
        *key,
        "step_name",
        *("probability", "is_correct", "first_attempt", "incorrects", "hints", "corrects"),
        *("opportunity_0", "opportunity_1"),
    )
    names = dict(enumerate(world.kc_names))
    usual = world.problem_templates[np.arange(len(world.usual)), world.usual]
    by_code = [[world.kc_names[kc] for kc in strategy] for strategy in world.template_strategy]
    attempts = (
        log.sort("student", "attempt_number", "first_second", "position", maintain_order=True)
        .group_by("student", "attempt_number", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in key),
            *(pl.col(name).first() for name in ("problem", "template", "is_random", "is_held_out")),
            strategy=pl.concat_list("kc_0", "kc_1").explode(),
        )
        .with_columns(
            group=pl.lit(pl.Series(world.student_group)).gather(pl.col("student")),
            strategy=pl.col("strategy").list.eval(
                pl.element()
                .filter(pl.element() != NO_KC)
                .replace_strict(names, return_dtype=pl.String, default=None)
            ),
            usual_template=pl.lit(pl.Series(usual)).gather(pl.col("problem")),
        )
        .with_columns(
            usual_strategy=pl.lit(pl.Series(by_code)).gather(pl.col("usual_template")),
            is_departure=pl.col("template") != pl.col("usual_template"),
        )
        .drop("student", "problem", "usual_template")
    )
    written = pl.concat(transactions) if transactions else pl.DataFrame()
    return SyntheticTutor(paths, rows, world, students, attempts, steps, written)
