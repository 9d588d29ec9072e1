"""Write tables.md: every published relation with the meaning of its columns, read from the SQL models.

Run from the repository's root: ``python docs/reference/make_tables.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edpipe.operations.tables import OPS_TABLES

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "sql" / "models"
PAGE = HERE / "tables.md"
SCHEMAS = {
    "core": "Clean tables of what happened: students, items, interactions, actions, steps of tutors.",
    "features": "Numbers computed from core.",
    "training": "What a model reads, one relation a task.",
    "ops": "What ran: `edpipe sql` and `edpipe show` see it as it is now, the file as of its publication.",
}
HEAD = """# Tables

The relations in `published.duckdb`, made from the headers of the SQL models by
`docs/reference/make_tables.py`. The same text is shown by `edpipe show RELATION`. Times are UTC, units
stand in the column name, and keys are dense integers that may change from build to build: keep the
published ids.
"""


@dataclass(frozen=True)
class Relation:
    """One SQL model: its name, grain, description, and columns with type and meaning."""

    name: str
    grain: str
    description: str
    columns: list[tuple[str, str, str]]


def read_relation(path: Path) -> Relation:
    """Read the ``MODEL (…)`` header of one file."""
    text = path.read_text("utf-8")
    header = text[: re.search(r"^\);", text, re.MULTILINE).end()]
    types = dict(re.findall(r"^    (\w+) (\w+(?:\[\])?),?$", _block(header, "columns"), re.MULTILINE))
    meanings = dict(
        re.findall(r"^    (\w+) = '((?:[^']|'')*)'", _block(header, "column_descriptions"), re.MULTILINE)
    )
    return Relation(
        name=re.search(r"name ([\w.]+)", header)[1],
        grain=(re.search(r"grain \(([^)]*)\)", header) or ["", ""])[1],
        description=re.search(r"description '((?:[^']|'')*)'", header)[1].replace("''", "'"),
        columns=[
            (name, kind.lower(), meanings.get(name, "").replace("''", "'")) for name, kind in types.items()
        ],
    )


def _block(header: str, name: str) -> str:
    found = re.search(rf"^  {name} \((.*?)^  \)", header, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def ops_relations() -> list[Relation]:
    """Return what the tables of `ops` promise; no SQL model makes them."""
    return [
        Relation(
            name=f"ops.{table.name}",
            grain=table.grain,
            description=table.description,
            columns=[(name, kind.lower(), text) for name, (kind, text) in table.columns.items()],
        )
        for table in OPS_TABLES
    ]


def render() -> str:
    """Return the page."""
    parts = [HEAD]
    for schema, words in SCHEMAS.items():
        parts.append(f"## {schema}\n\n{words}\n")
        relations = [read_relation(path) for path in sorted((MODELS / schema).glob("*.sql"))]
        for relation in relations or ops_relations():
            grain = f" Grain: `{relation.grain}`." if relation.grain else ""
            rows = [
                f"| `{name}` | {kind} | {meaning.replace('|', '/')} |"
                for name, kind, meaning in relation.columns
            ]
            table = "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])
            parts.append(f"### {relation.name}\n\n{relation.description}{grain}\n\n{table}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
