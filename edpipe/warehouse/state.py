"""What the last build saw and made: enough to know in milliseconds that nothing changed."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edpipe.raw import landed
from edpipe.settings import Settings
from edpipe.warehouse.project import project_dir, variables

STATE_VERSION = 1
MOST_BUCKETS = 8


@dataclass(frozen=True, slots=True)
class BuildState:
    """Outcome of the last good build.

    Parameters
    ----------
    fingerprint
        Of the SQL, the manifests and the settings it was made from; empty after a partial build.
    predictions
        Fingerprint of the prediction files in the published tables.
    generation
        Times everything was built again on request.
    built_at
        UTC.
    rows
        Rows of each relation.
    inputs
        Rows of each raw relation that was read.
    buckets
        Of raw relations that files are added to, the shard of each bucket of students that was read.
    deliveries
        Of the same, how many deliveries they had.
    """

    fingerprint: str = ""
    predictions: str = ""
    generation: int = 0
    built_at: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    buckets: dict[str, dict[str, str]] = field(default_factory=dict)
    deliveries: dict[str, int] = field(default_factory=dict)
    version: int = STATE_VERSION


def _state_path(settings: Settings) -> Path:
    return settings.home / "warehouse.json"


def contracts_path(settings: Settings) -> Path:
    """Return where the contracts of the last build are kept."""
    return settings.home / "warehouse_contracts.json"


def read_state(settings: Settings) -> BuildState:
    """Read the state; an empty one where there is none or where it cannot be trusted."""
    try:
        state = BuildState(**json.loads(_state_path(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return BuildState()
    known = state.version == STATE_VERSION and settings.warehouse_path.exists()
    return state if known else BuildState()


def write_state(settings: Settings, state: BuildState) -> None:
    """Replace the state by rename."""
    path = _state_path(settings)
    temporary = path.with_suffix(".json.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(state), file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def current_fingerprint(settings: Settings) -> str:
    """Fingerprint what a build would read: SQL files, manifests, settings that enter SQL."""
    digest = hashlib.sha256()
    folder = project_dir()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in {".sql", ".py"} and inside.parts[0] in {"models", "macros", "audits"}:
            digest.update(str(inside).encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(json.dumps(variables(settings), sort_keys=True).encode())
    return digest.hexdigest()


def current_inputs(settings: Settings) -> dict[str, int]:
    """Rows of each raw relation that has been ingested."""
    return {f"raw.{item.source}_{item.relation}": item.rows for item in landed(settings.raw_dir)}


def current_buckets(settings: Settings) -> dict[str, dict[str, str]]:
    """Shard of each bucket of students, of the raw relations that files are added to."""
    return {
        f"raw.{item.source}_{item.relation}": {
            str(shard.bucket): shard.file for shard in item.shards if shard.bucket is not None
        }
        for item in landed(settings.raw_dir)
        if item.deliveries
    }


def current_deliveries(settings: Settings) -> dict[str, int]:
    """Deliveries of each raw relation that files are added to."""
    return {
        f"raw.{item.source}_{item.relation}": len(item.deliveries)
        for item in landed(settings.raw_dir)
        if item.deliveries
    }


def touched(settings: Settings, state: BuildState) -> dict[str, str]:
    """Say which buckets of students hold other rows than at the last build, and what was added since."""
    said = {}
    buckets = current_buckets(settings)
    for item in landed(settings.raw_dir):
        name = f"raw.{item.source}_{item.relation}"
        if name not in buckets or name not in state.buckets:
            continue
        before, now = state.buckets[name], buckets[name]
        changed = sorted(int(bucket) for bucket, file in now.items() if before.get(bucket) != file)
        since = item.deliveries[state.deliveries.get(name, 0) :]
        added = sum(one.added_rows for one in since)
        students = sum(one.num_students for one in since)
        numbers = ", ".join(map(str, changed[:MOST_BUCKETS])) + ", …" * (len(changed) > MOST_BUCKETS)
        said[name] = (
            f"{added:,} rows added for {students:,} students, "
            f"in {len(changed)} of {len(now)} buckets: {numbers}"
        )
    return said


def prediction_files(settings: Settings) -> dict[str, list[Path]]:
    """Parquet files of each prediction table."""
    found: dict[str, list[Path]] = {}
    for path in sorted(settings.predictions_dir.glob("*/*.parquet")):
        found.setdefault(path.parent.name, []).append(path)
    return found


def predictions_fingerprint(settings: Settings) -> str:
    """Fingerprint the prediction files by name, size and time."""
    digest = hashlib.sha256()
    for files in prediction_files(settings).values():
        for path in files:
            stat = path.stat()
            digest.update(f"{path.parent.name}/{path.name}:{stat.st_size}:{stat.st_mtime_ns};".encode())
    return digest.hexdigest()


def is_current(settings: Settings, state: BuildState) -> bool:
    """Tell whether the relations are what a build would make now."""
    exists = settings.published_path.exists() and settings.warehouse_path.exists()
    return exists and bool(state.fingerprint) and state.fingerprint == current_fingerprint(settings)
