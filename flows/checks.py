"""The weekly checks as tasks: each shows a table and decides nothing."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

import edpipe
from edpipe import champions
from flows import artifacts
from flows.parameters import opened


@task(cache_policy=NO_CACHE)
def equity(settings: dict[str, Any]) -> int:
    """Show how well each champion serves each mastery group; return the number of rows."""
    rows = champions.equity(opened(settings))
    artifacts.table("equity", rows, "Champions and their baselines by mastery group, test part.")
    return rows.height


@task(cache_policy=NO_CACHE)
def drift(settings: dict[str, Any], model: str) -> bool:
    """Show what came since the champion's training beside that training; return whether it has drifted."""
    found = edpipe.drift(model, opened(settings))
    artifacts.drift(found)
    return found.is_flagged
