"""Pairs of student and problem that nobody has seen yet, as attempts that a predictor can be asked about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from edpipe.datasets.strategy import ATTEMPT_SCHEMA, OBSERVATION_SCHEMA, Places, StrategyDataset
from edpipe.errors import ContractError
from edpipe.prediction.known import Known

COLUMNS = ("student_id", "problem_id", "section_id")
NO_SECTION = ""
NO_QUESTION = -1


@dataclass(frozen=True, slots=True, eq=False)
class AskedAttempts:
    """A dataset whose attempts are asked about, after everything that their students have done.

    Attributes
    ----------
    dataset
        One attempt a question; before those of a student who is known, the attempts that are known, with
        their counts. None has a strategy.
    rows
        Attempts that were asked about, rising. Shape ``(n,)``.
    order
        Place of each of ``rows`` among the questions. Shape ``(n,)``.
    """

    dataset: StrategyDataset
    rows: Places
    order: Places


def asked_attempts(known: Known, asked: pl.DataFrame) -> AskedAttempts:
    """Return questions as attempts.

    Parameters
    ----------
    known
        Ids and answers so far.
    asked
        ``student_id, problem_id`` and, where a problem may be unknown, ``section_id``. Unknown students,
        problems and sections are taken as new ones.

    Raises
    ------
    ContractError
        If a column is missing or an id is null.
    """
    asked = _checked(asked)
    students, student = _codes(known.student_ids, asked["student_id"])
    sections, given_section = _codes(known.section_ids, asked["section_id"])
    problems, problem = _codes(known.problem_ids, asked["problem_id"])
    is_known = problem < len(known.problem_ids)
    section = given_section.copy()
    section[is_known] = known.problem_section[problem[is_known]]
    problem_section = np.zeros(len(problems), dtype=np.int32)
    problem_section[problem] = section
    problem_section[: len(known.problem_section)] = known.problem_section
    codes = {"student": student, "section": section, "problem": problem}
    done = known.attempts.with_row_index("known").filter(pl.col("student").is_in(np.unique(student)))
    questions = pl.concat(
        [
            done.select(pl.col(*codes, "known").cast(pl.Int64), question=pl.lit(NO_QUESTION, dtype=pl.Int64)),
            pl.DataFrame({**codes, "known": len(known.attempts), "question": np.arange(len(asked))}).cast(
                pl.Int64
            ),
        ]
    ).sort("student", "known", "question")
    attempts = questions.select(
        attempt_key=pl.int_range(pl.len(), dtype=pl.Int64),
        student="student",
        section="section",
        problem="problem",
        problem_view=pl.lit(1),
        attempt_number=pl.int_range(1, pl.len() + 1).over("student"),
        started_at=pl.lit(None),
        split=pl.lit("asked"),
        published_split=pl.lit(None),
    ).select(pl.col(name).cast(kind) for name, kind in ATTEMPT_SCHEMA.items())
    dataset = StrategyDataset(
        source=known.source,
        attempts=attempts,
        step_start=np.zeros(len(attempts) + 1, dtype=np.int64),
        kc_start=np.zeros(1, dtype=np.int64),
        kcs=np.zeros(0, dtype=np.int32),
        observations=_answers(known, questions),
        problem_section=problem_section,
        student_ids=students,
        section_ids=sections,
        problem_ids=problems,
        kc_ids=known.kc_ids,
    )
    question = questions["question"].to_numpy()
    rows = np.flatnonzero(question != NO_QUESTION)
    return AskedAttempts(dataset, rows, question[rows])


def _checked(asked: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in COLUMNS[:2] if name not in asked.columns]
    if missing:
        raise ContractError(
            f"The questions lack `{'`, `'.join(missing)}`.",
            where="input of the model",
            found=", ".join(asked.columns),
            expected=", ".join(COLUMNS),
        )
    if "section_id" not in asked.columns:
        asked = asked.with_columns(section_id=pl.lit(NO_SECTION))
    asked = asked.select(pl.col(COLUMNS).cast(pl.String)).with_columns(
        pl.col("section_id").fill_null(NO_SECTION)
    )
    if asked["student_id"].null_count() or asked["problem_id"].null_count():
        raise ContractError(
            "A question names no student or no problem.",
            where="input of the model",
            found=f"{asked.null_count().row(0)!r} nulls",
            expected="both in every row",
        )
    return asked


def _codes(known: tuple[str, ...], asked: Iterable[str]) -> tuple[tuple[str, ...], Places]:
    """Return the known ids with the new ones behind them, and the code of each that was asked about."""
    code = {name: number for number, name in enumerate(known)}
    found = [code.setdefault(name, len(code)) for name in asked]
    return tuple(code), np.array(found, dtype=np.int64)


def _answers(known: Known, questions: pl.DataFrame) -> pl.DataFrame:
    """Put the counts of each known attempt to its new place."""
    place = questions.with_row_index("place").filter(pl.col("question") == NO_QUESTION)
    return (
        known.answers.join(
            place.select("place", attempt=pl.col("known").cast(pl.Int32)), on="attempt", how="inner"
        )
        .with_columns(attempt=pl.col("place"), prior_scored=pl.lit(0), prior_correct=pl.lit(0))
        .select(pl.col(name).cast(kind) for name, kind in OBSERVATION_SCHEMA.items())
        .sort("attempt", "kc")
    )
