"""Write synthetic tutor logs as the KDD Cup 2010 published them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import polars as pl

from edpipe.sources.synthetic.tutor_columns import check_amounts, kc_cells, step_times
from edpipe.sources.synthetic.tutor_log import draw_log
from edpipe.sources.synthetic.tutor_truth import SyntheticTutor, gather_truth, with_names
from edpipe.sources.synthetic.tutor_world import TutorWorld

BLANK_IN_TEST: Final = (
    "Step Start Time",
    "First Transaction Time",
    "Correct Transaction Time",
    "Step End Time",
    "Step Duration (sec)",
    "Correct Step Duration (sec)",
    "Error Step Duration (sec)",
    "Correct First Attempt",
    "Incorrects",
    "Hints",
    "Corrects",
)


def write_kddcup(
    folder: Path,
    world: TutorWorld,
    *,
    name: str = "synthetic",
    sections_per_student: int = 4,
    problems_per_student: int = 8,
    test_share: float = 0.9,
    with_master: bool = False,
    keep_truth: bool = True,
) -> SyntheticTutor:
    """Write ``<name>_train.txt`` and ``<name>_test.txt`` with the 21 columns of Bridge to Algebra 2008-09.

    Times, durations and counts are blank in the test file; ``<name>_master.txt`` has them. ``Row`` counts
    over all files. The same arguments give the same bytes; memory does not grow with the number of
    students unless the truth is kept.

    Parameters
    ----------
    folder
        Where the files go.
    world
        Students and problems, from :func:`draw_tutor_world`.
    name
        Begin it with ``synthetic``: the format has no other place to say so.
    sections_per_student, problems_per_student
        Sections a student works in, and problems at most in each.
    test_share
        Share of a student's sections with one problem in the test file, in [0, 1].
    with_master
        Whether to write the test rows with their labels, too.
    keep_truth
        Whether to return attempts and steps.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    check_amounts(sections_per_student, problems_per_student, test_share)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = ["train", "test", *(["master"] if with_master else [])]
    paths = {kind: folder / f"{name}_{kind}.txt" for kind in kinds}
    named: list[pl.DataFrame] = []
    rows = 0
    with ExitStack() as stack:
        files = {kind: stack.enter_context(path.open("wb")) for kind, path in paths.items()}
        logs = draw_log(
            world,
            sections_per_student=sections_per_student,
            problems_per_student=problems_per_student,
            test_share=test_share,
        )
        for number, drawn in enumerate(logs):
            log = with_names(drawn, world)
            table = _table(log, world, rows)
            held_out = table.filter(log["is_held_out"])
            parts = {
                "train": table.filter(~log["is_held_out"]),
                "test": held_out.with_columns(pl.lit(None).alias(column) for column in BLANK_IN_TEST),
                "master": held_out,
            }
            for kind, file in files.items():
                parts[kind].write_csv(file, separator="\t", include_header=number == 0)
            rows += log.height
            if keep_truth:
                named.append(log)
    return gather_truth(list(paths.values()), rows, world, named)


def _table(log: pl.DataFrame, world: TutorWorld, rows: int) -> pl.DataFrame:
    kcs, numbers = kc_cells(world)
    traced, traced_numbers = kc_cells(world, is_traced=True)
    return log.select(
        pl.int_range(rows + 1, rows + 1 + pl.len()).alias("Row"),
        pl.col("student_id").alias("Anon Student Id"),
        pl.col("problem_hierarchy").alias("Problem Hierarchy"),
        pl.col("problem_name").alias("Problem Name"),
        pl.col("problem_view").alias("Problem View"),
        pl.col("step_name").alias("Step Name"),
        *(column.alias(name) for name, column in step_times(".0").items()),
        (pl.col("first_attempt") == "correct").cast(pl.Int64).alias("Correct First Attempt"),
        pl.col("incorrects").alias("Incorrects"),
        pl.col("hints").alias("Hints"),
        pl.col("corrects").alias("Corrects"),
        kcs.alias("KC(SubSkills)"),
        numbers.alias("Opportunity(SubSkills)"),
        traced.alias("KC(KTracedSkills)"),
        traced_numbers.alias("Opportunity(KTracedSkills)"),
    )
