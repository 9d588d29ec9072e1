"""The steps with models as tasks: train, evaluate, promote, score, publish, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

import edpipe
from flows import artifacts
from flows.parameters import opened
from flows.steps import is_busy
from flows.writers import writing


@task(cache_policy=NO_CACHE)
def train(settings: dict[str, Any], model: str, after: str) -> str:
    """Train, or take the finished run of the same data and configuration."""
    del after  # orders this step after what it learns from
    return str(edpipe.train(model, opened(settings)).run_dir)


@task(cache_policy=NO_CACHE)
def evaluate(settings: dict[str, Any], model: str, run_dir: str) -> str:
    """Open the test split once and compare with the baselines."""
    artifacts.metrics(edpipe.evaluate(model, opened(settings), run_dir=Path(run_dir)))
    return run_dir


@task(cache_policy=NO_CACHE)
def promote(settings: dict[str, Any], model: str, run_dir: str) -> str:
    """Move the champion's alias if the new version is better."""
    return str(edpipe.promote(model, opened(settings), run_dir=Path(run_dir)).champion)


@task(cache_policy=NO_CACHE)
def score(settings: dict[str, Any], model: str, champion: str) -> str:
    """Write the predictions of the champion."""
    del champion  # orders this step after the promotion
    return ", ".join(str(path) for path in edpipe.score(model, opened(settings)))


@task(retries=5, retry_delay_seconds=20, retry_condition_fn=is_busy, cache_policy=NO_CACHE)
def publish(settings: dict[str, Any], scored: list[str]) -> str:
    """Replace the published tables, predictions included."""
    del scored  # orders this step after the scores
    with writing():
        return str(edpipe.publish(opened(settings)))


@task(cache_policy=NO_CACHE)
def report(settings: dict[str, Any], run_dirs: list[str], published: str) -> str:
    """Write the HTML report of what was published."""
    del published  # orders this step after the publication
    return str(edpipe.report(opened(settings), run_dir=[Path(one) for one in run_dirs]))
