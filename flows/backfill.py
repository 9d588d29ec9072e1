"""By hand: bring in what came before the first night."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.learning import publish
from flows.parameters import checked
from flows.steps import build, ingest


@flow(name="backfill")
def backfill(source: str, folders: list[str], settings: dict[str, Any] | None = None) -> str:
    """Ingest folders of a source, build and publish.

    Parameters
    ----------
    source
        `ednet`, `assistments`, `kddcup`, `datashop`, `mathia` or `clicks`.
    folders
        All that the source is to hold, the oldest first: a relation holds what the last ingestion named.
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment.
    """
    chosen = checked(settings or {})
    return publish(chosen, [build(chosen, [ingest(chosen, source, folders)])])
