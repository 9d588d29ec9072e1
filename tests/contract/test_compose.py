"""The compose file as promised: pinned, healthy, kept, closed, and without a secret that others know."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?][^}]*)?\}")
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH_STRING|CONNECTION_URL|STORE_URI")


def example_values() -> dict[str, str]:
    return dict(line.split("=", 1) for line in EXAMPLE.splitlines() if re.match("[A-Z_]+=", line))


def test_the_servers_of_a_nightly_run_are_there():
    assert set(SERVICES) == {"postgres", "objects", "prefect", "mlflow", "worker"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_ours_are_built_here(name):
    service = SERVICES[name]
    if "build" in service:
        assert service["image"].startswith("edpipe:")
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", service["image"])


def test_the_base_image_is_pinned():
    (base,) = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert re.fullmatch(r"python:3\.1[12]\.\d+-slim-bookworm", base)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_tells_whether_it_is_well_and_comes_back_after_a_crash(name):
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_who_needs_a_server_waits_until_it_is_well():
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    assert set(waits["worker"]) == {"prefect", "mlflow"}
    assert set(waits["mlflow"]) == {"postgres", "objects"}
    assert set(waits["prefect"]) == {"postgres"}
    assert {one["condition"] for found in waits.values() for one in found.values()} == {"service_healthy"}


def test_ports_are_published_on_loopback_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for port in ports)
    assert not any("network_mode" in service or "privileged" in service for service in SERVICES.values())


def test_what_must_last_lies_in_named_volumes():
    declared = set(COMPOSE["volumes"])
    places = {
        name: [volume.split(":")[0] for volume in service.get("volumes", [])]
        for name, service in SERVICES.items()
    }
    assert places["postgres"][0] == "database"
    assert places["objects"] == ["objects"]
    assert places["worker"][0] == "home"
    used = {place for found in places.values() for place in found if re.fullmatch(r"\w+", place)}
    assert used == declared


def test_logs_and_settings_are_mounted_to_be_read_only():
    mounts = SERVICES["worker"]["volumes"][1:]
    assert len(mounts) == 2
    assert all(mount.endswith(":ro") for mount in mounts)


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_file_or_has_a_default(name):
    for key, value in SERVICES[name].get("environment", {}).items():
        if not SECRET.search(key):
            continue
        found = VARIABLE.findall(str(value))
        assert len(found) == 1, key
        assert found[0][1].startswith(":?"), key
        left = VARIABLE.sub("", str(value))
        assert left in {"", "edpipe:"} or "@postgres:5432/" in left


def test_each_database_has_an_owner_of_its_own():
    prefect = SERVICES["prefect"]["environment"]["PREFECT_API_DATABASE_CONNECTION_URL"]
    mlflow = SERVICES["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert "//prefect:${PREFECT_DB_PASSWORD" in prefect
    assert "//mlflow:${MLFLOW_DB_PASSWORD" in mlflow
    assert "POSTGRES_PASSWORD" not in prefect + mlflow


def test_the_example_names_every_variable_and_no_secret():
    used = {name for name, _ in VARIABLE.findall(TEXT)} - {"EDPIPE_VERSION"}
    values = example_values()
    assert used == set(values)
    required = {name for name, rest in VARIABLE.findall(TEXT) if rest.startswith(":?")}
    assert {name for name, value in values.items() if not value} == required


def test_files_that_the_services_name_exist_and_enter_the_image():
    named = {
        part
        for service in SERVICES.values()
        for part in [*service["healthcheck"]["test"], *(service.get("command") or [])]
        if part.startswith("docker/")
    }
    named |= {"docker/databases.sh", "docker/bucket.py"}
    assert named == {f"docker/{path.name}" for path in (ROOT / "docker").iterdir()}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"docker", "edpipe", "flows", "models", "sql", "scripts", "prefect.yaml"} <= kept
    assert not kept & {".env", ".git", "data", "logs"}


def test_scripts_of_the_shell_are_correct():
    for path in (ROOT / "docker").glob("*.sh"):
        subprocess.run(["sh", "-n", path], check=True)
        assert path.stat().st_mode & stat.S_IXUSR
        assert "set -eu" in path.read_text()


def test_secrets_are_random_kept_and_readable_by_the_owner_alone(tmp_path):
    (tmp_path / ".env.example").write_text(EXAMPLE)

    def write() -> dict[str, str]:
        subprocess.run([sys.executable, ROOT / "scripts" / "env_file.py", tmp_path], check=True)
        lines = (tmp_path / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if re.match("[A-Z_]+=", line))

    first = write()
    secrets = [value for name, value in first.items() if not example_values()[name]]
    assert len(secrets) == 6 == len(set(secrets))
    assert min(map(len, secrets)) == 32
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert write() == first
    # What a newer example asks for besides is added.
    (tmp_path / ".env.example").write_text(EXAMPLE + "NEW_PASSWORD=\n")
    later = write()
    assert later.pop("NEW_PASSWORD")
    assert later == first


def test_requirements_of_the_image_are_those_of_the_project():
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "requirements.py", "servers"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "duckdb==1.5.5" in found
    assert any(line.startswith("psycopg2-binary") for line in found)
    assert any(line.startswith("boto3") for line in found)


def has_compose() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not has_compose(), reason="no docker compose here")
def test_docker_reads_the_file(tmp_path):
    (tmp_path / ".env").write_text(re.sub(r"=$", "=x", EXAMPLE, flags=re.MULTILINE))
    command = ["docker", "compose", "--file", ROOT / "docker-compose.yml", "--env-file", tmp_path / ".env"]
    subprocess.run([*command, "config", "--quiet"], check=True)
