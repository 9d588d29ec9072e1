"""Every night: read what is scheduled, build what changed, publish."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.learning import publish
from flows.parameters import checked
from flows.steps import build, ingest


@flow(name="nightly")
def nightly(settings: dict[str, Any] | None = None) -> str:
    """Ingest the sources of `schedule.sources`, build and publish, skipping what is up to date.

    Parameters
    ----------
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment, as
        `{"preset": "full", "tracing": {"size": 64}}`.
    """
    chosen = checked(settings or {})
    landed = [ingest(chosen, source, paths) for source, paths in chosen["schedule"]["sources"].items()]
    return publish(chosen, [build(chosen, landed)])
