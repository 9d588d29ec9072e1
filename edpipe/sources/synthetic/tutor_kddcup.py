"""Write synthetic tutor logs as the KDD Cup 2010 published them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import polars as pl

from edpipe.errors import SettingsError
from edpipe.sources.synthetic.tutor_log import draw_log
from edpipe.sources.synthetic.tutor_truth import SyntheticTutor, gather_truth, with_names
from edpipe.sources.synthetic.tutor_world import NO_KC, TutorWorld

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

    Times, durations and counts are blank in the test file; ``<name>_master.txt`` has them. ``Row`` counts over
    all files. The same arguments give the same bytes; memory does not grow with the number of students
    unless the truth is kept.

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
        for number, log in enumerate(logs):
            log = with_names(log, world)
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


def check_amounts(num_sections: int, num_problems: int, test_share: float) -> None:
    """Refuse amounts of work that cannot be.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    if min(num_sections, num_problems) < 1 or not 0 <= test_share <= 1:
        raise SettingsError(
            "The work of synthetic tutor students is out of range.",
            where="`sections_per_student`, `problems_per_student`, `test_share`",
            found=f"{num_sections}, {num_problems}, {test_share}",
            expected="1 or more sections and problems, a share in [0, 1]",
            next_step="Choose others.",
        )


def step_times(zero: str = "") -> dict[str, pl.Expr]:
    """Return the columns of times, ``zero`` behind the seconds, and of durations in seconds."""
    duration = pl.col("end_second") - pl.col("start_second")
    is_right = pl.col("first_attempt") == "correct"
    return {
        "Step Start Time": as_time("start_second", zero),
        "First Transaction Time": as_time("first_second", zero),
        "Correct Transaction Time": as_time("correct_second", zero),
        "Step End Time": as_time("end_second", zero),
        "Step Duration (sec)": duration,
        "Correct Step Duration (sec)": pl.when(is_right).then(duration),
        "Error Step Duration (sec)": pl.when(~is_right).then(duration),
    }


def as_time(column: str, zero: str = "") -> pl.Expr:
    """Return seconds since 1970 as text."""
    return pl.from_epoch(column, time_unit="s").dt.strftime("%Y-%m-%d %H:%M:%S" + zero)


def kc_cells(world: TutorWorld, *, is_traced: bool = False) -> tuple[pl.Expr, pl.Expr]:
    """Return cells of KC names and of opportunities, parallel, joined by ``~~``.

    A small share of steps has its two KCs in falling order. Traced names end in ``-1``, and bookkeeping is not
    traced.
    """
    suffix = "-1" if is_traced else ""
    names = pl.Series([name + suffix for name in world.kc_names])
    columns = (0, 1) if is_traced else (0, 1, 2)

    def joined(cells: dict[int, pl.Expr]) -> pl.Expr:
        rising = pl.concat_str([cells[c] for c in columns], separator="~~", ignore_nulls=True)
        falling = pl.concat_str([cells[c] for c in (1, 0, *columns[2:])], separator="~~", ignore_nulls=True)
        cell = pl.when("is_written_reversed").then(falling).otherwise(rising)
        return pl.when(cell != "").then(cell)

    has = {c: pl.col(f"kc_{c}") != NO_KC for c in columns}
    kcs = {c: pl.when(has[c]).then(pl.lit(names).gather(pl.col(f"kc_{c}").clip(0))) for c in columns}
    numbers = {c: pl.when(has[c]).then(pl.col(f"opportunity_{c}").cast(pl.String)) for c in columns}
    return joined(kcs), joined(numbers)


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
