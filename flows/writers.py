"""One writer of a home at a time: a flow waits for its turn instead of failing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import runtime
from prefect.concurrency.sync import concurrency

WRITER = "edpipe-writer"
# The shortest that Prefect takes: so long the place of a killed writer stays taken.
LEASE_SECONDS = 60


@contextmanager
def writing() -> Iterator[None]:
    """Wait until no other deployed flow writes; a flow that runs by hand relies on the lock of the home.

    That lock stands below this in any case: whoever passes by Prefect meets it, and is tried again.
    """
    if runtime.deployment.id is None:
        yield
        return
    with concurrency(WRITER, occupy=1, lease_duration=LEASE_SECONDS):
        yield
