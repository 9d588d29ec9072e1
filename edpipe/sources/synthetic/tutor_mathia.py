"""Write synthetic tutor logs in the forms in which MATHia's were published."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

from edpipe.sources.synthetic.tutor_columns import as_time, check_amounts, kc_cells
from edpipe.sources.synthetic.tutor_log import LEARNING, draw_log
from edpipe.sources.synthetic.tutor_transactions import (
    autofilled,
    done_clicks,
    in_order,
    responses,
    transaction_truth,
)
from edpipe.sources.synthetic.tutor_truth import SyntheticTutor, gather_truth, with_names
from edpipe.sources.synthetic.tutor_world import NO_KC, TutorWorld

Form = Literal["raw", "tabs", "commas"]
DONE_SHARE: Final = 0.9
AUTOFILL_SHARE: Final = 0.1
_STATUS: Final = ("GRADUATED", "PROMOTED", "NOT_COMPLETED")


def write_mathia(
    folder: Path,
    world: TutorWorld,
    *,
    form: Form = "tabs",
    name: str = "synthetic_mathia",
    sections_per_student: int = 4,
    problems_per_student: int = 8,
    keep_truth: bool = True,
) -> SyntheticTutor:
    """Write one MATHia log.

    Every hint-level change is a row, untagged steps have no KC, a click on Done follows most attempts, and
    the comma-separated form has steps that the tutor filled in. These logs have no problem view, so no
    problem is met twice. Other parameters as of :func:`write_kddcup`.

    Parameters
    ----------
    form
        ``raw``: Carnegie Learning's lower-case CSV, times in milliseconds since 1970, ``<name>.csv``.
        ``tabs``: 19 tab-separated columns, ``<name>_transactions.txt``. ``commas``: the newer
        comma-separated form with ``CF (Is Autofilled)``, ``<name>.csv``.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    check_amounts(sections_per_student, problems_per_student, 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"{name}_transactions.txt" if form == "tabs" else f"{name}.csv")
    named: list[pl.DataFrame] = []
    truths: list[pl.DataFrame] = []
    rows = 0
    logs = draw_log(
        world,
        sections_per_student=sections_per_student,
        problems_per_student=problems_per_student,
        repeat_share=0,
    )
    with path.open("wb") as file:
        for number, drawn in enumerate(logs):
            log = with_names(drawn, world).with_columns(problem_hierarchy=_hierarchy(form))
            done = responses(log)
            rng = np.random.default_rng([world.seed, 3, number])
            parts = [done, done_clicks(done, DONE_SHARE, rng)]
            if form == "commas":
                parts.append(autofilled(done, AUTOFILL_SHARE, rng))
            ordered = in_order(parts)
            separator = "\t" if form == "tabs" else ","
            quotes: Literal["never", "necessary"] = "never" if form == "tabs" else "necessary"
            table = _table(_with_cells(ordered, world, rows), form)
            table.write_csv(file, separator=separator, quote_style=quotes, include_header=rows == 0)
            rows += table.height
            if keep_truth:
                named.append(log)
                truths.append(transaction_truth(ordered))
    return gather_truth([path], rows, world, named, truths)


def _hierarchy(form: Form) -> pl.Expr:
    """Return the hierarchy that the levels of a form make."""
    if form == "raw":
        return pl.concat_str(pl.lit("Assignment "), "unit", pl.lit(", Section "), "section")
    return pl.concat_str(pl.lit("Workspace Id "), "section")


def _with_cells(rows: pl.DataFrame, world: TutorWorld, before: int) -> pl.DataFrame:
    """Add what the forms have in common, in the words of the converted ones."""
    kcs, _ = kc_cells(world)
    kind = pl.col("kind")
    number = pl.int_range(before + 1, before + 1 + pl.len())
    is_first_hint = pl.col("kind_number") == 1
    # Known at opportunity n with chance 1 - (1 - m)(1 - l)^(n - 1), of the step's first KC.
    first = np.maximum(rows["kc_0"].to_numpy(), 0) % world.num_kcs
    mastery = pl.lit(pl.Series(world.mastery[rows["student"].to_numpy(), first]))
    is_tagged = (pl.col("kc_0") != NO_KC) & (kind != "done")

    def known(practice: pl.Expr) -> pl.Expr:
        return pl.when(is_tagged).then((1 - (1 - mastery) * (1 - LEARNING) ** practice).round(4))

    done = pl.col("opportunity_0") - 1
    hint = pl.when(is_first_hint).then(pl.lit("Hint Request")).otherwise(pl.lit("Hint Level Change"))
    wrong = pl.when(pl.col("step") % 3 == 0).then(pl.lit("JIT")).otherwise(pl.lit("ERROR"))
    return rows.with_columns(
        kc=pl.when(kind != "done").then(kcs),
        action=pl.when(kind == "done")
        .then(pl.lit("Done"))
        .when(kind == "hint")
        .then(hint)
        .otherwise(pl.lit("Attempt")),
        tutor_outcome=pl.when(kind == "hint")
        .then(pl.when(is_first_hint).then(pl.lit("INITIAL_HINT")).otherwise(pl.lit("HINT_LEVEL_CHANGE")))
        .when(kind == "incorrect")
        .then(wrong)
        .otherwise(pl.lit("OK")),
        input=pl.when(kind.is_in(["correct", "incorrect"])).then(
            pl.concat_str(pl.lit("3,5 "), "kind_number")
        ),
        help_level=pl.when(kind == "hint").then("kind_number").otherwise(0),
        attempt=pl.col("attempt_at_step").fill_null(1),
        rule=pl.when(is_tagged).then(pl.concat_str(pl.lit("rule-"), "step")),
        known_before=known(done),
        known_after=known(done + 1),
        status=pl.lit(pl.Series(_STATUS)).gather((pl.col("student") + pl.col("problem")) % len(_STATUS)),
        event=pl.concat_str(pl.lit("5e-"), number.cast(pl.String).str.zfill(12)),
    )


def _table(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    return rows.select(_raw_columns() if form == "raw" else _columns(form))


def _raw_columns() -> list[pl.Expr]:
    def or_na(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).fill_null("NA")

    return [
        pl.col("unit").alias("assignmentid"),
        pl.col("student_id").alias("ctcontextid"),
        pl.col("event").alias("semanticeventid"),
        or_na("kc").alias("skillid"),
        or_na("rule").alias("ruleid"),
        pl.col("step_name").alias("goalnodeid"),
        (pl.col("second") * 1000).alias("servertime"),
        pl.col("attempt"),
        pl.col("action"),
        pl.col("tutor_outcome").alias("tutoroutcome"),
        pl.when(pl.col("kind") == "hint").then("help_level").alias("helplevel"),
        pl.col("input"),
        or_na("known_before").alias("skillpreviouspknown"),
        or_na("known_after").alias("skillnewpknown"),
        pl.col("section").alias("sectionname"),
        pl.col("status").alias("sectionprogressstatus"),
        pl.col("problem_name").alias("problemid"),
        pl.lit("synthetic").alias("schoolid"),
    ]


def _columns(form: Form) -> list[pl.Expr]:
    selection = (
        pl.when(pl.col("action") == "Done")
        .then(pl.lit("Done Button"))
        .when(pl.col("kind") == "hint")
        .then(pl.lit("Hint Request dummy"))
        .otherwise("action")
    )
    columns = [
        pl.col("student_id").alias("Anon Student Id"),
        pl.lit("session1").alias("Session Id"),
        as_time("second", ".0" if form == "tabs" else "").alias("Time"),
        pl.col("section").alias("Level (Workspace Id)"),
        pl.col("problem_name").alias("Problem Name"),
        pl.col("step_name").alias("Step Name"),
        selection.alias("Selection"),
        pl.col("action").alias("Action"),
        pl.col("input").alias("Input"),
        pl.col("tutor_outcome").replace("JIT", "BUG").alias("Outcome"),
        pl.col("help_level").alias("Help Level"),
        pl.col("attempt").alias("Attempt At Step"),
        pl.col("kc").alias("KC Model(MATHia)"),
        pl.col("rule").alias("CF (Ruleid)"),
        pl.lit(None, dtype=pl.String).alias("CF (Etalon)"),
        pl.col("known_before").alias("CF (Skill Previous p-Known)"),
        pl.col("known_after").alias("CF (Skill New p-Known)"),
        pl.col("status").alias("CF (Workspace Progress Status)"),
        pl.col("event").alias("CF (Semantic Event Id)"),
    ]
    if form == "tabs":
        return columns
    is_filled = pl.when(pl.col("kind") == "autofilled").then(pl.lit("TRUE")).otherwise(pl.lit("FALSE"))
    return [
        *columns,
        pl.lit("school-1").alias("CF (Anon School Id)"),
        pl.concat_str(pl.lit("class-"), pl.col("student") % 5).alias("CF (Anon Class Id)"),
        is_filled.alias("CF (Is Autofilled)"),
        pl.lit("synthetic, no scenario").alias("CF (Problem Scenario Tags)"),
    ]
