"""Every week: whether the champions still serve all alike, and whether the data drift away from them."""

from __future__ import annotations

from typing import Any

from prefect import flow

from edpipe.champions import champions
from flows.checks import drift, equity
from flows.parameters import checked, opened


@flow(name="check")
def check(settings: dict[str, Any] | None = None) -> dict[str, bool]:
    """Run the weekly checks, each of which leaves a table, and return which families have drifted.

    A family whose check fails holds up no other, but is told.

    Parameters
    ----------
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment.
    """
    chosen = checked(settings or {})
    equity(chosen)
    states = {one.name: drift(chosen, one.name, return_state=True) for one in champions(opened(chosen))}
    return {name: state.result() for name, state in states.items()}
