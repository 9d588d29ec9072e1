"""Take students out of files that were derived from them: predictions, runs, models, caches, reports."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import polars as pl

from edpipe.forgotten import Student
from edpipe.mastery.embedding import MANIFEST_FILE, load_embedding
from edpipe.prediction.known import ANSWERS_FILE, ATTEMPTS_FILE, IDS_FILE, Known
from edpipe.privacy.needles import Needles
from edpipe.settings import Settings

NOBODY: Final = ""
SCRUBBED: Final = "a forgotten student"
KNOWN_FOLDER: Final = "known"
_WRITING: Final = ".known-writing"
_WRITTEN: Final = ".known-written"


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What was done to one file or folder, in words, and to how many rows, ids, vectors or files."""

    path: Path
    what: str
    count: int


def scrub(settings: Settings, students: Sequence[Student], needles: Needles) -> list[Scrubbed]:
    """Take the students out of everything derived below home that edpipe writes; again, it finds nothing.

    Caches that are made anew by training are deleted whole, because they hold students by number. Vectors of
    a student become zeros, which mean: never met. The warehouse is not touched here.
    """
    done = [*_delete(settings.home / "datasets", settings.reports_dir, settings.home / "tmp")]
    folders = [settings.runs_dir, settings.home / "mlartifacts"]
    for folder in folders:
        _finish_known(folder)
        for ids in sorted(folder.rglob(IDS_FILE)):
            done += _scrub_known(settings, ids.parent, students)
    for folder in (*folders, settings.predictions_dir, settings.clusters_dir, settings.embeddings_dir):
        for path in sorted(folder.rglob("*")):
            scrub_file = _BY_SUFFIX.get(path.suffix)
            if scrub_file is not None and path.is_file():
                done += scrub_file(path, needles)
    return done


def _delete(*folders: Path) -> Iterator[Scrubbed]:
    for folder in folders:
        found = sum(path.is_file() for path in folder.rglob("*")) if folder.exists() else 0
        if found:
            shutil.rmtree(folder)
            yield Scrubbed(folder, "deleted: made anew when needed", found)


def _scrub_known(settings: Settings, folder: Path, students: Sequence[Student]) -> Iterator[Scrubbed]:
    """Take students out of what a predictor of strategies knows, and out of its embedding."""
    known = Known.load(folder)
    gone = {one.student_id for one in students if one.source == known.source}
    codes = [code for code, name in enumerate(known.student_ids) if name in gone]
    if not codes:
        return
    # The ids go last: until then a killed run finds the codes again.
    for embedding in _embeddings_of(settings, folder):
        yield from _zero_vectors(embedding, codes)
    attempts = known.attempts.with_row_index("row").filter(~pl.col("student").is_in(codes))
    places = attempts.select(
        attempt=pl.col("row").cast(pl.Int32), place=pl.int_range(pl.len(), dtype=pl.Int32)
    )
    answers = (
        known.answers.join(places, on="attempt", maintain_order="left")
        .with_columns(attempt="place")
        .select(known.answers.columns)
    )
    removed = known.attempts.height - attempts.height
    names = tuple(NOBODY if code in set(codes) else name for code, name in enumerate(known.student_ids))
    scratch = folder.with_name(_WRITING)
    replace(known, student_ids=names, attempts=attempts.drop("row"), answers=answers).save(scratch)
    scratch.rename(folder.with_name(_WRITTEN))
    _finish_known(folder.parent)
    yield Scrubbed(folder, "attempts removed", removed)


def _finish_known(folder: Path) -> None:
    """Put whole new files in place of the old, also those of a killed run; the three belong together."""
    for scratch in folder.rglob(_WRITING):
        shutil.rmtree(scratch)
    for written in folder.rglob(_WRITTEN):
        for name in (ATTEMPTS_FILE, ANSWERS_FILE, IDS_FILE):
            if (written / name).exists():
                (written / name).replace(written.with_name(KNOWN_FOLDER) / name)
        written.rmdir()


def _embeddings_of(settings: Settings, folder: Path) -> Iterator[Path]:
    """Return folders of embeddings in the codes of a predictor: beside it, and the one its run names."""
    yield from (path.parent for path in sorted(folder.parent.glob(f"*/{MANIFEST_FILE}")))
    run_file = folder.parent / "run.json"
    if run_file.exists():
        key = json.loads(run_file.read_text(encoding="utf-8")).get("data", {}).get("embedding_key", "")
        path = settings.embeddings_dir / str(key)
        if key and (path / MANIFEST_FILE).exists():
            yield path


def _zero_vectors(folder: Path, codes: list[int]) -> Iterator[Scrubbed]:
    embedding = load_embedding(folder)
    inside = [code for code in codes if code < len(embedding.students)]
    is_left = embedding.mastery.filter(pl.col("student").is_in(inside)).height
    if not embedding.students[inside].any() and not is_left:
        return
    students = embedding.students.copy()
    students[inside] = 0
    mastery = embedding.mastery.filter(~pl.col("student").is_in(inside))
    replace(embedding, students=students, mastery=mastery).save(folder)
    yield Scrubbed(folder, "vectors zeroed", len(inside))


def _scrub_parquet(path: Path, needles: Needles) -> Iterator[Scrubbed]:
    frame = pl.read_parquet(path)
    is_named = [
        told for name, kind in frame.schema.items() if (told := named_in(name, kind, needles)) is not None
    ]
    kept = frame.filter(~pl.any_horizontal(is_named)) if is_named else frame
    if kept.height == frame.height:
        return
    metadata = {key: text for key, text in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
    if kept.height or path.parent.parent.name == "predictions":
        _replace(path, lambda scratch: kept.write_parquet(scratch, metadata=metadata))
    else:
        path.unlink()
    yield Scrubbed(path, "rows removed", frame.height - kept.height)


def named_in(column: str, kind: pl.DataType, needles: Needles) -> pl.Expr | None:
    """Return whether the values of a column name a student; None for columns without text."""
    values, pattern = pl.col(column), needles.pattern_of(column)
    if pattern is None:
        return None
    if kind == pl.List(pl.String):
        values = values.list.join("\n", ignore_nulls=True)
    elif kind in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    elif kind != pl.String:
        return None
    return values.str.contains(pattern).fill_null(value=False)


def _scrub_json(path: Path, needles: Needles) -> Iterator[Scrubbed]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return
    if needles.named_in(values):
        cleaned = json.dumps(_replaced(values, needles, ""), ensure_ascii=False, indent=1)
        _replace(path, lambda scratch: scratch.write_text(cleaned, encoding="utf-8"))
        yield Scrubbed(path, "ids replaced", needles.named_in(values))


def _replaced(value: Any, needles: Needles, key: str) -> Any:
    if isinstance(value, str):
        return SCRUBBED if value in needles.ids_under(key) else value
    if isinstance(value, dict):
        return {_replaced(one, needles, key): _replaced(inner, needles, one) for one, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, needles, key) for inner in value]
    return value


def _scrub_csv(path: Path, needles: Needles) -> Iterator[Scrubbed]:
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    header = lines[0] if lines else []
    kept = [line for line in lines if not needles.named_in(dict(zip_longest(header, line, fillvalue="")))]
    if len(kept) < len(lines):

        def write(scratch: Path) -> None:
            with scratch.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(kept)

        _replace(path, write)
        yield Scrubbed(path, "rows removed", len(lines) - len(kept))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    scratch = path.with_name(f".{path.name}")
    write(scratch)
    scratch.replace(path)


_BY_SUFFIX: Final = {".parquet": _scrub_parquet, ".json": _scrub_json, ".csv": _scrub_csv}
