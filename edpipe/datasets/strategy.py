"""Problem attempts with their strategies, in dense codes: what embeddings, clusters and predictors read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.errors import TrainingError

Ints = NDArray[np.int32]
Places = NDArray[np.int64]

FINGERPRINT_LENGTH = 16
ATTEMPT_SCHEMA: dict[str, pl.DataType] = {
    "attempt_key": pl.Int64(),
    "student": pl.Int32(),
    "section": pl.Int32(),
    "problem": pl.Int32(),
    "problem_view": pl.Int32(),
    "attempt_number": pl.Int32(),
    "started_at": pl.Datetime("us", "UTC"),
    "split": pl.String(),
    "published_split": pl.String(),
}
OBSERVATION_SCHEMA: dict[str, pl.DataType] = {
    "attempt": pl.Int32(),
    "kc": pl.Int32(),
    "num_steps": pl.Int32(),
    "num_scored": pl.Int32(),
    "num_correct": pl.Int32(),
    "prior_scored": pl.Int32(),
    "prior_correct": pl.Int32(),
}


@dataclass(frozen=True, eq=False)
class StrategyDataset:
    """Problem attempts of one source: one student, one problem, one view, and the KCs used in order.

    Codes count from 0 and index the tuples of published ids. The KCs of a step stand in rising order:
    logs write them in no stable order.

    Attributes
    ----------
    source
        Source of the logs.
    attempts
        One row an attempt, ordered by student and ``attempt_number``; columns :data:`ATTEMPT_SCHEMA`.
        ``split`` is that of the student (train, valid, test), ``published_split`` the word of the file the
        attempt came from (train, test, master …), null where there is none.
    step_start
        Tagged steps of attempt ``i`` are ``step_start[i]`` up to ``step_start[i + 1]``.
        Shape ``(num_attempts + 1,)``.
    kc_start
        KCs of step ``j`` are ``kcs[kc_start[j]:kc_start[j + 1]]``. Shape ``(num_steps + 1,)``.
    kcs
        KC codes of all steps. Shape ``(num_used,)``.
    observations
        One row an attempt and KC met in it, ordered by both; columns :data:`OBSERVATION_SCHEMA`. ``attempt``
        is a row of ``attempts``; ``num_scored`` of ``num_steps`` steps have a known first attempt,
        ``num_correct`` of these are right; ``prior_scored`` and ``prior_correct`` count the student's earlier
        attempts, this one left out.
    problem_section
        Section of each problem. Shape ``(num_problems,)``.
    student_ids, section_ids, problem_ids, kc_ids
        Published ids.
    """

    source: str
    attempts: pl.DataFrame
    step_start: Places
    kc_start: Places
    kcs: Ints
    observations: pl.DataFrame
    problem_section: Ints
    student_ids: tuple[str, ...]
    section_ids: tuple[str, ...]
    problem_ids: tuple[str, ...]
    kc_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, frame, schema in (
            ("attempts", self.attempts, ATTEMPT_SCHEMA),
            ("observations", self.observations, OBSERVATION_SCHEMA),
        ):
            if dict(frame.schema) != schema:
                raise ValueError(f"{name} must have columns {schema}; got {dict(frame.schema)}.")
        if len(self.step_start) != self.num_attempts + 1 or self.kc_start[-1] != len(self.kcs):
            raise ValueError("step_start and kc_start must cover all attempts and KCs.")

    @property
    def num_attempts(self) -> int:
        """Number of problem attempts."""
        return self.attempts.height

    @property
    def num_students(self) -> int:
        """Number of students."""
        return len(self.student_ids)

    @property
    def num_sections(self) -> int:
        """Number of sections of the curriculum."""
        return len(self.section_ids)

    @property
    def num_problems(self) -> int:
        """Number of problems."""
        return len(self.problem_ids)

    @property
    def num_kcs(self) -> int:
        """Number of KCs."""
        return len(self.kc_ids)

    @cached_property
    def student(self) -> Ints:
        """Student of each attempt. Shape ``(num_attempts,)``."""
        return self.attempts["student"].to_numpy()

    @cached_property
    def problem(self) -> Ints:
        """Problem of each attempt. Shape ``(num_attempts,)``."""
        return self.attempts["problem"].to_numpy()

    @cached_property
    def section(self) -> Ints:
        """Section of each attempt. Shape ``(num_attempts,)``."""
        return self.attempts["section"].to_numpy()

    @cached_property
    def strategy_start(self) -> Places:
        """Strategy of attempt ``i`` is ``kcs[strategy_start[i]:strategy_start[i + 1]]``."""
        return self.kc_start[self.step_start]

    @cached_property
    def strategy_code(self) -> Places:
        """Code of each attempt's strategy: equal codes are equal sequences. Shape ``(num_attempts,)``.

        Codes count from 0 in the order of first appearance.
        """
        codes: dict[bytes, int] = {}
        values = np.ascontiguousarray(self.kcs)
        start = self.strategy_start
        return np.fromiter(
            (
                codes.setdefault(values[start[row] : start[row + 1]].tobytes(), len(codes))
                for row in range(self.num_attempts)
            ),
            dtype=np.int64,
            count=self.num_attempts,
        )

    def strategy(self, attempt: int) -> Ints:
        """Return the KC codes of one attempt in order. Shape ``(length,)``."""
        return self.kcs[self.strategy_start[attempt] : self.strategy_start[attempt + 1]]

    def strategies(self, rows: Places) -> tuple[Ints, Places]:
        """Return the strategies of chosen attempts: KC codes side by side, and where each starts.

        Shapes ``(total_length,)`` and ``(len(rows) + 1,)``.
        """
        begin, length = self.strategy_start[rows], np.diff(self.strategy_start)[rows]
        start = np.concatenate([[0], np.cumsum(length)])
        place = np.arange(start[-1]) - np.repeat(start[:-1] - begin, length)
        return self.kcs[place], start

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all columns and ids, shortened; equal data have equal fingerprints."""
        digest = hashlib.sha256()
        ids = [self.student_ids, self.section_ids, self.problem_ids, self.kc_ids]
        digest.update(json.dumps([self.source, *ids]).encode())
        for values in (self.step_start, self.kc_start, self.kcs, self.problem_section):
            digest.update(np.ascontiguousarray(values).tobytes())
        for frame in (self.attempts, self.observations):
            for column in frame:
                digest.update(_bytes_of(column))
        return digest.hexdigest()[:FINGERPRINT_LENGTH]


def only(dataset: StrategyDataset, rows: Places) -> StrategyDataset:
    """Return a dataset of some attempts in the same codes, as if there were no others.

    Parameters
    ----------
    dataset
        Attempts.
    rows
        Those to keep, rising. Row ``i`` of what is returned is row ``rows[i]``. Earlier answers
        (``prior_scored``, ``prior_correct``) stay as they were counted.
    """
    place = np.full(dataset.num_attempts, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows))
    observations = dataset.observations.with_columns(
        attempt=pl.Series(place[dataset.observations["attempt"].to_numpy()], dtype=pl.Int32)
    ).filter(pl.col("attempt") >= 0)
    steps = _ranges(dataset.step_start, rows)
    kcs = _ranges(dataset.kc_start, steps)
    return replace(
        dataset,
        attempts=dataset.attempts[rows],
        step_start=_starts(np.diff(dataset.step_start)[rows]),
        kc_start=_starts(np.diff(dataset.kc_start)[steps]),
        kcs=dataset.kcs[kcs],
        observations=observations,
    )


def _ranges(start: Places, rows: Places) -> Places:
    """Return the places from ``start[row]`` up to ``start[row + 1]`` of each row, side by side."""
    length = np.diff(start)[rows]
    begin = _starts(length)
    return np.arange(begin[-1]) - np.repeat(begin[:-1] - start[rows], length)


def _starts(length: Places) -> Places:
    return np.concatenate([[0], np.cumsum(length)]).astype(np.int64)


def strategy_dataset_of(
    source: str,
    examples: pl.DataFrame,
    edges: pl.DataFrame,
    *,
    kc_names: dict[int, str] | None = None,
) -> StrategyDataset:
    """Turn rows of the warehouse into dense codes.

    Parameters
    ----------
    source
        Source of the logs.
    examples
        Rows of ``training.strategy_examples``: ``attempt_key, student_key, student_id, section_key,
        section_id, problem_key, problem_id, problem_view, attempt_number, started_at, split,
        published_split, kc_keys, step_sizes``; in any order.
    edges
        Rows of ``features.mastery_edges``: ``attempt_key, kc_key, num_steps, num_scored, num_correct,
        prior_scored, prior_correct``; those of other attempts are passed over.
    kc_names
        Published id of each KC key; by default the keys as text.

    Raises
    ------
    TrainingError
        If there is no attempt.
    """
    if not examples.height:
        raise TrainingError(
            f"No problem attempt of {source!r} has a strategy.",
            where="training.strategy_examples",
            found="no row",
            expected="steps with KCs: logs of kddcup, datashop or mathia",
            next_step="Ingest a tutor log and run `edpipe build`, or choose another `strategy.source`.",
        )
    examples = examples.sort("student_key", "attempt_number", "attempt_key")
    used = pl.concat([examples["kc_keys"].explode(), edges["kc_key"]]).drop_nulls().unique().sort()
    kc_code = dict(zip(used.to_list(), range(len(used)), strict=True))
    coded = {}
    ids: dict[str, tuple[str, ...]] = {}
    for kind in ("student", "section", "problem"):
        known = examples.select(f"{kind}_key", f"{kind}_id").unique(f"{kind}_key").sort(f"{kind}_key")
        ids[kind] = tuple(known[f"{kind}_id"].to_list())
        codes = known.select(f"{kind}_key", pl.int_range(pl.len(), dtype=pl.Int32).alias(kind))
        coded[kind] = examples.join(codes, on=f"{kind}_key", how="left", maintain_order="left")[kind]
    attempts = examples.with_columns(coded[kind] for kind in coded).select(
        pl.col(name).cast(kind) for name, kind in ATTEMPT_SCHEMA.items()
    )
    problem_section = (
        attempts.select("problem", "section")
        .unique("problem", keep="first", maintain_order=True)
        .sort("problem")
    )["section"]
    sizes = examples["step_sizes"].explode().to_numpy().astype(np.int64)
    steps = examples["step_sizes"].list.len().to_numpy().astype(np.int64)
    place = attempts.select("attempt_key", attempt=pl.int_range(pl.len(), dtype=pl.Int32))
    observations = (
        edges.join(place, on="attempt_key")
        .with_columns(kc=pl.col("kc_key").replace_strict(kc_code, return_dtype=pl.Int32))
        .select(pl.col(name).cast(kind) for name, kind in OBSERVATION_SCHEMA.items())
        .sort("attempt", "kc")
    )
    flat = examples["kc_keys"].explode().replace_strict(kc_code, return_dtype=pl.Int32)
    names = kc_names or {}
    return StrategyDataset(
        source=source,
        attempts=attempts,
        step_start=np.concatenate([[0], np.cumsum(steps)]),
        kc_start=np.concatenate([[0], np.cumsum(sizes)]),
        kcs=flat.to_numpy().astype(np.int32),
        observations=observations,
        problem_section=problem_section.to_numpy(),
        student_ids=ids["student"],
        section_ids=ids["section"],
        problem_ids=ids["problem"],
        kc_ids=tuple(names.get(key, str(key)) for key in kc_code),
    )


def _bytes_of(column: pl.Series) -> bytes:
    """Return what tells a column from another, the same with every version of Polars."""
    if column.dtype == pl.String:
        return "\0".join(column.fill_null("\1").to_list()).encode()
    return column.to_physical().fill_null(-1).to_numpy().tobytes()
