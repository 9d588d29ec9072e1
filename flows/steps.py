"""The steps of the pipeline as tasks: which are tried again, and what each hands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

import edpipe
from edpipe.errors import EdpipeError, WarehouseBusyError
from flows import artifacts

# Steps pass references (paths, versions) and decide by themselves what is up to date: Prefect's own
# result cache would not notice that a table is gone.


def is_busy(_task: Any, _run: Any, state: Any) -> bool:
    """Tell whether waiting helps: another process is writing the warehouse."""
    return isinstance(state.result(raise_on_failure=False), WarehouseBusyError)


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Tell whether a failure may be gone the next time: a refused source stays refused."""
    return not isinstance(state.result(raise_on_failure=False), EdpipeError)


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=may_pass, cache_policy=NO_CACHE)
def ingest(settings: dict[str, Any], source: str, paths: list[str]) -> str:
    """Land raw Parquet; a network drive may come back, so this is tried again."""
    edpipe.ingest(source, [Path(path) for path in paths], edpipe.Settings(**settings))
    return source


@task(retries=5, retry_delay_seconds=20, retry_condition_fn=is_busy, cache_policy=NO_CACHE)
def build(settings: dict[str, Any]) -> str:
    """Build what changed, audit it, publish it."""
    report = edpipe.build(edpipe.Settings(**settings))
    artifacts.reconciliation(edpipe.Settings(**settings))
    return str(report.published)


@task(cache_policy=NO_CACHE)
def train(settings: dict[str, Any]) -> str:
    """Train, or take the finished run of the same data and configuration."""
    return str(edpipe.train("tracing", edpipe.Settings(**settings)).run_dir)


@task(cache_policy=NO_CACHE)
def evaluate(settings: dict[str, Any], run_dir: str) -> str:
    """Open the test split once and compare with the baselines."""
    artifacts.metrics(edpipe.evaluate("tracing", edpipe.Settings(**settings), run_dir=Path(run_dir)))
    return run_dir


@task(cache_policy=NO_CACHE)
def promote(settings: dict[str, Any], run_dir: str) -> str:
    """Move the champion's alias if the new version is better."""
    return str(edpipe.promote("tracing", edpipe.Settings(**settings), run_dir=Path(run_dir)).champion)


@task(retries=5, retry_delay_seconds=20, retry_condition_fn=is_busy, cache_policy=NO_CACHE)
def score(settings: dict[str, Any], champion: str) -> str:
    """Write every student's mastery by the champion, and publish it."""
    del champion  # orders this step after the promotion
    edpipe.score("tracing", edpipe.Settings(**settings))
    return str(edpipe.publish(edpipe.Settings(**settings)))


@task(cache_policy=NO_CACHE)
def report(settings: dict[str, Any], run_dir: str, published: str) -> str:
    """Write the HTML report of what was published."""
    del published  # orders this step after the publication
    return str(edpipe.report(edpipe.Settings(**settings), run_dir=Path(run_dir)))
