"""Spread synthetic steps out into the transactions that their counts sum up."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

# Between two responses there is room for what is no response: see `in_order`.
PAGE_VIEW, RESPONSE, SAVE, AUTOFILL, DONE = range(5)
_SLOTS: Final = 5
KEY: Final = ("student_id", "problem_hierarchy", "problem_name", "problem_view")


def without_duplicates(log: pl.DataFrame) -> pl.DataFrame:
    """Return the steps of a log once each, in file order."""
    return log.unique(["student", "attempt_number", "position"], keep="first", maintain_order=True)


def responses(log: pl.DataFrame) -> pl.DataFrame:
    """Return one row a response of the steps in ``log``, in the order of action.

    A step whose first attempt is a hint begins with its hints, another with its incorrect attempts; what
    is correct comes last. Added are ``kind`` (incorrect, hint or correct), ``attempt_at_step`` and
    ``kind_number`` from 1, ``is_last`` of the step, ``second`` since 1970 and ``place``, by which rows of
    all kinds are ordered.
    """
    steps = without_duplicates(log).sort("student", "first_second", maintain_order=True)
    count = steps.select(pl.sum_horizontal("incorrects", "hints", "corrects")).to_series().to_numpy()
    step = np.repeat(np.arange(count.size), count)
    number = np.arange(step.size) - (np.cumsum(count) - count)[step]
    is_hint_first = pl.col("first_attempt") == "hint"
    before = pl.when(is_hint_first).then("hints").otherwise("incorrects")
    wrong = pl.col("incorrects") + pl.col("hints")
    is_hint = (pl.col("number") < before) == is_hint_first
    return (
        steps[step]
        .with_columns(number=pl.Series(number), place=pl.Series(np.arange(step.size) * _SLOTS + RESPONSE))
        .with_columns(
            kind=pl.when(pl.col("number") >= wrong)
            .then(pl.lit("correct"))
            .when(is_hint)
            .then(pl.lit("hint"))
            .otherwise(pl.lit("incorrect")),
            attempt_at_step=pl.col("number") + 1,
            is_last=pl.col("number") + 1 == wrong + pl.col("corrects"),
            second=pl.col("first_second") + pl.col("number") * pl.col("seconds_each"),
        )
        .with_columns(
            kind_number=pl.int_range(1, pl.len() + 1).over("student", "attempt_number", "position", "kind")
        )
        .drop("number")
    )


def page_views(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a view of the page before each attempt's first response, at the same second."""
    first = rows.unique(["student", "attempt_number"], keep="first", maintain_order=True)
    return _marks(first, "view_page", PAGE_VIEW)


def saves(rows: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    """Return, after a share of the responses, a save that the tutor does not answer."""
    return _marks(rows.filter(pl.Series(rng.random(rows.height) < share)), "save", SAVE)


def done_clicks(rows: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    """Return a click on Done after the last response of a share of the attempts."""
    last = rows.unique(["student", "attempt_number"], keep="last", maintain_order=True)
    return _marks(last.filter(pl.Series(rng.random(last.height) < share)), "done", DONE)


def autofilled(rows: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    """Return a step that the tutor filled in itself, with the KCs of the last, after a share of attempts."""
    last = rows.unique(["student", "attempt_number"], keep="last", maintain_order=True)
    chosen = last.filter(pl.Series(rng.random(last.height) < share))
    return _marks(chosen, "autofilled", AUTOFILL).with_columns(
        step_name=pl.concat_str(pl.lit("A"), pl.col("template").cast(pl.String)),
        attempt_at_step=pl.lit(1, dtype=pl.Int64),
    )


def in_order(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return responses and what stands between them in the order of action."""
    columns = parts[0].columns
    return pl.concat([part.select(columns) for part in parts]).sort("place", maintain_order=True)


def transaction_truth(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what :class:`SyntheticTutor` tells of each transaction."""
    return rows.select(*KEY, "step_name", "kind", "attempt_at_step", "second")


def _marks(rows: pl.DataFrame, kind: str, slot: int) -> pl.DataFrame:
    """Turn responses into rows of another kind at their place, without a step."""
    return rows.with_columns(
        step_name=pl.lit(None, dtype=pl.String),
        kind=pl.lit(kind),
        attempt_at_step=pl.lit(None, dtype=pl.Int64),
        kind_number=pl.lit(None, dtype=pl.Int64),
        is_last=pl.lit(None, dtype=pl.Boolean),
        place=pl.col("place") - RESPONSE + slot,
    )
