"""Ids behind the codes of an embedding, and what each student has done: kept beside a predictor."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, StrategyDataset
from edpipe.errors import TrainingError
from edpipe.mastery.embedding import Embedding, Vectors

IDS_FILE = "ids.json"
ATTEMPTS_FILE = "attempts.parquet"
ANSWERS_FILE = "answers.parquet"
FORMAT = 1
ID_FIELDS = ("student_ids", "section_ids", "problem_ids", "kc_ids")
NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Who and what a dataset holds, and what was done in it: KCs with counts, without the order of steps.

    Attributes
    ----------
    source
        Source of the logs.
    student_ids, section_ids, problem_ids, kc_ids
        Published ids in the order of the codes.
    problem_section
        Section of each problem. Shape ``(num_problems,)``.
    attempts
        Attempts in the order of the dataset: ``student, section, problem``.
    answers
        KCs of each attempt: ``attempt`` (a row of ``attempts``), ``kc, num_steps, num_scored, num_correct``.
    """

    source: str
    student_ids: tuple[str, ...]
    section_ids: tuple[str, ...]
    problem_ids: tuple[str, ...]
    kc_ids: tuple[str, ...]
    problem_section: Ints
    attempts: pl.DataFrame
    answers: pl.DataFrame

    @classmethod
    def of(cls, dataset: StrategyDataset) -> Known:
        """Take what is known out of a dataset."""
        return cls(
            source=dataset.source,
            **{name: getattr(dataset, name) for name in ID_FIELDS},
            problem_section=dataset.problem_section,
            attempts=dataset.attempts.select("student", "section", "problem"),
            answers=dataset.observations.select("attempt", "kc", "num_steps", "num_scored", "num_correct"),
        )

    def save(self, folder: Path) -> Path:
        """Write the folder; the ids are renamed into place last, so what has them is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in ((ATTEMPTS_FILE, self.attempts), (ANSWERS_FILE, self.answers)):
            frame.write_parquet(folder / f".{name}")
            (folder / f".{name}").replace(folder / name)
        values = {"format": FORMAT, "source": self.source, "problem_section": self.problem_section.tolist()}
        values |= {name: list(getattr(self, name)) for name in ID_FIELDS}
        (folder / f".{IDS_FILE}").write_text(json.dumps(values), encoding="utf-8")
        (folder / f".{IDS_FILE}").replace(folder / IDS_FILE)
        return folder

    @classmethod
    def load(cls, folder: Path) -> Known:
        """Read what :meth:`save` wrote.

        Raises
        ------
        TrainingError
            If no whole folder is there.
        """
        path = folder / IDS_FILE
        if not path.exists():
            raise TrainingError(
                "The ids behind a predictor of strategies are missing.",
                where=str(path),
                found="no such file",
                expected="what `edpipe train strategy` writes beside the checkpoint",
                next_step="Train again with `edpipe train strategy --fresh`.",
            )
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            source=values["source"],
            **{name: tuple(values[name]) for name in ID_FIELDS},
            problem_section=np.array(values["problem_section"], dtype=np.int32),
            attempts=pl.read_parquet(folder / ATTEMPTS_FILE),
            answers=pl.read_parquet(folder / ANSWERS_FILE),
        )


def recoded(embedding: Embedding, known: Known, dataset: StrategyDataset) -> Embedding:
    """Return the embedding in the codes of another dataset, matched by published ids.

    What the embedding does not know has zeros; a problem it does not know lies where its section lies, and
    a KC has the mean mastery of all.

    Parameters
    ----------
    embedding
        Vectors in the codes of ``known``.
    known
        The ids behind these.
    dataset
        Whose codes are wanted.
    """
    place = {name: _places(getattr(known, name), getattr(dataset, name)) for name in ID_FIELDS}
    sections = _taken(embedding.sections, place["section_ids"])
    problems = _taken(embedding.problems, place["problem_ids"])
    is_new = place["problem_ids"] == NONE
    problems[is_new] = sections[dataset.problem_section[is_new]]
    kc = place["kc_ids"]
    overall = float(embedding.kc_mean.mean()) if len(embedding.kc_mean) else 0.5
    return replace(
        embedding,
        students=_taken(embedding.students, place["student_ids"]),
        problems=problems,
        sections=sections,
        kcs=_taken(embedding.kcs, kc),
        kc_mean=np.where(kc == NONE, overall, embedding.kc_mean[kc] if len(embedding.kc_mean) else overall),
        mastery=_mastery(embedding.mastery, place["student_ids"], kc),
    )


def _places(known: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.int64]:
    """Return where each wanted id stands among the known, -1 for nowhere. Shape ``(len(wanted),)``."""
    code = {name: number for number, name in enumerate(known)}
    return np.array([code.get(name, NONE) for name in wanted], dtype=np.int64)


def _taken(vectors: Vectors, place: NDArray[np.int64]) -> Vectors:
    found = np.zeros((len(place), vectors.shape[1]), dtype=np.float32)
    found[place != NONE] = vectors[place[place != NONE]]
    return found


def _mastery(mastery: pl.DataFrame, student: NDArray[np.int64], kc: NDArray[np.int64]) -> pl.DataFrame:
    def new_codes(name: str, place: NDArray[np.int64]) -> pl.DataFrame:
        kept = np.flatnonzero(place != NONE)
        return pl.DataFrame({name: place[kept], f"new_{name}": kept}).cast(pl.Int32)

    return (
        mastery.join(new_codes("student", student), on="student")
        .join(new_codes("kc", kc), on="kc")
        .with_columns(student=pl.col("new_student"), kc=pl.col("new_kc"))
        .select(mastery.columns)
        .sort("student", "kc")
    )
