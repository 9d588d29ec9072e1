"""The servers of the compose file, started without containers by its own commands and settings."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
import yaml

import edpipe
from edpipe.sources.synthetic import write_ednet

ROOT = Path(__file__).resolve().parents[3]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
INSIDE = {"postgres": 5432, "objects": 8333, "prefect": 4200, "mlflow": 5000, "worker": 8080}
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
SMALL = '{"preset": "smoke", "tracing": {"max_epochs": 1}}'


def missing() -> str:
    """Say what keeps these tests from running here; nothing where they can."""
    if POSTGRES is None:
        return "PostgreSQL's programs are not installed"
    try:
        import boto3  # noqa: F401
        import moto.server  # noqa: F401
        import psycopg2  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed: pip install -e '.[servers,servers-test]'"
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.timeout(1800),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Stack:
    """What runs: a process a service, with the environment that the compose file gives it."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in INSIDE})
    secrets: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "data" / "edpipe"

    def resolved(self, text: str) -> str:
        """Fill in variables as compose does, and put places of this machine for those of containers."""

        def value(found: re.Match[str]) -> str:
            name, kind, rest = found.groups()
            return rest if kind == "-" else self.secrets.setdefault(name, secrets.token_hex(16))

        text = VARIABLE.sub(value, text)
        for name, port in INSIDE.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{self.ports[name]}")
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        text = re.sub(r"^/data", str(self.folder / "data"), text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def environment(self, name: str) -> dict[str, str]:
        given = {key: self.resolved(str(value)) for key, value in SERVICES[name]["environment"].items()}
        bins = f"{Path(sys.executable).parent}:{POSTGRES}:{os.environ['PATH']}"
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "PREFECT_HOME": str(self.folder / f"prefect-{name}"),
            "PATH": bins,
            "MLFLOW_PORT": str(self.ports["mlflow"]),
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
            "PREFECT_WORKER_WEBSERVER_PORT": str(self.ports["worker"]),
            **given,
        }

    def start(self, name: str, command: list[str], **more: Any) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                **{"cwd": ROOT, "env": self.environment(name), **more},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def command(self, name: str) -> list[str]:
        port = {str(INSIDE[name]): str(self.ports[name])}
        return [port.get(part, self.resolved(part)) for part in SERVICES[name]["command"]]

    def wait(self, name: str, seconds: float = 240) -> None:
        """Wait until the service's own health check says yes."""
        check = [self.resolved(part) for part in SERVICES[name]["healthcheck"]["test"][1:]]
        if check[0] == "pg_isready":
            check += [f"--port={self.ports['postgres']}"]
        until = time.monotonic() + seconds
        asked: dict[str, Any] = {"cwd": ROOT, "env": self.environment(name), "capture_output": True}
        while subprocess.run(check, **asked, check=False).returncode:
            if self.processes[name].poll() is not None or time.monotonic() > until:
                pytest.fail(f"{name} is not well:\n{(self.folder / f'{name}.log').read_text()[-4000:]}")
            time.sleep(0.5)

    def wait_for_port(self, name: str, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[name]), timeout=5):
                return
            time.sleep(0.5)
        pytest.fail(f"{name} does not answer:\n{(self.folder / f'{name}.log').read_text()[-4000:]}")

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        if process.poll() is not None:
            return
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def start_postgres(self) -> None:
        folder, socket_folder = self.folder / "database", self.folder / "socket"
        user = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("postgres").pw_name
        if not folder.exists():
            password = self.folder / "password"
            password.write_text(self.environment("postgres")["POSTGRES_PASSWORD"])
            for place in (folder, socket_folder):
                place.mkdir()
                if user:
                    shutil.chown(place, user)
            if user:
                shutil.chown(password, user)
            # As the image does: no password on the socket, SCRAM over TCP.
            subprocess.run(
                [
                    POSTGRES / "initdb",
                    "--username=edpipe",
                    f"--pwfile={password}",
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                    f"--pgdata={folder}",
                ],
                user=user,
                cwd="/",
                check=True,
                capture_output=True,
            )
        port = self.ports["postgres"]
        self.start(
            "postgres",
            [
                str(POSTGRES / "postgres"),
                "-D",
                str(folder),
                "-p",
                str(port),
                "-k",
                str(socket_folder),
                "-h",
                "127.0.0.1",
            ],
            user=user,
            cwd="/",
        )
        self.wait("postgres")

    def flow(self, deployment: str, settings: str = "{}", **parameters: str) -> str:
        """Run a deployment to its end; return what was told of a failure, and nothing of success."""
        asked = [
            f"--param=settings={settings}",
            *(f"--param={key}={value}" for key, value in parameters.items()),
        ]
        found = subprocess.run(
            ["prefect", "deployment", "run", deployment, *asked, "--watch", "--watch-interval=2"],
            env=self.environment("worker"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return found.stdout + found.stderr if found.returncode else ""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # Not pytest's own folder, which other runs of it close to the database's user.
    folder = Path(tempfile.mkdtemp(prefix="edpipe-servers-"))
    folder.chmod(0o711)
    found = Stack(folder)
    logs = found.folder / "logs"
    write_ednet(logs, num_students=60, num_items=60, levels=("kt1",), interactions_per_student=40)
    try:
        found.start_postgres()
        subprocess.run(
            ["sh", "docker/databases.sh"],
            cwd=ROOT,
            env=found.environment("postgres")
            | {"PGHOST": str(found.folder / "socket"), "PGPORT": str(found.ports["postgres"])},
            check=True,
        )
        found.start(
            "objects",
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(found.ports["objects"])],
        )
        found.wait_for_port("objects")  # another program than in the container, without its health check
        found.start("prefect", found.command("prefect"))
        found.start("mlflow", found.command("mlflow"))
        found.wait("prefect")
        found.wait("mlflow")
        os.environ["EDPIPE_SCHEDULE__SOURCES"] = '{"ednet": ["' + str(logs) + '"]}'
        found.start("worker", found.command("worker"))
        found.wait("worker")
        yield found
    finally:
        os.environ.pop("EDPIPE_SCHEDULE__SOURCES", None)
        for name in list(found.processes)[::-1]:
            found.stop(name)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_nightly_flow_runs_from_logs_to_tables(stack: Stack) -> None:
    told = stack.flow("nightly/nightly")
    assert not told
    settings = edpipe.load_settings(home=stack.home)
    assert edpipe.sql("select count(distinct student_id) from core.students", settings).item() == 60
    runs = edpipe.sql("select step, outcome, flow_run_id from ops.runs", settings)
    assert {"ingest", "build"} <= set(runs["step"])
    assert set(runs["outcome"]) <= {"succeeded", "skipped"}
    assert runs["flow_run_id"].null_count() == 0


def test_a_week_trains_registers_and_scores_over_the_servers(stack: Stack) -> None:
    import boto3

    told = stack.flow("weekly/weekly-tracing", SMALL, model="tracing")
    assert not told
    told = stack.flow("scoring/scoring", SMALL)
    assert not told
    settings = edpipe.load_settings(home=stack.home)
    assert edpipe.sql("select count(*) from predictions.kc_mastery", settings).item() > 0
    known = stack.environment("mlflow")
    store = boto3.client(
        "s3",
        endpoint_url=known["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    listed = store.list_objects_v2(Bucket="edpipe", Prefix="mlflow/")
    assert listed["KeyCount"] > 5
    assert not (stack.home / "mlflow.db").exists()


def test_a_database_that_went_away_and_came_back_is_used_again(stack: Stack) -> None:
    stack.stop("postgres")
    stack.start_postgres()
    stack.wait("prefect")
    stack.wait("mlflow")
    told = stack.flow("nightly/nightly")
    assert not told


def status_of(address: str, **headers: str) -> int:
    try:
        with urlopen(Request(address, headers=headers), timeout=20) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_nobody_without_the_password_reads_or_starts_flows(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.ports['prefect']}/api/admin/version"
    assert status_of(address) == 401
    known = stack.environment("prefect")["PREFECT_SERVER_API_AUTH_STRING"]
    assert status_of(address, Authorization="Basic " + b64encode(known.encode()).decode()) == 200


def test_mlflow_answers_the_worker_and_no_page_of_another_host(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.ports['mlflow']}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    allowed = SERVICES["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert "mlflow:5000" in allowed.split(",")  # as the worker calls it; here it is on another port
    assert status_of(address) == 200
    assert status_of(address, Host="evil.example:5000") == 403


def test_one_server_cannot_open_the_database_of_another(stack: Stack) -> None:
    import psycopg2

    known = stack.environment("postgres")
    place: dict[str, Any] = {"host": "127.0.0.1", "port": stack.ports["postgres"]}
    psycopg2.connect(user="mlflow", dbname="mlflow", password=known["MLFLOW_DB_PASSWORD"], **place).close()
    for user, database, password in (
        ("prefect", "mlflow", known["PREFECT_DB_PASSWORD"]),
        ("mlflow", "mlflow", "postgres"),
        ("mlflow", "mlflow", ""),
    ):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(user=user, dbname=database, password=password, **place)


def test_nothing_listens_beyond_this_machine(stack: Stack) -> None:
    listening = set()
    for process in stack.processes.values():
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            listening |= {
                place.laddr.ip for place in one.net_connections("inet") if place.status == psutil.CONN_LISTEN
            }
    assert listening == {"127.0.0.1"}
