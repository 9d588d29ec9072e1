"""Every SQL model keeps the house rules: header, words, audits, a unit test that passes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edpipe.settings import load_settings
from edpipe.warehouse.contract import Relation, plain_name, read_contracts
from edpipe.warehouse.project import LAYERS, open_context, project_dir

pytestmark = pytest.mark.contract
STATED_LAYERS = ("raw", "staging", "core", "features", "training")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("contracts")
    settings = load_settings("smoke", file=home / "none.toml", home=home, progress="none")
    loaded = open_context(settings, database=Path(":memory:"))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def relations(context: Any) -> dict[str, Relation]:
    return read_contracts(context)


def test_every_file_is_one_relation_of_its_layer(relations: dict[str, Relation]) -> None:
    files = {f"{path.parent.name}.{path.stem}" for path in (project_dir() / "models").glob("*/*.sql")}
    assert files == set(relations)
    assert LAYERS == STATED_LAYERS


def test_every_relation_and_column_is_described(relations: dict[str, Relation]) -> None:
    silent = [name for name, item in relations.items() if len(item.description) < 15 or not item.grain]
    silent += [
        f"{name}.{column}"
        for name, item in relations.items()
        for column, (_, text) in item.columns.items()
        if len(text) < 8
    ]
    assert silent == []


def test_every_relation_has_an_audit_and_every_stored_one_of_its_grain(
    relations: dict[str, Relation],
) -> None:
    assert [name for name, item in relations.items() if not item.audits] == []
    # A row number over the grain makes opportunities and examples unique; rejects repeat what sources repeat.
    by_construction = {
        "core.opportunities",
        "training.tracing_examples",
        "training.recommendation_examples",
        "core.rejects",
    }
    assert [
        name
        for name, item in relations.items()
        if not item.is_view
        and name not in by_construction
        and not any(audit.startswith("unique_") for audit in item.audits)
    ] == []


def test_units_stand_in_names(relations: dict[str, Relation]) -> None:
    for name, item in relations.items():
        for column, (kind, _) in item.columns.items():
            if kind == "BOOLEAN":
                assert column.startswith("is_"), f"{name}.{column}"
            if column.endswith("_at") or column == "hour":
                assert kind == "TIMESTAMPTZ" or name.startswith("raw."), f"{name}.{column}"


def test_every_model_has_a_test_and_all_pass(context: Any, relations: dict[str, Relation]) -> None:
    tested = {plain_name(item.model_name) for item in context.select_tests()}
    assert sorted(set(relations) - tested) == []
    result = context.test(stream=io.StringIO())
    assert [str(case) for case, _ in [*result.failures, *result.errors]] == []
    assert result.testsRun >= len(relations)


def test_the_linter_finds_nothing(context: Any) -> None:
    found = context.lint_models(raise_on_error=False)
    assert [str(item) for item in found] == []
