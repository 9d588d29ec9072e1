"""Which failures Prefect tries again, seen on real tasks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import flows
from edpipe.errors import SourceError, WarehouseBusyError
from edpipe.tracking.registry import ModelVersion
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
    arguments = {"ingest": ({}, "ednet", []), "build": ({}, [])}[name]

    @flow
    def run():
        step(*arguments)

    with pytest.raises(type(error)):
        run()
    assert len(seen) == calls


def test_a_family_of_models_is_learned_where_its_source_is_among_the_sources(prefect_on_its_own, monkeypatch):
    """Steps are stood in for by their names: the flow gives order and references, nothing else."""
    from flows import pipeline

    done: list[str] = []

    def step(name):
        def run(_settings, *references):
            words = [
                "+".join(one) if isinstance(one, list) else str(one) for one in references if one is not None
            ]
            done.append(f"{name}({', '.join(words)})")
            return name

        return run

    names = ("ingest", "build", "embed", "cluster", "train", "evaluate", "promote", "score", "publish")
    for name in (*names, "report"):
        monkeypatch.setattr(pipeline, name, step(name))
    made = pipeline.pipeline({}, {"kddcup": ["log.txt"]})
    assert made == {"strategy": "evaluate", "published": "publish", "report": "report"}
    assert done == [
        "ingest(kddcup, log.txt)",
        "build(ingest)",
        "embed(build)",
        "cluster(embed)",
        "train(strategy, cluster)",
        "evaluate(strategy, train)",
        "promote(strategy, evaluate)",
        "score(strategy, promote)",
        "publish(evaluate)",
        "report(evaluate, publish)",
    ]
    done.clear()
    assert set(pipeline.pipeline({}, {"ednet": [], "kddcup": []})) == {
        "tracing",
        "strategy",
        "tsdiff",
        "diffumin",
        "published",
        "report",
    }
    assert [line.split("(")[0] for line in done].count("build") == 1
    assert "train(tracing, build)" in done


def test_the_weekly_check_looks_for_drift_of_every_champion_and_shows_it(
    prefect_on_its_own, monkeypatch, tmp_path
):
    """One family that fails does not keep the others from being looked at, and fails the run."""
    import asyncio

    import polars as pl
    from prefect.client.orchestration import get_client

    import edpipe
    from edpipe.drifting import Drift
    from edpipe.evaluation.drift.compare import SCHEMA
    from flows import check

    looked: list[str] = []
    row = {"kind": "input", "name": "part", "num_rows": 9, "value": 0.4, "verdict": "strong"}

    def drift(model, _settings):
        looked.append(model)
        if model == "strategy":
            raise SourceError("A snapshot cannot be read.")
        rows = pl.DataFrame([row] if model == "tracing" else [], schema=SCHEMA)
        return Drift(model, 2, datetime(2024, 5, 1, tzinfo=UTC), rows, None)

    def champions(*names):
        return lambda _settings: [ModelVersion(name, 2, "id", "key", "models:/m") for name in names]

    monkeypatch.setattr(edpipe, "drift", drift)
    monkeypatch.setattr(check, "equity", lambda _settings: 0)
    monkeypatch.setattr(check, "champions", champions("tracing", "tsdiff"))
    settings = {"home": str(tmp_path)}
    assert check.check(settings) == {"tracing": True, "tsdiff": False}

    async def shown():
        async with get_client() as client:
            return {one.key: one for one in await client.read_artifacts()}

    artifacts = asyncio.run(shown())
    assert "strong drift of input `part`" in artifacts["tracing-drift"].description
    assert '"part"' in artifacts["tracing-drift"].data
    assert "nothing came after its training" in artifacts["tsdiff-drift"].description
    looked.clear()
    monkeypatch.setattr(check, "champions", champions("strategy", "tracing"))
    with pytest.raises(SourceError, match="snapshot"):
        check.check(settings)
    assert looked == ["strategy", "tracing"]


@pytest.mark.parametrize(
    "file", sorted(Path(str(flows.__file__)).parent.glob("*.py")), ids=lambda file: file.stem
)
def test_flow_files_stay_small(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) < 60
