"""What a flow run shows in Prefect: the reconciliation, the metrics, and where the MLflow run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact, create_table_artifact

import edpipe
from edpipe.learning import comparison

if TYPE_CHECKING:
    import polars as pl

    from edpipe.drifting import Drift
    from edpipe.families.family import Made
    from edpipe.learning import Evaluated


def reconciliation(settings: edpipe.Settings) -> None:
    """Show the reconciliation of the published warehouse as a table."""
    rows = edpipe.sql(
        "select check_name, relation, observed, expected, is_ok, detail from core.reconciliation "
        "order by is_ok, check_name, relation",
        settings,
    )
    failed = rows.filter(~rows["is_ok"]).height
    table("reconciliation", rows, f"{rows.height} checks, {failed} that do not hold.")


def table(key: str, rows: pl.DataFrame, description: str) -> None:
    """Show rows as a table."""
    create_table_artifact(key=key, table=rows.to_dicts(), description=description)


def made(key: str, what: Made) -> str:
    """Show what a step made as a table, and return its folder."""
    description = "\n\n".join(filter(None, [what.title, *what.words, what.caption]))
    table(key, what.rows, description)
    return str(what.folder)


def metrics(evaluated: Evaluated) -> None:
    """Show the comparison with the baselines on the test part, and where the MLflow run is."""
    version = evaluated.version
    table(f"{version.name}-metrics", comparison(evaluated.run.run_dir), "Test part, 95 % intervals.")
    told = [f"Registered as `{version.name}` version {version.version}, MLflow run `{version.run_id}`."]
    told += [*evaluated.statements, "Warnings:"]
    told += [f"- {warning}" for warning in evaluated.evaluation.warnings] or ["None."]
    create_markdown_artifact(key=f"{version.name}-evaluation", markdown="\n\n".join(told))


def drift(found: Drift) -> None:
    """Show what a check of drift found as a table, with what is flagged in words."""
    rows = found.rows.filter(found.rows["verdict"].is_not_null())
    table(f"{found.model}-drift", rows, "\n\n".join(found.words))
