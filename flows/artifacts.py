"""What a flow run shows in Prefect: the reconciliation, the metrics, and where the MLflow run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact, create_table_artifact

import edpipe
from edpipe.learning import comparison

if TYPE_CHECKING:
    from edpipe.learning import Evaluated


def reconciliation(settings: edpipe.Settings) -> None:
    """Show the reconciliation of the published warehouse as a table."""
    rows = edpipe.sql(
        "select check_name, relation, observed, expected, is_ok, detail from core.reconciliation "
        "order by is_ok, check_name, relation",
        settings,
    )
    failed = rows.filter(~rows["is_ok"]).height
    create_table_artifact(
        key="reconciliation",
        table=rows.to_dicts(),
        description=f"{rows.height} checks, {failed} that do not hold.",
    )


def metrics(evaluated: Evaluated) -> None:
    """Show the comparison with the baselines on the test students, and where the MLflow run is."""
    create_table_artifact(
        key="metrics",
        table=comparison(evaluated.run.run_dir).to_dicts(),
        description="Test students, 95 % intervals.",
    )
    warnings = "\n".join(f"- {warning}" for warning in evaluated.evaluation.warnings) or "None."
    version = evaluated.version
    create_markdown_artifact(
        key="evaluation",
        markdown=f"Registered as `{version.name}` version {version.version}, "
        f"MLflow run `{version.run_id}`.\n\nWarnings:\n\n{warnings}\n",
    )
