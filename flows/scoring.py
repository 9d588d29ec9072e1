"""Every night after the build: predictions of every champion, published, and the report."""

from __future__ import annotations

from typing import Any

from prefect import flow

from edpipe.champions import champions
from flows.learning import publish, report, score
from flows.parameters import checked, opened


@flow(name="scoring")
def scoring(settings: dict[str, Any] | None = None) -> str:
    """Score by all champions, publish and report; a family that fails holds up no other, but is told.

    Parameters
    ----------
    settings
        Settings on top of those of the worker's `edpipe.toml` and environment.
    """
    chosen = checked(settings or {})
    states = [score(chosen, one.name, one.uri, return_state=True) for one in champions(opened(chosen))]
    written = report(chosen, [], publish(chosen, [str(state.name) for state in states]))
    for state in states:
        state.result()
    return written
