"""What was ingested, as SQL: the shards a manifest lists, and the counts of all manifests.

The argument is a project variable that holds a manifest as JSON. Its fingerprint and shards thereby
enter the fingerprint of the model: new data makes a new version of it and of what depends on it.
"""

import json

from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator


@macro()
def raw(evaluator: MacroEvaluator, manifest: exp.Expression) -> exp.Expression:
    """Expand to a scan of the listed shards, or to no rows where nothing has been ingested."""
    listed = json.loads(manifest.this)
    columns = listed["columns"]
    # A literal in the query, because SQLMesh tells by the query whether what depends on it is stale:
    # shards of the same names may hold other rows.
    mark = exp.Literal.string(f"{listed['fingerprint']}, {listed['generation']}").sql("duckdb")
    if not listed["files"]:
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in columns.items())
        return evaluator.parse_one(f"(SELECT {empty}, {mark} AS ingested_as WHERE FALSE)").as_("shards")
    files = ", ".join(exp.Literal.string(file).sql("duckdb") for file in listed["files"])
    names = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in columns.items())
    return evaluator.parse_one(f"(SELECT {names}, {mark} AS ingested_as FROM READ_PARQUET([{files}]))").as_(
        "shards"
    )


@macro()
def manifest_rows(evaluator: MacroEvaluator, manifests: exp.Expression) -> exp.Expression:
    """Expand to one row a manifest with its counts."""
    rows = json.loads(manifests.this)
    text = ("source", "relation", "release", "licence", "selection")
    numbers = (
        "source_rows",
        "kept_rows",
        "rejected_rows",
        "duplicate_rows",
        "late_rows",
        "conflicting_rows",
        "num_deliveries",
        "num_shards",
        "excluded_members",
    )
    selects = []
    for row in rows or [dict.fromkeys((*text, *numbers))]:
        literals = [
            f"CAST({exp.convert(row[name]).sql('duckdb')} AS {kind}) AS {name}"
            for names, kind in ((text, "TEXT"), (numbers, "BIGINT"))
            for name in names
        ]
        selects.append("SELECT " + ", ".join(literals) + ("" if rows else " WHERE FALSE"))
    return evaluator.parse_one("(" + " UNION ALL ".join(selects) + ")").as_("manifests")
