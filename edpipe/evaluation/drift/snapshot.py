"""What a champion was trained on, as shares and lists of what is known; no row of anybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from edpipe.evaluation.drift.histogram import Histogram, Kind

SNAPSHOT_FILE = "snapshot.json"
FORMAT = 1
SCORE = "score"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Training data of one version.

    Attributes
    ----------
    features
        Histogram of each feature.
    score
        Histogram of the scores on validation rows; None where there are none.
    known
        Ids that training met, by what they are: items, KCs, series.
    until
        Time of the last row; None without times.
    rows_a_day
        Median rows of a day with any.
    """

    features: Mapping[str, Histogram]
    score: Histogram | None
    known: Mapping[str, frozenset[str]]
    until: datetime | None
    rows_a_day: float

    @classmethod
    def of(cls, rows: pl.DataFrame, kinds: Mapping[str, Kind]) -> Snapshot:
        """Take the snapshot of rows.

        Parameters
        ----------
        rows
            ``at``, the features, ``item``, ``kcs`` and ``score`` where there is one: it is null but for rows
            that the model did not learn from.
        kinds
            Kind of each feature.
        """
        score = rows["score"].drop_nulls() if "score" in rows.columns else pl.Series()
        days = rows.drop_nulls("at").group_by(pl.col("at").dt.date()).len()["len"]
        return cls(
            features={name: Histogram.of(rows[name], kind) for name, kind in kinds.items()},
            score=Histogram.of(score, "number") if len(score) else None,
            known=known_ids(rows),
            until=rows["at"].max(),  # type: ignore[arg-type]  # a column of times
            rows_a_day=float(days.median() or 0.0),  # type: ignore[arg-type]  # a column of counts
        )

    def save(self, run_dir: Path) -> Path:
        """Write the snapshot beside a run, by rename."""
        values = {
            "format": FORMAT,
            "features": {name: one.to_dict() for name, one in self.features.items()},
            "score": None if self.score is None else self.score.to_dict(),
            "known": {name: sorted(ids) for name, ids in self.known.items()},
            "until": None if self.until is None else self.until.isoformat(),
            "rows_a_day": self.rows_a_day,
        }
        scratch = run_dir / f".{SNAPSHOT_FILE}"
        scratch.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
        return scratch.replace(run_dir / SNAPSHOT_FILE)

    @classmethod
    def load(cls, run_dir: Path) -> Snapshot:
        """Read what :meth:`save` wrote."""
        values = json.loads((run_dir / SNAPSHOT_FILE).read_text(encoding="utf-8"))
        return cls(
            features={name: Histogram.from_dict(one) for name, one in values["features"].items()},
            score=None if values["score"] is None else Histogram.from_dict(values["score"]),
            known={name: frozenset(ids) for name, ids in values["known"].items()},
            until=None if values["until"] is None else datetime.fromisoformat(values["until"]),
            rows_a_day=float(values["rows_a_day"]),
        )


def known_ids(rows: pl.DataFrame) -> dict[str, frozenset[str]]:
    """Return the ids in rows, by what they are."""
    found = {}
    if "item" in rows.columns:
        found["items"] = frozenset(rows["item"].drop_nulls().unique().to_list())
    if "kcs" in rows.columns:
        found["KCs"] = frozenset(rows["kcs"].explode().drop_nulls().unique().to_list())
    return found
