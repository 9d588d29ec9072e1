"""From foreign files to a registered model, predictions and a report: the order, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

import edpipe
from edpipe.errors import WarehouseBusyError
from flows import artifacts

# Steps pass references (paths, versions) and decide by themselves what is up to date: Prefect's own
# result cache would not notice that a table is gone.


def _busy(_task: Any, _run: Any, state: Any) -> bool:
    """Retry only where waiting helps: another process is writing the warehouse."""
    return isinstance(state.data, WarehouseBusyError) or "WarehouseBusyError" in str(state.message)


@task(retries=2, retry_delay_seconds=10, cache_policy=NO_CACHE)
def ingest(settings: dict[str, Any], source: str, paths: list[str]) -> str:
    """Land raw Parquet; a network drive may come back, so this is tried again."""
    edpipe.ingest(source, [Path(path) for path in paths], edpipe.Settings(**settings))
    return source


@task(retries=5, retry_delay_seconds=20, retry_condition_fn=_busy, cache_policy=NO_CACHE)
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


@task(retries=5, retry_delay_seconds=20, retry_condition_fn=_busy, cache_policy=NO_CACHE)
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


@flow(name="edpipe")
def pipeline(settings: dict[str, Any], source: str, paths: list[str]) -> dict[str, str]:
    """Ingest, build, train, evaluate, promote, score, publish and report, skipping what is up to date."""
    landed = ingest(settings, source, paths)
    build(settings, wait_for=[landed])
    run_dir = evaluate(settings, train(settings))
    champion = promote(settings, run_dir)
    published = score(settings, champion)
    return {"run_dir": run_dir, "published": published, "report": report(settings, run_dir, published)}
