"""SQLMesh's failures in our words: which audit, how many rows, which rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edpipe.errors import ContractError
from edpipe.warehouse.contract import plain_name

if TYPE_CHECKING:
    from sqlmesh import Context
    from sqlmesh.utils.errors import AuditError

SAMPLE_ROWS = 3
OUT_OF_MEMORY = "Out of Memory Error"


def build_error(context: Context, failures: list[BaseException]) -> ContractError:
    """Collect everything that failed into one error, with sample rows of failed audits."""
    where: list[str] = []
    found: list[str] = []
    for failure in failures:
        node = getattr(failure, "node", None)
        name = plain_name(str(getattr(node, "snapshot_name", ""))) if node is not None else ""
        cause = failure.__cause__ or failure
        audits = getattr(cause, "errors", None)
        if audits:
            for audit in audits:
                model = plain_name(audit.model_name or name)
                where.append(model)
                found.append(_audit_text(context, audit, model))
        else:
            where.append(name or "the project")
            found.append(f"{name}: {cause}".strip(": "))
    if any(OUT_OF_MEMORY in text for text in found):
        return ContractError(
            "The build stopped: a relation needs more memory than it may use.",
            where=", ".join(dict.fromkeys(where)),
            found="; ".join(found),
            expected="a relation that fits, or spills to disk",
            next_step="Raise `warehouse.memory_limit_mib` or lower `warehouse.threads`; run `edpipe build`.",
            state="The published tables and the relations behind them are as they were.",
        )
    return ContractError(
        "The build stopped: new rows break a promise of their relation.",
        where=", ".join(dict.fromkeys(where)),
        found="; ".join(found),
        expected="every audit of the relation passes (`edpipe show RELATION` lists them)",
        next_step="Look at the rows named here, correct the source or the SQL model, and run `edpipe build`.",
        state="The published tables and the relations behind them are as they were.",
    )


def _audit_text(context: Context, audit: AuditError, model: str) -> str:
    return f"{model}: audit `{audit.audit_name}` finds {audit.count:,} rows{_sample(context, audit)}"


def _sample(context: Context, audit: AuditError) -> str:
    from duckdb import Error

    try:
        rows = context.engine_adapter.fetchall(audit.query.limit(SAMPLE_ROWS))
    except Error:
        # The rows may be gone with their table; the count above still says enough.
        return ""
    return ", such as " + "; ".join(str(row) for row in rows) if rows else ""
