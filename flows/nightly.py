"""Every night: read what is scheduled, add what was delivered, build what changed, publish."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.learning import publish
from flows.parameters import checked
from flows.steps import build, ingest


@flow(name="nightly")
def nightly(settings: dict[str, Any] | None = None) -> str:
    """Ingest `schedule.sources`, add `schedule.deliveries`, build and publish, skipping what is up to date.

    Parameters
    ----------
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment, as
        `{"preset": "full", "tracing": {"size": 64}}`.
    """
    chosen = checked(settings or {})
    landed = [ingest(chosen, source, paths) for source, paths in chosen["schedule"]["sources"].items()]
    delivered = chosen["schedule"]["deliveries"].items()
    landed += [ingest(chosen, source, folders, add=True) for source, folders in delivered]
    return publish(chosen, [build(chosen, landed)])
