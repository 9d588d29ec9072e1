"""What a build would do and why, before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edpipe.errors import SettingsError
from edpipe.setting_groups import closest
from edpipe.settings import Settings
from edpipe.warehouse.contract import plain_name
from edpipe.warehouse.lock import writer_lock
from edpipe.warehouse.project import FIXED_NOW, open_context
from edpipe.warehouse.state import BuildState, current_inputs, is_current, read_state, touched

if TYPE_CHECKING:
    from sqlmesh import Context
    from sqlmesh.core.plan import Plan
    from sqlmesh.core.snapshot import Snapshot

INPUT_CHANGED = "input changed"


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One relation that a build would make.

    Parameters
    ----------
    name
        Layer and name, such as ``core.interactions``.
    reason
        ``new``, ``query changed``, ``input changed``, ``depends on …`` or ``missing``; where files were
        added, with the buckets of students that these touched.
    is_stored
        False for views, which cost nothing to make.
    estimated_rows
        Rows expected: those of the last build scaled by the growth of the inputs, or, on the first
        build, those of its largest input.
    basis
        ``last build`` or ``inputs``: where the estimate comes from.
    """

    name: str
    reason: str
    is_stored: bool
    estimated_rows: int
    basis: str


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Relations that a build would make, upstream first; empty when nothing changed."""

    models: tuple[PlannedModel, ...] = ()
    removed: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a relation, for tables."""
        planned = [
            {
                "model": model.name,
                "why": model.reason,
                "stored": model.is_stored,
                "estimated_rows": model.estimated_rows,
                "basis": model.basis,
            }
            for model in self.models
        ]
        removed = [
            {"model": name, "why": "removed", "stored": False, "estimated_rows": 0, "basis": ""}
            for name in self.removed
        ]
        return planned + removed


def plan_build(settings: Settings, models: Sequence[str] = ()) -> BuildPlan:
    """Say what :func:`~edpipe.warehouse.build.build` would do and why; writes no relation.

    Parameters
    ----------
    settings
        Where the raw data are and how models are parametrized.
    models
        As for a build; empty: all.

    Raises
    ------
    WarehouseBusyError
        If another process is building.
    SettingsError
        If there is no such model.
    """
    state = read_state(settings)
    if is_current(settings, state):
        return BuildPlan()
    exists = settings.warehouse_path.exists()
    with writer_lock(settings, "plan"):
        context = open_context(
            settings, generation=state.generation, database=None if exists else Path(":memory:")
        )
        try:
            plan = make_plan(context, selection(context, models))
            inputs = current_inputs(settings)
            return describe_plan(context, plan, state, inputs, touched(settings, state))
        finally:
            context.close()


def make_plan(context: Context, select: list[str] | None = None) -> Plan:
    """Compare the project with what is there; ``select`` limits it to some models."""
    return context.plan_builder(
        execution_time=FIXED_NOW, skip_tests=True, skip_linter=True, select_models=select
    ).build()


def selection(context: Context, models: Sequence[str]) -> list[str] | None:
    """Return which changes a build of ``models`` takes over; None takes all."""
    known = sorted(plain_name(fqn) for fqn in context.dag.sorted)
    unknown = [name for name in models if name not in known]
    if unknown:
        raise SettingsError(
            f"There is no SQL model {unknown[0]!r}.",
            where="argument MODELS",
            found=", ".join(unknown),
            expected="names such as core.interactions",
            next_step=closest(unknown[0], known),
            state="Nothing was changed.",
        )
    if not models:
        return None
    # A change reaches everything that depends on it, or relations would disagree with each other.
    wanted = {fqn for fqn in context.dag.sorted if plain_name(fqn) in models}
    read = wanted.union(*(context.dag.upstream(fqn) for fqn in wanted))
    difference = make_plan(context).context_diff
    changed = {item.name for item in difference.added} | {
        fqn for fqn in difference.modified_snapshots if difference.directly_modified(fqn)
    }
    return [f"{plain_name(fqn)}+" for fqn in sorted(read & changed)] or [plain_name(min(wanted))]


def describe_plan(
    context: Context,
    plan: Plan,
    state: BuildState,
    inputs: dict[str, int],
    touched_buckets: dict[str, str],
) -> BuildPlan:
    """Put SQLMesh's plan in our words, with row estimates and what deliveries touched."""
    difference = plan.context_diff
    added = {snapshot.name for snapshot in difference.added}
    missing = {item.snapshot_id.name for item in plan.missing_intervals}
    changed = set(difference.modified_snapshots)
    estimates = _estimates(context, state, inputs)
    planned = []
    for fqn in context.dag.sorted:
        model = context.get_model(fqn, raise_if_missing=True)
        if not (fqn in added or fqn in changed or fqn in missing):
            continue
        name = plain_name(fqn)
        rows, basis = estimates[name]
        reason = _reason(fqn, plan, added, changed)
        if reason == INPUT_CHANGED and name in touched_buckets:
            reason += f": {touched_buckets[name]}"
        planned.append(PlannedModel(name, reason, not model.kind.is_view, rows, basis))
    removed = tuple(sorted(plain_name(item.name) for item in difference.removed_snapshots))
    return BuildPlan(tuple(planned), removed)


def _reason(fqn: str, plan: Plan, added: set[str], changed: set[str]) -> str:
    if fqn in added:
        return "new"
    if fqn not in changed:
        return "missing"
    difference = plan.context_diff
    if difference.directly_modified(fqn):
        return _direct_reason(fqn, plan)
    if difference.metadata_updated(fqn):
        return "description or audit changed"
    new, _ = difference.modified_snapshots[fqn]
    causes = sorted(
        plain_name(parent.name) for parent in new.parents if parent.name in changed or parent.name in added
    )
    return f"depends on {', '.join(causes)}" if causes else "depends on a changed relation"


def _direct_reason(fqn: str, plan: Plan) -> str:
    new, old = plan.context_diff.modified_snapshots[fqn]
    same_query = _query_text(new) == _query_text(old)
    if same_query and plain_name(fqn).startswith("raw."):
        return INPUT_CHANGED
    return "setting changed" if same_query else "query changed"


def _query_text(snapshot: Snapshot) -> str:
    """Return the query as written: macros and variables by name."""
    query = getattr(snapshot.model, "query", None)
    return query.sql() if query is not None else ""


def _estimates(context: Context, state: BuildState, inputs: dict[str, int]) -> dict[str, tuple[int, str]]:
    """Estimate the rows of each relation from the last build or from its largest input."""
    before = sum(state.inputs.values())
    growth = sum(inputs.values()) / before if before else 1.0
    estimates: dict[str, tuple[int, str]] = {}
    for fqn in context.dag.sorted:
        model = context.get_model(fqn, raise_if_missing=True)
        name = plain_name(fqn)
        if name.startswith("raw."):
            estimates[name] = (inputs.get(name, 0), "inputs")
        elif name in state.rows:
            estimates[name] = (round(state.rows[name] * growth), "last build")
        else:
            parents = [estimates[plain_name(parent)][0] for parent in model.depends_on]
            estimates[name] = (max(parents, default=0), "inputs")
    return estimates
