"""The steps of the pipeline as tasks: which are tried again, and what each hands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

import edpipe
from edpipe.errors import EdpipeError, WarehouseBusyError
from flows import artifacts
from flows.parameters import opened
from flows.writers import writing

# Steps pass references and decide by themselves what is up to date: Prefect's cache sees no lost table.


def is_busy(_task: Any, _run: Any, state: Any) -> bool:
    """Tell whether waiting helps: another process is writing the warehouse."""
    return isinstance(state.result(raise_on_failure=False), WarehouseBusyError)


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Tell whether a failure may be gone the next time: a refused source stays refused."""
    return not isinstance(state.result(raise_on_failure=False), EdpipeError)


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=may_pass, cache_policy=NO_CACHE)
def ingest(settings: dict[str, Any], source: str, paths: list[str], add: bool = False) -> str:
    """Land raw Parquet; a network drive may come back, so this is tried again."""
    with writing():
        edpipe.ingest(source, [Path(path) for path in paths], opened(settings), add=add)
    return source


@task(retries=5, retry_delay_seconds=20, retry_condition_fn=is_busy, cache_policy=NO_CACHE)
def build(settings: dict[str, Any], landed: list[str]) -> str:
    """Build what changed, audit it, publish it."""
    del landed  # orders this step after the ingestions
    with writing():
        report = edpipe.build(opened(settings))
    artifacts.reconciliation(opened(settings))
    return str(report.published)


@task(cache_policy=NO_CACHE)
def embed(settings: dict[str, Any], built: str) -> str:
    """Learn vectors of students, problems and KCs, or take those of the same data."""
    del built  # orders this step after the build
    return artifacts.made("embedding", edpipe.embed(opened(settings)))


@task(cache_policy=NO_CACHE)
def cluster(settings: dict[str, Any], embedding: str) -> str:
    """Group who is interchangeable, or take the clusters of the same data."""
    del embedding  # orders this step after the embedding
    return artifacts.made("clusters", edpipe.cluster(opened(settings)))
