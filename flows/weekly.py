"""Every week, for each family of models: learn from what the nights brought."""

from __future__ import annotations

from typing import Any

from prefect import flow

from edpipe.learning import family_of
from flows.learning import evaluate, promote, train
from flows.parameters import checked
from flows.steps import cluster, embed


@flow(name="weekly")
def weekly(model: str, settings: dict[str, Any] | None = None) -> str:
    """Train a family, compare it with the baselines, and make it the champion if it is better.

    Parameters
    ----------
    model
        `tracing`, `strategy`, `tsdiff` or `diffumin`.
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment.
    """
    chosen = checked(settings or {})
    family = family_of(model)
    after = cluster(chosen, embed(chosen, "")) if family.name == "strategy" else ""
    return promote(chosen, model, evaluate(chosen, model, train(chosen, model, after)))
