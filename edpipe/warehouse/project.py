"""The SQLMesh project as this program configures it: connection, variables, rules."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edpipe.errors import SettingsError
from edpipe.raw import RAW_SCHEMAS, REJECT_SCHEMA, Manifest, landed, read_manifest, relation_dir
from edpipe.settings import Settings

if TYPE_CHECKING:
    from sqlmesh import Config, Context

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
LAYERS = ("raw", "staging", "core", "features", "training")
PUBLISHED_LAYERS = ("core", "features", "training")
# Times mean nothing to models that are always built whole: one fixed moment, and the passing of a
# day never makes a relation look incomplete.
FIXED_START = "2020-01-01"
FIXED_NOW = "2020-01-02 00:00:00"
LINT_RULES = ("ambiguousorinvalidcolumn", "invalidselectstarexpansion", "noselectstar", "nomissingunittest")


def project_dir() -> Path:
    """Return the folder of the SQL models.

    Raises
    ------
    SettingsError
        If the program runs without its checkout.
    """
    if not (SQL_DIR / "models").is_dir():
        raise SettingsError(
            "The SQL models are not where they should be.",
            where=str(SQL_DIR),
            found="no folder `models`",
            expected="a checkout of edpipe: its `sql` folder is part of the program",
            next_step="Install edpipe from a checkout with `pip install -e .`.",
        )
    return SQL_DIR


def variables(settings: Settings, *, generation: int = 0) -> dict[str, Any]:
    """Return what the SQL depends on besides itself: settings and manifests.

    Parameters
    ----------
    settings
        Where the raw data are and how models are parametrized.
    generation
        Raised to build everything again beside what is there.
    """
    values: dict[str, Any] = {
        "session_idle_seconds": settings.warehouse.session_idle_minutes * 60,
        "mastery_decay": settings.warehouse.mastery_decay,
        "clock_offset_hours": settings.warehouse.clock_offset_hours,
        "watched_share": settings.warehouse.watched_share,
        "kc_models": list(settings.warehouse.kc_models),
        "ignored_kcs": [word.upper() for word in settings.warehouse.ignored_kcs],
        "split_valid": settings.split.valid,
        "split_test": settings.split.test,
        "split_salt": settings.split.salt,
    }
    for source, relation in RAW_SCHEMAS:
        manifest = read_manifest(settings.raw_dir, source, relation)
        values[f"{source}_{relation}"] = _scan(settings, source, relation, manifest, generation)
    manifests = landed(settings.raw_dir)
    values["raw_manifests"] = json.dumps([_counts(manifest) for manifest in manifests])
    values["raw_rejects"] = _rejects(settings, manifests, generation)
    return values


def _scan(settings: Settings, source: str, relation: str, manifest: Manifest | None, generation: int) -> str:
    folder = relation_dir(settings.raw_dir, source, relation).resolve()
    return json.dumps(
        {
            "fingerprint": manifest.fingerprint if manifest else "",
            "generation": generation,
            "columns": RAW_SCHEMAS[source, relation],
            "files": [str(folder / shard.file) for shard in manifest.shards if shard.rows]
            if manifest
            else [],
        }
    )


def _rejects(settings: Settings, manifests: list[Manifest], generation: int) -> str:
    files = [
        str(relation_dir(settings.raw_dir, manifest.source, manifest.relation).resolve() / shard.rejects_file)
        for manifest in manifests
        for shard in manifest.shards
        if shard.rejects_file
    ]
    fingerprint = [manifest.fingerprint for manifest in manifests if manifest.rejected_rows]
    return json.dumps(
        {
            "fingerprint": fingerprint,
            "generation": generation,
            "columns": REJECT_SCHEMA,
            "files": files,
        }
    )


def _counts(manifest: Manifest) -> dict[str, Any]:
    return {
        "source": manifest.source,
        "relation": manifest.relation,
        "release": manifest.release,
        "licence": manifest.licence,
        "selection": manifest.selection,
        "source_rows": manifest.source_rows,
        "kept_rows": manifest.rows,
        "rejected_rows": manifest.rejected_rows,
        "duplicate_rows": manifest.duplicate_rows,
        "late_rows": manifest.late_rows,
        "conflicting_rows": manifest.conflicting_rows,
        "num_deliveries": len(manifest.deliveries),
        "num_shards": len(manifest.shards),
        "excluded_members": manifest.excluded_members,
    }


def duckdb_options(settings: Settings) -> dict[str, Any]:
    """Return DuckDB's options: bounded memory, spilling below ``home``, times in UTC."""
    return {
        "threads": settings.warehouse.threads or os.cpu_count() or 1,
        "memory_limit": f"{settings.warehouse.memory_limit_mib}MiB",
        "temp_directory": str((settings.home / "tmp" / "duckdb").resolve()),
        "preserve_insertion_order": False,
        "TimeZone": "UTC",
        "autoinstall_known_extensions": False,
    }


def sqlmesh_config(settings: Settings, *, generation: int = 0, database: Path | None = None) -> Config:
    """Return SQLMesh's configuration for these settings.

    Parameters
    ----------
    settings
        Settings of the warehouse.
    generation
        See :func:`variables`.
    database
        DuckDB file of relations and state; by default the warehouse of the settings.
    """
    _prepare_environment()
    from sqlmesh.core.config import (
        CategorizerConfig,
        Config,
        DuckDBConnectionConfig,
        GatewayConfig,
        LinterConfig,
        ModelDefaultsConfig,
        PlanConfig,
    )

    database = database or settings.warehouse_path
    database.parent.mkdir(parents=True, exist_ok=True)
    connection = DuckDBConnectionConfig(database=str(database), connector_config=duckdb_options(settings))
    return Config(
        gateways={"": GatewayConfig(connection=connection)},
        default_test_connection=DuckDBConnectionConfig(connector_config={"TimeZone": "UTC"}),
        model_defaults=ModelDefaultsConfig(dialect="duckdb", start=FIXED_START, cron="@daily"),
        linter=LinterConfig(enabled=True, rules=set(LINT_RULES)),
        plan=PlanConfig(auto_categorize_changes=CategorizerConfig.all_full(), no_prompts=True),
        variables=variables(settings, generation=generation),
        cache_dir=str((settings.home / "tmp" / "sqlmesh").resolve()),
        disable_anonymized_analytics=True,
    )


def open_context(settings: Settings, *, generation: int = 0, database: Path | None = None) -> Context:
    """Load the project; takes seconds, so callers look for reasons not to first."""
    _prepare_environment()
    from sqlmesh import Context

    config = sqlmesh_config(settings, generation=generation, database=database)
    return Context(paths=[str(project_dir())], config=config)


def _prepare_environment() -> None:
    """Import SQLMesh without telemetry, without forked loaders beside torch's threads, in silence."""
    os.environ["SQLMESH__DISABLE_ANONYMIZED_ANALYTICS"] = "true"
    os.environ.setdefault("MAX_FORK_WORKERS", "1")
    with warnings.catch_warnings():
        # SQLMesh still uses what pydantic deprecates; nobody who builds can do anything about it.
        warnings.simplefilter("ignore", DeprecationWarning)
        import sqlmesh  # noqa: F401 - imported for its warnings
