"""What each relation promises, read from its SQL model and written into the published tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.warehouse.project import LAYERS

if TYPE_CHECKING:
    from sqlmesh import Context


@dataclass(frozen=True, slots=True)
class Relation:
    """One SQL model as its readers see it.

    Parameters
    ----------
    name
        Layer and name, such as ``core.interactions``.
    is_view
        True where nothing is stored.
    description
        What it is.
    grain
        What one row is one of.
    columns
        Name to type and description.
    audits
        What is checked before it replaces the old one.
    upstream
        Relations it reads.
    view_query
        SQL of a view over published names.
    """

    name: str
    is_view: bool
    description: str
    grain: str
    columns: dict[str, tuple[str, str]]
    audits: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    view_query: str = ""

    @property
    def layer(self) -> str:
        """Schema of the relation."""
        return self.name.split(".")[0]

    @property
    def short_name(self) -> str:
        """Name inside the schema."""
        return self.name.split(".")[1]


def plain_name(name: str) -> str:
    """Return ``core.items`` for ``"warehouse"."core"."items"``."""
    return ".".join(name.replace('"', "").split(".")[-2:])


def read_contracts(context: Context) -> dict[str, Relation]:
    """Return the relations of the project, upstream before downstream."""
    from sqlglot import exp

    relations: dict[str, Relation] = {}
    for fqn in context.dag.sorted:
        model = context.get_model(fqn, raise_if_missing=True)
        name = plain_name(fqn)
        if name.split(".")[0] not in LAYERS:
            continue
        view_query = ""
        if model.kind.is_view:
            rendered = model.render_query_or_raise()
            for table in rendered.find_all(exp.Table):
                table.set("catalog", None)
            view_query = rendered.sql(dialect="duckdb")
        kinds = model.columns_to_types or {}
        relations[name] = Relation(
            name=name,
            is_view=model.kind.is_view,
            description=model.description or "",
            grain=", ".join(item.sql(dialect="duckdb").strip("()") for item in model.grains),
            columns={
                column: (kind.sql(dialect="duckdb"), model.column_descriptions.get(column, ""))
                for column, kind in kinds.items()
            },
            audits=tuple(_audit_text(audit, arguments) for audit, arguments in model.audits),
            upstream=tuple(sorted(plain_name(parent) for parent in model.depends_on)),
            view_query=view_query,
        )
    return relations


def save_contracts(path: Path, relations: dict[str, Relation]) -> None:
    """Keep the contracts of a build, so that publishing again needs no SQLMesh."""
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps([asdict(relation) for relation in relations.values()]), encoding="utf-8")
    temporary.replace(path)


def load_contracts(path: Path) -> dict[str, Relation]:
    """Read the contracts of the last build."""
    found = {}
    for data in json.loads(path.read_text(encoding="utf-8")):
        data["columns"] = {name: tuple(column) for name, column in data["columns"].items()}
        data["audits"], data["upstream"] = tuple(data["audits"]), tuple(data["upstream"])
        found[data["name"]] = Relation(**data)
    return found


def _audit_text(name: str, arguments: Mapping[str, object]) -> str:
    shown = ", ".join(
        f"{key} = {value.sql(dialect='duckdb') if hasattr(value, 'sql') else value}"
        for key, value in arguments.items()
    )
    return f"{name}({shown})"
