"""Scores per mastery group: whether weak students are served as well as strong ones.

A student's group comes from the share of right answers among the first answers of the history; scores
then count only the later answers. Both halves of that rule matter: a group from all answers would be
made of the very labels it is scored on (the weakest third would always look over-predicted), and test
students have no other history, since a student is wholly in one split.

Predictive equality asks that the false positive rate, the share of wrong answers predicted right, is the
same in every group. The gap is the largest rate minus the smallest.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from edpipe.evaluation.bootstrap import Scores
from edpipe.evaluation.metrics import Float

GROUPS = ("low", "middle", "high")
NUM_FIRST = 20
GROUP_SCHEMA = {
    "student_key": pl.Int32,
    "group": pl.String,
    "ability": pl.Float64,
    "first_scored": pl.Int64,
}


def mastery_groups(answers: pl.DataFrame, *, num_first: int = NUM_FIRST) -> pl.DataFrame:
    """Put students into thirds by the share of right answers at the start of their history.

    The start is the first ``num_first`` answers, or half of a shorter history. Students with one answer
    are left out. Ties in the share are broken by student key, so that thirds are equal in size.

    Parameters
    ----------
    answers
        ``student_key, interaction_number, is_correct``, in any order.
    num_first
        Most answers that decide the group.

    Returns
    -------
    DataFrame
        ``student_key, group, ability`` (share right at the start), ``first_scored`` (the interaction
        number from which answers are scored), by student.
    """
    place = pl.int_range(pl.len()).over("student_key")
    start = pl.min_horizontal(pl.lit(num_first), pl.len().over("student_key") // 2)
    ordered = answers.sort("student_key", "interaction_number").with_columns(place=place, start=start)
    students = (
        ordered.filter(pl.col("start") > 0)
        .group_by("student_key")
        .agg(
            ability=pl.col("is_correct").filter(pl.col("place") < pl.col("start")).cast(pl.Float64).mean(),
            first_scored=pl.col("interaction_number")
            .filter(pl.col("place") >= pl.col("start"))
            .min()
            .cast(pl.Int64),
        )
        .sort("ability", "student_key")
    )
    third = pl.int_range(pl.len()) * len(GROUPS) // pl.len()
    named = third.replace_strict(dict(enumerate(GROUPS)), return_dtype=pl.String)
    grouped = students.with_columns(group=named) if len(students) else students.with_columns(group=pl.lit(""))
    return grouped.select(pl.col(name).cast(kind) for name, kind in GROUP_SCHEMA.items()).sort("student_key")


def scored_rows(predictions: pl.DataFrame, groups: pl.DataFrame, group: str) -> pl.DataFrame:
    """Return the rows of one group's students after the answers that decided the group."""
    members = groups.filter(pl.col("group") == group).select(
        pl.col("student_key").cast(predictions.schema["student_key"]), "first_scored"
    )
    return (
        predictions.join(members, on="student_key", how="inner", maintain_order="left")
        .filter(pl.col("interaction_number") >= pl.col("first_scored"))
        .drop("first_scored")
    )


def gap(groups: dict[str, Scores], metric: str) -> tuple[float, Float]:
    """Return the largest minus the smallest value of a metric over groups, and its draws.

    Groups hold different students, so each is drawn on its own and draws are paired by position.
    """
    values = np.array([scores.values[metric] for scores in groups.values()])
    draws = np.stack([scores.draws[metric] for scores in groups.values()])
    spread = draws.max(axis=0) - draws.min(axis=0) if draws.size else np.empty(0)
    return float(values.max() - values.min()), spread
