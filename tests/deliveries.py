"""Logs cut into deliveries: EdNet archives, tables of clicks and KDD Cup files, as published."""

from __future__ import annotations

import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.raw import read_manifest, relation_dir
from edpipe.settings import Settings
from edpipe.sources.clicks import ingest_clicks
from edpipe.sources.ednet import ingest_ednet
from edpipe.sources.landing import IngestReport
from edpipe.sources.tutor import ingest_tutor

KT1_HEADER = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
QUESTIONS = "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\n" + "".join(
    f"q{i},b{i // 2},e{i},a,{1 + i % 7},{i};{i + 1},1558093217098\n" for i in range(1, 7)
)
START = 1_500_000_000_000
STUDENTS = tuple(f"u{i}" for i in range(1, 6))
KDD_COLUMNS = (
    "Row",
    "Anon Student Id",
    "Problem Hierarchy",
    "Problem Name",
    "Problem View",
    "Step Name",
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
    "KC(Default)",
    "Opportunity(Default)",
)

# A row of a log: student, second, item from 1 to 6, and what came of it, 0 or 1.
Row = tuple[str, int, int, int]
Delivery = Sequence[Row]


def write_kt1(folder: Path, name: str, rows: Delivery) -> Path:
    by_student: dict[str, list[str]] = defaultdict(list)
    for student, second, item, answer in rows:
        by_student[student].append(f"{START + second * 1000},{second + 1},q{item},{'ab'[answer]},1000\n")
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("questions.csv", QUESTIONS)
        for student, lines in by_student.items():
            archive.writestr(f"KT1/{student}.csv", KT1_HEADER + "".join(lines))
    return path


def write_clicks(folder: Path, name: str, rows: Delivery) -> Path:
    lines = [f"{s},i{item},{1_500_000_000 + second},{['no', 'yes'][o]}\n" for s, second, item, o in rows]
    path = folder / f"{name}.csv"
    path.write_text("student_id,item_id,at,what\n" + "".join(lines))
    return path


def write_steps(folder: Path, name: str, rows: Delivery) -> Path:
    lines = ["\t".join(KDD_COLUMNS)]
    for number, (student, second, item, right) in enumerate(rows, 1):
        time = f"2005-09-09 12:{second // 60:02d}:{second % 60:02d}.0"
        values: dict[str, Any] = {
            "Row": number,
            "Anon Student Id": student,
            "Problem Hierarchy": "Unit A, Section B",
            "Problem Name": f"p{item // 2}",
            # A step met again is of a later view, as the publisher numbers them.
            "Problem View": 1 + second,
            "Step Name": f"x{item}",
            "Correct First Attempt": right,
            "Incorrects": 1 - right,
            "Hints": 0,
            "Corrects": 1,
            "KC(Default)": f"k{item % 3}~~k{item}",
            "Opportunity(Default)": "1~~1",
        } | {one: time for one in KDD_COLUMNS if one.endswith("Time")}
        values |= dict.fromkeys((one for one in KDD_COLUMNS if one.endswith("(sec)")), "1")
        lines.append("\t".join(str(values[column]) for column in KDD_COLUMNS))
    path = folder / f"{name}.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def add_kt1(settings: Settings, paths: Sequence[Path], **options: Any) -> IngestReport:
    return ingest_ednet(paths, settings, **{"add": True} | options)


def add_clicks(settings: Settings, paths: Sequence[Path], **options: Any) -> IngestReport:
    columns = {"time": "at", "outcome": "what"}
    given = {"add": True, "dataset": "shop"} | options
    return ingest_clicks(paths, settings, layout="columns", columns=columns, **given)


def add_steps(settings: Settings, paths: Sequence[Path], **options: Any) -> IngestReport:
    return ingest_tutor("kddcup", paths, settings, **{"add": True, "dataset": "algebra"} | options)


class Platform:
    """One source: how a delivery is written and read, and where its rows are."""

    def __init__(
        self,
        source: str,
        relation: str,
        write: Callable[[Path, str, Delivery], Path],
        add: Callable[..., IngestReport],
    ) -> None:
        self.source, self.relation, self.write, self.add = source, relation, write, add

    def __repr__(self) -> str:
        return self.source

    def manifest(self, settings: Settings) -> Any:
        return read_manifest(settings.raw_dir, self.source, self.relation)

    def rows(self, settings: Settings) -> pl.DataFrame:
        """Return what readers see, by student and place."""
        folder = relation_dir(settings.raw_dir, self.source, self.relation)
        files = [folder / shard.file for shard in self.manifest(settings).shards if shard.rows]
        order = ["student_id", "source_row"] if self.source == "ednet" else ["source_file", "source_row"]
        return pl.concat([pl.read_parquet(file) for file in files]).sort(order)


PLATFORMS = (
    Platform("ednet", "kt1", write_kt1, add_kt1),
    Platform("clicks", "behaviors", write_clicks, add_clicks),
    Platform("kddcup", "steps", write_steps, add_steps),
)


def union_of(deliveries: Sequence[Delivery]) -> Counter[Row]:
    """Return each row as often as in the delivery that has it most often: the rule, in one line."""
    union: Counter[Row] = Counter()
    for rows in deliveries:
        union |= Counter(rows)
    return union
