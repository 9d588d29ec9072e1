"""From foreign files to registered models, predictions and a report: the order, nothing else."""

from __future__ import annotations

from typing import Any

from prefect import flow

from edpipe.learning import models_on
from flows.learning import evaluate, promote, publish, report, score, train
from flows.parameters import checked, opened
from flows.steps import build, cluster, embed, ingest


@flow(name="edpipe")
def pipeline(settings: dict[str, Any], sources: dict[str, list[str]]) -> dict[str, str]:
    """Ingest, build, learn, score, publish and report, skipping what is up to date.

    Returns the run's folder of each family of models, the published tables and the report.
    """
    settings = checked(settings)
    landed = [ingest(settings, source, paths) for source, paths in sources.items()]
    built = build(settings, landed)
    runs = {model: learn(settings, model, built) for model in models_on(opened(settings), sources)}
    run_dirs = list(runs.values())
    published = publish(settings, run_dirs)
    return {**runs, "published": published, "report": report(settings, run_dirs, published)}


def learn(settings: dict[str, Any], model: str, built: str) -> str:
    """Represent, train, evaluate, promote and score one family of models; return its run's folder."""
    if model == "strategy":
        built = cluster(settings, embed(settings, built))
    run_dir = evaluate(settings, model, train(settings, model, built))
    score(settings, model, promote(settings, model, run_dir))
    return run_dir
