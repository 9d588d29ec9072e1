"""``ops.promotions``: every decision on who is champion, one small file each, never changed afterwards."""

from __future__ import annotations

import json
import logging
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.operations.columns import Columns, Record, frame_of, schema_of

if TYPE_CHECKING:
    import polars as pl

    from edpipe.settings import Settings

LOG = logging.getLogger("edpipe.operations")
NAME = "promotions"
DESCRIPTION = (
    "One line a decision on who is champion, with the verdict of every rule: promotions that were asked for, "
    "won or lost, and rollbacks."
)
GRAIN = "decision_id"
VERDICT = "passed, failed, or unknown, which stands in nobody's way; null: not asked."
COLUMNS: Columns = {
    "decision_id": ("VARCHAR", "Name of the decision: when it was made, and a random part."),
    "decided_at": ("TIMESTAMP WITH TIME ZONE", "When, UTC."),
    "kind": ("VARCHAR", "promotion, or rollback."),
    "family": ("VARCHAR", "Registered name of the models."),
    "version": ("BIGINT", "Version that was asked for; of a rollback, the one that comes back."),
    "previous": ("BIGINT", "Champion before; null where there was none."),
    "champion": ("BIGINT", "Champion afterwards."),
    "is_promoted": ("BOOLEAN", "Whether the version became champion."),
    "metric": ("VARCHAR", "Metric on validation rows that decides; null of a rollback."),
    "candidate_score": ("DOUBLE", "Its value for the version."),
    "champion_score": ("DOUBLE", "Its value for the champion before, on the same rows."),
    "better": ("VARCHAR", f"Rule: better than the champion on the same rows. {VERDICT}"),
    "worst_group": ("VARCHAR", f"Rule: no worse for the group served worst. {VERDICT}"),
    "calibration": ("VARCHAR", f"Rule: calibration within bounds. {VERDICT}"),
    "latency": ("VARCHAR", f"Rule: latency within bounds. {VERDICT}"),
    "not_taken_back": ("VARCHAR", f"Rule: no rollback has taken it back. {VERDICT}"),
    "reasons": ("VARCHAR[]", "What each rule found, in words."),
    "reason": ("VARCHAR", "The decision in one sentence."),
    "edpipe_version": ("VARCHAR", "Version of edpipe."),
}
SCHEMA = schema_of(COLUMNS)


def decisions_dir(settings: Settings) -> Path:
    """Return the folder of the decisions: one file each."""
    return settings.ops_dir / NAME


def record_decision(settings: Settings, facts: Record) -> Path:
    """Write a decision beside its name and rename it, on disk before this returns; return its file.

    Parameters
    ----------
    settings
        Where the decisions are.
    facts
        Values of the columns but for the first two.
    """
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"
    record = {"decision_id": name, "decided_at": now.isoformat(timespec="microseconds"), **facts}
    folder = decisions_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    scratch, target = folder / f".{name}.tmp", folder / f"{name}.json"
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    return target


def decision_table(settings: Settings) -> pl.DataFrame:
    """Return all decisions with the columns of ``ops.promotions``, the latest last."""
    found = (_read(path) for path in sorted(decisions_dir(settings).glob("*.json")))
    return frame_of([record for record in found if record is not None], SCHEMA).sort(
        "decided_at", "decision_id"
    )


def _read(path: Path) -> Record | None:
    """Read one file; None, and a line in the log, where it cannot be read."""
    try:
        record: Record = json.loads(path.read_bytes())
        return {name: record.get(name) for name in COLUMNS}
    except (OSError, ValueError, AttributeError) as error:
        LOG.warning("The record of a decision cannot be read and is left out: %s (%s).", path, error)
        return None
