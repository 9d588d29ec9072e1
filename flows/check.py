"""Every week: whether the champions still serve all alike."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.checks import equity
from flows.parameters import checked


@flow(name="check")
def check(settings: dict[str, Any] | None = None) -> int:
    """Run the weekly checks, each of which leaves a table, and return the number of rows.

    Parameters
    ----------
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment.
    """
    return equity(checked(settings or {}))
