"""Write synthetic tutor logs as DataShop exports them: student-step roll-ups and transactions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from edpipe.sources.synthetic.tutor_columns import as_time, check_amounts, kc_cells, step_times
from edpipe.sources.synthetic.tutor_log import LONGEST_GAP, draw_log
from edpipe.sources.synthetic.tutor_transactions import (
    in_order,
    page_views,
    responses,
    saves,
    transaction_truth,
    without_duplicates,
)
from edpipe.sources.synthetic.tutor_truth import SyntheticTutor, gather_truth, with_names
from edpipe.sources.synthetic.tutor_world import NO_KC, TutorWorld

SAVE_SHARE: Final = 0.02
SAMPLE: Final = "All Data"
# A KC model has as many columns of its name as a step has KCs at most.
DEFAULT_KCS: Final = 3
TRANSACTION_HEADER: Final = (
    *("Row", "Sample Name", "Transaction Id", "Anon Student Id", "Session Id", "Time", "Time Zone"),
    *("Duration (sec)", "Student Response Type", "Student Response Subtype", "Tutor Response Type"),
    *("Tutor Response Subtype", "Level (Unit)", "Level (Section)", "Problem Name", "Problem View"),
    *("Problem Start Time", "Step Name", "Attempt At Step", "Is Last Attempt", "Outcome", "Selection"),
    *("Action", "Input", "Feedback Text", "Feedback Classification", "Help Level", "Total Num Hints"),
    *("Condition Name", "Condition Type"),
    *("KC (Default)", "KC Category (Default)") * DEFAULT_KCS,
    *("KC (Single-KC)", "KC Category (Single-KC)", "KC (Unique-step)", "KC Category (Unique-step)"),
    *("School", "Class", "CF (tutor)"),
)
_HINTS: Final = 3


def write_datashop_steps(
    folder: Path,
    world: TutorWorld,
    *,
    name: str = "synthetic",
    sections_per_student: int = 4,
    problems_per_student: int = 8,
    keep_truth: bool = True,
) -> SyntheticTutor:
    """Write ``<name>_student_step.txt`` as DataShop rolls steps up at present.

    Three KC models stand in it: ``Default`` (as in the log, bookkeeping included), ``Single-KC`` and
    ``Unique-step``. Parameters as of :func:`write_kddcup`.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    check_amounts(sections_per_student, problems_per_student, 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_student_step.txt"
    named: list[pl.DataFrame] = []
    rows = 0
    with path.open("wb") as file:
        for log in _logs(world, sections_per_student, problems_per_student):
            table = _step_table(log, world, rows)
            table.write_csv(file, separator="\t", quote_style="never", include_header=rows == 0)
            rows += log.height
            if keep_truth:
                named.append(log)
    return gather_truth([path], rows, world, named)


def write_datashop_transactions(
    folder: Path,
    world: TutorWorld,
    *,
    name: str = "synthetic",
    sections_per_student: int = 4,
    problems_per_student: int = 8,
    keep_truth: bool = True,
) -> SyntheticTutor:
    """Write ``<name>_transactions.txt``, whose roll-up gives the steps of :func:`write_datashop_steps`.

    ``KC (Default)`` stands in the header three times, page views and saves that the tutor does not answer
    stand between the responses, and responses may have equal times. Parameters as of :func:`write_kddcup`.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    check_amounts(sections_per_student, problems_per_student, 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_transactions.txt"
    named: list[pl.DataFrame] = []
    truths: list[pl.DataFrame] = []
    rows = 0
    with path.open("wb") as file:
        file.write("\t".join(TRANSACTION_HEADER).encode() + b"\n")
        for number, log in enumerate(_logs(world, sections_per_student, problems_per_student)):
            done = responses(log)
            rng = np.random.default_rng([world.seed, 2, number])
            ordered = in_order([done, page_views(done), saves(done, SAVE_SHARE, rng)])
            table = _transaction_table(ordered, world, rows)
            table.write_csv(file, separator="\t", quote_style="never", include_header=False)
            rows += table.height
            if keep_truth:
                named.append(log)
                truths.append(transaction_truth(ordered))
    return gather_truth([path], rows, world, named, truths)


def _logs(world: TutorWorld, num_sections: int, num_problems: int) -> Iterator[pl.DataFrame]:
    """Yield named logs without rows that stand twice: a roll-up has none."""
    for log in draw_log(world, sections_per_student=num_sections, problems_per_student=num_problems):
        yield with_names(without_duplicates(log), world)


def _step_table(log: pl.DataFrame, world: TutorWorld, rows: int) -> pl.DataFrame:
    kcs, numbers = kc_cells(world)
    times = step_times()
    unique = _unique_step()
    count = pl.sum_horizontal([(pl.col(f"kc_{c}") != NO_KC).cast(pl.UInt32) for c in range(DEFAULT_KCS)])
    # A fitted model of DataShop would give an error rate a KC; here each is that of the step.
    rate = (1 - pl.col("probability")).round(4).cast(pl.String)
    in_time = pl.col("first_second").rank("ordinal")
    return log.select(
        pl.int_range(rows + 1, rows + 1 + pl.len()).alias("Row"),
        pl.lit(SAMPLE).alias("Sample"),
        pl.col("student_id").alias("Anon Student Id"),
        pl.col("problem_hierarchy").alias("Problem Hierarchy"),
        pl.col("problem_name").alias("Problem Name"),
        pl.col("problem_view").alias("Problem View"),
        pl.col("step_name").alias("Step Name"),
        *(
            (_dotted(column) if title.endswith("(sec)") else column).alias(title)
            for title, column in times.items()
        ),
        pl.col("first_attempt").alias("First Attempt"),
        pl.col("incorrects").alias("Incorrects"),
        pl.col("hints").alias("Hints"),
        pl.col("corrects").alias("Corrects"),
        pl.lit(".").alias("Condition"),
        kcs.alias("KC (Default)"),
        numbers.alias("Opportunity (Default)"),
        rate.repeat_by(count).list.join("~~").alias("Predicted Error Rate (Default)"),
        pl.lit("Single-KC").alias("KC (Single-KC)"),
        in_time.over("student").alias("Opportunity (Single-KC)"),
        rate.alias("Predicted Error Rate (Single-KC)"),
        unique.alias("KC (Unique-step)"),
        in_time.over("student", unique).alias("Opportunity (Unique-step)"),
        rate.alias("Predicted Error Rate (Unique-step)"),
    )


def _transaction_table(rows: pl.DataFrame, world: TutorWorld, before: int) -> pl.DataFrame:
    is_response = pl.col("kind").is_in(["correct", "incorrect", "hint"])
    is_hint = pl.col("kind") == "hint"
    gap = pl.col("second") - pl.col("second").shift(1).over("student")
    number = pl.int_range(before + 1, before + 1 + pl.len())
    names = pl.lit(pl.Series(world.kc_names))
    kcs = [
        pl.when(is_response & (pl.col(f"kc_{c}") != NO_KC)).then(names.gather(pl.col(f"kc_{c}").clip(0)))
        for c in range(DEFAULT_KCS)
    ]
    empty = pl.lit("")

    def told(response: str | pl.Expr, hint: str, page: str, save: str) -> pl.Expr:
        usual = pl.lit(response) if isinstance(response, str) else response
        marks = pl.when(pl.col("kind") == "view_page").then(pl.lit(page)).otherwise(pl.lit(save))
        return pl.when(is_hint).then(pl.lit(hint)).when(is_response).then(usual).otherwise(marks)

    cells = [
        number,
        pl.lit(SAMPLE),
        pl.concat_str(pl.lit("5e"), number.cast(pl.String).str.zfill(30)),
        pl.col("student_id"),
        pl.concat_str("student_id", pl.lit("-day-"), pl.col("second") // 86_400),
        as_time("second"),
        pl.lit("UTC"),
        _dotted(pl.when(gap <= LONGEST_GAP).then(gap)),
        told("ATTEMPT", "HINT_REQUEST", "VIEW_PAGE", "SAVE_ATTEMPT"),
        empty,
        told("RESULT", "HINT_MSG", "", ""),
        empty,
        pl.col("unit"),
        pl.col("section"),
        pl.col("problem_name"),
        pl.col("problem_view"),
        as_time("problem_second"),
        pl.col("step_name"),
        pl.col("attempt_at_step"),
        pl.col("is_last").cast(pl.Int64),
        pl.when(is_response).then(pl.col("kind").str.to_uppercase()),
        told(pl.col("step_name"), "hint", "", "SaveButton"),
        told("UpdateTextField", "HintRequest", "Navigation", "Save"),
        told(pl.concat_str(pl.lit('the "'), "kind_number", pl.lit('" try')), "", "", ""),
        told(pl.col("kind").str.to_titlecase(), "Think of the rule.", "", ""),
        empty,
        pl.when(is_hint).then(pl.col("kind_number")),
        pl.when(is_response).then(_HINTS),
        pl.lit("group"),
        pl.lit("control"),
        *(cell for kc in kcs for cell in (kc, empty)),
        pl.when(is_response).then(pl.lit("Single-KC")),
        empty,
        pl.when(is_response).then(_unique_step()),
        empty,
        pl.lit("Synthetic"),
        empty,
        pl.lit("edpipe"),
    ]
    # Names in the header are repeated, so columns have numbers here.
    return rows.with_columns(problem_second=pl.col("second").min().over("student", "attempt_number")).select(
        cell.alias(f"c{place}") for place, cell in enumerate(cells)
    )


def _unique_step() -> pl.Expr:
    return pl.concat_str(pl.lit("KC"), "problem", pl.lit("-"), "step")


def _dotted(seconds: pl.Expr) -> pl.Expr:
    """Write a duration, and a dot where it is not known."""
    return seconds.cast(pl.String).fill_null(".")
