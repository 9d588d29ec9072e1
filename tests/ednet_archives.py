"""Small EdNet-shaped archives with rows that the test knows, and what was landed of them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.raw import read_manifest, relation_dir

HEADER = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
QUESTIONS = "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\n" + "".join(
    f"q{i},b{i},e{i},a,1,1;2,1558093217098\n" for i in range(1, 51)
)


def student_text(student: int, rows: int) -> str:
    lines = [
        f"{1_500_000_000_000 + row},{row + 1},q{(student + row) % 50 + 1},{'abcd'[row % 4]},{row * 1000}\n"
        for row in range(rows)
    ]
    return HEADER + "".join(lines)


def make_kt1(folder: Path, students: int, *, mean_rows: float = 40.0, seed: int = 1) -> dict[str, str]:
    """Write ``EdNet-KT1.zip`` and ``questions.csv``; return the text of every member."""
    rng = np.random.default_rng(seed)
    lengths = np.maximum(1, rng.exponential(mean_rows, students)).astype(int).tolist()
    texts = {f"KT1/u{i}.csv": student_text(i, rows) for i, rows in enumerate(lengths, 1)}
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "EdNet-KT1.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    (folder / "questions.csv").write_text(QUESTIONS)
    return texts


def expected_rows(texts: dict[str, str]) -> list[tuple[object, ...]]:
    """Read the texts with nothing but Python."""
    rows: list[tuple[object, ...]] = []
    for name, text in texts.items():
        student = name.rsplit("/", 1)[-1].removesuffix(".csv")
        for number, line in enumerate(text.splitlines()[1:], 1):
            time, solving, question, answer, elapsed = line.split(",")
            rows.append((student, number, int(time), int(solving), question, answer or None, int(elapsed)))
    return rows


def landed(home_raw: Path, relation: str, *, rejects: bool = False) -> pl.DataFrame:
    """Return what the manifest lists, in its order."""
    manifest = read_manifest(home_raw, "ednet", relation)
    assert manifest is not None
    folder = relation_dir(home_raw, "ednet", relation)
    names = [shard.rejects_file if rejects else shard.file for shard in manifest.shards]
    frames = [pl.read_parquet(folder / name) for name in names if name]
    return pl.concat(frames) if frames else pl.DataFrame()
