"""Three sources with students who will be forgotten, and the same sources as if these had never been."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import polars as pl

import edpipe
from edpipe.raw import landed, relation_dir
from edpipe.settings import Settings
from edpipe.sources.synthetic import draw_tutor_world, write_ednet, write_interests, write_kddcup

# Numbers of lines in a file: those behind a student move up where the student never was.
PLACES = ("source_row", "published_row")


def write_sources(folder: Path, *, students: int = 9, seed: int = 7) -> None:
    """Write EdNet as folders of members, a tutor's files, and clicks; with lines that ingestion refuses."""
    write_ednet(
        folder / "ednet",
        num_students=students,
        num_items=20,
        seed=seed,
        layout="folder",
        levels=("kt1", "kt4"),
        interactions_per_student=25,
        keep_truth=False,
    )
    for path in sorted((folder / "ednet" / "KT1").glob("*.csv"))[:3]:
        with path.open("a") as file:
            file.write("no time,1,q1,a,1000\n")
    world = draw_tutor_world(students, 1, 4, 4, strategies_per_problem=2, seed=seed)
    write_kddcup(folder / "tutor", world, keep_truth=False)
    write_interests(
        folder / "clicks",
        num_students=students,
        num_rounds=3,
        age=3,
        num_topics=4,
        items_per_topic=5,
        seed=seed,
    )


def students_of(folder: Path) -> list[tuple[str, str]]:
    """Return source and published id of all students in the files."""
    ednet = {path.stem for path in (folder / "ednet").rglob("u*.csv")}
    tutor = pl.read_csv(folder / "tutor" / "synthetic_train.txt", separator="\t", infer_schema=False)
    clicks = pl.read_csv(next((folder / "clicks").glob("*.csv")), has_header=False, infer_schema=False)
    name = clicks_dataset(folder)
    return sorted(
        [("ednet", one) for one in ednet]
        + [("kddcup", f"synthetic/{one}") for one in set(tutor["Anon Student Id"])]
        + [("clicks", f"{name}:{one}") for one in set(clicks.to_series(0))]
    )


def clicks_dataset(folder: Path) -> str:
    return next((folder / "clicks").glob("*.csv")).stem


def without(folder: Path, target: Path, students: list[tuple[str, str]]) -> Path:
    """Copy the sources as if the students had never been."""
    shutil.copytree(folder, target)
    for source, student in students:
        if source == "ednet":
            for path in (target / "ednet").rglob(f"{student}.csv"):
                path.unlink()
        else:
            bare = student.split("/")[-1].split(":")[-1]
            files = (target / ("tutor" if source == "kddcup" else "clicks")).iterdir()
            for path in files:
                lines = path.read_text().splitlines(keepends=True)
                between = "\t" if source == "kddcup" else ","
                path.write_text(
                    "".join(
                        line
                        for line in lines
                        if bare not in line.strip().split(between)[: None if source == "kddcup" else 1]
                    )
                )
    return target


def ingest(folder: Path, settings: Settings) -> int:
    """Ingest all three, and return how many shards were written."""
    written = edpipe.ingest("ednet", [folder / "ednet"], settings, max_rejects=0.5).shards_written
    tutor = sorted((folder / "tutor").glob("*.txt"))
    written += edpipe.ingest("kddcup", tutor, settings, max_rejects=0.5).shards_written
    clicks = sorted((folder / "clicks").glob("*.csv"))
    return (
        written + edpipe.ingest("clicks", clicks, settings, layout="taobao", max_rejects=0.5).shards_written
    )


def raw_rows(settings: Settings) -> dict[str, pl.DataFrame]:
    """Return rows and rejects of each raw relation in the order of its manifest, without places in files."""
    found = {}
    for manifest in landed(settings.raw_dir):
        folder = relation_dir(settings.raw_dir, manifest.source, manifest.relation)
        name = f"{manifest.source}.{manifest.relation}"
        files = [folder / shard.file for shard in manifest.shards]
        rows = pl.concat([pl.read_parquet(path) for path in files])
        assert rows.height == manifest.rows
        drop = [] if manifest.source == "ednet" else [one for one in PLACES if one in rows.columns]
        found[name] = rows.drop(drop)
        rejects = [folder / shard.rejects_file for shard in manifest.shards if shard.rejects_file]
        if rejects:
            found[f"{name} rejects"] = pl.concat([pl.read_parquet(path) for path in rejects]).drop("file")
            assert found[f"{name} rejects"].height == manifest.rejected_rows
    return found


def chosen(folder: Path, seed: int) -> list[tuple[str, str]]:
    """Choose one to three students of each source, among EdNet's one with a refused line."""
    drawn = random.Random(seed)
    everybody = students_of(folder)
    picked = [("ednet", sorted((folder / "ednet" / "KT1").glob("*.csv"))[0].stem)]
    for source in ("ednet", "kddcup", "clicks"):
        picked += drawn.sample([one for one in everybody if one[0] == source], drawn.randint(1, 3))
    return sorted(set(picked))
