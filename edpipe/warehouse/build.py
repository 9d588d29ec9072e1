"""Build what changed, audit it, and only then let it replace what readers see."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edpipe.progress import track
from edpipe.settings import Settings
from edpipe.warehouse.connection import connect
from edpipe.warehouse.contract import read_contracts, save_contracts
from edpipe.warehouse.failure import build_error
from edpipe.warehouse.lock import busy_error, writer_lock
from edpipe.warehouse.plan import BuildPlan, describe_plan, make_plan, plan_build, selection
from edpipe.warehouse.project import open_context
from edpipe.warehouse.publish import publish, write_published
from edpipe.warehouse.state import (
    BuildState,
    contracts_path,
    current_buckets,
    current_deliveries,
    current_fingerprint,
    current_inputs,
    is_current,
    predictions_fingerprint,
    read_state,
    touched,
    write_state,
)

if TYPE_CHECKING:
    from sqlmesh import Context


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """One relation that was built."""

    name: str
    reason: str
    rows: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Outcome of a build.

    Parameters
    ----------
    models
        Relations that were built, upstream first; empty when nothing changed.
    seconds
        Duration of the whole, publishing included.
    published
        File that readers open.
    reconciliation
        Rows of ``core.reconciliation`` after the build.
    is_dry_run
        True where nothing was done.
    """

    models: tuple[BuiltModel, ...]
    seconds: float
    published: Path
    reconciliation: tuple[dict[str, Any], ...] = ()
    is_dry_run: bool = False

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a relation, for tables."""
        return [
            {
                "model": model.name,
                "why": model.reason,
                "rows": model.rows,
                "seconds": round(model.seconds, 2),
            }
            for model in self.models
        ]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Checks of the reconciliation that are not as expected."""
        return [row for row in self.reconciliation if not row["is_ok"]]


def build(
    settings: Settings, *, models: Sequence[str] = (), full: bool = False, dry_run: bool = False
) -> BuildReport:
    """Build the relations that changed and what depends on them, audit, reconcile, publish.

    New rows stand beside the old ones until every audit has passed; after a failure or a kill
    readers see what they saw before, and the next build goes on with what was finished.

    Parameters
    ----------
    settings
        Where the raw data are and how models are parametrized.
    models
        Names such as ``core.interactions``: only changes of these and of what they read are taken
        over, each with everything that depends on it; other changes wait. Empty: all.
    full
        Build everything again, beside what is there.
    dry_run
        Only plan.

    Raises
    ------
    ContractError
        If an audit or a query fails.
    WarehouseBusyError
        If another process is building.
    SettingsError
        If there is no such model.
    """
    started = time.monotonic()
    if dry_run:
        planned = plan_build(settings, models)
        listed = tuple(
            BuiltModel(item.name, item.reason, item.estimated_rows, 0.0) for item in planned.models
        )
        return BuildReport(listed, time.monotonic() - started, settings.published_path, is_dry_run=True)
    state = read_state(settings)
    if not full and is_current(settings, state):
        if state.predictions != predictions_fingerprint(settings):
            publish(settings)
        return BuildReport((), time.monotonic() - started, settings.published_path, _reconciliation(settings))
    with writer_lock(settings, "build"):
        built = _build_locked(settings, read_state(settings), models, full=full)
    return BuildReport(built, time.monotonic() - started, settings.published_path, _reconciliation(settings))


def _build_locked(
    settings: Settings, state: BuildState, models: Sequence[str], *, full: bool
) -> tuple[BuiltModel, ...]:
    generation = state.generation + int(full)
    fingerprint = current_fingerprint(settings)
    inputs = current_inputs(settings)
    buckets, deliveries = current_buckets(settings), current_deliveries(settings)
    (settings.home / "tmp").mkdir(parents=True, exist_ok=True)
    context = _open(settings, generation)
    try:
        select = selection(context, models)
        planned, seconds = _apply(context, settings, state, inputs, select)
        relations = read_contracts(context)
    finally:
        context.close()
    built_at = datetime.now(UTC).isoformat(timespec="seconds")
    predictions = predictions_fingerprint(settings)
    save_contracts(contracts_path(settings), relations)
    with track("publish", mode=settings.progress):
        rows = write_published(settings, relations, built_at)
    write_state(
        settings,
        BuildState(
            # A build of some models says nothing about the others.
            fingerprint="" if models else fingerprint,
            predictions=predictions,
            generation=generation,
            built_at=built_at,
            rows=rows,
            inputs=inputs,
            buckets=buckets,
            deliveries=deliveries,
        ),
    )
    shutil.rmtree(settings.home / "tmp" / "duckdb", ignore_errors=True)
    return tuple(
        BuiltModel(item.name, item.reason, rows.get(item.name), seconds.get(item.name, 0.0))
        for item in planned.models
    )


def _open(settings: Settings, generation: int) -> Context:
    from duckdb import IOException

    try:
        return open_context(settings, generation=generation)
    except IOException as error:
        if "lock" in str(error):
            raise busy_error(settings, str(error).splitlines()[0]) from error
        raise


def _apply(
    context: Context, settings: Settings, state: BuildState, inputs: dict[str, int], select: list[str] | None
) -> tuple[BuildPlan, dict[str, float]]:
    from sqlmesh.utils.errors import SQLMeshError

    from edpipe.warehouse.console import BuildConsole

    plan = make_plan(context, select)
    planned = describe_plan(context, plan, state, inputs, touched(settings, state))
    total = len(plan.missing_intervals)
    with track("build", total=total, unit="relations", mode=settings.progress) as progress:
        console = BuildConsole(progress)
        context.console = console
        try:
            context.apply(plan)
        except SQLMeshError as error:
            raise build_error(context, console.failures or [error]) from error
    # Tables that no relation shows any more; DuckDB reuses their space.
    context.run_janitor(ignore_ttl=True)
    return planned, console.seconds


def _reconciliation(settings: Settings) -> tuple[dict[str, Any], ...]:
    """Read the account of the build from the published tables."""
    if not settings.published_path.exists():
        return ()
    connection = connect(settings.published_path, settings, read_only=True)
    try:
        frame = connection.sql("SELECT * FROM core.reconciliation ORDER BY ALL").pl()
    finally:
        connection.close()
    return tuple(frame.to_dicts())
