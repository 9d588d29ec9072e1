"""The deployments of `prefect.yaml` on a real Prefect server with a real worker, on synthetic students.

A schedule fires; a run fails, is tried again and recovers; a second run waits for its turn; a cancelled run
leaves a state that the next run completes; a failure is told to a web address.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from web_hook import listening

import edpipe
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import write_ednet
from edpipe.warehouse.lock import writer_lock
from flows.start import PREFECT_ENVIRONMENT

# SQLMesh 0.236 defines its models in a way that Pydantic 2.13 and later announce to remove.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:.json_encoders. is deprecated"),
]

REPOSITORY = Path(__file__).resolve().parents[3]
PREFECT = Path(sys.executable).with_name("prefect")
PATIENCE = 400.0
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Platform:
    """A server, a worker, the deployments, and the home that they work on."""

    api: str
    environment: dict[str, str]
    settings: Settings
    folder: Path
    messages: list[dict[str, str]]

    def call(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        request = urllib.request.Request(
            f"{self.api}{path}",
            data=json.dumps(body if body is not None else {}).encode() if method != "GET" else None,
            headers={"content-type": "application/json"},
            method=method,
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                # SQLite is being written: the server asks its clients to come again.
                if error.code != 503:
                    raise
                time.sleep(1)

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [*words], cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run now, and return its id."""
        found = self.call(f"/deployments/name/{deployment}", method="GET")
        made = self.call(f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def run(self, flow_run_id: str) -> dict[str, Any]:
        return dict(self.call(f"/flow_runs/{flow_run_id}", method="GET"))

    def end_of(self, flow_run_id: str) -> dict[str, Any]:
        """Wait until a run has ended."""
        return until(
            lambda: run if (run := self.run(flow_run_id))["state_type"] in ENDED else None,
            f"the end of {flow_run_id}",
        )

    def steps(self, flow_run_id: str | None = None) -> pl.DataFrame:
        """Return what `ops.runs` says, of one flow run if asked."""
        found = edpipe.sql("select * from ops.runs order by started_at", self.settings)
        return found if flow_run_id is None else found.filter(flow_run_id=flow_run_id)


def until(look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Look until something is there."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    pytest.fail(f"waited {patience:.0f} s for {what}")


@contextmanager
def program(log: Path, environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def platform(tmp_path_factory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    (folder / "data").mkdir()
    write_ednet(folder / "ednet", num_students=30, num_items=40)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EDPIPE_", "PREFECT_"))}
    environment = (
        kept
        | PREFECT_ENVIRONMENT
        | {
            "PREFECT_HOME": str(folder / "data" / "prefect"),
            "PREFECT_API_URL": api,
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "EDPIPE_HOME": str(folder / "data"),
            "EDPIPE_PRESET": "smoke",
            "EDPIPE_PROGRESS": "none",
            "EDPIPE_SCHEDULE__SOURCES": json.dumps({"ednet": [str(folder / "ednet")]}),
        }
    )
    settings = load_settings("smoke", file=folder / "none.toml", home=folder / "data", progress="none")
    prefect = str(PREFECT)
    serving = (prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port))
    working = (prefect, "worker", "start", "--pool", "edpipe", "--type", "process")
    with listening() as hook, program(folder / "server.log", environment, *serving):
        made = Platform(api, environment, settings, folder, hook.received)

        def is_up() -> bool:
            try:
                return bool(made.call("/health", method="GET"))
            except (urllib.error.URLError, ConnectionError):
                return False

        until(is_up, "the server")
        # What docs/how-to/schedule.md says.
        made.command(prefect, "work-pool", "create", "edpipe", "--type", "process")
        made.command(prefect, "gcl", "create", "edpipe-writer", "--limit", "1")
        made.command(prefect, "--no-prompt", "deploy", "--all")
        made.command(sys.executable, "-m", "flows.notify", hook.address)
        with program(folder / "worker.log", environment, *working):
            yield made


@pytest.fixture(scope="module")
def first(platform) -> dict[str, Any]:
    """The run that a schedule of seconds brought about; the schedule is gone again."""
    deployment = platform.call("/deployments/name/nightly/nightly", method="GET")
    schedules = f"/deployments/{deployment['id']}/schedules"
    (made,) = platform.call(schedules, [{"schedule": {"interval": 20}, "active": True}])

    def fired() -> list[dict[str, Any]]:
        return platform.call(
            "/flow_runs/filter",
            {
                "flow_runs": {
                    "deployment_id": {"any_": [deployment["id"]]},
                    "state": {"type": {"any_": ["PENDING", "RUNNING", *ENDED]}},
                },
                "sort": "EXPECTED_START_TIME_ASC",
            },
        )

    (run, *_) = until(fired, "the schedule")
    # With its schedule go the runs that it has planned.
    platform.call(f"{schedules}/{made['id']}", method="DELETE")
    return platform.end_of(run["id"])


def test_a_schedule_fires_and_every_step_of_its_run_is_in_ops_runs(platform, first):
    assert first["auto_scheduled"] is True
    assert first["state_type"] == "COMPLETED"
    steps = platform.steps(first["id"])
    assert steps["step"].to_list() == ["ingest", "build", "publish"]
    assert steps["outcome"].to_list() == ["succeeded"] * 3
    assert steps["rows_in"][1] == steps["rows_out"][0] > 0
    assert steps["peak_memory_mib"].min() > 50
    assert edpipe.sql("select count(*) as n from core.students", platform.settings)["n"].item() == 30


def test_a_run_that_fails_is_tried_again_and_a_second_one_waits_for_its_turn(platform, first):
    with writer_lock(platform.settings, "the test"):
        failing = platform.start("nightly/nightly")
        until(lambda: "failed" in platform.steps(failing)["outcome"], "a failure")
        waiting = platform.start("nightly/nightly")
        until(lambda: platform.run(waiting)["state_name"] == "AwaitingConcurrencySlot", "the queue")
    ran, waited = platform.end_of(failing), platform.end_of(waiting)
    assert (ran["state_type"], waited["state_type"]) == ("COMPLETED", "COMPLETED")
    assert waited["start_time"] >= ran["end_time"]
    steps = platform.steps(failing)
    tried = steps.filter(step="publish")
    assert tried["outcome"].to_list()[-1] == "succeeded"
    assert set(tried["outcome"][:-1]) == {"failed"}
    assert set(tried["error_class"].drop_nulls()) == {"WarehouseBusyError"}
    assert platform.steps(waiting)["started_at"].min() >= steps["ended_at"].max()


def test_two_deployments_do_not_write_at_once(platform, first):
    """The test takes the place of the writer, as a flow of another deployment does."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    async def held() -> None:
        async with get_client() as client:
            answer = await client.increment_concurrency_slots(["edpipe-writer"], 1, "concurrency")
            assert answer.status_code == 200
            try:
                run = platform.start(
                    "backfill/backfill", source="ednet", folders=[str(platform.folder / "ednet")]
                )
                until(lambda: platform.run(run)["state_type"] == "RUNNING", "the run")
                await asyncio.sleep(8)
                assert platform.steps(run).is_empty()
            finally:
                await client.release_concurrency_slots(["edpipe-writer"], 1, 1.0)
        assert platform.end_of(run)["state_type"] == "COMPLETED"
        assert platform.steps(run)["step"].to_list() == ["ingest", "build", "publish"]

    with temporary_settings({PREFECT_API_URL: platform.api}):
        asyncio.run(held())


def test_a_cancelled_run_leaves_what_was_and_the_next_one_completes_it(platform, first):
    """Another archive, cancelled in the middle of its build."""
    before = edpipe.sql("select * from core.students order by all", platform.settings)
    write_ednet(platform.folder / "more", num_students=50, num_items=40, seed=11)
    asked = {"source": "ednet", "folders": [str(platform.folder / "more")]}
    cancelled = platform.start("backfill/backfill", **asked)

    def is_building() -> bool:
        steps = platform.steps(cancelled)
        return not steps.filter(step="build", outcome="running").is_empty()

    until(is_building, "the build")
    time.sleep(2)
    platform.command(str(PREFECT), "flow-run", "cancel", cancelled)
    assert platform.end_of(cancelled)["state_type"] == "CANCELLED"
    until(lambda: "running" not in platform.steps(cancelled)["outcome"], "the end of the process", 120)
    assert platform.steps(cancelled)["outcome"][-1] in {"cancelled", "killed"}
    assert edpipe.sql("select * from core.students order by all", platform.settings).equals(before)

    again = platform.start("backfill/backfill", **asked)
    assert platform.end_of(again)["state_type"] == "COMPLETED"
    assert platform.steps(again)["outcome"].to_list() == ["skipped", "succeeded", "succeeded"]
    alone = load_settings(
        "smoke", file=platform.folder / "none.toml", home=platform.folder / "alone", progress="none"
    )
    edpipe.ingest("ednet", [platform.folder / "more"], alone)
    edpipe.build(alone)
    for table in ("core.students", "core.interactions"):
        query = f"select * from {table} order by all"
        assert edpipe.sql(query, platform.settings).equals(edpipe.sql(query, alone)), table


def test_a_failure_is_told_once_with_what_to_do(platform, first):
    platform.messages.clear()
    failed = platform.start("nightly/nightly", settings={"tracing": {"sise": 64}})
    run = platform.end_of(failed)
    assert run["state_type"] == "FAILED"
    assert platform.steps(failed).is_empty()
    until(lambda: platform.messages, "the message", 60)
    time.sleep(3)
    (message,) = platform.messages
    assert message["title"] == "edpipe: nightly failed"
    assert "Did you mean 'size'?" in message["message"]
    assert run["name"] in message["message"]
    assert "edpipe runs --failed" in message["message"]
