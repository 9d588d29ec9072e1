"""Which failures Prefect tries again, seen on real tasks."""

from __future__ import annotations

import pytest

from edpipe.errors import SourceError, WarehouseBusyError
from flows.start import PREFECT_ENVIRONMENT

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def prefect_on_its_own(tmp_path_factory):
    """Prefect's temporary server, with its files in a folder of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        for name, value in PREFECT_ENVIRONMENT.items():
            patch.setenv(name, value)
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=180):
            yield


@pytest.mark.parametrize(
    ("name", "error", "calls"),
    [
        ("ingest", OSError("the drive is away"), 3),
        ("ingest", SourceError("The header is wrong."), 1),
        ("build", WarehouseBusyError("Another process is building."), 6),
        ("build", SourceError("A manifest cannot be read."), 1),
    ],
)
def test_a_step_is_tried_again_only_where_that_can_help(name, error, calls, prefect_on_its_own, monkeypatch):
    from prefect import flow

    import edpipe
    from flows import steps

    seen = []

    def fail(*_arguments, **_named):
        seen.append(name)
        raise error

    monkeypatch.setattr(edpipe, name, fail)
    step = getattr(steps, name).with_options(retry_delay_seconds=0)
    arguments = {"ingest": ({}, "ednet", []), "build": ({},)}[name]

    @flow
    def run():
        step(*arguments)

    with pytest.raises(type(error)):
        run()
    assert len(seen) == calls
