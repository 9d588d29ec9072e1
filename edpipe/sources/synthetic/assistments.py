"""Write synthetic answers in the three ASSISTments layouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from edpipe.errors import SettingsError
from edpipe.sources.synthetic.contents import Contents, make_contents
from edpipe.sources.synthetic.history import draw_rows, draw_visits
from edpipe.sources.synthetic.learning import draw_answers
from edpipe.sources.synthetic.students import draw_students

AssistmentsName = Literal["akt", "dkt", "skill_builder"]
LAYOUTS: Final[tuple[AssistmentsName, ...]] = get_args(AssistmentsName)
MOST_KCS: Final = 2
SPLITS: Final = (("train", 0.6), ("valid", 0.2), ("test", 0.2))
FIRST_USER: Final = 70_000
COLUMNS: Final = (
    "assignment_id,user_id,assistment_id,problem_id,original,correct,attempt_count,ms_first_response,"
    "tutor_mode,answer_type,sequence_id,student_class_id,base_sequence_id,skill_id,teacher_id,school_id,"
    "hint_count,hint_total,overlap_time,template_id,first_action,bottom_hint,opportunity,"
    "opportunity_original"
)


@dataclass(frozen=True, slots=True)
class SyntheticAssistments:
    """What was written, and the truth of it.

    Parameters
    ----------
    paths
        Files by layout.
    rows
        One entry a row (an answer and KC) in file order within the student: ``user, split, source_row,
        problem, kc, is_correct, probability, is_first_row, response_milliseconds, opportunity``. Users,
        problems and KCs are numbers as written in the four-line layout; the three-line layout counts
        KCs from 0.
    """

    paths: dict[str, list[Path]]
    rows: pl.DataFrame


def write_assistments(
    folder: Path,
    *,
    num_students: int,
    num_items: int = 200,
    seed: int = 7,
    layouts: Sequence[AssistmentsName] = LAYOUTS,
    interactions_per_student: float = 60.0,
    line_end: Literal["\n", "\r\n", "\r"] = "\n",
) -> SyntheticAssistments:
    r"""Write one set of synthetic answers in several layouts.

    A problem with two KCs stands in two neighbouring rows with the same answer, as in the published files.
    ``assist2009_pid_{train,valid,test}1.csv`` has four lines a student, ``builder_{train,test}.csv`` three
    (``valid`` students are in train), ``skill_builder_data.csv`` one line a row with the published header.

    Parameters
    ----------
    folder
        Where the files go.
    num_students
        Number of students, over all splits.
    num_items
        Number of problems.
    seed
        Seed of all draws; the same arguments give the same bytes.
    layouts
        Which of ``akt``, ``dkt`` and ``skill_builder`` to write.
    interactions_per_student
        Mean number of answers a student, before repetition by KC.
    line_end
        Line end of all files; a bare ``\r`` occurs in old copies of the skill-builder table.

    Raises
    ------
    SettingsError
        If a number is out of range or a layout is unknown.
    """
    writers: dict[AssistmentsName, Callable[[pl.DataFrame], dict[str, str]]] = {
        "akt": _akt,
        "dkt": _dkt,
        "skill_builder": _skill_builder,
    }
    unknown = [layout for layout in layouts if layout not in writers]
    if unknown:
        raise SettingsError(
            "A layout of ASSISTments is unknown.",
            where="`layouts`",
            found=", ".join(map(repr, unknown)),
            expected=", ".join(LAYOUTS),
            next_step="Choose from the known layouts.",
        )
    rows = _draw(num_students, num_items, interactions_per_student, np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, list[Path]] = {}
    for layout in layouts:
        for name, text in writers[layout](rows).items():
            path = folder / name
            path.write_bytes(text.replace("\n", line_end).encode("ascii"))
            paths.setdefault(layout, []).append(path)
    return SyntheticAssistments(paths=paths, rows=rows)


def _draw(num_students: int, num_items: int, mean: float, rng: np.random.Generator) -> pl.DataFrame:
    contents = _few_kcs(make_contents(num_items, rng))
    students = draw_students(num_students, mean, rng)
    visits = draw_visits(students, contents, rng)
    rows = draw_rows(visits, num_students, contents, rng)
    answers = draw_answers(students, rows, contents, 0.0, rng)
    count = np.diff(contents.kc_start)[rows.item]
    answer = np.repeat(np.arange(rows.item.size), count)
    place = np.arange(answer.size) - (np.cumsum(count) - count)[answer]
    names = [name for name, _ in SPLITS]
    split = rng.choice(len(names), num_students, p=[share for _, share in SPLITS])
    # Every split has a student if there are enough of them.
    split[: len(names)] = np.arange(len(names))[:num_students]
    student = rows.student[answer]
    return pl.DataFrame(
        {
            "user": FIRST_USER + students.number[student],
            "split": pl.Series(names).gather(split[student]),
            "problem": rows.item[answer] + 1,
            "kc": contents.item_kcs[contents.kc_start[rows.item[answer]] + place] + 1,
            "is_correct": answers.is_correct[answer],
            "probability": answers.probability[answer],
            "is_first_row": place == 0,
            "response_milliseconds": rows.elapsed[answer],
        }
    ).with_columns(
        source_row=pl.int_range(1, pl.len() + 1).over("user"),
        opportunity=pl.int_range(1, pl.len() + 1).over("user", "kc"),
    )


def _few_kcs(contents: Contents) -> Contents:
    """Leave every problem one or two KCs, as in ASSISTments; the first KC stands in for none."""
    sets = np.split(contents.item_kcs, contents.kc_start[1:-1])
    few = [kcs[:MOST_KCS] if kcs.size else np.zeros(1, dtype=np.int64) for kcs in sets]
    start = np.concatenate([[0], np.cumsum([kcs.size for kcs in few])])
    return replace(contents, kc_start=start, item_kcs=np.concatenate(few))


def _akt(rows: pl.DataFrame) -> dict[str, str]:
    files = {f"assist2009_pid_{name}1.csv": "" for name, _ in SPLITS}
    for index, ((user, split), group) in enumerate(rows.group_by("user", "split", maintain_order=True), 1):
        lists = [_joined(group[name]) for name in ("problem", "kc")] + [
            _joined(group["is_correct"].cast(int))
        ]
        files[f"assist2009_pid_{split}1.csv"] += "\n".join([f"{index},{user}", *lists, ""])
    return files


def _dkt(rows: pl.DataFrame) -> dict[str, str]:
    files = {"builder_train.csv": "", "builder_test.csv": ""}
    for (_, split), group in rows.group_by("user", "split", maintain_order=True):
        lists = [_joined(group["kc"] - 1) + ",", _joined(group["is_correct"].cast(int)) + ","]
        name = "builder_test.csv" if split == "test" else "builder_train.csv"
        files[name] += "\n".join([str(group.height), *lists, ""])
    return files


def _skill_builder(rows: pl.DataFrame) -> dict[str, str]:
    known = rows.select(
        user_id="user",
        problem_id="problem",
        original=pl.lit(1),
        correct=pl.col("is_correct").cast(int),
        attempt_count=2 - pl.col("is_correct").cast(int),
        ms_first_response="response_milliseconds",
        skill_id="kc",
        hint_count=pl.lit(0),
        opportunity="opportunity",
    )
    columns = [
        pl.col(name) if name in known.columns else pl.lit(1).alias(name) for name in COLUMNS.split(",")
    ]
    return {"skill_builder_data.csv": known.select(columns).write_csv()}


def _joined(values: pl.Series) -> str:
    return ",".join(map(str, values.to_list()))
