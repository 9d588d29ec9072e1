"""What code and which environment made a run."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "duckdb",
    "edpipe",
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "polars",
    "prefect",
    "pyarrow",
    "pydantic",
    "pydantic-settings",
    "pytorch-lightning",
    "scikit-learn",
    "sqlmesh",
    "torch",
)
CHECKOUT = Path(__file__).resolve().parents[2]


def code_version(folder: Path = CHECKOUT) -> dict[str, str]:
    """Return the git commit of the checkout, and whether tracked files differ from it.

    Outside a checkout, or without git, ``code.commit`` is ``unknown``.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {"code.version": package_version("edpipe"), "code.commit": "unknown"}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "code.version": package_version("edpipe"),
        "code.commit": commit,
        "code.has_changes": str(bool(changes)).lower(),
    }


def environment_tags() -> dict[str, str]:
    """Return Python and platform."""
    return {
        "environment.python": platform.python_version(),
        "environment.platform": platform.platform(),
        "environment.executable": Path(sys.executable).name,
    }


def requirements() -> list[str]:
    """Return the installed versions of the packages that decide results, as pip pins."""
    pins = []
    for name in PACKAGES:
        version = package_version(name)
        if version != "unknown":
            pins.append(f"{name}=={version}")
    return pins


def package_version(name: str) -> str:
    """Return the installed version of a distribution, or ``unknown``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where it cannot answer."""
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603  # fixed program and arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # git is where PATH says
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
