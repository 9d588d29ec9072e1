"""From foreign files to a registered model, predictions and a report: the order, nothing else."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.steps import build, evaluate, ingest, promote, report, score, train


@flow(name="edpipe")
def pipeline(settings: dict[str, Any], source: str, paths: list[str]) -> dict[str, str]:
    """Ingest, build, train, evaluate, promote, score, publish and report, skipping what is up to date."""
    landed = ingest(settings, source, paths)
    build(settings, wait_for=[landed])
    run_dir = evaluate(settings, train(settings))
    champion = promote(settings, run_dir)
    published = score(settings, champion)
    return {"run_dir": run_dir, "published": published, "report": report(settings, run_dir, published)}
