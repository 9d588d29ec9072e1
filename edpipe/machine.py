"""Look at this machine: would edpipe run here, and how well."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlparse

if TYPE_CHECKING:
    from edpipe.settings import Settings

SUPPORTED_PYTHON = ((3, 11), (3, 12))
PACKAGES = (
    "polars",
    "duckdb",
    "sqlmesh",
    "torch",
    "pytorch-lightning",
    "torch-geometric",
    "gensim",
    "prefect",
    "mlflow",
)
FREE_DISK_GIB = 10
FREE_MEMORY_GIB = 4
GIB = 2**30

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, and what to do about it."""

    check: str
    state: State
    found: str
    next_step: str = ""


def examine(settings: Settings) -> list[Check]:
    """Check Python, packages, device, cores, memory, disk, the home folder and the servers."""
    return [
        _python(),
        *_packages(),
        _device(),
        _cores(),
        _memory(),
        _disk(settings.home),
        _home(settings.home),
        _server("MLflow", settings.tracking_uri, f"SQLite in {settings.home}"),
        _server("Prefect", os.environ.get("PREFECT_API_URL", ""), "none needed: flows run in this process"),
    ]


def _python() -> Check:
    good = sys.version_info[:2] in SUPPORTED_PYTHON
    return Check(
        "Python", "ok" if good else "problem", platform.python_version(), "" if good else "Use 3.11 or 3.12."
    )


def _packages() -> list[Check]:
    checks = []
    for name in PACKAGES:
        try:
            checks.append(Check(name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            checks.append(Check(name, "problem", "not installed", "Run `make setup`."))
    return checks


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
        return Check("Device", "ok", f"{torch.cuda.device_count()} × {', '.join(sorted(names))}")
    if shutil.which("nvidia-smi"):
        return Check(
            "Device",
            "warning",
            "a GPU that torch does not see",
            "Install a CUDA build of torch, then `make setup`.",
        )
    return Check("Device", "ok", "CPU")


def _cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("Cores", "ok", f"{usable} usable")


def _memory() -> Check:
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return Check("Memory", "warning", "unknown on this system")
    low = available < FREE_MEMORY_GIB * GIB
    hint = "Lower `warehouse.memory_limit_mib` and `ingest.workers`." if low else ""
    return Check("Memory", "warning" if low else "ok", f"{available / GIB:.1f} GiB free", hint)


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(_nearest(home)).free
    low = free < FREE_DISK_GIB * GIB
    hint = "All of EdNet needs about 30 GiB; set `home` to a larger disk." if low else ""
    return Check("Disk", "warning" if low else "ok", f"{free / GIB:.0f} GiB free at {home}", hint)


def _home(home: Path) -> Check:
    if not _nearest(home).is_dir():
        found = f"{_nearest(home)} is no folder"
        return Check("Home", "problem", found, "Set EDPIPE_HOME to a folder of yours.")
    if os.access(_nearest(home), os.W_OK):
        return Check("Home", "ok", str(home.resolve()))
    return Check(
        "Home", "problem", f"{home.resolve()} is not writable", "Set EDPIPE_HOME to a folder of yours."
    )


def _nearest(path: Path) -> Path:
    """Return the first folder above ``path`` that exists."""
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def _server(name: str, address: str, without: str) -> Check:
    """Try to reach a server that the settings name; none named is fine."""
    import socket

    parsed = urlparse(address)
    if not parsed.hostname:
        return Check(name, "ok", without)
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    try:
        socket.create_connection((parsed.hostname, port), timeout=3).close()
    except OSError as error:
        return Check(name, "problem", f"{address}: {error}", f"Start the {name} server or clear its address.")
    return Check(name, "ok", address)


def setting_rows(settings: Settings) -> list[dict[str, str]]:
    """List every setting: name, value, meaning."""
    rows = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        inner = getattr(type(value), "model_fields", None)
        if inner is None:
            rows.append({"setting": name, "value": str(value), "meaning": field.description or ""})
            continue
        rows += [
            {"setting": f"{name}.{key}", "value": str(getattr(value, key)), "meaning": part.description or ""}
            for key, part in inner.items()
        ]
    return rows
